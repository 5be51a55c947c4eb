"""Steps on the wire: V1's Step, its metrics, and feedback on it."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from service.http.paging import CEILING, LOOKS, PageQuery
from service.http.schemas.bounds import Name, Names
from service.http.schemas.runs import completion_details, prompt_details
from service.records.agents import Agent
from service.records.base import Micros, iso, micros_of
from service.records.ids import derived_id
from service.records.runs import Step, StopReason, Usage

Feedback = Literal["positive", "negative"]


class StepResponse(BaseModel):
    """One model call and the tool calls it asked for (V1: `Step`)."""

    model_config = ConfigDict(protected_namespaces=())

    id: str
    origin: str | None = None
    organization_id: str | None = None
    provider_id: str | None = None
    run_id: str | None = None
    agent_id: str | None = None
    provider_name: str | None = None
    provider_category: str | None = "base"
    model: str | None = None
    model_handle: str | None = None
    model_endpoint: str | None = None
    context_window_limit: int | None = None
    completion_tokens: int | None = None
    prompt_tokens: int | None = None
    total_tokens: int | None = None
    cached_input_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None
    completion_tokens_details: dict[str, Any] | None = None
    prompt_tokens_details: dict[str, Any] | None = None
    stop_reason: StopReason | None = None
    tags: list[str] = []
    tid: str | None = None
    trace_id: str | None = None
    request_id: str | None = None
    messages: list[dict[str, Any]] = []
    feedback: Feedback | None = None
    project_id: str | None = None
    error_type: str | None = None
    error_data: dict[str, Any] | None = None
    status: Literal["pending", "success", "failed", "cancelled"] | None = "pending"


class StepMetrics(BaseModel):
    """How long a step took, in nanoseconds."""

    id: str
    organization_id: str | None = None
    provider_id: str | None = None
    run_id: str | None = None
    agent_id: str | None = None
    step_start_ns: int | None = None
    llm_request_start_ns: int | None = None
    llm_request_ns: int | None = None
    tool_execution_ns: int | None = None
    step_ns: int | None = None
    base_template_id: str | None = None
    template_id: str | None = None
    project_id: str | None = None


class ProviderTrace(BaseModel):
    """What a step's provider was asked, and its complete answer in no provider's words."""

    id: str
    step_id: str | None = None
    agent_id: str | None = None
    run_id: str | None = None
    call_type: str | None = "agent_step"
    source: str | None = "blockwire"
    request_json: dict[str, Any]
    response_json: dict[str, Any]
    agent_tags: list[str] | None = None
    org_id: str | None = None
    user_id: str | None = None
    compaction_settings: dict[str, Any] | None = None
    llm_config: dict[str, Any] | None = None
    billing_context: dict[str, Any] | None = None
    created_by_id: str | None = None
    last_updated_by_id: str | None = None
    created_at: str | None = None
    updated_at: str | None = None


class StepListQuery(PageQuery):
    order_by: Literal["created_at"] = "created_at"
    start_date: datetime | None = Field(default=None, description="only steps made since then")
    end_date: datetime | None = Field(default=None, description="only steps made until then")
    model: Name | None = Field(
        default=None, description=f"only of this model, by its provider's name; {LOOKS}"
    )
    agent_id: Name | None = None
    trace_ids: Names | None = None
    feedback: Feedback | None = Field(default=None, description=LOOKS)
    has_feedback: bool | None = Field(default=None, description=LOOKS)
    tags: Names | None = Field(default=None, description=f"with any of these tags; {LOOKS}")
    project_id: Name | None = None

    def wants(self) -> Callable[[Step], bool] | None:
        """What has to be asked of each step; None for nothing."""
        asked = (self.model, self.feedback, self.has_feedback, self.trace_ids, self.project_id)
        return self._is_wanted if self.tags or any(one is not None for one in asked) else None

    def since(self) -> Micros | None:
        return None if self.start_date is None else micros_of(self.start_date)

    def until(self) -> Micros | None:
        return None if self.end_date is None else micros_of(self.end_date)

    def _is_wanted(self, step: Step) -> bool:
        """None has a trace or a project."""
        if self.trace_ids or self.project_id is not None:
            return False
        if self.model is not None and (step.reply is None or step.reply.model != self.model):
            return False
        if self.has_feedback is not None and self.has_feedback != (step.feedback is not None):
            return False
        tagged = not self.tags or any(tag in step.tags for tag in self.tags)
        return tagged and self.feedback in (None, step.feedback)


class StepMessagesQuery(PageQuery):
    limit: int = Field(default=100, ge=0, description=f"stored messages; {CEILING}")
    order: Literal["asc", "desc"] = "asc"
    order_by: Literal["created_at"] = "created_at"


class FeedbackQuery(BaseModel):
    feedback: Feedback | None = Field(
        default=None, description="the same as in the body, where some old SDKs do not put it"
    )


class FeedbackRequest(BaseModel):
    feedback: Feedback | None = None
    tags: Names | None = None


def step_response(step: Step, agent: Agent | None) -> StepResponse:
    """A step; of its agent, if it is still there, what the model was configured with."""
    config = {} if agent is None else agent.llm_config
    usage = Usage() if step.reply is None else step.reply.usage
    error = None if step.error is None else step.error.model_dump()
    return StepResponse(
        id=step.id,
        run_id=step.run_id,
        agent_id=step.agent_id,
        provider_name=step.provider_name,
        model=(step.reply.model if step.reply else None) or config.get("model"),
        model_handle=step.model_handle,
        model_endpoint=config.get("model_endpoint"),
        context_window_limit=config.get("context_window"),
        **usage.model_dump(),
        total_tokens=usage.total_tokens,
        prompt_tokens_details=prompt_details(usage),
        completion_tokens_details=completion_details(usage),
        stop_reason=step.stop_reason,
        tags=step.tags,
        feedback=step.feedback,
        error_type=None if step.error is None else step.error.type,
        error_data=error,
        status=step.status,
    )


def step_metrics(step: Step) -> StepMetrics:
    both = None if step.model_ns is None else step.model_ns + (step.tools_ns or 0)
    start = None if both is None else step.created_at * 1000 - (step.model_ns or 0)
    return StepMetrics(
        id=step.id,
        run_id=step.run_id,
        agent_id=step.agent_id,
        step_start_ns=start,
        llm_request_start_ns=start,
        llm_request_ns=step.model_ns,
        tool_execution_ns=step.tools_ns,
        step_ns=both,
    )


def provider_trace(step: Step, kept: dict[str, Any]) -> ProviderTrace:
    return ProviderTrace(
        id=derived_id("provider_trace", step.id),
        step_id=step.id,
        agent_id=step.agent_id,
        run_id=step.run_id,
        request_json=kept["request"],
        response_json=kept["response"],
        created_at=iso(step.created_at),
    )
