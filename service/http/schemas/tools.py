"""Tools on the wire: V1's Tool, its list, and the rules that steer an agent's tools."""

from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from service.errors import Invalid
from service.http.paging import CEILING, PageQuery
from service.http.schemas.bounds import Count, JsonObject, Name, Names
from service.records.tools import DEFAULT_RETURN_CHAR_LIMIT, Tool, ToolType

ToolName = Annotated[str, StringConstraints(min_length=1, max_length=48)]


class _Rule(BaseModel):
    """What every rule has; further keys are kept as given."""

    model_config = ConfigDict(extra="allow")

    tool_name: ToolName
    prompt_template: str | None = Field(default=None, max_length=10_000)


class InitToolRule(_Rule):
    type: Literal["run_first"]
    args: JsonObject | None = None


class TerminalToolRule(_Rule):
    type: Literal["exit_loop"]


class ContinueToolRule(_Rule):
    type: Literal["continue_loop"]


class ChildToolRule(_Rule):
    type: Literal["constrain_child_tools"]
    children: Annotated[list[ToolName], Field(max_length=500)]
    child_arg_nodes: Annotated[list[JsonObject], Field(max_length=500)] | None = None


class ParentToolRule(_Rule):
    type: Literal["parent_last_tool"]
    children: Annotated[list[ToolName], Field(max_length=500)]


class ConditionalToolRule(_Rule):
    type: Literal["conditional"]
    child_output_mapping: Annotated[JsonObject, Field(min_length=1)]
    default_child: ToolName | None = None
    require_output_mapping: bool = False


class MaxCountPerStepToolRule(_Rule):
    type: Literal["max_count_per_step"]
    max_count_limit: Count


class RequiredBeforeExitToolRule(_Rule):
    type: Literal["required_before_exit"]


class RequiresApprovalToolRule(_Rule):
    type: Literal["requires_approval"]


ToolRule = Annotated[
    InitToolRule
    | TerminalToolRule
    | ContinueToolRule
    | ChildToolRule
    | ParentToolRule
    | ConditionalToolRule
    | MaxCountPerStepToolRule
    | RequiredBeforeExitToolRule
    | RequiresApprovalToolRule,
    Field(discriminator="type"),
]


class AgentToolsQuery(PageQuery):
    limit: int = Field(default=10, ge=0, description=f"how many to return; {CEILING}")


class ToolListQuery(PageQuery):
    order_by: Literal["created_at"] = "created_at"
    name: Name | None = Field(default=None, description="exact")
    names: Names | None = None
    tool_ids: Names | None = Field(default=None, description="repeated or comma-separated")
    search: Name | None = Field(default=None, description="substring of the name, case ignored")
    tool_types: Names | None = Field(default=None, description="repeated or comma-separated")
    exclude_tool_types: Names | None = Field(default=None, description="repeated or comma-separated")
    return_only_letta_tools: bool = False

    def wants(self, tool: Tool) -> bool:
        """Whether the list holds this tool; Invalid for a type that does not exist."""
        only, without = (
            _types("tool_types", self.tool_types),
            _types("exclude_tool_types", self.exclude_tool_types),
        )
        return (
            self.name in (None, tool.name)
            and (self.names is None or tool.name in self.names)
            and (self.tool_ids is None or tool.id in _split(self.tool_ids))
            and (self.search or "").lower() in tool.name.lower()
            and (not only or tool.tool_type in only)
            and tool.tool_type not in without
            and not (self.return_only_letta_tools and not tool.tool_type.startswith("letta_"))
        )


class ToolResponse(BaseModel):
    """A tool, as V1 shows it (there: `Tool`)."""

    id: str
    tool_type: ToolType = "custom"
    description: str | None = None
    source_type: str | None = None
    name: str | None = None
    tags: list[str] = []
    source_code: str | None = None
    json_schema: dict[str, Any] | None = None
    args_json_schema: dict[str, Any] | None = None
    return_char_limit: int = DEFAULT_RETURN_CHAR_LIMIT
    pip_requirements: list[dict[str, Any]] | None = None
    npm_requirements: list[dict[str, Any]] | None = None
    default_requires_approval: bool | None = None
    enable_parallel_execution: bool | None = False
    created_by_id: str | None = None
    last_updated_by_id: str | None = None
    metadata_: dict[str, Any] | None = None
    project_id: str | None = None


def tool_response(tool: Tool) -> ToolResponse:
    return ToolResponse(**vars(tool), metadata_=tool.metadata)


def _split(values: list[str]) -> set[str]:
    return {part.strip() for value in values for part in value.split(",") if part.strip()}


def _types(parameter: str, values: list[str] | None) -> set[str]:
    types = _split(values or [])
    if unknown := types - set(get_args(ToolType)):
        raise Invalid(parameter, f"{sorted(unknown)[0]!r} is not a tool type")
    return types
