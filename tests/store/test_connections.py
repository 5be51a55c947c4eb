"""Connections: what a URL may be; sentinels lead to whatever is the primary; none waits for ever."""

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from service.errors import Invalid, StoreUnreachable
from service.queue import connect
from service.settings import Settings
from service.store import connections
from service.store.client import StoreClient
from service.store.connections import pool_of
from service.store.examine import address_of, check_url, examine
from tests.fleet import Fleet, Server, fleet, server
from tests.store.team import raw

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


@pytest.fixture(scope="module")
def ships() -> Iterator[Fleet]:
    with fleet(replicas=1, sentinels=1) as found:
        yield found


@pytest.fixture
def lone() -> Iterator[Server]:
    with server() as found:
        yield found


async def test_sentinels_lead_to_the_primary(ships: Fleet) -> None:
    store = StoreClient.connect(ships.url)
    assert await store.put_if_absent("x", "1")
    assert (await store.info())["role"] == "master"
    await store.close()
    pool = await connect(Settings(redis_url=ships.url))
    assert await pool.enqueue_job("send_message", "agent-1", "x") is not None
    await pool.aclose()


async def test_a_sentinel_that_is_away_is_passed_over(ships: Fleet) -> None:
    url = ships.url.replace("//", "//127.0.0.1:1,")
    await examine("REDIS_URL", url)
    store = StoreClient.connect(url)
    await store.ping()
    await store.close()


async def test_a_name_that_no_sentinel_knows_is_said(ships: Fleet) -> None:
    with pytest.raises(StoreUnreachable, match="knows a primary named 'other'"):
        await examine("REDIS_URL", ships.url.replace("/blocks/", "/other/"))


@pytest.mark.parametrize("given", ["redis+sentinel://h", "redis+sentinel:///s", "redis+sentinel://h:x/s/0"])
def test_a_url_that_names_no_service_or_no_sentinel_is_refused(given: str) -> None:
    with pytest.raises(ValueError, match=r"the URL names|Port"):
        pool_of(given, 1)
    with pytest.raises(Invalid, match="redis\\+sentinel://host:26379,host:26379/service/0"):
        check_url("REDIS_URL", given)


def test_passwords_of_the_store_and_of_the_sentinels_are_two_and_are_not_shown() -> None:
    url = "rediss+sentinel://me:pw@[::1]:1,h/svc/3?sentinel_password=sp&ssl_cert_reqs=none"
    options = pool_of(url, 1).connection_kwargs
    assert (options["username"], options["password"], options["db"]) == ("me", "pw", 3)
    assert options["sentinels"]._places == [("::1", 1), ("h", connections.SENTINEL_PORT)]
    assert options["sentinels"]._options == {"password": "sp", "ssl_cert_reqs": "none"}
    assert address_of(url) == "rediss+sentinel://[::1]:1,h/svc/3"


async def test_a_server_that_takes_everything_and_answers_nothing_is_given_up(
    lone: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "ANSWER_S", 0.3)
    store = StoreClient.connect(lone.url)
    await store.ping()
    lone.pause()
    with pytest.raises(StoreUnreachable, match="TimeoutError"):
        await store.ping()
    with pytest.raises(StoreUnreachable, match="TimeoutError"):
        await store.put("x", "y" * 20_000_000, 1000)
    lone.go_on()
    await store.ping()
    await store.close()


async def test_a_command_has_its_own_time_whenever_the_one_before_it_began(
    lone: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection's one timer rings in the middle of the second, and is set again for it."""
    monkeypatch.setattr(connections, "ANSWER_S", 0.4)
    store = StoreClient.connect(lone.url, connections=1)
    await store.ping()
    await asyncio.sleep(0.2)
    lone.pause()
    began = time.monotonic()
    async with asyncio.timeout(5):
        with pytest.raises(StoreUnreachable, match="TimeoutError"):
            await store.ping()
    assert time.monotonic() - began >= 0.35
    lone.go_on()
    await store.ping()
    await store.close()


async def test_a_connection_that_nobody_waits_for_is_kept(
    lone: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "ANSWER_S", 0.1)
    store = StoreClient.connect(lone.url, connections=1)
    await store.ping()
    before = await raw(store).client_id()
    for _ in range(3):
        await asyncio.sleep(0.15)
        assert await raw(store).client_id() == before
    await store.close()


async def test_a_cancelled_command_ends_with_its_connection_and_is_not_lost(
    lone: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = StoreClient.connect(lone.url, connections=1)
    await store.ping()
    lone.pause()
    asking = asyncio.create_task(store.ping())
    await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    lone.go_on()
    await store.put("x", "1", 10_000)
    assert await store.get("x") == "1"
    await store.close()


async def test_all_connections_in_use_are_an_absence_after_a_while(
    lone: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "FREE_S", 0.2)
    store = StoreClient.connect(lone.url, connections=1)
    await store.ping()
    lone.pause()
    asking = asyncio.create_task(store.ping())
    await asyncio.sleep(0)
    with pytest.raises(StoreUnreachable, match="ConnectionError"):
        await store.ping()
    lone.go_on()
    await asking
    await store.ping()
    await store.close()


async def test_dropping_idle_connections_lets_nobody_in_between(lone: Server) -> None:
    """Else somebody would be given one that is about to be closed."""
    store = StoreClient.connect(lone.url)
    await asyncio.gather(store.ping(), store.ping())
    with pytest.raises(StopIteration):
        connections.drop_idle(raw(store).connection_pool).send(None)
    await store.ping()
    await store.close()


async def test_a_connection_whose_other_end_has_gone_is_seen_before_anything_is_sent(lone: Server) -> None:
    """Without a turn of the event loop in between: what is sent into it would be lost."""
    store = StoreClient.connect(lone.url, connections=1)
    await store.ping()
    idle: Any = raw(store).connection_pool._available_connections[0]
    assert not await idle.can_read_destructive()
    other = redis.Redis.from_url(lone.url)
    other.client_kill_filter(_type="normal", skipme=True)
    other.close()
    assert await idle.can_read_destructive()
    await store.put("x", "1", 10_000)
    assert await store.get("x") == "1"
    await store.close()


async def test_whoever_waits_for_a_connection_comes_before_whoever_came_later(lone: Server) -> None:
    store = StoreClient.connect(lone.url, connections=1)
    await store.ping()
    order: list[int] = []

    async def ask(number: int) -> None:
        await store.ping()
        order.append(number)
        if number == 0:
            late.append(asyncio.create_task(ask(9)))

    late: list[asyncio.Task[None]] = []
    await asyncio.gather(*(ask(number) for number in range(4)))
    await asyncio.gather(*late)
    assert order == [0, 1, 2, 3, 9]
    await store.close()
