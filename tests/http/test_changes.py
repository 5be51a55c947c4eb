"""The feed of changes: each edit once, in order, as server-sent events; a gap is said, a leaver forgotten."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from functools import partial
from typing import Any

import anyio
import httpx
import pytest
from structlog.testing import capture_logs

from service import changes
from service.bootstrap import Service
from service.changes import News
from service.errors import StoreUnreachable
from service.http import feeds as feed
from service.http.app import create_app
from service.records.blocks import Author, Edit
from service.records.ids import new_id
from service.settings import Settings
from service.shared import Made
from service.store.keys import key
from tests.http.conftest import WS, Make
from tests.http.following import DEADLINE_S, Told, following
from tests.store.team import raw

USER = "user-00000000-0000-4000-8000-000000000000"


Follow = Callable[..., Any]


@pytest.fixture
def follow(service: Service, settings: Settings) -> Follow:
    """Opens a feed; the task is the server's side of it."""
    app = create_app(settings, service)
    return partial(following, app)


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
        "value": None,
        "value_version": None,
        "diff": None,
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
    plan, twin = await make_block("plan"), await make_block("plan", tags=["y", "z"])
    other = await make_block("other", tags=["x"])
    everything = [(plan, "p"), (twin, "t"), (other, "o"), (plan, "q")]
    feeds = {
        "label": ("/v1/changes", "label=plan", ["p", "t", "q"]),
        "block": ("/v1/changes", f"block_id={twin['id']}", ["t"]),
        "both": ("/v1/changes", f"label=plan&block_id={plan['id']}", ["p", "q"]),
        "path": (f"/v1/blocks/{plan['id']}/changes", "", ["p", "q"]),
        "labels": ("/v1/changes", "label=other&label=plan&operation=append", ["p", "t", "o", "q"]),
        "tag": ("/v1/changes", "tag=x&tag=y&kind=edited", ["t", "o"]),
        "operation": ("/v1/changes", "operation=set", []),
        "path and operation": (f"/v1/blocks/{plan['id']}/changes", "operation=append", ["p", "q"]),
    }
    async with follow() as (follower, _):
        begin = (await follower.told()).id
    for block, text in everything:
        await append(block["id"], text)
    for path, query, wanted in feeds.values():
        async with follow(path, query, last_event_id=begin) as (follower, _):
            assert [change["added"] for change in await follower.changes(len(wanted))] == wanted


async def test_a_feed_of_one_agents_edits(follow: Follow, make_block: Make, service: Service) -> None:
    block, agents = await make_block(), [new_id("agent"), new_id("agent")]
    async with follow(query=f"agent_id={agents[1]}") as (follower, _):
        await follower.told()
        for text, agent_id in (("a", agents[0]), ("b", agents[1]), ("c", None), ("d", agents[1])):
            by = Author(name="Ada", agent_id=agent_id)
            await service.blocks.edit(WS, block["id"], Edit(operation="append", text=text), by)
        assert [change["added"] for change in await follower.changes(2)] == ["b", "d"]


@pytest.mark.parametrize("query", ["operation=shout", "kind=gone", "agent_id=x", "include=all", "block_id=1"])
async def test_a_filter_that_fits_nothing_is_refused(client: httpx.AsyncClient, query: str) -> None:
    answer = await client.get(f"/v1/changes?{query}")
    assert answer.status_code == 422
    assert f"query.{query.split('=')[0]}" in answer.json()["detail"]


async def test_a_misspelt_filter_is_refused_and_the_known_ones_are_named(
    client: httpx.AsyncClient, make_block: Make
) -> None:
    told = (await client.get("/v1/changes?lable=plan")).json()["detail"]
    assert told.startswith("query.lable: is not known here; there are after, ")
    assert " label, tag" in told
    answer = await client.get(f"/v1/blocks/{(await make_block('plan'))['id']}/changes?operatoin=set")
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith(
        "query.operatoin: is not known here; there are after, snapshot,"
    )


