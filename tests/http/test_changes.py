"""The feed of changes: each edit once, in order, as server-sent events; a gap is said, a leaver forgotten."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import anyio
import httpx
import pytest
from starlette.types import Message
from structlog.testing import capture_logs

from service import changes
from service.bootstrap import Service
from service.changes import Resync, StillHere
from service.errors import StoreUnreachable
from service.http import changes as feed
from service.http.app import create_app
from service.records.blocks import Change
from service.settings import Settings
from tests.http.conftest import WS, Make

DEADLINE_S = 5
USER = "user-00000000-0000-4000-8000-000000000000"


class Told(NamedTuple):
    """One event as it arrived; a heart-beat has an id and a comment alone."""

    id: str
    event: str
    data: Any
    comment: str


class Follower:
    """A client that reads a feed while it is being written."""

    def __init__(self, answered: Callable[[], Awaitable[None]] | None = None) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self._answered = answered
        self._pieces: asyncio.Queue[bytes] = asyncio.Queue()
        self._left = asyncio.Event()
        self._rest = b""

    async def told(self) -> Told:
        """The next event, within a deadline."""
        with anyio.fail_after(DEADLINE_S):
            while b"\n\n" not in self._rest:
                self._rest += await self._pieces.get()
        block, _, self._rest = self._rest.partition(b"\n\n")
        fields = dict(line.split(": ", 1) for line in block.decode().split("\n"))
        data = json.loads(fields["data"]) if "data" in fields else None
        return Told(fields["id"], fields.get("event", ""), data, fields.get("", ""))

    async def changes(self, count: int) -> list[dict[str, Any]]:
        """The next so many changes; heart-beats are passed over."""
        found: list[dict[str, Any]] = []
        while len(found) < count:
            told = await self.told()
            if told.event:
                assert told.event == "change"
                assert told.id == told.data["id"]
                found.append(told.data)
        return found

    def leave(self) -> None:
        self._left.set()

    async def receive(self) -> Message:
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
            if self._answered is not None:
                await self._answered()
        else:
            self._pieces.put_nowait(message.get("body", b""))


Follow = Callable[..., Any]


@pytest.fixture
def follow(service: Service, settings: Settings) -> Follow:
    """Opens a feed; the task is the server's side of it."""
    app = create_app(settings, service)

    @asynccontextmanager
    async def follow(
        path: str = "/v1/changes",
        query: str = "",
        last_event_id: str = "",
        answered: Callable[[], Awaitable[None]] | None = None,
    ) -> AsyncIterator[tuple[Follower, asyncio.Task[None]]]:
        follower = Follower(answered)
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": "GET",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "headers": [(b"last-event-id", last_event_id.encode())] if last_event_id else [],
        }
        task = asyncio.create_task(app(scope, follower.receive, follower.send))
        try:
            yield follower, task
        finally:
            follower.leave()
            with anyio.fail_after(DEADLINE_S):
                await task

    return follow


@pytest.fixture
def append(client: httpx.AsyncClient) -> Callable[[str, str], Awaitable[None]]:
    async def append(block_id: str, text: str) -> None:
        edit = {"operation": "append", "text": text}
        answer = await client.post(f"/v1/blocks/{block_id}/edits", json=edit, headers={"user_id": USER})
        assert answer.status_code == 200

    return append


Append = Callable[[str, str], Awaitable[None]]


async def test_an_edit_is_told_with_who_what_and_when(
    follow: Follow, make_block: Make, append: Append
) -> None:
    block = await make_block("notes", "one")
    async with follow() as (follower, _):
        opening = await follower.told()
        await append(block["id"], "\ntwo")
        [change] = await follower.changes(1)
    assert follower.status == 200
    assert follower.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert follower.headers["cache-control"] == "no-cache"
    assert (opening.event, opening.comment) == ("", "still here")
    epoch, number = opening.id.split("-")
    assert change.pop("id") == f"{epoch}-{int(number) + 1}"
    assert change.pop("at").endswith("Z")
    assert change.pop("author")["name"] == USER
    assert change == {
        "kind": "edited",
        "block_id": block["id"],
        "label": "notes",
        "version": 2,
        "operation": "append",
        "chars": 7,
        "tags": [],
        "added": "\ntwo",
        "removed": "",
        "cut": False,
        "agent_id": None,
    }


async def test_what_is_done_as_soon_as_the_answer_begins_is_not_missed(
    follow: Follow, make_block: Make, append: Append
) -> None:
    block = await make_block()

    async def at_once() -> None:
        await append(block["id"], "early")

    async with follow(answered=at_once) as (follower, _):
        [change] = await follower.changes(1)
    assert change["added"] == "early"


async def test_a_feed_begins_before_anything_has_ever_happened(follow: Follow, make_block: Make) -> None:
    async with follow() as (follower, _):
        assert (await follower.told()).id == "0-0"
        block = await make_block()
        [change] = await follower.changes(1)
    assert (change["kind"], change["block_id"]) == ("created", block["id"])


async def test_who_comes_back_goes_on_behind_the_last_change_it_has_seen(
    follow: Follow, make_block: Make, append: Append
) -> None:
    block = await make_block()
    async with follow() as (follower, _):
        await follower.told()
        await append(block["id"], "a")
        [first] = await follower.changes(1)
    for text in "bc":
        await append(block["id"], text)
    async with follow(last_event_id=first["id"]) as (follower, _):
        second, third = await follower.changes(2)
    assert (second["added"], third["added"]) == ("b", "c")
    async with follow(query=f"after={second['id']}") as (follower, _):
        assert await follower.changes(1) == [third]
    async with follow(query=f"after={first['id']}", last_event_id=second["id"]) as (follower, _):
        assert await follower.changes(1) == [third]  # a browser repeats the URL it began with


