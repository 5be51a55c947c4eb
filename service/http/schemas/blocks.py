"""Blocks on the wire: V1's create and update bodies, our edits, and V1's answer with a version."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from service.http.paging import CEILING, LOOKS, PageQuery
from service.http.schemas.bounds import (
    INT4,
    Count,
    Description,
    EditId,
    IdentityId,
    JsonObject,
    Label,
    Name,
    Names,
    Text,
)
from service.records.base import iso, unchecked
from service.records.blocks import DEFAULT_LIMIT, Block, BlockFields, BlockQuery, Edit, EditOutcome, Operation

_LABEL = r"^[a-zA-Z0-9_/-]+$"
_FIELDS = tuple(BlockFields.model_fields)
_NEEDS_TEXT = ("set", "append", "insert", "replace")
_TAKES: dict[Operation, tuple[str, ...]] = {
    "set": ("text",),
    "append": ("text",),
    "insert": ("text", "line"),
    "replace": ("text", "old", "all"),
    "configure": _FIELDS,
}
_TAKEN_BY_SOME = tuple(dict.fromkeys(name for names in _TAKES.values() for name in names))


class BlockSettings(BaseModel):
    """What may be said of a block; null is the same as absent."""

    value: Text | None = Field(default=None, description="the text; NUL characters are dropped")
    limit: int | None = Field(
        default=None, ge=0, le=INT4, description="the most characters the value may have"
    )
    description: Description | None = Field(default=None, description="what the block is for, told to agents")
    read_only: bool | None = Field(default=None, description="agents may not edit it; the API may")
    tags: Names | None = Field(default=None, description="replaces the whole set")
    metadata: JsonObject | None = Field(default=None, description="replaces the whole object")
    hidden: bool | None = None
    project_id: Name | None = None
    is_template: bool | None = None
    template_name: Name | None = None
    template_id: Name | None = None
    base_template_id: Name | None = None
    deployment_id: Name | None = None
    entity_id: Name | None = None
    preserve_on_migration: bool | None = None


class CreateBlock(BlockSettings):
    label: Label = Field(description="the name agents see the block under")


class BlockUpdate(BlockSettings):
    """Only what is there and not null is applied; `""` clears a text."""

    label: Label | None = Field(default=None, description="renames the block for every agent")
    expected_version: Count | None = Field(
        default=None, description="the version this was made from; 409 if it has moved"
    )


class _Operation(BaseModel):
    """What an edit does, and to which version."""

    operation: Operation
    text: Text | None = Field(
        default=None, description="what to set, append, insert, or put in place of `old`"
    )
    line: int | None = Field(
        default=None, ge=-1, le=INT4, description="insert after this line; 0 is the top, -1 the end"
    )
    old: str | None = Field(default=None, min_length=1, description="the text to replace, exactly")
    all: bool | None = Field(default=None, description="replace every occurrence, not exactly one")
    expected_version: Count | None = Field(
        default=None, description="the version this was made from; 409 if it has moved"
    )
    edit_id: EditId = None


class BlockEdit(BlockSettings, _Operation):
    """One operation on the value as it is when the edit arrives; a block's fields are for `configure`.

    Any other field is refused: a misspelt `expected_version` must not drop the guard.
    """

    model_config = ConfigDict(extra="forbid")

    label: Label | None = Field(default=None, description="renames the block for every agent")

    @model_validator(mode="after")
    def _has_what_it_needs_and_nothing_else(self) -> "BlockEdit":
        taken = _TAKES[self.operation]
        others = [n for n in _TAKEN_BY_SOME if n not in taken and getattr(self, n) is not None]
        if others:
            raise ValueError(f"{', '.join(others)}: not taken by the operation {self.operation}")
        if self.operation in _NEEDS_TEXT and self.text is None:
            raise ValueError(f"text: required by the operation {self.operation}")
        if self.operation == "replace" and self.old is None:
            raise ValueError("old: required by the operation replace; the exact text to replace")
        if self.operation == "configure" and not _given(self):
            raise ValueError("operation: configure needs at least one field of a block, such as description")
        return self


class BlockCountQuery(BaseModel):
    label: str | None = Field(default=None, min_length=1, max_length=50, pattern=_LABEL, description="exact")
    name: str | None = Field(
        default=None, min_length=1, max_length=100, pattern="^[a-zA-Z0-9 _-]+$", description="template name"
    )
    project_id: Name | None = None
    tags: Names | None = Field(default=None, description="any of these; repeat the key")
    match_all_tags: bool = Field(default=False, description="all of the tags instead of any")
    templates_only: bool = False

    def block_query(self) -> BlockQuery:
        return BlockQuery(**self.model_dump())


class BlockListQuery(PageQuery, BlockCountQuery):
    order: Literal["asc", "desc"] = Field(default="asc", description="`asc`: oldest first")
    order_by: Literal["created_at"] = "created_at"
    identity_id: IdentityId | None = None
    identifier_keys: Names | None = None
    label_search: str | None = Field(
        default=None,
        min_length=1,
        max_length=50,
        pattern=_LABEL,
        description=f"substring, case ignored; {LOOKS}",
    )
    description_search: str | None = Field(
        default=None, min_length=1, max_length=200, description=f"substring, case ignored; {LOOKS}"
    )
    value_search: str | None = Field(
        default=None, min_length=1, max_length=200, description=f"substring, case ignored; {LOOKS}"
    )
    connected_to_agents_count_gt: Count | None = Field(default=None, description="more agents than this")
    connected_to_agents_count_lt: Count | None = Field(default=None, description="fewer agents than this")
    connected_to_agents_count_eq: list[Count] | None = Field(default=None, description="repeat the key")
    show_hidden_blocks: bool = False

    def block_query(self) -> BlockQuery:
        return BlockQuery(
            **self.model_dump(),
            agents_gt=self.connected_to_agents_count_gt,
            agents_lt=self.connected_to_agents_count_lt,
            agents_in=self.connected_to_agents_count_eq,
            show_hidden=self.show_hidden_blocks,
        )


class IdentityBlocksQuery(PageQuery):
    order_by: Literal["created_at"] = "created_at"


class AgentBlocksQuery(PageQuery):
    limit: int = Field(default=100, ge=0, description=f"how many to return; {CEILING}")
    order: Literal["asc", "desc"] = Field(default="desc", description="by id")


class BlockResponse(BaseModel):
    """A block. `version` and `updated_at` are Blockwire's, the rest is V1's."""

    value: str
    limit: int = DEFAULT_LIMIT
    project_id: str | None = None
    template_name: str | None = None
    is_template: bool = False
    template_id: str | None = None
    base_template_id: str | None = None
    deployment_id: str | None = None
    entity_id: str | None = None
    preserve_on_migration: bool | None = False
    label: str | None = None
    read_only: bool = False
    description: str | None = None
    metadata: dict[str, Any] | None = {}
    hidden: bool | None = None
    id: str
    created_by_id: str | None = None
    last_updated_by_id: str | None = None
    tags: list[str] | None = []
    version: int = Field(description="grows by one with every edit")
    updated_at: str


class EditTold(BaseModel):
    """`version` is the one this edit made; `repeated` says that it had been applied before."""

    version: int
    changed: bool
    repeated: bool


class EditedBlock(BlockResponse):
    """The block as it is now, and what the edit did."""

    edit: EditTold


def fields_of(body: BlockSettings) -> BlockFields:
    """The block's fields that a body names; null is the same as absent."""
    return BlockFields(**_given(body))


