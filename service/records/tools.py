"""Tools as records: what a model may ask for, as V1 shows it."""

from typing import Any, Literal

from pydantic import Field

from service.records.base import Record

ToolType = Literal[
    "custom",
    "letta_core",
    "letta_memory_core",
    "letta_multi_agent_core",
    "letta_sleeptime_core",
    "letta_voice_sleeptime_core",
    "letta_builtin",
    "letta_files_core",
    "external_langchain",
    "external_composio",
    "external_mcp",
]

DEFAULT_RETURN_CHAR_LIMIT = 50_000


class Tool(Record):
    """What a model may ask for. `json_schema` is what the model is shown of it."""

    id: str
    name: str
    tool_type: ToolType = "custom"
    description: str | None = None
    source_type: str | None = "python"
    source_code: str | None = None
    json_schema: dict[str, Any] | None = None
    args_json_schema: dict[str, Any] | None = None
    tags: list[str] = Field(default_factory=list)
    return_char_limit: int = Field(default=DEFAULT_RETURN_CHAR_LIMIT, ge=1, le=1_000_000)
    pip_requirements: list[dict[str, Any]] | None = None
    npm_requirements: list[dict[str, Any]] | None = None
    default_requires_approval: bool | None = None
    enable_parallel_execution: bool = False
    created_by_id: str | None = None
    last_updated_by_id: str | None = None
    metadata: dict[str, Any] | None = None
    project_id: str | None = None
    seq: int = 0
    """Its place among the tools of its workspace, by creation; 0 for those built in."""

    @property
    def ref(self) -> str:
        """What an agent keeps of it: the name of a built-in tool, the id of any other."""
        return self.id if self.tool_type == "custom" else self.name

    @property
    def repeatable(self) -> bool:
        """Whether a call that may have run already may be run again."""
        return (self.metadata or {}).get("idempotent") is True


class ToolFields(Record):
    """What people may say of a tool of their own; None leaves a field as it is."""

    description: str | None = None
    source_type: str | None = None
    source_code: str | None = None
    json_schema: dict[str, Any] | None = None
    args_json_schema: dict[str, Any] | None = None
    tags: list[str] | None = None
    return_char_limit: int | None = None
    pip_requirements: list[dict[str, Any]] | None = None
    npm_requirements: list[dict[str, Any]] | None = None
    default_requires_approval: bool | None = None
    enable_parallel_execution: bool | None = None
    metadata: dict[str, Any] | None = None


class ToolRequest(Record):
    """One call of a tool that a person asks for. `agent_id`: in whose name, if in any's."""

    id: str
    tool: Tool
    arguments: dict[str, Any] = Field(default_factory=dict)
    agent_id: str | None = None
    environ: dict[str, str] = Field(default_factory=dict)


class ToolOutcome(Record):
    """What a call gave back: `text` as a model is told it, `value` as JSON where it is more than a text."""

    status: Literal["success", "error"] = "success"
    text: str
    value: Any = None
    stdout: list[str] = Field(default_factory=list)
    stderr: list[str] = Field(default_factory=list)