async def test_who_cannot_be_caught_up_is_told_once_and_goes_on(
    follow: Follow, make_block: Make, append: Append
) -> None:
    block = await make_block()
    async with follow() as (follower, _):
        now = (await follower.told()).id
    async with follow(query="after=9999999999-7") as (follower, _):
        await follower.told()
        told = await follower.told()
        assert told == Told(now, "resync", {"id": now}, "")
        await append(block["id"], "next")
        [change] = await follower.changes(1)
    assert change["added"] == "next"


@pytest.mark.parametrize("after", ["yesterday", "5", "5-", "1-2-3", "", "-1-2", "1" * 20 + "-1"])
async def test_an_id_that_is_none_is_refused(client: httpx.AsyncClient, make_block: Make, after: str) -> None:
    block = await make_block()
    for path in ("/v1/changes", f"/v1/blocks/{block['id']}/changes"):
        answer = await client.get(path, params={"after": after})
        assert answer.status_code == 422
        assert answer.json()["detail"].startswith("query.after: ")


async def test_a_last_event_id_that_is_none_is_refused(client: httpx.AsyncClient) -> None:
    answer = await client.get("/v1/changes", headers={"Last-Event-ID": "yesterday"})
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith("header.Last-Event-ID: ")


async def test_the_feed_of_an_unknown_block_is_not_found(client: httpx.AsyncClient) -> None:
    unknown = "block-00000000-0000-4000-8000-000000000000"
    assert (await client.get(f"/v1/blocks/{unknown}/changes")).status_code == 404


async def test_filters_leave_out_what_was_not_asked_for(
    follow: Follow, make_block: Make, append: Append
) -> None:
    plan, twin, other = await make_block("plan"), await make_block("plan"), await make_block("other")
    everything = [(plan, "p"), (twin, "t"), (other, "o"), (plan, "q")]
    feeds = {
        "label": ("/v1/changes", "label=plan", ["p", "t", "q"]),
        "block": ("/v1/changes", f"block_id={twin['id']}", ["t"]),
        "both": ("/v1/changes", f"label=plan&block_id={plan['id']}", ["p", "q"]),
        "path": (f"/v1/blocks/{plan['id']}/changes", "", ["p", "q"]),
    }
    async with follow() as (follower, _):
        begin = (await follower.told()).id
    for block, text in everything:
        await append(block["id"], text)
    for path, query, wanted in feeds.values():
        async with follow(path, query, last_event_id=begin) as (follower, _):
            assert [change["added"] for change in await follower.changes(len(wanted))] == wanted


async def test_heart_beats_move_a_filtered_feed_past_what_it_leaves_out(
    follow: Follow, make_block: Make, append: Append, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "BEAT_S", 0.0)
    mine, other = await make_block("mine"), await make_block("other")
    async with follow(f"/v1/blocks/{mine['id']}/changes") as (follower, _):
        begin = await follower.told()
        await append(other["id"], "elsewhere")
        beat = await follower.told()
        assert (beat.event, beat.data) == ("", None)
        assert beat.id != begin.id
        await append(mine["id"], "here")
    async with follow(f"/v1/blocks/{mine['id']}/changes", last_event_id=beat.id) as (follower, _):
        [change] = await follower.changes(1)
    assert change["added"] == "here"


async def test_a_busy_workspace_does_not_make_a_filtered_feed_chatter(
    follow: Follow, make_block: Make, append: Append
) -> None:
    mine, other = await make_block("mine"), await make_block("other")
    async with follow(f"/v1/blocks/{mine['id']}/changes") as (follower, _):
        await follower.told()
        for _ in range(5):
            await append(other["id"], "x")
        await append(mine["id"], "here")
        assert (await follower.told()).event == "change"


async def test_a_feed_without_changes_says_that_it_is_alive(
    follow: Follow, make_block: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes, "LOOK_AGAIN_S", 0.01)
    await make_block()
    async with follow() as (follower, _):
        opening = await follower.told()
        assert [await follower.told() for _ in range(2)] == [opening, opening]


async def test_a_follower_that_leaves_is_forgotten(
    follow: Follow, make_block: Make, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    forgotten = asyncio.Event()
    inner = service.changes.follow

    async def watched(ws: str, after: str | None = None) -> AsyncGenerator[Change | Resync | StillHere, None]:
        try:
            async for one in inner(ws, after):
                yield one
        finally:
            forgotten.set()

    monkeypatch.setattr(service.changes, "follow", watched)
    await make_block()
    async with follow() as (follower, task):
        await follower.told()
        assert not forgotten.is_set()
        follower.leave()
        with anyio.fail_after(DEADLINE_S):
            await forgotten.wait()
            await task


async def test_a_feed_whose_store_goes_ends_without_an_error(
    follow: Follow, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(ws: str, after: str | None = None) -> AsyncGenerator[Change | Resync | StillHere, None]:
        raise StoreUnreachable("the store does not answer")
        yield

    monkeypatch.setattr(service.changes, "follow", broken)
    with capture_logs() as logs:
        async with follow() as (follower, task):
            await follower.told()
            with anyio.fail_after(DEADLINE_S):
                await task
    assert [(one["event"], one["workspace"]) for one in logs[:1]] == [("feed.ended", WS)]
