"""The `blockwire` command: reads options and settings, then becomes the process that was asked for.

A verb is a row of VERBS (verbs.py): the module that does the work, and its options. Each
option is a setting; the environment carries them all to the module, which is
started in this process's place. So the web's libraries load for the web alone,
and workers are reached by command, never by import. Whatever is wrong is said
in one line, before anything starts.
"""

import argparse
import importlib.metadata
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from service.entry import WONT_WORK, end_in_one_line, python_module, settings_or_exit
from service.settings import environment_for
from service.verbs import OPTIONS, VERBS, Verb


class _Parser(argparse.ArgumentParser):
    """A parser whose complaint is one line."""

    def error(self, message: str) -> NoReturn:
        end_in_one_line(f"{message}; `{self.prog} --help` lists what is possible", WONT_WORK)


def main(argv: Sequence[str] | None = None) -> None:
    parser = _parser()
    options = parser.parse_args(argv)
    if options.verb is None:
        parser.print_help()
        return
    verb = next(verb for verb in VERBS if verb.name == options.verb)
    given = {OPTIONS[name].field: getattr(options, OPTIONS[name].field) for name in verb.options}
    if verb.listens:
        given["insecure"] = options.insecure
    settings = settings_or_exit(given)
    command = python_module(verb.module, *verb.arguments(options))
    sys.stdout.flush()
    os.execve(command[0], command, environment_for(settings))


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="blockwire",
        description="Shared memory blocks for teams of AI agents, in Redis.",
        epilog="Settings come from the environment (REDIS_URL, PORT, BLOCKWIRE_…); options override them. "
        "Example: blockwire up",
    )
    parser.add_argument("--version", action="version", version=f"blockwire {_version()}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", title="verbs", parser_class=_Parser)
    for verb in VERBS:
        about = verbs.add_parser(
            verb.name,
            help=verb.summary,
            description=f"{verb.summary[0].upper()}{verb.summary[1:]}.",
            epilog=f"Example: {verb.example}",
        )
        _add_options(about, verb)
    return parser


def _add_options(parser: argparse.ArgumentParser, verb: Verb) -> None:
    if verb.add_arguments is not None:
        verb.add_arguments(parser)
    for name in verb.options:
        option = OPTIONS[name]
        parser.add_argument(name, dest=option.field, metavar=option.metavar, help=option.help)
    if verb.listens:
        parser.add_argument(
            "--insecure",
            action="store_true",
            default=None,
            help="listen on other machines' requests even without tokens: anybody who reaches the port "
            "can then read and change everything",
        )


def _version() -> str:
    try:
        return importlib.metadata.version("blockwire")
    except importlib.metadata.PackageNotFoundError:
        return "(not installed)"


if __name__ == "__main__":
    main()
