"""Runs on the wire: V1's Run, and the reply to a blocking send."""

from typing import Any, Literal

from pydantic import BaseModel, Field

from service.http.paging import CEILING, PageQuery
from service.http.schemas.bounds import Name
from service.http.schemas.transcript import ApiMessage
from service.records.base import iso
from service.records.runs import Run, RunStatus, StopReason


class RequestConfig(BaseModel):
    use_assistant_message: bool = True
    assistant_message_tool_name: str = "send_message"
    assistant_message_tool_kwarg: str = "message"
    include_return_message_types: list[str] | None = None


class RunResponse(BaseModel):
    """One task given to an agent (V1: `Run`). A failed one says why in `metadata.error`."""

    id: str
    status: RunStatus = "created"
    created_at: str
    completed_at: str | None = None
    agent_id: str
    conversation_id: str | None = None
    base_template_id: str | None = None
    background: bool | None = None
    metadata: dict[str, Any] | None = None
    request_config: RequestConfig | None = None
    stop_reason: StopReason | None = None
    callback_url: str | None = None
    callback_sent_at: str | None = None
    callback_status_code: int | None = None
    callback_error: str | None = None
    ttft_ns: int | None = None
    total_duration_ns: int | None = None


class StopReasonTold(BaseModel):
    message_type: Literal["stop_reason"] = "stop_reason"
    stop_reason: StopReason


class UsageTold(BaseModel):
    message_type: Literal["usage_statistics"] = "usage_statistics"
    completion_tokens: int = 0
    prompt_tokens: int = 0
    total_tokens: int = 0
    step_count: int = 0
    run_ids: list[str] | None = None
    cached_input_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None
    context_tokens: int | None = None


class LettaResponse(BaseModel):
    """All that a run produced after its input, why it stopped, and what it used."""

    messages: list[ApiMessage]
    stop_reason: StopReasonTold
    usage: UsageTold
    logprobs: dict[str, Any] | None = None
    turns: list[dict[str, Any]] | None = None


class RunListQuery(PageQuery):
    limit: int = Field(default=100, ge=1, le=1000, description="how many to return")
    agent_id: Name | None = Field(default=None, description="only runs of this agent")
    order_by: Literal["created_at"] = "created_at"


class RunStreamRequest(BaseModel):
    """Where to go on in a run's stream."""

    starting_after: int = Field(default=0, ge=0, description="go on behind the object with this `seq_id`")
    include_pings: bool | None = True
    poll_interval: float | None = Field(default=None, description="accepted; nothing is polled here")
    batch_size: int | None = Field(default=None, description="accepted; objects come as they are made")


class RunMessagesQuery(PageQuery):
    limit: int = Field(
        default=100, ge=0, description=f"stored messages, which may show as several; {CEILING}"
    )
    order: Literal["asc", "desc"] = Field(default="asc", description="`asc`: oldest first")
    order_by: Literal["created_at"] = "created_at"


def run_response(run: Run) -> RunResponse:
    ended = run.completed_at
    error = {} if run.error is None else {"error": run.error.model_dump()}
    return RunResponse(
        **{
            **vars(run),
            "created_at": iso(run.created_at),
            "completed_at": None if ended is None else iso(ended),
            "metadata": {**(run.metadata or {}), "run_type": run.kind, **error},
            "request_config": RequestConfig(**vars(run.options)),
            "total_duration_ns": None if ended is None else (ended - run.created_at) * 1000,
        }
    )


def letta_response(run: Run, messages: list[ApiMessage]) -> LettaResponse:
    """The reply to a blocking send whose run has ended."""
    return LettaResponse(messages=messages, stop_reason=stop_told(run), usage=usage_told(run))


def stop_told(run: Run) -> StopReasonTold:
    return StopReasonTold(stop_reason=run.stop_reason or "error")


def usage_told(run: Run) -> UsageTold:
    return UsageTold(
        **vars(run.usage),
        total_tokens=run.usage.total_tokens,
        step_count=run.step_count,
        context_tokens=run.context_tokens,
    )
