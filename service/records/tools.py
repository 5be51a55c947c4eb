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
    tags: list[str] = []
    return_char_limit: int = Field(default=DEFAULT_RETURN_CHAR_LIMIT, ge=1, le=1_000_000)
    pip_requirements: list[dict[str, Any]] | None = None
    npm_requirements: list[dict[str, Any]] | None = None
    default_requires_approval: bool | None = None
    enable_parallel_execution: bool = False
    created_by_id: str | None = None
    last_updated_by_id: str | None = None
    metadata: dict[str, Any] | None = None
    project_id: str | None = None
