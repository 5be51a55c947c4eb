"""Examine: a given store answers and will do, or one sentence says what to change."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from service.bootstrap import assemble, prepare
from service.errors import Invalid, StoreUnreachable
from service.queue import PREFIXES
from service.records.blocks import Author, Edit
from service.settings import Settings
from service.store import examine as examining
from service.store.client import StoreClient
from service.store.examine import address_of, examine, reach
from service.store.queue import QueueStore
from tests.store.team import WS, Team, raw

pytestmark = pytest.mark.anyio

Ask = Callable[[str, str], Awaitable[None]]
REPLID = "8ba1b36b6c8f3a1d3a3d9b2c8c5c2b1f0c0d4e5f"
SOUND: dict[str, object] = {
    "redis_version": "7.2.4",
    "maxmemory_policy": "noeviction",
    "aof_enabled": 1,
    "master_replid": REPLID,
}


def telling(monkeypatch: pytest.MonkeyPatch, told: Mapping[str, object]) -> None:
    async def info(_store: StoreClient) -> Mapping[str, object]:
        return told

    monkeypatch.setattr(StoreClient, "info", info)


@asynccontextmanager
async def user_without_info(url: str) -> AsyncIterator[str]:
    """The URL of a user of this server that may do what an operator thinks harmless."""
    rules = ["on", ">secret", "~*", "&*", "+@all", "-@dangerous", "+flushall"]
    async with Redis.from_url(url) as redis:
        await redis.execute_command("ACL", "SETUSER", "careful", *rules)
        try:
            yield url.replace("unix://", "unix://careful:secret@")
        finally:
            await redis.execute_command("ACL", "DELUSER", "careful")


@asynccontextmanager
async def server_that_is_silent() -> AsyncIterator[int]:
    async def accept(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)

    writers: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    for writer in writers:
        writer.close()
    server.close()


@pytest.mark.parametrize("ask", [examine, reach])
@pytest.mark.parametrize(
    "url",
    [
        "localhost:6379",
        "http://localhost",
        "redis://",
        "redis://host:many/0",
        "redis://host:0",
        "redis://host/first",
        "redis://host/",
        "unix://",
        "redis://:pass/word@host",
    ],
)
async def test_a_url_that_no_store_has_is_refused(ask: Ask, url: str) -> None:
    with pytest.raises(Invalid, match=r"^SOME_URL: must look like redis://localhost:6379/0"):
        await ask("SOME_URL", url)


@pytest.mark.parametrize("option", ["db=first", "no_such_option=1"])
async def test_an_option_that_cannot_be_used_is_refused(redis_server: str, option: str) -> None:
    with pytest.raises(Invalid, match=r"^REDIS_URL: what follows the \? cannot be used"):
        await examine("REDIS_URL", f"{redis_server}?{option}")


async def test_a_store_that_is_away_is_named_without_its_password() -> None:
    with pytest.raises(StoreUnreachable) as refused:
        await reach("QUEUE_URL", "redis://user:secret@127.0.0.1:1/3?client_name=secret")
    assert "the store at redis://127.0.0.1:1/3 does not answer (Error 111" in str(refused.value)
    assert str(refused.value).endswith("; start it, or correct QUEUE_URL")
    assert "secret" not in str(refused.value)


async def test_a_store_that_is_silent_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examining, "_ANSWER_S", 0.2)
    async with server_that_is_silent() as port:
        with pytest.raises(StoreUnreachable, match=r"no answer within 0\.2 s"):
            await asyncio.wait_for(examine("REDIS_URL", f"redis://127.0.0.1:{port}"), 10)


async def test_nothing_stays_open(redis_server: str) -> None:
    async with Redis.from_url(redis_server) as redis:
        before = len(await redis.client_list())
        await examine("REDIS_URL", redis_server)
        assert len(await redis.client_list()) == before


@pytest.mark.parametrize("ask", [examine, reach])
@pytest.mark.parametrize(
    ("told", "name"),
    [
        ({"redis_version": "6.2.14"}, "Redis 6.2.14"),
        ({"redis_version": "7.2.4", "valkey_version": "7.2.8", "server_name": "valkey"}, "Valkey 7.2.8"),
    ],
)
async def test_a_server_that_is_too_old_is_refused(
    redis_server: str, monkeypatch: pytest.MonkeyPatch, ask: Ask, told: Mapping[str, object], name: str
) -> None:
    telling(monkeypatch, told)
    with pytest.raises(Invalid, match=f"^REDIS_URL: .* is {name}, which is too old; use Redis 7 or newer"):
        await ask("REDIS_URL", redis_server)


@pytest.mark.parametrize(
    "told",
    [
        SOUND,
        {"redis_version": "unstable"},
        {"redis_version": 7.0},
        {"redis_version": "10.0.0"},
        {"redis_version": "6.0.0", "server_name": "valkey"},
        {"redis_version": "7.2.4", "valkey_version": "8.0.0"},
    ],
)
async def test_a_server_that_is_new_enough_or_does_not_tell_is_taken(
    redis_server: str, monkeypatch: pytest.MonkeyPatch, told: Mapping[str, object]
) -> None:
    telling(monkeypatch, {"master_replid": REPLID} | dict(told))
    with capture_logs() as events:
        await examine("REDIS_URL", redis_server)
    assert events == []


async def test_a_server_that_does_not_let_a_user_ask_is_taken_with_a_warning(redis_server: str) -> None:
    """A real access list: everything but what it calls dangerous, which INFO is. Blocks are edited all
    the same; only a failover could not be told from an ordinary day."""
    async with user_without_info(redis_server) as url:
        with capture_logs() as events:
            await examine("REDIS_URL", url)
            await reach("QUEUE_URL", url)
        [event] = events
        assert (event["event"], event["log_level"]) == ("store.risky", "warning")
        assert (event["variable"], event["where"]) == ("REDIS_URL", address_of(url))
        assert event["risk"].startswith("a failover, or a start from an older copy, would pass unseen")
        assert "+info" in event["remedy"]
        store = StoreClient.connect(url)
        try:
            await prepare(store)
            team = Team(assemble(Settings(), store, QueueStore(raw(store), PREFIXES)))
            block = await team.block("a")
            agent = await team.agent(block)
            lease, _ = await team.working(agent)
            by = Author(agent_id=agent.id, run_id="run-1")
            await team.service.blocks.edit(WS, block.id, Edit(operation="append", text="b"), by, lease)
            assert (await team.state(agent))["lineage"] == "", "this is what the warning is about"
            await team.service.bell.close()
        finally:
            await raw(store).flushall()
            await store.close()


@pytest.mark.parametrize(
    ("told", "risks", "remedies"),
    [
        (
            {"maxmemory_policy": "allkeys-lru"},
            ["maxmemory-policy allkeys-lru"],
            ["maxmemory-policy noeviction"],
        ),
        ({"aof_enabled": 0}, ["appendonly no"], ["appendonly yes"]),
        (
            {"maxmemory_policy": "volatile-ttl", "aof_enabled": 0},
            ["maxmemory-policy volatile-ttl", "appendonly no"],
            ["maxmemory-policy noeviction", "appendonly yes"],
        ),
    ],
)
async def test_what_puts_blocks_at_risk_is_one_warning_with_the_remedy(
    redis_server: str,
    monkeypatch: pytest.MonkeyPatch,
    told: dict[str, object],
    risks: list[str],
    remedies: list[str],
) -> None:
    telling(monkeypatch, SOUND | told)
    with capture_logs() as events:
        await examine("REDIS_URL", redis_server)
        await reach("QUEUE_URL", redis_server)
    [event] = events
    assert (event["event"], event["log_level"]) == ("store.risky", "warning")
    assert (event["variable"], event["where"]) == ("REDIS_URL", redis_server)
    assert all(risk in event["risk"] for risk in risks)
    assert all(remedy in event["remedy"] for remedy in remedies)


async def test_a_real_server_tells_what_is_asked_about(redis_server: str) -> None:
    """The names in INFO are the server's: without this, a misspelt one would pass for a sound store."""
    with capture_logs() as events:
        await examine("REDIS_URL", redis_server)
    assert [event["risk"] for event in events] == [
        "it forgets acknowledged edits when it is killed (appendonly no)"
    ]
    store = StoreClient.connect(redis_server)
    assert {"valkey_version", "server_name", "redis_version", "maxmemory_policy", "master_replid"} <= set(
        await store.info()
    )
    await store.close()


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://user:secret@store.example:6380/2?password=secret", "redis://store.example:6380/2"),
        ("redis://store.example#secret", "redis://store.example"),
        ("unix://default:secret@/run/store.sock", "unix:///run/store.sock"),
    ],
)
def test_an_address_is_shown_without_its_secrets(url: str, shown: str) -> None:
    assert address_of(url) == shown
