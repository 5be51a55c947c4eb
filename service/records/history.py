"""History as records: what each edit of a block did, and the block as it was at a version."""

from pydantic import Field

from service.records.base import Micros, Record
from service.records.blocks import Author, Block


class HistoryEntry(Record):
    """One edit, as it was kept: at `position` (bytes) `removed` gave way to `added`.

    `before` and `after` are lengths in characters. `fields` and `were` are what a
    `configure` put and what stood there before (None: nothing), as texts of the hash.
    """

    version: int
    at: Micros
    operation: str
    author: Author = Field(default_factory=Author)
    before: int
    after: int
    position: int
    removed: str = ""
    added: str = ""
    fields: dict[str, str] = Field(default_factory=dict)
    were: dict[str, str | None] = Field(default_factory=dict)


class History(Record):
    """A part of a block's history; versions before `oldest` are no longer kept."""

    entries: list[HistoryEntry]
    oldest: int
    newest: int


class BlockThen(Record):
    """A block as it was right after the edit that made `entry.version`."""

    block: Block
    entry: HistoryEntry
