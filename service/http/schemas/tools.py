"""Tools on the wire: V1's Tool, how one is made, changed and found, and the rules that steer its use.

Elsewhere: running one (tool_runs.py).
"""

from typing import Annotated, Any, Literal, Self, get_args

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from service.errors import Invalid
from service.http.paging import CEILING, PageQuery
from service.http.schemas.bounds import Count, Description, JsonObject, Name, Names
from service.records.tools import DEFAULT_RETURN_CHAR_LIMIT, Tool, ToolFields, ToolType
from service.toolbox import Found

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


class ToolFilter(BaseModel):
    """Which tools a list holds, or a count counts."""

    name: Name | None = Field(default=None, description="exact")
    names: Names | None = None
    tool_ids: Names | None = Field(default=None, description="repeated or comma-separated")
    search: Name | None = Field(default=None, description="substring of the name, case ignored")
    tool_types: Names | None = Field(default=None, description="repeated or comma-separated")
    exclude_tool_types: Names | None = Field(default=None, description="repeated or comma-separated")
    return_only_letta_tools: bool = False

    def exact_names(self) -> list[str] | None:
        """The names that alone can be in the list, if it asks for some."""
        return [self.name] if self.name is not None else self.names

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


class ToolListQuery(ToolFilter, PageQuery):
    order_by: Literal["created_at"] = "created_at"


class ToolCountQuery(ToolFilter):
    exclude_letta_tools: bool = False

    def wants(self, tool: Tool) -> bool:
        return super().wants(tool) and not (self.exclude_letta_tools and tool.tool_type.startswith("letta_"))


class Requirement(BaseModel):
    """A package that a tool needs. It is kept and given back, not installed."""

    model_config = ConfigDict(extra="allow")

    name: str = Field(min_length=1, max_length=200)
    version: str | None = Field(default=None, max_length=200)


Requirements = Annotated[list[Requirement], Field(max_length=100)]
SourceCode = Annotated[str, StringConstraints(max_length=200_000)]
SourceType = Literal["python", "typescript", "json"]


class ToolUpdate(BaseModel):
    """What may be said of a tool; null is the same as absent."""

    description: Description | None = None
    tags: Names | None = None
    source_code: SourceCode | None = Field(
        default=None, description="Python; its last top-level function is the tool"
    )
    source_type: SourceType | None = None
    json_schema: JsonObject | None = Field(
        default=None, description="`{name, description, parameters}`; read from the source if absent"
    )
    args_json_schema: JsonObject | None = Field(default=None, description="of the arguments alone")
    return_char_limit: int | None = Field(default=None, ge=1, le=1_000_000)
    pip_requirements: Requirements | None = None
    npm_requirements: Requirements | None = None
    default_requires_approval: bool | None = None
    enable_parallel_execution: bool | None = None
    metadata_: JsonObject | None = Field(
        default=None,
        validation_alias=AliasChoices("metadata_", "metadata"),
        description="`idempotent: true` says that a call which may have run already may be run again",
    )

    def fields(self) -> ToolFields:
        return ToolFields(**self.model_dump(exclude_none=True), metadata=self.metadata_)


class ToolCreate(ToolUpdate):
    source_code: SourceCode

    @model_validator(mode="after")
    def _typescript_brings_its_schema(self) -> Self:
        if self.source_type == "typescript" and self.json_schema is None:
            raise ValueError(
                "json_schema: a TypeScript tool must bring it; it cannot be read from the source"
            )
        return self


class SchemaRequest(BaseModel):
    code: SourceCode = Field(description="Python source that defines a function")
    source_type: Literal["python"] | None = None


class ToolSearchRequest(BaseModel):
    query: str | None = Field(default=None, max_length=1000)
    search_mode: Literal["vector", "fts", "hybrid"] = "hybrid"
    tool_types: Names | None = None
    tags: Names | None = Field(default=None, description="only tools with one of these")
    limit: int = Field(default=50, ge=1, le=100)

    def wants(self, tool: Tool) -> bool:
        types = _types("tool_types", self.tool_types)
        return (not types or tool.tool_type in types) and (
            not self.tags or any(tag in tool.tags for tag in self.tags)
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


class ToolSearchResult(BaseModel):
    tool: ToolResponse
    embedded_text: str | None = None
    fts_rank: int | None = None
    vector_rank: int | None = None
    combined_score: float


def search_results(found: list[Found]) -> list[ToolSearchResult]:
    return [
        ToolSearchResult(tool=tool_response(one.tool), fts_rank=rank, combined_score=one.score)
        for rank, one in enumerate(found, start=1)
    ]


def _split(values: list[str]) -> set[str]:
    return {part.strip() for value in values for part in value.split(",") if part.strip()}


def _types(parameter: str, values: list[str] | None) -> set[str]:
    types = _split(values or [])
    if unknown := types - set(get_args(ToolType)):
        raise Invalid(parameter, f"{sorted(unknown)[0]!r} is not a tool type")
    return types
