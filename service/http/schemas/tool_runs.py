"""Tool runs on the wire: V1's bodies for running a tool once, and its two shapes of what it gave."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from service.http.schemas.agents import Secrets
from service.http.schemas.bounds import JsonObject
from service.http.schemas.tools import Requirements, SourceCode, SourceType, ToolName
from service.http.schemas.transcript import ApiToolReturn, ToolReturnMessage
from service.records.ids import derived_id
from service.records.tools import ToolOutcome

Arguments = Annotated[dict[str, Any], Field(description="what the function is called with, by name")]


class ToolRunFromSource(BaseModel):
    source_code: SourceCode
    args: Arguments
    env_vars: Secrets | None = Field(default=None, description="the whole environment of the call")
    name: ToolName | None = Field(default=None, description="the function; the last one if absent")
    source_type: SourceType | None = None
    args_json_schema: JsonObject | None = None
    json_schema: JsonObject | None = None
    pip_requirements: Requirements | None = Field(default=None, description="not installed")
    npm_requirements: Requirements | None = Field(default=None, description="not installed")


class ToolRunRequest(BaseModel):
    args: Arguments = {}


class ApprovalRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    requires_approval: bool | None = Field(
        default=None, validation_alias=AliasChoices("requires_approval", "body_requires_approval")
    )


class ApprovalQuery(BaseModel):
    requires_approval: bool | None = Field(default=None, description="as 0.1.x SDKs say it")


class ToolExecutionResult(BaseModel):
    status: Literal["success", "error"]
    func_return: Any = None
    agent_state: dict[str, Any] | None = None
    stdout: list[str] | None = None
    stderr: list[str] | None = None
    sandbox_config_fingerprint: str | None = None


def execution_result(outcome: ToolOutcome) -> ToolExecutionResult:
    """Of an error there is no `func_return`; what went wrong is in `stderr`."""
    ok = outcome.status == "success"
    value = outcome.text if outcome.value is None else outcome.value
    return ToolExecutionResult(
        status=outcome.status,
        func_return=value if ok else None,
        stdout=outcome.stdout,
        stderr=outcome.stderr,
    )


def return_message(run_id: str, name: str, outcome: ToolOutcome) -> ToolReturnMessage:
    shown: dict[str, Any] = {
        "tool_call_id": run_id,
        "tool_return": outcome.text,
        "status": outcome.status,
        "stdout": outcome.stdout,
        "stderr": outcome.stderr,
    }
    return ToolReturnMessage(
        id=derived_id("message", run_id),
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        name=name,
        **shown,
        tool_returns=[ApiToolReturn(**shown)],
    )
