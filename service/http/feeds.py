"""Feeds: the changes of a workspace as one follower is told them, event by event.

A feed begins with the id where it stands, so a follower has one even before
anything happens, and heart-beats move it on past changes that a filter left out.
If what a follower has missed cannot be told any more it gets one `resync` instead
of silence.

The events of a snapshot carry no id but the last: who is cut off within it comes back
without one and gets a whole one. It begins at an id that was read before the first
block, so a change made meanwhile is told, unless the block as it was shown has it.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from itertools import product
from time import monotonic

import structlog
from pydantic_core import to_json

from service.bootstrap import Service
from service.changes import News, Resync, StillHere
from service.errors import StoreUnreachable, TooWide
from service.extras import MADE_A_VERSION
from service.http.schemas.changes import ChangeEvent, ChangesQuery, block_event, change_event
from service.records.base import Page
from service.records.blocks import Block, BlockQuery, Change

log = structlog.get_logger()

BEAT_S = 10.0
"""A feed says at least that it is alive when it has said nothing for so long."""
BLOCKS_AT_ONCE = 20
"""Blocks of a snapshot that are held while they are sent."""
PIECE_BYTES = 64_000
"""Changes that wait for a follower go out together, up to about so much."""


class Feed:
    """One follower's events, from behind a change on."""

    def __init__(
        self, service: Service, ws: str, query: ChangesQuery, begin: str, *, snapshot: bool = False
    ) -> None:
        self._service = service
        self._ws = ws
        self._query = query
        self._begin = begin
        self._snapshot_first = snapshot
        self._extras = frozenset(query.include or ())
        self._shown: dict[str, int] = {}
        """block id -> version in the snapshot, until the feed is past it."""
        self._shown_until = ""
        self._told_at = monotonic()

    async def events(self) -> AsyncGenerator[bytes, None]:
        """Server-sent events, without end; they stop where the store is away."""
        try:
            if self._snapshot_first:
                async for event in self._snapshot(self._begin):
                    yield event
            else:
                yield _beat(self._begin)
            async with aclosing(self._service.changes.batches(self._ws, self._begin)) as batches:
                async for batch in batches:
                    async for piece in self._pieces(batch):
                        yield piece
        except (StoreUnreachable, TooWide) as failure:  # the status is sent already; the client comes back
            log.warning("feed.ended", workspace=self._ws, error=str(failure))

    async def _pieces(self, batch: list[News]) -> AsyncGenerator[bytes, None]:
        """What is there goes out together, so that a slow follower of a busy workspace costs no more."""
        waiting: list[bytes] = []
        for one in batch:
            if said := await self._said(one):
                self._told_at = monotonic()
                waiting.append(said)
            if isinstance(one, Resync) or sum(map(len, waiting)) >= PIECE_BYTES:
                yield b"".join(waiting)
                waiting.clear()
            if isinstance(one, Resync) and self._query.snapshot:
                async for event in self._snapshot(one.id):
                    yield event
        if waiting:
            yield b"".join(waiting)

    async def _said(self, one: News) -> bytes:
        """How a follower is told. A change that a filter leaves out is passed over, or makes a heart-beat."""
        if isinstance(one, Resync):  # before a snapshot it has no id, as the events of that
            return _event("resync", to_json({"id": one.id}), None if self._query.snapshot else one.id)
        if isinstance(one, Change) and self._wants(one):
            return await self._change(one)
        if isinstance(one, StillHere) or monotonic() - self._told_at >= BEAT_S:
            return _beat(one.id)
        return b""

    async def _change(self, change: Change) -> bytes:
        """The event, the same for all who ask for the same."""

        async def made() -> bytes:
            return _event("change", to_json(await self._told(change)), change.id)

        return await self._service.changes.texts.get((self._ws, change.id, self._extras), made)

    def _wants(self, change: Change) -> bool:
        shown = change.kind in MADE_A_VERSION and self._shown.get(change.block_id, 0) >= change.version
        if change.id == self._shown_until:
            self._shown.clear()
        return not shown and self._query.wants(change)

    async def _snapshot(self, begin: str) -> AsyncGenerator[bytes, None]:
        """The blocks as they are, then the id from which on changes are told."""
        self._shown.clear()
        async for block in self._blocks():
            self._shown[block.id] = block.version
            yield _event("block", to_json(block_event(block)))
        self._shown_until = await self._service.changes.last_id(self._ws)
        if self._shown_until == begin:
            self._shown.clear()
        yield _event("snapshot", to_json({"id": begin}), begin)

    async def _blocks(self) -> AsyncGenerator[Block, None]:
        """Every block that is asked for, once, a few at a time."""
        query, sent = self._query, set[str]()
        if query.block_id is not None:
            for id in dict.fromkeys(query.block_id):
                for block in await self._service.blocks.existing(self._ws, [id]):
                    if query.covers(block):
                        yield block
            return
        labels: list[str | None] = [*query.label] if query.label else [None]
        for label, templates in product(labels, (False, True)):
            asked = BlockQuery(label=label, tags=query.tag, show_hidden=True, templates_only=templates)
            page: Page | None = Page(limit=BLOCKS_AT_ONCE)
            while page is not None:
                blocks = await self._service.blocks.find(self._ws, asked, page)
                for block in blocks:
                    if block.id not in sent:
                        sent.add(block.id)
                        yield block
                page = Page(limit=BLOCKS_AT_ONCE, after=blocks[-1].id) if blocks else None

    async def _told(self, change: Change) -> ChangeEvent:
        told = change_event(change)
        if not self._extras:
            return told
        return told.model_copy(update=await self._service.extras.of(self._ws, change, self._extras))


def _event(name: str, body: bytes, id: str | None = None) -> bytes:
    told = b"event: %s\ndata: %s\n\n" % (name.encode(), body)
    return told if id is None else b"id: %s\n%s" % (id.encode(), told)


def _beat(id: str) -> bytes:
    """Nothing but an id: clients take it for their `Last-Event-ID` and see no event."""
    return b": still here\nid: %s\n\n" % id.encode()
