"""Changes over HTTP: every edit as it is made, as server-sent events that never end.

An event's id is the change's. Whoever comes back with the last one it has seen
(`Last-Event-ID`, which browsers send by themselves, or `after`) misses nothing;
if that cannot be told any more it gets one `resync` instead of silence, reads
the blocks again and goes on. The feed begins with the id where it stands, so a
follower has one even before anything happens, and heart-beats move it on past
changes that a filter left out.

Elsewhere: what a follower is told, and in which order (service/changes.py).
"""

import re
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from time import monotonic
from typing import Annotated, Any, cast

import structlog
from pydantic import BaseModel, Field, StringConstraints
from pydantic_core import to_json
from starlette.responses import Response

from service.changes import Resync, StillHere
from service.errors import StoreUnreachable
from service.http.calls import Call, Nothing
from service.http.errors import Malformed
from service.http.routing import Route
from service.http.schemas.bounds import BlockId, Label
from service.http.streams import EventStream
from service.records.base import iso
from service.records.blocks import Author, Change

log = structlog.get_logger()

BEAT_S = 10.0
"""A feed says at least that it is alive when it has said nothing for so long."""
_ID = r"^[0-9]{1,19}-[0-9]{1,19}$"

ChangeId = Annotated[str, StringConstraints(pattern=_ID)]


class FeedQuery(BaseModel):
    """Where to begin."""

    after: ChangeId | None = Field(
        default=None,
        description="go on behind this change; without it, and without `Last-Event-ID`, from now on",
    )


class ChangesQuery(FeedQuery):
    """Where to begin, and which changes to tell."""

    block_id: BlockId | None = Field(default=None, description="only changes of this block")
    label: Label | None = Field(default=None, description="only changes of blocks with this label")

    def wants(self, change: Change) -> bool:
        return self.block_id in (None, change.block_id) and self.label in (None, change.label)


class ChangeEvent(BaseModel):
    """One change: what was done to which block by whom. `cut` says that `added` or `removed` is shortened."""

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


async def follow(call: Call[ChangesQuery, Nothing]) -> Response:
    """Follow the changes of all blocks

    Server-sent events: `change` for each, its id that of the change; `resync` when changes since the id you
    named cannot all be told any more: read the blocks again and go on. `Last-Event-ID` wins over `after`.
    """
    return await _feed(call, call.query.after, call.query.wants)


async def follow_block(call: Call[FeedQuery, Nothing]) -> Response:
    """Follow the changes of one block

    As `GET /v1/changes` tells them.
    """
    block = await call.service.blocks.read(call.ws, call.path["block_id"])
    return await _feed(call, call.query.after, lambda change: change.block_id == block.id)


async def _feed(call: Call[Any, Any], after: str | None, wants: Callable[[Change], bool]) -> Response:
    """The answer. Where it begins is settled before it is sent, so that nothing done after that is missed."""
    begin = _last_event_id(call) or after or await call.service.changes.last_id(call.ws)
    return EventStream(_events(call, begin, wants))


def _last_event_id(call: Call[Any, Any]) -> str | None:
    given = call.headers.get(b"last-event-id", b"").decode("latin-1").strip()
    if given and not re.fullmatch(_ID, given, re.ASCII):
        raise Malformed("header.Last-Event-ID: must be the id of a change, such as 1700000000-1")
    return given or None


async def _events(
    call: Call[Any, Any], begin: str, wants: Callable[[Change], bool]
) -> AsyncGenerator[bytes, None]:
    yield _beat(begin)
    told_at = monotonic()
    following = call.service.changes.follow(call.ws, begin)
    try:
        async with aclosing(cast(AsyncGenerator[Change | Resync | StillHere, None], following)) as feed:
            async for one in feed:
                overdue = monotonic() - told_at >= BEAT_S
                if event := _said(one, wants, overdue):
                    yield event
                    told_at = monotonic()
    except StoreUnreachable as failure:  # the status is sent already; the client comes back with its last id
        log.warning("feed.ended", workspace=call.ws, error=str(failure))


def _said(one: Change | Resync | StillHere, wants: Callable[[Change], bool], overdue: bool) -> bytes | None:
    """How a follower is told; None for a change that a filter leaves out, unless a heart-beat is due."""
    if isinstance(one, Resync):
        return _event(one.id, "resync", to_json({"id": one.id}))
    if isinstance(one, Change) and wants(one):
        return _event(one.id, "change", to_json(_told(one)))
    return _beat(one.id) if overdue or isinstance(one, StillHere) else None


def _told(change: Change) -> ChangeEvent:
    return ChangeEvent(**{**vars(change), "at": iso(change.at)})


def _event(id: str, name: str, body: bytes) -> bytes:
    return b"id: %s\nevent: %s\ndata: %s\n\n" % (id.encode(), name.encode(), body)


def _beat(id: str) -> bytes:
    """Nothing but an id: clients take it for their `Last-Event-ID` and see no event."""
    return b": still here\nid: %s\n\n" % id.encode()


ROUTES = [
    Route("GET", "/v1/changes", follow, "Changes", ChangeEvent, media_type="text/event-stream"),
    Route(
        "GET",
        "/v1/blocks/{block_id}/changes",
        follow_block,
        "Changes",
        ChangeEvent,
        media_type="text/event-stream",
    ),
]
