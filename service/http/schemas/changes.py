"""Changes on the wire: which are asked for, and what one looks like. Blockwire's own, not V1's."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from service.http.schemas.bounds import AgentId, BlockId, Label, Name
from service.records.base import iso
from service.records.blocks import Author, Block, Change

CHANGE_ID = r"^[0-9]{1,19}-[0-9]{1,19}$"
MOST = 100
"""Values of one filter."""

ChangeId = Annotated[str, StringConstraints(pattern=CHANGE_ID)]
Kind = Literal["created", "edited", "configured", "attached", "detached", "deleted"]
Operation = Literal[
    "create", "set", "append", "insert", "replace", "configure", "attached", "detached", "delete"
]
Extra = Literal["value", "diff"]


class FeedQuery(BaseModel):
    """Where to begin, and which changes to tell: those that fit one value of each filter.

    A misspelt filter is refused, or it would let everything through.
    """

    model_config = ConfigDict(extra="forbid")

    after: ChangeId | None = Field(
        default=None,
        description="go on behind this change; without it, and without `Last-Event-ID`, from now on",
    )
    snapshot: bool = Field(
        default=False, description="tell the blocks as they are first; not to who comes back with an id"
    )
    include: list[Extra] | None = Field(
        default=None, description="with each change the new `value`, or a unified `diff`, or both"
    )
    agent_id: list[AgentId] | None = Field(
        default=None, max_length=MOST, description="only changes made by one of these agents"
    )
    operation: list[Operation] | None = Field(default=None, description="only these operations")
    kind: list[Kind] | None = Field(default=None, description="only these kinds of changes")

    def wants(self, change: Change) -> bool:
        return (
            _fits(self.agent_id, change.author.agent_id)
            and _fits(self.operation, change.operation)
            and _fits(self.kind, change.kind)
        )


class ChangesQuery(FeedQuery):
    """The same, and of which blocks."""

    block_id: list[BlockId] | None = Field(
        default=None, max_length=MOST, description="only changes of these blocks"
    )
    label: list[Label] | None = Field(
        default=None, max_length=MOST, description="only changes of blocks with one of these labels"
    )
    tag: list[Name] | None = Field(
        default=None, max_length=MOST, description="only changes of blocks with one of these tags"
    )

    def wants(self, change: Change) -> bool:
        return self._among(change.block_id, change.label, change.tags) and super().wants(change)

    def covers(self, block: Block) -> bool:
        """Whether a block is one of those that are asked for."""
        return self._among(block.id, block.label, block.tags)

    def _among(self, block_id: str, label: str, tags: list[str]) -> bool:
        return (
            _fits(self.block_id, block_id)
            and _fits(self.label, label)
            and (self.tag is None or not set(self.tag).isdisjoint(tags))
        )


def _fits(wanted: list[str] | list[Operation] | list[Kind] | None, found: str | None) -> bool:
    return wanted is None or found in wanted


class ChangeEvent(BaseModel):
    """One change: what was done to which block by whom. `cut` says that `added` or `removed` is shortened.

    `value` and `diff` are there if they were asked for. The value is that of `value_version`: the version of
    the change as long as the history keeps it, else the present one; null where the block is gone.
    """

    id: str
    kind: str
    block_id: str
    label: str
    version: int
    operation: str
    at: str
    chars: int
    author: Author
    tags: list[str]
    added: str
    removed: str
    cut: bool
    agent_id: str | None
    value: str | None = None
    value_version: int | None = None
    diff: str | None = None


class BlockEvent(BaseModel):
    """One block of a snapshot."""

    block_id: str
    label: str
    version: int
    value: str
    chars: int
    tags: list[str]
    updated_at: str


def change_event(change: Change) -> ChangeEvent:
    return ChangeEvent(**{**vars(change), "at": iso(change.at)})


def block_event(block: Block) -> BlockEvent:
    return BlockEvent(**{**vars(block), "block_id": block.id, "updated_at": iso(block.updated_at)})
