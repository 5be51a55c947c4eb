"""Tool jobs: one call of a tool that a person asked for, carried out at most once.

Own tools run in the sandbox. Built-in ones act in the agent's name without its lease:
it may be at work meanwhile, and an edit is one atomic act on the block as it is then, no
matter by whom; what is at most once here is the taking of the call. A run under way is
told of such an edit as of anybody's.

Elsewhere: who asks (service/tool_runs.py).
"""

import asyncio
import json
from typing import Any

import structlog

from service.bootstrap import Service
from service.errors import BlockwireError, StoreUnreachable
from service.records.messages import ToolCall
from service.records.runs import Lease, Run, Usage
from service.records.tools import ToolOutcome, ToolRequest
from workers.tools.context import ToolContext
from workers.tools.registry import Tools
from workers.tools.sandbox import failed
from workers.transcript import Transcript

log = structlog.get_logger()

STOPPED = "the worker was stopped while the tool ran; it may have run wholly or in part"


async def run_tool(ctx: dict[str, Any], workspace: str, id: str) -> None:
    """Takes a call, runs it and answers; nothing, if another worker has it or nobody waits any more."""
    service: Service = ctx["service"]
    with structlog.contextvars.bound_contextvars(
        workspace=workspace, tool_run_id=id, worker_id=ctx["worker_id"]
    ):
        try:
            request = await service.tool_runs.take(workspace, id)
            if request is None:
                return
            try:
                outcome = await _outcome(service, ctx["tools"], workspace, request)
            except asyncio.CancelledError:  # this worker stops, and nobody else may run it again
                outcome = failed(request.tool.name, "InterruptedError", STOPPED)
            await service.tool_runs.answer(workspace, id, outcome)
        except StoreUnreachable as failure:
            log.warning("tool.deferred", error=str(failure))
            return
        log.info("tool.run", tool=request.tool.name, status=outcome.status)


async def _outcome(service: Service, tools: Tools, ws: str, request: ToolRequest) -> ToolOutcome:
    try:
        if request.tool.tool_type == "custom":
            return await tools.run_alone(request)
        return await _in_the_agents_name(service, tools, ws, request)
    except StoreUnreachable:
        raise
    except BlockwireError as refusal:
        return failed(request.tool.name, type(refusal).__name__, str(refusal))
    except Exception as fault:  # its caller waits; what went wrong is in the log
        log.exception("tool.broken", tool=request.tool.name)
        return failed(request.tool.name, "RuntimeError", f"the worker failed ({type(fault).__name__})")


async def _in_the_agents_name(service: Service, tools: Tools, ws: str, request: ToolRequest) -> ToolOutcome:
    agent = await service.agents.read(ws, request.agent_id or "")
    call = ToolCall(id=request.id, name=request.tool.name, arguments=json.dumps(request.arguments))
    transcript = Transcript(
        agent=agent,
        run=Run(id=request.id, agent_id=agent.id, created_at=0),
        prompt="",
        messages=[],
        seen={},
        pending_step=None,
        usage=Usage(),
        tools={call.name: request.tool},
    )
    nobodys = Lease(workspace=ws, agent_id=agent.id, generation=0, worker_id="")
    context = ToolContext(service, nobodys, transcript, "", call.name, 0, fenced=False)
    result = await tools.run(context, call, [call.name])
    return ToolOutcome(
        status=result.status, text=result.text, stdout=result.stdout or [], stderr=result.stderr or []
    )
