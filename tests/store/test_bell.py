"""The bell: one connection, many listeners; none is left waiting when it breaks."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from service.store import bell as bell_module
from service.store.bell import Bell
from service.store.client import StoreClient
from tests.fleet import server
from tests.store.team import raw, wait_until

pytestmark = pytest.mark.anyio


@pytest.fixture
async def bell(store: StoreClient) -> AsyncIterator[Bell]:
    bell = Bell(store)
    yield bell
    await bell.close()


async def publish(store: StoreClient, channel: str, text: str) -> int:
    return int(await raw(store).publish(channel, text))


async def next_of(queue: "asyncio.Queue[str | None]") -> str | None:
    return await asyncio.wait_for(queue.get(), 10)


async def cut_off(store: StoreClient) -> None:
    """Ends the connection that listens."""
    assert await raw(store).client_kill_filter(_type="pubsub") >= 1


async def test_every_listener_hears_its_own_channels(bell: Bell, store: StoreClient) -> None:
    async with bell.listen("a") as one, bell.listen("a") as two, bell.listen("b") as other:
        for channel, text in (("a", "1"), ("b", "2"), ("a", "3")):
            await publish(store, channel, text)
        assert [await next_of(one) for _ in range(3)] == [None, "1", "3"]
        heard = [await next_of(two) for _ in range(2)]
        assert (heard if heard[0] else [*heard[1:], await next_of(two)]) == ["1", "3"]
        assert [await next_of(other) for _ in range(2)] == [None, "2"]


async def test_nothing_published_after_listening_began_is_missed(bell: Bell, store: StoreClient) -> None:
    for number in range(20):
        async with bell.listen(f"channel-{number}") as rings:
            assert await publish(store, f"channel-{number}", "now") == 1
            assert [await next_of(rings) for _ in range(2)] == [None, "now"]


async def test_who_left_hears_no_more(bell: Bell, store: StoreClient) -> None:
    async with bell.listen("a") as gone:
        pass
    async with bell.listen("a") as here:
        await publish(store, "a", "1")
        assert await next_of(here) == "1"
    assert [gone.get_nowait() for _ in range(gone.qsize())] == [None]


async def test_a_listener_that_does_not_read_is_told_that_it_missed_something(
    bell: Bell, store: StoreClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bell_module, "WAITING_MOST", 3)
    async with bell.listen("a") as slow:
        monkeypatch.undo()
        async with bell.listen("a") as quick:
            for number in range(5):
                await publish(store, "a", str(number))
            while await next_of(quick) != "4":
                pass
        assert [await next_of(slow) for _ in range(slow.qsize())] == [None, "3", "4"]


async def test_many_listeners_share_one_connection(real_store: StoreClient) -> None:
    bell = Bell(real_store)
    async with bell.listen("a"), bell.listen("b"), bell.listen("a"):
        clients = await raw(real_store).client_list(_type="pubsub")
        assert len(clients) == 1
    await bell.close()

    async def all_gone() -> bool:
        return not await raw(real_store).client_list(_type="pubsub")

    await wait_until("the bell's connection is closed", all_gone)


async def test_a_broken_connection_is_made_anew_and_listeners_are_told(real_store: StoreClient) -> None:
    bell = Bell(real_store)
    async with bell.listen("a") as rings, bell.listen("b") as others:
        assert [await next_of(rings), await next_of(others)] == [None, None]
        with capture_logs() as logs:
            await cut_off(real_store)
            assert [await next_of(rings), await next_of(others)] == [None, None]
        assert [line["event"] for line in logs] == ["bell.lost"]
        assert await publish(real_store, "a", "again") == 1
        assert await next_of(rings) == "again"
        async with bell.listen("new") as late:
            assert await publish(real_store, "new", "1") == 1
            assert [await next_of(late) for _ in range(2)] == [None, "1"]
    await bell.close()


async def test_whoever_begins_to_listen_while_the_connection_is_gone_hears_too(
    real_store: StoreClient,
) -> None:
    bell = Bell(real_store)
    async with bell.listen("a") as rings:
        assert await next_of(rings) is None
        await cut_off(real_store)
        async with bell.listen("b") as late:
            assert await next_of(rings) is None
            assert await next_of(late) is None
            await publish(real_store, "b", "1")
            heard = await next_of(late)
            assert (heard or await next_of(late)) == "1"
        assert len(await raw(real_store).client_list(_type="pubsub")) == 1
    await bell.close()


async def test_a_listener_that_is_cancelled_takes_nobody_along(store: StoreClient, bell: Bell) -> None:
    async def listening() -> None:
        async with bell.listen("a"):
            pytest.fail("it was cancelled before")

    first = asyncio.create_task(listening())
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait({first})
    assert first.cancelled()
    async with asyncio.timeout(bell_module.CONFIRMED_S / 2):
        async with bell.listen("a") as rings:
            assert await publish(store, "a", "1") == 1
            while await next_of(rings) != "1":
                pass


async def test_a_store_that_is_away_is_waited_for(
    real_store: StoreClient, redis_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A listener is let in all the same, and told when the store is back."""
    monkeypatch.setattr(bell_module, "CONFIRMED_S", 0.05)
    monkeypatch.setattr(bell_module, "RETRY_S", 0.01)
    away = StoreClient.connect("unix:///nowhere/at/all")
    bell = Bell(away)
    async with bell.listen("a") as rings:
        assert rings.empty()
        bell._store = real_store
        assert await next_of(rings) is None
        async with Redis.from_url(redis_server) as other:
            await other.publish("a", "back")
        assert await next_of(rings) == "back"
    await bell.close()
    await away.close()


