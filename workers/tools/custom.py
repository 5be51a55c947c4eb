"""Custom: tools that people brought along, called by a model: at most once.

What such a tool does out there cannot be undone or found done. So a call is marked
as started, under the lease, before it is run, and what it gave is kept after it.
Whoever takes the run over finds either the result, or a call that was started and of
which nobody lived to tell: then the model is told just that. A tool whose metadata says
`"idempotent": true` may be run again.

Elsewhere: the process it runs in (sandbox.py).
"""

import structlog

from service.records.messages import ToolCall, ToolReturn
from service.records.tools import Tool, ToolOutcome, ToolRequest
from service.tools.calls import read_object
from workers.tools.context import ToolContext
from workers.tools.sandbox import Program, Sandbox, failed

log = structlog.get_logger()

INTERRUPTED = (
    "the call was interrupted: the worker that carried it was lost. The tool may have run, wholly or in "
    "part; find out before you call it again"
)


class CustomTools:
    """Runs calls of tools that have a source."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    async def run(self, context: ToolContext, tool: Tool, call: ToolCall) -> ToolReturn:
        """What the call gave, now or before a takeover. Raises ToolArgumentsWrong, LeaseLost."""
        program = _program(
            tool,
            read_object(call.name, call.arguments),
            context.transcript.agent.secrets,
            context.lease.agent_id,
        )
        leases, run_id = context.service.leases, context.transcript.run.id
        call_id = context.effect()
        known = await leases.start_call(context.lease, run_id, call_id)
        if known:
            return ToolReturn.model_validate_json(known)
        if known is not None and not tool.repeatable:
            log.warning("tool.interrupted", tool=tool.name)
            return _returned(call, failed(tool.name, "InterruptedError", INTERRUPTED))
        result = _returned(call, await self._sandbox.run(program))
        await leases.end_call(context.lease, run_id, call_id, result.model_dump_json())
        return result

    async def run_alone(self, request: ToolRequest) -> ToolOutcome:
        """What a call gave that a person asked for."""
        return await self._sandbox.run(
            _program(request.tool, request.arguments, request.environ, request.agent_id)
        )


def _program(
    tool: Tool, arguments: dict[str, object], environ: dict[str, str], agent_id: str | None
) -> Program:
    """The call as a process carries it out; in an agent's name it is told which (V1's variable)."""
    return Program(
        source=tool.source_code or "",
        function=tool.name,
        arguments=arguments,
        environ=environ | ({"LETTA_AGENT_ID": agent_id} if agent_id else {}),
        most_chars=tool.return_char_limit,
    )


def _returned(call: ToolCall, outcome: ToolOutcome) -> ToolReturn:
    return ToolReturn(
        tool_call_id=call.id,
        name=call.name,
        text=outcome.text,
        status=outcome.status,
        stdout=outcome.stdout or None,
        stderr=outcome.stderr or None,
    )
