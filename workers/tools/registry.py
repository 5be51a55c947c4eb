"""Registry: runs one tool call and says what came of it, in words the model can act on.

A failed tool never ends the turn: what was refused becomes a result of status
error, named as V1 names it. Losing the lease is no refusal but the end of our
say, and passes through.

Elsewhere: what tools are called and take (service/tools/built_in.py).
"""

from collections.abc import Mapping

import structlog

from service.errors import (
    BlockFull,
    BlockReadOnly,
    BlockwireError,
    LeaseLost,
    LineOutOfRange,
    NotAttached,
    StoreUnreachable,
)
from service.records.messages import ToolCall, ToolReturn
from service.records.tools import ToolOutcome, ToolRequest
from service.tools.calls import ToolArgumentsWrong, parse_arguments, shortened
from workers.tools.context import Handler, ToolContext, ToolFailed
from workers.tools.custom import CustomTools

log = structlog.get_logger()

ERROR_LINE_CHARS = 1000


class Tools:
    """The tools this worker can run: built-in ones by name, others by their source."""

    def __init__(self, handlers: Mapping[str, Handler], custom: CustomTools) -> None:
        self._handlers = handlers
        self._custom = custom

    async def run(self, context: ToolContext, call: ToolCall, allowed: list[str]) -> ToolReturn:
        """What the call gave back. Of what is foreseen only LeaseLost and StoreUnreachable are raised."""
        done = await self._run(context, call, allowed)
        name = call.name if call.name in self._handlers else "custom"
        context.service.metrics.tool_calls.add(name, done.status)
        return done

    async def _run(self, context: ToolContext, call: ToolCall, allowed: list[str]) -> ToolReturn:
        try:
            if call.name not in allowed:
                return _constrained(call, allowed)
            tool = context.transcript.tools[call.name]
            if tool.tool_type == "custom":
                return await self._custom.run(context, tool, call)
            text = await self._handlers[call.name](context, parse_arguments(call.name, call.arguments))
        except (LeaseLost, StoreUnreachable):
            raise
        except BlockwireError as refusal:
            return _failed(call, refusal, context.parts)
        return ToolReturn(tool_call_id=call.id, name=call.name, text=shortened(text, tool.return_char_limit))

    async def run_alone(self, request: ToolRequest) -> ToolOutcome:
        """What a tool with a source gave to a person who asked for one call of it."""
        return await self._custom.run_alone(request)


def _constrained(call: ToolCall, allowed: list[str]) -> ToolReturn:
    names = ", ".join(allowed) or "none"
    text = f"[ToolConstraintError] Cannot call {call.name}; the tools that may be called now are: {names}"
    return _error(call, "ToolConstraintError", text).model_copy(update={"refused": True})


def _failed(call: ToolCall, refusal: BlockwireError, parts: list[str]) -> ToolReturn:
    kind, text = _in_words(refusal)
    if parts:
        text = f"{text} (this much of the call was done before: {'; '.join(parts)})"
    log.info("tool.refused", tool=call.name, error=type(refusal).__name__)
    return _error(call, kind, text)


def _error(call: ToolCall, kind: str, text: str) -> ToolReturn:
    line = f"Error executing function {call.name}: {kind}: {text}"[:ERROR_LINE_CHARS]
    return ToolReturn(tool_call_id=call.id, name=call.name, text=text, status="error", stderr=[line])


def _in_words(refusal: BlockwireError) -> tuple[str, str]:
    """The name of V1's exception and a text that says what to do next."""
    match refusal:
        case ToolFailed():
            return refusal.kind, str(refusal)
        case ToolArgumentsWrong():
            return "TypeError", str(refusal)
        case BlockReadOnly():
            return (
                "ValueError",
                f"Error: the block {refusal.label!r} is read-only; it cannot be edited by agents",
            )
        case BlockFull():
            return "ValueError", (
                f"The block would have {refusal.length} characters and may have {refusal.limit}. "
                f"Cut at least {refusal.length - refusal.limit} characters of your text, or make room first."
            )
        case NotAttached():
            return "KeyError", f"'Block field {refusal.block} does not exist for this agent any more'"
        case LineOutOfRange():
            return "ValueError", (
                f"insert_line must be between 0 (the top) and {refusal.lines} (the end), or -1 for the end"
            )
    return "ValueError", str(refusal)
