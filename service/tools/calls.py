"""Tool calls: the arguments that a model wrote, read and checked.

What is wrong is told the way Python would, since that is what models know best.
"""

import json
from typing import Any

from pydantic import ValidationError

from service.errors import BlockwireError
from service.tools.arguments import Arguments, quoted
from service.tools.built_in import by_name

_ASIDES = ("request_heartbeat", "thinking")
"""Arguments of the loop, not of any tool."""


class ToolArgumentsWrong(BlockwireError):
    """A model called a tool with arguments it does not take; the text is like Python's own."""

    def __init__(self, tool: str, problem: str, argument: str | None = None) -> None:
        super().__init__(f"{tool}() {problem}")
        self.tool = tool
        self.argument = argument


def argument_model(name: str) -> type[Arguments]:
    """What checks the arguments of the built-in tool of this name."""
    return by_name(name).arguments


def parse_arguments(name: str, arguments_json: str) -> Arguments:
    """The arguments of a call, checked, or ToolArgumentsWrong. Null is the same as left out."""
    model = argument_model(name)
    given = read_object(name, arguments_json)
    fields = model.model_fields
    kept = {
        key: value
        for key, value in given.items()
        if value is not None or key not in fields or fields[key].is_required()
    }
    try:
        return model.model_validate(kept)
    except ValidationError as error:
        raise _wrong(name, error) from None


def read_object(name: str, arguments_json: str) -> dict[str, Any]:
    """The arguments of a call of any tool, unchecked and without those of the loop, or ToolArgumentsWrong."""
    if not arguments_json.strip():  # how some providers write a call without arguments
        return {}
    try:
        arguments = json.loads(arguments_json)
        json.dumps(arguments, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        raise ToolArgumentsWrong(name, f"arguments are not valid JSON: {error}") from None
    except UnicodeEncodeError:
        problem = r"arguments hold half of a surrogate pair (\ud800 to \udfff); write the character itself"
        raise ToolArgumentsWrong(name, problem) from None
    except (ValueError, RecursionError):
        problem = "arguments hold a number that is too long, or are nested too deeply"
        raise ToolArgumentsWrong(name, problem) from None
    if not isinstance(arguments, dict):
        raise ToolArgumentsWrong(name, f"arguments must be a JSON object, not {type(arguments).__name__}")
    return {key: value for key, value in arguments.items() if key not in _ASIDES}


def _wrong(name: str, error: ValidationError) -> ToolArgumentsWrong:
    """The first thing to put right, in the order Python would complain."""
    problems = error.errors(include_url=False, include_input=False)
    for problem in problems:
        if problem["type"] == "extra_forbidden":
            argument = str(problem["loc"][0])
            return ToolArgumentsWrong(name, f"got an unexpected keyword argument {argument!r}", argument)
    missing = [str(problem["loc"][0]) for problem in problems if problem["type"] == "missing"]
    if missing:
        noun = "argument" if len(missing) == 1 else "arguments"
        return ToolArgumentsWrong(
            name, f"missing {len(missing)} required {noun}: {quoted(missing)}", missing[0]
        )
    problem = problems[0]
    if not problem["loc"]:
        return ToolArgumentsWrong(name, str(problem["ctx"]["error"]))
    argument = str(problem["loc"][0])
    return ToolArgumentsWrong(
        name, f"argument {argument!r} {problem['msg'].removeprefix('Input ')}", argument
    )


def shortened(text: str, limit: int) -> str:
    """What of a result a model is shown."""
    if len(text) <= limit:
        return text
    return f"{text[:limit]}\n[cut: the first {limit} of {len(text)} characters]"
