"""Changes over HTTP: every edit as it is made, as server-sent events that never end.

Whoever comes back with the id it has seen last (`Last-Event-ID`, which browsers send
by themselves, or `after`) misses nothing. Where a feed begins is settled before the
answer is sent, so that nothing done after that is missed either.

Elsewhere: what is sent, in which order (feeds.py); what a follower is told (service/changes.py).
"""

import re
from typing import Any

from starlette.responses import Response

from service.http.calls import Call, Nothing
from service.http.errors import Malformed
from service.http.feeds import Feed
from service.http.routing import Route
from service.http.schemas.changes import CHANGE_ID, ChangeEvent, ChangesQuery, FeedQuery
from service.http.streams import EventStream


async def follow(call: Call[ChangesQuery, Nothing]) -> Response:
    """Follow the changes of all blocks

    Server-sent events: `change` for each, its id that of the change; `resync` when changes since the id you
    named cannot all be told any more: read the blocks again and go on. `Last-Event-ID` wins over `after`.

    With `snapshot=true` a follower without an id is told the blocks first, a `block` each, then `snapshot`
    with the id where it stands, then every change that they do not show yet. The same follows a `resync`.
    """
    return await _feed(call, call.query)


async def follow_block(call: Call[FeedQuery, Nothing]) -> Response:
    """Follow the changes of one block

    As `GET /v1/changes` tells them.
    """
    block = await call.service.blocks.read(call.ws, call.path["block_id"])
    return await _feed(call, ChangesQuery(**vars(call.query), block_id=[block.id]))


async def _feed(call: Call[Any, Any], query: ChangesQuery) -> Response:
    known = _last_event_id(call) or query.after
    begin = known or await call.service.changes.last_id(call.ws)
    feed = Feed(call.service, call.ws, query, begin, snapshot=query.snapshot and known is None)
    return EventStream(feed.events(), call.ending)


def _last_event_id(call: Call[Any, Any]) -> str | None:
    given = call.headers.get(b"last-event-id", b"").decode("latin-1").strip()
    if given and not re.fullmatch(CHANGE_ID, given, re.ASCII):
        raise Malformed("header.Last-Event-ID: must be the id of a change, such as 1700000000-1")
    return given or None


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
