"""Calls: the methods of one SDK, called from another process and answered as JSON, one line each.

A request names a method (`agents.blocks.attach`), the values of its path in the order of
the URL, and its other arguments; `null` for a method asks for the names of all there are. It says
which client is to call it: the token, time-out and headers that are not those of any client.
"""

import contextlib
import inspect
import io
import json
import sys
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from pydantic import BaseModel
from report import Facts, Report, refused

WHOLE_BODY = ("agents.messages.modify", "agents.messages.preview")
"""Methods of the old SDK that take their body as one argument, `request`."""


def answer_calls(
    connect: Callable[..., Any], report: Report, generation: str, functions: Facts | None = None
) -> None:
    """One answer per line of standard input, until that ends; whatever else is printed is part of it.

    `connect` makes a client of these settings.
    An argument `{"$function": "name"}` means one of `functions`: code that a method takes is not JSON.
    """
    replies = sys.stdout
    clients: Facts = {}
    for line in sys.stdin:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            asked = json.loads(line)
            for name, value in asked["args"].items():
                if isinstance(value, dict) and "$function" in value:
                    asked["args"][name] = (functions or {})[value["$function"]]
            named = json.dumps(asked["client"])
            client = (
                clients[named] if named in clients else clients.setdefault(named, connect(**asked["client"]))
            )
            reply = _reply(client, report, generation, asked)
        said = reply | {"faults": report.take_faults(), "printed": printed.getvalue()}
        replies.write(json.dumps(said, default=str) + "\n")
        replies.flush()


def _reply(client: Any, report: Report, generation: str, asked: Facts) -> Facts:
    if asked["method"] is None:
        return {"answer": sorted(_methods(client, ""))}
    answers: list[Any] = []
    error = refused(lambda: answers.append(_called(client, report, generation, asked)))
    return {"answer": answers[0]} if answers else {"error": error | {"body": _plain(error["body"])}}


def _called(client: Any, report: Report, generation: str, asked: Facts) -> Any:
    method: Any = client
    for name in asked["method"].split("."):
        method = getattr(method, name)
    path, args = list(asked["path"].items()), asked["args"]
    if generation == "old":
        positional, named = [value for _, value in path], {}
        args = {"request": args} if asked["method"] in WHOLE_BODY else args
    else:
        positional, named = [value for _, value in path[-1:]], dict(path[:-1])
    return _plain(report.checked(_gathered(method(*positional, **named, **args), asked["take"])))


def _gathered(answer: Any, take: int | None) -> Any:
    """Lists, pages that ask for the next by themselves and streams become lists of so many items at most."""
    is_page = hasattr(answer, "iter_pages")
    if is_page or (hasattr(answer, "__iter__") and not isinstance(answer, BaseModel | str | dict)):
        found = list(islice(answer, take))
        if take is not None and hasattr(answer, "close"):
            answer.close()
        return found
    return answer


def _plain(answer: Any) -> Any:
    if isinstance(answer, list):
        return [_plain(one) for one in answer]
    return answer.model_dump(mode="json", by_alias=True) if isinstance(answer, BaseModel) else answer


def _methods(resource: Any, path: str) -> Iterator[str]:
    """All methods below a resource; of the client itself only `health`, the others are its plumbing."""
    for name in {*dir(type(resource)), *vars(resource)}:
        if name.startswith("_") or name in ("with_raw_response", "with_streaming_response"):
            continue
        part = getattr(resource, name)
        if inspect.ismethod(part):
            if path or name == "health":
                yield path + name
        elif type(part).__name__.endswith(("Resource", "Client")) and "letta_client" in type(part).__module__:
            yield from _methods(part, f"{path}{name}.")
