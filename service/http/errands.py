"""Errands over HTTP: what an agent's worker is asked for besides answers.

They wait their turn in the agent's inbox and are runs of a kind of their own, but
put nothing into its history besides the summary. The caller waits as for a
blocking send, and may leave: a summary is made all the same.

Elsewhere: who carries them out (workers/errands.py).
"""

from typing import Any

from starlette.responses import Response

from service.errors import BlockwireError, Invalid
from service.http.answers import json_answer
from service.http.calls import Call, Nothing
from service.http.errors import ModelFailed
from service.http.refusals import MODEL_FAILED
from service.http.routing import Route
from service.http.schemas.errands import CompactionResponse, CompactQuery, CompactRequest
from service.http.schemas.messages import SendRequest, new_messages, run_options
from service.records.runs import Run


async def compact(call: Call[CompactQuery, CompactRequest]) -> Response:
    """Sum up an agent's older messages

    They leave the context, one summary takes their place; all of them stay in the history. 400 if nothing
    can leave: a call and its results are never parted, and two messages at least must become one.
    """
    asked = call.body.asked(call.query)
    if asked.get("model"):
        call.service.catalog.resolve(asked["model"])
    run = await call.service.messages.send(call.ws, call.path["agent_id"], [], kind="compact", errand=asked)
    done = await _result(call, run)
    if not done:
        raise Invalid("messages", "there is too little in context to sum up; it stays as it is")
    return json_answer(
        CompactionResponse(
            summary=done["summary"],
            num_messages_before=done["messages_count_before"],
            num_messages_after=done["messages_count_after"],
        )
    )


async def preview(call: Call[Nothing, SendRequest]) -> Response:
    """Show what a provider would be sent

    The request of the first model call that these messages would lead to, in the provider's words; an offline
    model shows what it would read. Nothing is sent, nothing enters the history.
    """
    run = await call.service.messages.send(
        call.ws,
        call.path["agent_id"],
        new_messages(call.body),
        run_options(call.body),
        kind="preview",
        errand={},
        priority=call.body.priority,
    )
    return json_answer((await _result(call, run))["request"])


async def _result(call: Call[Any, Any], begun: Run) -> dict[str, Any]:
    """What the errand gave, once it has ended."""
    run, _ = await call.while_connected(call.service.runs.wait(call.ws, begun.id))
    if run.error is not None:
        raise ModelFailed(run.error)
    if run.result is None:
        raise BlockwireError(f"run {run.id} was cancelled before it was done; ask again")
    return run.result


_PATH = "/v1/agents/{agent_id}"

ROUTES = [
    Route(
        "POST",
        f"{_PATH}/summarize",
        compact,
        "Messages",
        CompactionResponse,
        example={"compaction_settings": {"mode": "all"}},
        refuses=MODEL_FAILED,
    ),
    Route(
        "POST",
        f"{_PATH}/messages/preview-raw-payload",
        preview,
        "Messages",
        dict[str, Any],
        example={"messages": [{"role": "user", "content": "What do you know?"}]},
        refuses=MODEL_FAILED,
    ),
]