async def test_a_quiet_channel_is_listened_to_all_the_same(
    bell: Bell, store: StoreClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bell_module, "QUIET_S", 0.01)
    async with bell.listen("a") as rings:
        assert await next_of(rings) is None
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(rings.get(), 0.05)
        await publish(store, "a", "1")
        assert await next_of(rings) == "1"


async def test_closing_a_bell_that_never_rang_is_nothing(store: StoreClient) -> None:
    await Bell(store).close()


async def test_closing_ends_an_asking_under_way(real_store: StoreClient) -> None:
    bell = Bell(real_store)

    async def listen() -> None:
        async with bell.listen("a"):
            pytest.fail("nobody was asked")

    async with bell._connecting:
        listening = asyncio.create_task(listen())

        async def asking() -> bool:
            return bool(bell._asking)

        await wait_until("the bell asks", asking)
        await bell.close()
    listening.cancel()
    await asyncio.wait({listening})
    assert listening.cancelled()
    assert not await raw(real_store).client_list(_type="pubsub")


async def test_a_watcher_is_told_of_every_ring_and_of_what_may_have_been_missed(
    real_store: StoreClient,
) -> None:
    bell = Bell(real_store)
    told: list[bool] = []
    assert not bell.hears("a")
    bell.watch("a", lambda: told.append(bell.hears("a")))

    async def times(count: int) -> None:
        async def heard() -> bool:
            return len(told) == count

        await wait_until(f"the watcher was told {count} times", heard)

    await times(1)
    assert bell.hears("a")
    assert not bell.hears("b")
    await publish(real_store, "a", "1")
    await times(2)
    await cut_off(real_store)
    await times(3)
    assert told == [True, True, True]
    await bell.close()
    assert not bell.hears("a")


async def test_while_its_connection_is_gone_a_bell_hears_nothing(
    real_store: StoreClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    bell = Bell(real_store)
    let_back = asyncio.Event()
    connect = bell._connect

    async def later() -> bool:
        await let_back.wait()
        return await connect()

    monkeypatch.setattr(bell, "_connect", later)
    async with bell.listen("a") as rings:
        assert await next_of(rings) is None
        await cut_off(real_store)

        async def deaf() -> bool:
            return not bell.hears("a")

        await wait_until("the bell noticed", deaf)
        let_back.set()
        assert await next_of(rings) is None
        assert bell.hears("a")
    await bell.close()


async def test_a_connection_that_says_nothing_is_asked_and_kept_while_it_answers(
    real_store: StoreClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bell_module, "QUIET_S", 0.05)
    bell = Bell(real_store)
    with capture_logs() as logs:
        async with bell.listen("a") as rings:
            assert await next_of(rings) is None
            before = (await raw(real_store).info("commandstats")).get("cmdstat_ping", {"calls": 0})["calls"]

            async def was_asked() -> bool:
                told = await raw(real_store).info("commandstats")
                return int(told["cmdstat_ping"]["calls"]) >= int(before) + 3

            await wait_until("it was asked three times", was_asked)
            assert bell.hears("a")
            await publish(real_store, "a", "1")
            assert await next_of(rings) == "1"
    await bell.close()
    assert logs == []


async def test_a_connection_whose_other_end_is_gone_without_a_word_is_made_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bell_module, "QUIET_S", 0.1)
    with server() as one:
        store = StoreClient.connect(one.url)
        bell = Bell(store)
        async with bell.listen("a") as rings:
            assert await next_of(rings) is None
            one.pause()

            async def is_deaf() -> bool:
                return not bell.hears("a")

            await wait_until("the bell knows that it hears nothing", is_deaf)
            one.go_on()
            assert await next_of(rings) is None
            assert bell.hears("a")
        await bell.close()
        await store.close()
