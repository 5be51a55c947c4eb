"""The client: what it answers, and that a store which is away or full is said to be so."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from redis import Redis as SyncRedis
from redis.exceptions import ResponseError

from service.blocks import Blocks
from service.errors import StoreUnreachable
from service.records.blocks import BlockFields, Edit
from service.settings import Settings
from service.store.blocks import BlockStore
from service.store.client import StoreClient, flat
from tests.store.team import ALICE, Team, raw

pytestmark = pytest.mark.anyio


@pytest.fixture
async def full_store(real_store: StoreClient) -> AsyncIterator[StoreClient]:
    await raw(real_store).config_set("maxmemory", "1")
    await raw(real_store).config_set("maxmemory-policy", "noeviction")
    yield real_store
    await raw(real_store).config_set("maxmemory", "0")


@pytest.fixture
async def replica(real_store: StoreClient) -> AsyncIterator[StoreClient]:
    await raw(real_store).replicaof("127.0.0.1", "1")
    yield real_store
    await raw(real_store).replicaof("NO", "ONE")


async def test_commands_give_what_the_store_holds(store: StoreClient) -> None:
    redis = raw(store)
    await redis.set("s", "ñ")
    await redis.hset("h", mapping={"a": "1", "b": "2"})  # type: ignore[misc]
    await redis.zadd("z", {"x": 1, "y": 2, "w": 3})
    await redis.rpush("l", "1", "2")  # type: ignore[misc]
    assert (await store.get("s"), await store.get("none")) == ("ñ", None)
    assert (await store.hash("h"), await store.hash("none")) == ({"a": "1", "b": "2"}, {})
    assert (await store.field("h", "a"), await store.field("h", "x")) == ("1", None)
    assert await store.fields("h", ["b", "x"]) == ["2", None]
    assert await store.fields("h", []) == []
    assert (await store.count("z"), await store.score("z", "y"), await store.score("z", "q")) == (3, 2, None)
    assert await store.items("l") == ["1", "2"]
    assert await store.hashes(["none", "h"]) == [{}, {"a": "1", "b": "2"}]
    assert await store.hashes([]) == []
    assert await store.put_if_absent("new", "1")
    assert not await store.put_if_absent("new", "2")
    assert await store.drop_field("h", "a")
    assert not await store.drop_field("h", "a")
    await store.add_member("m", "1")
    assert await store.members("m") == {"1"}
    await store.ping()


async def test_ranges_go_both_ways_between_scores(store: StoreClient) -> None:
    await raw(store).zadd("z", {"a": 1, "b": 2, "c": 3, "d": 4})
    assert await store.range("z") == [("a", 1), ("b", 2), ("c", 3), ("d", 4)]
    assert await store.range("z", "(1", "3") == [("b", 2), ("c", 3)]
    assert await store.range("z", "(1", limit=1) == [("b", 2)]
    assert await store.range("z", high="(4", descending=True, limit=2) == [("c", 3), ("b", 2)]


async def test_entries_of_a_stream_come_oldest_first(store: StoreClient) -> None:
    assert await store.newest("x") is None
    for number in range(1, 4):
        await raw(store).xadd("x", {"n": str(number)}, id=f"1-{number}")
    assert await store.entries("x", after="(1-1", limit=1) == [("1-2", {"n": "2"})]
    assert await store.newest("x") == "1-3"


async def test_several_commands_go_in_one_round_trip(store: StoreClient) -> None:
    redis = raw(store)
    await redis.hset("h", mapping={"a": "1"})  # type: ignore[misc]
    await redis.zadd("z", {"x": 1.5})
    await redis.rpush("l", "1")  # type: ignore[misc]
    await redis.set("s", "v")
    found = await store.together(
        [("HGETALL", "h"), ("ZRANGE", "z", 0, -1), ("ZCARD", "z"), ("LRANGE", "l", 0, -1), ("GET", "s")]
    )
    assert found == [{"a": "1"}, ["x"], 1, ["1"], "v"]


async def test_a_url_that_asks_for_another_protocol_is_read_the_same(redis_server: str) -> None:
    store = StoreClient.connect(f"{redis_server}?protocol=3")
    await raw(store).hset("h", mapping={"a": "1"})  # type: ignore[misc]
    await raw(store).zadd("z", {"x": 1.5})
    assert await store.hash("h") == {"a": "1"}
    assert await store.range("z") == [("x", 1.5)]
    await raw(store).delete("h", "z")
    await store.close()


async def test_a_script_is_sent_once_and_then_named(real_store: StoreClient) -> None:
    await raw(real_store).script_flush()
    await real_store.run("block_versions", "default", "agent-1")
    calls = await raw(real_store).info("commandstats")
    await real_store.run("block_versions", "default", "agent-1")
    after = await raw(real_store).info("commandstats")
    assert after["cmdstat_eval"]["calls"] == calls["cmdstat_eval"]["calls"]
    assert after["cmdstat_evalsha"]["calls"] == calls["cmdstat_evalsha"]["calls"] + 1


async def test_a_store_that_is_away_is_unreachable() -> None:
    away = StoreClient.connect("unix:///nowhere/at/all")
    for ask in (
        away.ping(),
        away.get("x"),
        away.run("block_versions", "default", "a"),
        away.together([("GET", "x")]),
    ):
        with pytest.raises(StoreUnreachable, match="the store does not answer"):
            await ask
    with pytest.raises(StoreUnreachable):
        await away.setting("maxmemory")
    await away.close()


async def test_a_bad_url_is_said_at_once() -> None:
    with pytest.raises(ValueError, match="URL"):
        StoreClient.connect("http://localhost")


async def test_a_full_store_refuses_writes_and_still_reads(full_store: StoreClient) -> None:
    with pytest.raises(StoreUnreachable, match="memory is full"):
        await full_store.put_if_absent("x", "1")
    with pytest.raises(StoreUnreachable, match="memory is full"):
        await BlockStore(full_store, "10 1000 1000", 10).create(
            "default", "b", BlockFields(label="a"), ALICE, None, None
        )
    assert await full_store.get("x") is None


async def test_a_store_that_has_become_a_replica_refuses_writes(replica: StoreClient) -> None:
    with pytest.raises(StoreUnreachable):
        await replica.put_if_absent("x", "1")


async def test_a_store_without_its_replicas_refuses_writes(real_store: StoreClient) -> None:
    redis = raw(real_store)
    await redis.config_set("min-replicas-to-write", "1")
    try:
        with pytest.raises(StoreUnreachable, match="NOREPLICAS"):
            await real_store.put_if_absent("x", "1")
    finally:
        await redis.config_set("min-replicas-to-write", "0")


async def test_a_mistake_of_ours_is_not_taken_for_an_absence(store: StoreClient) -> None:
    await raw(store).set("s", "text")
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        await store.hash("s")


async def test_a_setting_that_is_not_told_is_none(real_store: StoreClient) -> None:
    assert await real_store.setting("maxmemory") == "0"
    assert await real_store.setting("no-such-setting") is None
    assert (await real_store.info())["redis_version"]


async def test_a_server_that_tells_no_settings_is_taken_as_it_is(
    real_store: StoreClient, redis_server: str
) -> None:
    await raw(real_store).acl_setuser(
        "plain", enabled=True, nopass=True, keys=["*"], commands=["+@all", "-config"]
    )
    plain = StoreClient.connect(redis_server.replace("unix://", "unix://plain:x@"))
    assert await plain.setting("maxmemory") is None
    await plain.close()
    await raw(real_store).acl_deluser("plain")


async def test_a_command_after_a_broken_connection_finds_a_new_one(
    real_store: StoreClient, redis_server: str
) -> None:
    await real_store.ping()
    with SyncRedis.from_url(redis_server) as other:
        other.client_kill_filter(_type="normal", skipme=True)
    try:
        await real_store.ping()
    except StoreUnreachable:
        await real_store.ping()


@asynccontextmanager
async def forgetful(redis_server: str, path: Path) -> AsyncIterator[list[bytes]]:
    """A way to the store on which the reply to a script is lost; what was asked of scripts."""
    asked: list[bytes] = []

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        replies, requests = await asyncio.open_unix_connection(redis_server.removeprefix("unix://"))
        while request := await reader.read(65_536):
            requests.write(request)
            reply = await replies.read(65_536)
            if b"EVAL" in request:
                asked.append(request)
                break
            writer.write(reply)
        requests.close()
        writer.close()

    server = await asyncio.start_unix_server(carry, path)
    try:
        yield asked
    finally:
        server.close()
        await server.wait_closed()


async def test_a_script_whose_reply_was_lost_is_not_sent_again(
    real_store: StoreClient, redis_server: str, tmp_path: Path
) -> None:
    """The store had carried it out: an append sent twice would be there twice."""
    block = await Blocks(real_store, Settings()).create("default", BlockFields(label="a"), ALICE)
    edit = Edit(operation="append", text="x")
    await Blocks(real_store, Settings()).edit("default", block.id, edit, ALICE)
    async with forgetful(redis_server, tmp_path / "s") as asked:
        store = StoreClient.connect(f"unix://{tmp_path / 's'}")
        with pytest.raises(StoreUnreachable):
            await Blocks(store, Settings()).edit("default", block.id, edit, ALICE)
        await store.close()
    assert len(asked) == 1
    assert (await Blocks(real_store, Settings()).read("default", block.id)).value == "xx"


def test_a_flat_reply_is_a_hash() -> None:
    assert flat(["a", "1", "b", "2"]) == {"a": "1", "b": "2"}
    with pytest.raises(ValueError, match="shorter"):
        flat(["a"])


async def test_texts_with_any_character_come_back_whole(team: Team) -> None:
    value = "".join(map(chr, [1, 9, 10, 13, 27, 34, 92, 127, 128, 255, 0x2028, 0xFFFF, 0x10FFFF]))
    block = await team.block(value, label="l\0abel")
    assert (block.value, block.label) == (value, "l\0abel")
    assert (await team.changes())[0].added == value