def edit_of(body: BlockEdit, expected_version: int | None) -> Edit:
    """The edit that an edits body asks for."""
    return Edit(
        operation=body.operation,
        text=body.text or "",
        old=body.old or "",
        all=bool(body.all),
        line=-1 if body.line is None else body.line,
        fields=fields_of(body) if body.operation == "configure" else None,
        expected_version=expected_version,
        edit_id=body.edit_id,
    )


def update_of(body: BlockUpdate, expected_version: int | None) -> Edit:
    """The edit that V1's PATCH means: `set` for a value alone, `configure` for more."""
    given = _given(body)
    if given.keys() == {"value"}:
        return Edit(operation="set", text=given["value"], expected_version=expected_version)
    return Edit(operation="configure", fields=BlockFields(**given), expected_version=expected_version)


def block_response(block: Block) -> BlockResponse:
    return unchecked(BlockResponse, shown_block(block))


def edited_block(outcome: EditOutcome) -> EditedBlock:
    told = EditTold(version=outcome.version, changed=outcome.changed, repeated=outcome.repeated)
    return unchecked(EditedBlock, {**shown_block(outcome.block), "edit": told})


def _given(body: BlockSettings) -> dict[str, Any]:
    told, there = vars(body), body.model_fields_set
    return {name: told[name] for name in _FIELDS if name in there and told[name] is not None}


def shown_block(block: Block) -> dict[str, Any]:
    """The values of its answer, among others."""
    return {
        **vars(block),
        "created_by_id": block.created_by,
        "last_updated_by_id": block.updated_by,
        "updated_at": iso(block.updated_at),
    }
