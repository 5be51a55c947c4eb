"""Verbs: what `blockwire` can be told to do: which module does it, with which options.

Elsewhere: how the command line is read (cli.py).
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Option:
    """A command line option that overrides a setting."""

    field: str
    metavar: str
    help: str


OPTIONS = {
    "--host": Option("host", "ADDRESS", "address to listen on (default 127.0.0.1, this machine only)"),
    "--port": Option("port", "N", "port to listen on (default 8283)"),
    "--data": Option(
        "data_dir", "DIR", "folder of the embedded store, used when REDIS_URL is not set (default .blockwire)"
    ),
    "--slots": Option("slots", "N", "agents that one worker carries forward at once (default 32)"),
    "--url": Option("url", "URL", "the server to ask (BLOCKWIRE_URL, default http://127.0.0.1:8283)"),
    "--pool": Option("pool", "NAME", "pool the worker takes work from (default: default)"),
}


def _no_arguments(_options: argparse.Namespace) -> list[str]:
    return []


def _worker_count(options: argparse.Namespace) -> list[str]:
    return [str(options.workers)]


def _add_workers(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--workers", metavar="N", type=_positive, default=2, help="worker processes to run (default 2)"
    )


def _add_demo(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", metavar="FILE", nargs="*", help="text to read (default: Blockwire's own)")
    parser.add_argument("--keep", action="store_true", help="keep the temporary data folder")
    parser.add_argument(
        "--model",
        metavar="HANDLE",
        default="",
        help="what the agents think with (default: a provider's model if its key is set, else "
        "offline/extractive)",
    )


def _demo(options: argparse.Namespace) -> list[str]:
    return ["keep" if options.keep else "", options.model, *options.files]


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="for programs")


def _json(options: argparse.Namespace) -> list[str]:
    return ["json"] if options.json else []


def _add_list(*filters: str) -> Callable[[argparse.ArgumentParser], None]:
    def add(parser: argparse.ArgumentParser) -> None:
        for name in filters:
            metavar = "ID|NAME" if name == "agent" else name.upper()
            parser.add_argument(f"--{name}", metavar=metavar, help=f"only those of this {name}")
        parser.add_argument("--limit", metavar="N", type=_positive, default=50, help="how many (default 50)")
        _add_json(parser)

    return add


def _list(noun: str, **filters: str) -> Callable[[argparse.Namespace], list[str]]:
    """The arguments of a list; `filters`: option -> what the API calls it."""
    return lambda options: [noun, str(options.limit), _form(options), *_asked(options, filters)]


def _add_watch(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--block", metavar="ID", help="only changes of this block")
    parser.add_argument("--label", metavar="LABEL", help="only changes of blocks with this label")
    parser.add_argument("--agent", metavar="ID|NAME", help="only changes by this agent")
    _add_json(parser)


def _watch(options: argparse.Namespace) -> list[str]:
    return [_form(options), *_asked(options, {"block": "block_id", "label": "label", "agent": "agent"})]


def _add_send(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("agent", metavar="AGENT", help="its id or its name")
    parser.add_argument("text", metavar="TEXT", nargs="?", default="", help="the message")
    word = parser.add_mutually_exclusive_group()
    word.add_argument("--approve", action="store_true", help="allow the calls that the agent asks leave for")
    word.add_argument("--deny", metavar="WHY", nargs="?", const="", help="deny them, for this reason")
    parser.add_argument("--no-wait", action="store_true", help="do not wait for the answer; print the run")
    _add_json(parser)


def _send(options: argparse.Namespace) -> list[str]:
    how = [_form(options), "" if options.no_wait else "wait", options.agent]
    if options.deny is not None:
        return [*how, options.deny or options.text, "deny"]
    return [*how, options.text, "approve" if options.approve else ""]


def _form(options: argparse.Namespace) -> str:
    return "json" if options.json else "table"


def _asked(options: argparse.Namespace, filters: Mapping[str, str]) -> list[str]:
    given = {query: getattr(options, name) for name, query in filters.items()}
    return [f"{query}={value}" for query, value in given.items() if value is not None]


def _add_token(parser: argparse.ArgumentParser) -> None:
    acts = parser.add_subparsers(dest="act", metavar="ACT", title="acts", required=True)
    create = acts.add_parser("create", help="make a token; its secret is printed once, alone, to stdout")
    create.add_argument("--workspace", metavar="NAME", required=True, help="what it opens; made if need be")
    create.add_argument(
        "--scope",
        choices=("read", "write", "admin"),
        required=True,
        help="write may read too, admin may also make and revoke its workspace's tokens",
    )
    create.add_argument("--name", metavar="TEXT", default="", help="told in the history of what it changes")
    create.add_argument(
        "--expires", metavar="WHEN", default="", help="30d, 12h, 45m, or a day: 2026-12-31 (UTC, inclusive)"
    )
    create.add_argument(
        "--rate",
        metavar="N",
        default="",
        help="requests per minute; 0: no limit (default: BLOCKWIRE_RATE_LIMIT, no limit)",
    )
    listed = acts.add_parser("list", help="list all tokens, never their secrets")
    listed.add_argument("--json", action="store_true", help="as JSON")
    revoke = acts.add_parser("revoke", help="end a token at once")
    revoke.add_argument("id", metavar="ID", help="token-…, as the list shows it")
    for act in (create, listed, revoke):  # so that it may stand behind the act, too
        option = OPTIONS["--data"]
        act.add_argument(
            "--data", dest=option.field, metavar=option.metavar, help=option.help, default=argparse.SUPPRESS
        )


def _token(options: argparse.Namespace) -> list[str]:
    if options.act == "create":
        return ["create", options.workspace, options.scope, options.name, options.expires, options.rate]
    if options.act == "list":
        return ["list", "json" if options.json else ""]
    return ["revoke", options.id]


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, not {text!r}")
    return int(text)


@dataclass(frozen=True)
class Verb:
    """`blockwire NAME`: what it is for, and the module that does it."""

    name: str
    summary: str
    example: str
    module: str
    options: Sequence[str]
    listens: bool = False
    add_arguments: Callable[[argparse.ArgumentParser], None] | None = None
    arguments: Callable[[argparse.Namespace], list[str]] = _no_arguments


VERBS = (
    Verb(
        "up",
        "run everything on this machine: the store, the web API and the workers",
        "blockwire up --workers 4 --data ./my-blocks",
        "service.processes",
        ("--host", "--port", "--data", "--slots", "--pool"),
        listens=True,
        add_arguments=_add_workers,
        arguments=_worker_count,
    ),
    Verb(
        "web",
        "run one web process: the HTTP API",
        "REDIS_URL=redis://localhost:6379/0 blockwire web --port 9000",
        "service.http.serve",
        ("--host", "--port", "--data"),
        listens=True,
    ),
    Verb(
        "worker",
        "run one worker process: it carries agents forward, many at once",
        "REDIS_URL=redis://localhost:6379/0 blockwire worker --slots 64",
        "workers.main",
        ("--slots", "--pool", "--data"),
    ),
    Verb(
        "watch",
        "show every edit as it is made, with what it added and removed",
        "blockwire watch --label organization",
        "service.commands.watch",
        ("--url",),
        add_arguments=_add_watch,
        arguments=_watch,
    ),
    Verb(
        "send",
        "send a message to an agent and show its answer",
        'blockwire send supervisor "What do we know?"',
        "service.commands.send",
        ("--url",),
        add_arguments=_add_send,
        arguments=_send,
    ),
    Verb(
        "blocks",
        "list the newest blocks",
        "blockwire blocks --label organization",
        "service.commands.lists",
        ("--url",),
        add_arguments=_add_list("label"),
        arguments=_list("blocks", label="label"),
    ),
    Verb(
        "agents",
        "list the newest agents",
        "blockwire agents --json",
        "service.commands.lists",
        ("--url",),
        add_arguments=_add_list("name"),
        arguments=_list("agents", name="name"),
    ),
    Verb(
        "runs",
        "list the newest runs",
        "blockwire runs --limit 10",
        "service.commands.lists",
        ("--url",),
        add_arguments=_add_list("agent"),
        arguments=_list("runs", agent="agent"),
    ),
    Verb(
        "doctor",
        "look at the store: bytes by kind, and what could lose data",
        "REDIS_URL=redis://localhost:6379/0 blockwire doctor",
        "service.commands.doctor",
        ("--data",),
        add_arguments=_add_json,
        arguments=_json,
    ),
    Verb(
        "token",
        "make, list and revoke tokens: who may use the HTTP API, and which workspace",
        "blockwire token create --workspace team-a --scope write --expires 90d",
        "service.commands.tokens",
        ("--data",),
        add_arguments=_add_token,
        arguments=_token,
    ),
    Verb(
        "demo",
        "show it at work: three workers read a text into one block, a supervisor sums it up",
        "blockwire demo README.md",
        "service.demo.run",
        (),
        add_arguments=_add_demo,
        arguments=_demo,
    ),
)
