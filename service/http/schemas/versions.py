"""Versions on the wire: a block's history, a block as it was, what two versions differ in."""

from typing import Literal

from pydantic import BaseModel, Field

from service.errors import Invalid
from service.http.paging import AT_MOST, CEILING
from service.http.schemas.blocks import BlockResponse, shown_block
from service.http.schemas.bounds import Count, EditId
from service.records.base import Page, iso, unchecked
from service.records.blocks import Author
from service.records.history import BlockThen, History, HistoryEntry

SHOWN_CHARS = 2000
Version = Count


class VersionListQuery(BaseModel):
    limit: int = Field(default=50, ge=0, description=f"how many to return; {CEILING}")
    before: Version | None = Field(
        default=None, description="only what lies before this version, in the order asked"
    )
    after: Version | None = Field(
        default=None, description="only what lies after this version, in the order asked"
    )
    order: Literal["asc", "desc"] = Field(default="desc", description="`desc`: newest first")

    def page(self) -> Page:
        return Page(
            limit=min(self.limit or AT_MOST, AT_MOST),
            before=None if self.before is None else str(self.before),
            after=None if self.after is None else str(self.after),
            descending=self.order == "desc",
        )


class DiffQuery(BaseModel):
    from_version: Version | None = Field(
        default=None, description="the older version; the one before the other if absent"
    )
    to_version: Version | None = Field(default=None, description="the newer one; the present one if absent")


class TakeBack(BaseModel):
    """Nothing has to be said."""

    expected_version: Version | None = Field(
        default=None, description="the version the block must still have; 409 if it has moved"
    )
    edit_id: EditId = None


class EditAuthor(BaseModel):
    """Who made an edit: an agent within a step, or a caller of the API by name."""

    name: str
    agent_id: str | None = None
    run_id: str | None = None
    step_id: str | None = None
    tool: str | None = None
    call: int | None = Field(default=None, description="which of the step's tool calls, from 0")


class BlockVersion(BaseModel):
    """One edit. Lengths are characters."""

    version: int
    created_at: str
    operation: str
    author: EditAuthor
    chars_before: int
    chars_after: int
    added: str = Field(description=f"the text it put, the first {SHOWN_CHARS} characters")
    removed: str = Field(description=f"the text that gave way, the first {SHOWN_CHARS} characters")
    cut: bool = Field(description="`added` or `removed` is longer than what is shown")
    configured: list[str] = Field(description="the fields it changed besides the value")
    undoes: int | None = Field(default=None, description="the version whose edit it took back")
    restores: int | None = Field(default=None, description="the version it went back to")


class BlockVersions(BaseModel):
    """A part of a block's history. Versions before `oldest` are no longer kept: `dropped` of them."""

    versions: list[BlockVersion]
    oldest: int
    newest: int
    dropped: int


class BlockThenResponse(BlockResponse):
    """The block as it was at a version, and the edit that made it so."""

    edit: BlockVersion


class BlockDiff(BaseModel):
    from_version: int
    to_version: int
    diff: str = Field(description="unified, line by line; empty if the values are equal")


def version_number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise Invalid("version", "must be a whole number, such as 5")
    return int(text)


def versions_response(history: History) -> BlockVersions:
    return BlockVersions(
        versions=[block_version(entry) for entry in history.entries],
        oldest=history.oldest,
        newest=history.newest,
        dropped=history.oldest - 1,
    )


def block_version(entry: HistoryEntry) -> BlockVersion:
    added, removed = entry.added[:SHOWN_CHARS], entry.removed[:SHOWN_CHARS]
    return BlockVersion(
        version=entry.version,
        created_at=iso(entry.at),
        operation=entry.operation,
        author=_author(entry.author),
        chars_before=entry.before,
        chars_after=entry.after,
        added=added,
        removed=removed,
        cut=(added, removed) != (entry.added, entry.removed),
        configured=sorted(entry.were),
        undoes=entry.author.undoes,
        restores=entry.author.restores,
    )


def block_then(then: BlockThen) -> BlockThenResponse:
    return unchecked(BlockThenResponse, {**shown_block(then.block), "edit": block_version(then.entry)})


def _author(by: Author) -> EditAuthor:
    return EditAuthor(**{name: getattr(by, name) for name in EditAuthor.model_fields})
