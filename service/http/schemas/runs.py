"""Runs on the wire: V1's Run, and the reply to a blocking send."""

from collections.abc import Callable, Sequence
from typing import Any, Literal

from pydantic import BaseModel, Field

from service.http.paging import CEILING, LOOKS, PageQuery
from service.http.schemas.bounds import Name
from service.http.schemas.transcript import ApiMessage
from service.records.base import Page, iso
from service.records.runs import OPEN, Run, RunStatus, Step, StopReason, Usage, status_of


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
    agent_ids: list[Name] | None = Field(default=None, max_length=500, description="of any of these agents")
    statuses: list[RunStatus] | None = Field(
        default=None, max_length=20, description="in any of these states"
    )
    background: bool | None = Field(default=None, description=LOOKS)
    stop_reason: StopReason | None = Field(default=None, description=LOOKS)
    conversation_id: Name | None = None
    active: bool = Field(default=False, description="only runs that have not ended")
    ascending: bool = Field(default=False, description="old spelling of `order`, which goes before it")
    order_by: Literal["created_at"] = "created_at"

    def page(self) -> Page:
        page = super().page()
        if "order" in self.model_fields_set:
            return page
        return page.model_copy(update={"descending": not self.ascending})

    def states(self) -> list[RunStatus] | None:
        """The states a run may be in to be what was asked for; None for any. An index knows them."""
        if self.conversation_id is not None:
            return []  # no run belongs to a conversation yet
        wanted = [set(self.statuses)] if self.statuses is not None else []
        if self.active:
            wanted.append(set(OPEN))
        if self.stop_reason is not None:
            wanted.append({status_of(self.stop_reason)})
        return sorted(set.intersection(*wanted)) if wanted else None

    def wants(self) -> Callable[[Run], bool] | None:
        """What has to be asked of each run; None if indexes know all of it."""
        if self.stop_reason is None and self.background is None:
            return None
        return lambda run: (
            self.stop_reason in (None, run.stop_reason) and self.background in (None, run.background)
        )


class RunStreamRequest(BaseModel):
    """Where to go on in a run's stream."""

    starting_after: int = Field(default=0, ge=0, description="go on behind the object with this `seq_id`")
    include_pings: bool | None = True
    agent_id: Name | None = Field(default=None, description="if given, the run must be this agent's")
    run_id: Name | None = Field(default=None, description="if given, the run of the path")
    otid: Name | None = Field(default=None, description="if given, the run must have begun with this message")
    poll_interval: float | None = Field(default=None, description="accepted; nothing is polled here")
    batch_size: int | None = Field(default=None, description="accepted; objects come as they are made")

    def means(self, run: Run) -> bool:
        """Whether what else is said of the run fits it."""
        mine = self.agent_id in (None, run.agent_id) and self.run_id in (None, run.id)
        return mine and (self.otid is None or any(one.otid == self.otid for one in run.messages))


class RunStepsQuery(PageQuery):
    limit: int = Field(default=100, ge=0, description=f"how many to return; {CEILING}")
    order_by: Literal["created_at"] = "created_at"


class UsageStatistics(BaseModel):
    """Tokens of all steps together."""

    completion_tokens: int = 0
    prompt_tokens: int = 0
    total_tokens: int = 0
    prompt_tokens_details: dict[str, int] | None = None
    completion_tokens_details: dict[str, int] | None = None


class RunMetrics(BaseModel):
    """How long a run took, in nanoseconds, and what it used."""

    id: str
    organization_id: str | None = None
    agent_id: str | None = None
    project_id: str | None = None
    run_start_ns: int | None = None
    run_ns: int | None = None
    num_steps: int | None = None
    tools_used: list[str] | None = None
    template_id: str | None = None
    base_template_id: str | None = None


class RunMessagesQuery(PageQuery):
    limit: int = Field(
        default=100, ge=0, description=f"stored messages, which may show as several; {CEILING}"
    )
    order: Literal["asc", "desc"] = Field(default="asc", description="`asc`: oldest first")
    order_by: Literal["created_at"] = "created_at"


def run_response(run: Run) -> RunResponse:
    ended = run.completed_at
    more: dict[str, Any] = {} if run.error is None else {"error": run.error.model_dump()}
    more |= {} if run.retried_by is None else {"retried_by": run.retried_by}
    more |= {"priority": run.priority} if run.priority else {}
    more |= {} if run.not_before is None else {"not_before": iso(run.not_before)}
    return RunResponse(
        **{
            **vars(run),
            "created_at": iso(run.created_at),
            "completed_at": None if ended is None else iso(ended),
            "callback_sent_at": None if run.callback_sent_at is None else iso(run.callback_sent_at),
            "metadata": {**(run.metadata or {}), "run_type": run.kind, **more},
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


def usage_statistics(run: Run) -> UsageStatistics:
    return UsageStatistics(
        completion_tokens=run.usage.completion_tokens,
        prompt_tokens=run.usage.prompt_tokens,
        total_tokens=run.usage.total_tokens,
        prompt_tokens_details=prompt_details(run.usage),
        completion_tokens_details=completion_details(run.usage),
    )


def prompt_details(usage: Usage) -> dict[str, int]:
    """By the names that SDKs know; what was cached is what was read from the cache."""
    read = usage.cached_input_tokens
    return {
        "cached_tokens": read,
        "cache_read_tokens": read,
        "cache_creation_tokens": usage.cache_write_tokens,
    }


def completion_details(usage: Usage) -> dict[str, int]:
    return {"reasoning_tokens": usage.reasoning_tokens}


def run_metrics(run: Run, steps: Sequence[Step]) -> RunMetrics:
    """Of tools those that were called; a call that waits for its caller's word is no call yet."""
    done = [step.reply for step in steps if step.reply and not step.asked]
    calls = [call.name for reply in done for call in reply.tool_calls]
    ended = run.completed_at
    return RunMetrics(
        id=run.id,
        agent_id=run.agent_id,
        run_start_ns=run.created_at * 1000,
        run_ns=None if ended is None else (ended - run.created_at) * 1000,
        num_steps=run.step_count,
        tools_used=sorted(set(calls)),
    )
