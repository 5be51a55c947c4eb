"""Replicas: a write that they confirm survives a failover; one that they do not is said to be in doubt."""

from collections.abc import AsyncIterator, Iterator

import pytest

from service.blocks import Blocks
from service.errors import StoreUnreachable, Unconfirmed
from service.http.errors import refusal_of
from service.records.blocks import BlockFields, Edit
from service.settings import Settings
from service.store.client import StoreClient
from service.store.scripts import READING, load
from tests.fleet import Server, server, wait_for
from tests.store.team import ALICE, WS, raw

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
WRITES = (
    "SET",
    "HSET",
    "HDEL",
    "HINCRBY",
    "DEL",
    "ZADD",
    "ZREM",
    "XADD",
    "RPUSH",
    "LPOP",
    "PUBLISH",
    "EXPIRE",
)


@pytest.fixture
def primary() -> Iterator[Server]:
    with server() as found:
        yield found


@pytest.fixture
def replica(primary: Server) -> Iterator[Server]:
    with server("--replicaof", f"127.0.0.1 {primary.port}") as found:
        with primary.redis() as client:
            client.set("first", "1")
            wait_for(lambda: client.wait(1, 100) == 1, "the replica follows")
        yield found


@pytest.fixture
async def careful(primary: Server) -> AsyncIterator[StoreClient]:
    store = StoreClient.connect(primary.url, replicas=1, wait_ms=5000)
    yield store
    await store.close()


async def test_a_confirmed_write_is_on_the_replica(careful: StoreClient, replica: Server) -> None:
    blocks = Blocks(careful, Settings())
    block = await blocks.create(WS, BlockFields(label="a"), ALICE)
    await blocks.edit(WS, block.id, Edit(operation="append", text="x"), ALICE)
    assert await careful.put_if_absent("one", "1")
    assert not await careful.put_if_absent("one", "2")
    assert await careful.put_or_get("one", "2", 1000) == "1"
    with replica.redis() as client:
        assert client.hget(f"bw:{{{WS}}}:block:{block.id}", "value") == "x"
        assert client.get("one") == "1"


async def test_script_and_waiting_are_one_round_trip_on_one_connection(
    careful: StoreClient, replica: Server
) -> None:
    blocks = Blocks(careful, Settings())
    block = await blocks.create(WS, BlockFields(label="a"), ALICE)
    await blocks.edit(WS, block.id, Edit(operation="append", text="x"), ALICE)
    before = await raw(careful).info("commandstats")
    await blocks.edit(WS, block.id, Edit(operation="append", text="x"), ALICE)
    after = await raw(careful).info("commandstats")
    assert after["cmdstat_wait"]["calls"] == before["cmdstat_wait"]["calls"] + 1
    await blocks.versions(WS, "agent-1")
    assert (await raw(careful).info("commandstats"))["cmdstat_wait"] == after["cmdstat_wait"]


async def test_a_write_that_no_replica_confirms_is_in_doubt_and_can_be_repeated(primary: Server) -> None:
    store = StoreClient.connect(primary.url, replicas=1, wait_ms=50)
    blocks = Blocks(store, Settings())
    with pytest.raises(Unconfirmed, match="0 of 1 replicas confirmed it within 50 ms") as refused:
        await blocks.create(WS, BlockFields(label="a"), ALICE, block_id="block-1")
    refusal = refusal_of(refused.value)
    assert refusal is not None
    assert (refusal.status, refusal.headers["retry-after"]) == (503, "1")
    edit = Edit(operation="append", text="x", edit_id="once")
    for _ in range(2):
        with pytest.raises(StoreUnreachable):
            await blocks.edit(WS, "block-1", edit, ALICE)
    assert (await blocks.read(WS, "block-1")).value == "x"
    await store.close()


async def test_a_script_that_the_store_forgot_is_sent_whole_and_confirmed(
    careful: StoreClient, replica: Server
) -> None:
    blocks = Blocks(careful, Settings())
    block = await blocks.create(WS, BlockFields(label="a"), ALICE)
    for text in ("x", "y"):
        await blocks.edit(WS, block.id, Edit(operation="append", text=text), ALICE)
        await raw(careful).script_flush()
    assert (await blocks.read(WS, block.id)).value == "xy"


@pytest.mark.parametrize("name", sorted(READING))
def test_scripts_that_nobody_confirms_write_nothing(name: str) -> None:
    source = load(name).source
    assert not [verb for verb in WRITES if f"call('{verb}'" in source]