class TestSnapshot:
    async def test_the_blocks_come_first_then_every_change_that_they_do_not_show(
        self, follow: Follow, make_block: Make, append: Append, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Changes are made between the pages of the snapshot, to blocks before and behind it."""
        monkeypatch.setattr(feed, "BLOCKS_AT_ONCE", 2)
        blocks = [await make_block(f"b{n}", "x", tags=["t"]) for n in range(5)]
        await make_block("hidden", hidden=True)
        await make_block("pattern", is_template=True)
        async with follow(query="snapshot=true") as (follower, _):
            first = await follower.told()
            assert (first.id, first.event, first.data["block_id"]) == (None, "block", blocks[0]["id"])
            for block in blocks:
                await append(block["id"], "+")
            seen = {first.data["block_id"]: first.data["version"]}
            while (told := await follower.told()).event == "block":
                seen[told.data["block_id"]] = told.data["version"]
            assert (told.event, len(seen)) == ("snapshot", 7)
            assert told.id == told.data["id"]
            behind = [block for block in blocks if seen[block["id"]] == 1]
            changes = await follower.changes(len(behind))
            assert [change["block_id"] for change in changes] == [block["id"] for block in behind]
            await append(blocks[4]["id"], "later")
            [change] = await follower.changes(1)
            assert change["version"] == 3

    async def test_a_snapshot_has_the_blocks_that_the_filters_ask_for(
        self, follow: Follow, make_block: Make
    ) -> None:
        plan, other = await make_block("plan", "p", tags=["t"]), await make_block("other", tags=["t", "u"])
        for query, wanted in {
            "tag=t&tag=u": [plan, other],
            "label=plan": [plan],
            "label=plan&label=other&tag=u": [other],
            f"block_id={other['id']}&label=plan": [],
            f"block_id={plan['id']}": [plan],
        }.items():
            async with follow(query=f"snapshot=true&{query}") as (follower, _):
                told = [await follower.told() for _ in range(len(wanted) + 1)]
            assert [one.data.get("block_id") for one in told[:-1]] == [block["id"] for block in wanted]
            assert told[-1].event == "snapshot"
        async with follow(f"/v1/blocks/{plan['id']}/changes", "snapshot=true") as (follower, _):
            told = [await follower.told() for _ in range(2)]
        assert [(one.event, one.data.get("value")) for one in told] == [("block", "p"), ("snapshot", None)]

    async def test_who_comes_back_with_an_id_is_given_no_other(
        self, follow: Follow, make_block: Make, append: Append
    ) -> None:
        block = await make_block()
        async with follow(query="snapshot=true") as (follower, _):
            begin = [await follower.told() for _ in range(2)][-1].id
        await append(block["id"], "a")
        async with follow(query="snapshot=true", last_event_id=begin) as (follower, _):
            [change] = await follower.changes(1)
        assert change["added"] == "a"

    async def test_who_cannot_be_caught_up_is_given_another(self, follow: Follow, make_block: Make) -> None:
        block = await make_block()
        async with follow(query="snapshot=true", last_event_id="9999999999-7") as (follower, _):
            told = [await follower.told() for _ in range(4)]
        assert [one.event for one in told] == ["", "resync", "block", "snapshot"]
        assert (told[1].id, told[2].data["block_id"]) == (None, block["id"])
        assert told[3].id == told[1].data["id"]


class TestIncluding:
    async def test_a_change_comes_with_its_value_and_with_a_diff(
        self, follow: Follow, make_block: Make, append: Append, client: httpx.AsyncClient
    ) -> None:
        async with follow(query="include=value&include=diff") as (follower, _):
            await follower.told()
            block = await make_block("notes", "one\n")
            await append(block["id"], "two\n")
            await append(block["id"], "three\n")
            await client.delete(f"/v1/blocks/{block['id']}")
            changes = await follower.changes(4)
        told = [(one["value"], one["value_version"]) for one in changes]
        assert told[0] in (("one\n", 1), (None, None))  # unless it was gone before it was told
        async with follow(query="include=diff") as (follower, _):
            await follower.told()
            block = await make_block("notes", "one\n")
            created = (await follower.changes(1))[0]
            await append(block["id"], "two\n")
            appended = (await follower.changes(1))[0]
        assert created["diff"] == "--- version 0\n+++ version 1\n@@ -0,0 +1 @@\n+one\n"
        assert appended["diff"] == "--- version 1\n+++ version 2\n@@ -1 +1,2 @@\n one\n+two\n"
        assert appended["value"] is None

    async def test_the_value_is_that_of_the_version_as_long_as_it_is_kept(
        self, follow: Follow, make_block: Make, append: Append, service: Service
    ) -> None:
        begin = await service.changes.last_id(WS)
        block = await make_block("notes", "a")
        for text in "bcd":
            await append(block["id"], text)
        async with follow(query="include=value&include=diff", last_event_id=begin) as (follower, _):
            changes = await follower.changes(4)
        assert [(one["value"], one["value_version"]) for one in changes] == [
            ("a", 1),
            ("ab", 2),
            ("abc", 3),
            ("abcd", 4),
        ]
        await raw(service.store).xtrim(key(WS, "block_history", block["id"]), maxlen=1, approximate=False)
        service.changes.texts = Made(0)  # as in another process, which has told nobody yet
        async with follow(query="include=value&include=diff", last_event_id=begin) as (follower, _):
            changes = await follower.changes(4)
        assert [(one["value"], one["value_version"]) for one in changes] == [("abcd", 4)] * 4
        assert changes[1]["diff"] == (
            "--- version 1\n+++ version 2\n@@ -0,0 +1 @@\n+b\n\\ No newline at end of file\n"
        )
        assert changes[3]["diff"].endswith("+d\n\\ No newline at end of file\n")

    async def test_a_block_that_is_gone_has_no_value(
        self, follow: Follow, make_block: Make, append: Append, client: httpx.AsyncClient, service: Service
    ) -> None:
        begin = await service.changes.last_id(WS)
        block = await make_block("notes", "a")
        await append(block["id"], "b")
        await client.delete(f"/v1/blocks/{block['id']}")
        async with follow(query="include=value&include=diff", last_event_id=begin) as (follower, _):
            changes = await follower.changes(3)
        assert [(one["value"], one["value_version"]) for one in changes] == [(None, None)] * 3
        assert changes[1]["diff"].endswith("+b\n\\ No newline at end of file\n")
        assert changes[2]["diff"] is None


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
    inner = service.changes.batches

    async def watched(ws: str, after: str | None = None) -> AsyncGenerator[list[News], None]:
        try:
            async for one in inner(ws, after):
                yield one
        finally:
            forgotten.set()

    monkeypatch.setattr(service.changes, "batches", watched)
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
    async def broken(ws: str, after: str | None = None) -> AsyncGenerator[list[News], None]:
        raise StoreUnreachable("the store does not answer")
        yield

    monkeypatch.setattr(service.changes, "batches", broken)
    with capture_logs() as logs:
        async with follow() as (follower, task):
            await follower.told()
            with anyio.fail_after(DEADLINE_S):
                await task
    assert [(one["event"], one["workspace"]) for one in logs[:1]] == [("feed.ended", WS)]
