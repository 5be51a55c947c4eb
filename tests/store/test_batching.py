"""Batching: what waits goes together, and is to each as if it had gone alone."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from typing import Any, cast

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError, DataError, ResponseError

from service.store.batching import Batches, Lines
from service.store.connections import Words, pool_of
from tests.store.team import wait_until

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


COUNT, MOST = 2, 8


class Held:
    """A client whose lines are held up, by a pop on a list that is empty, until they are let go."""

    def __init__(self, url: str, other: "Redis") -> None:
        self.redis = Redis(connection_pool=pool_of(url, 8))
        self.batches = Batches(self.redis.connection_pool, Lines(COUNT, MOST))
        self._other = other
        self._held: list[asyncio.Task[Any]] = []

    async def hold(self) -> None:
        """One after the other: at once they might go together, and hold up one line."""
        self._held = []

        async def held() -> bool:
            return int((await self._other.info("clients"))["blocked_clients"]) == len(self._held)

        for _ in range(COUNT):
            self._held.append(asyncio.create_task(self.batches.send("BLPOP", "gate", 9)))
            await wait_until("the line is held up", held)

    async def let_go(self) -> None:
        await cast(Awaitable[int], self._other.rpush("gate", *"x" * COUNT))
        await asyncio.gather(*self._held)

    async def break_off(self) -> None:
        await self._other.client_kill_filter(skipme=True)
        found = await asyncio.gather(*self._held, return_exceptions=True)
        assert all(isinstance(one, ConnectionError) for one in found)

    async def stand_still(self, ms: int) -> None:
        await self._other.execute_command("CLIENT", "PAUSE", ms, "ALL")  # type: ignore[no-untyped-call]

    async def calls(self, command: str) -> int:
        told = await self._other.info("commandstats")
        return int(told.get(f"cmdstat_{command}", {"calls": 0})["calls"])

    async def reads(self) -> int:
        """Times the store has found something to read."""
        return int((await self._other.info("stats"))["total_reads_processed"])


@pytest.fixture
async def lines(redis_server: str) -> AsyncIterator[Held]:
    async with Redis.from_url(redis_server, decode_responses=True) as other:
        await other.flushall()
        ours = Held(redis_server, other)
        yield ours
        await ours.redis.aclose()
        await ours.redis.connection_pool.disconnect()


async def waiting(lines: Held, *commands: Words) -> list[asyncio.Task[Any]]:
    """These commands, none of which has been sent yet."""
    await lines.hold()
    tasks = [asyncio.create_task(lines.batches.send(*command)) for command in commands]
    await asyncio.sleep(0)
    return tasks


async def test_what_waits_goes_in_one_write_and_each_has_its_own_answer(lines: Held) -> None:
    tasks = await waiting(lines, *(("SET", f"k{n}", n, "GET") for n in range(MOST)))
    before = await lines.reads()
    await lines.let_go()
    assert await asyncio.gather(*tasks) == [None] * MOST
    assert await lines.reads() - before <= 4  # the pop's end, the batch, and these questions
    tasks = await waiting(lines, *(("GET", f"k{n}") for n in range(MOST)))
    await lines.let_go()
    assert await asyncio.gather(*tasks) == [str(n) for n in range(MOST)]


async def test_what_rings_has_its_own_answer_too(lines: Held) -> None:
    """Behind a command that begins our reply, so that the store writes it last."""
    await lines.batches.send("GET", "n")
    before = await lines.calls("ping")
    assert await lines.batches.send("INCR", "n", rings=True) == 1
    assert await lines.calls("ping") == before + 1
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        await lines.batches.send("HGET", "n", "field", rings=True)
    await lines.hold()
    tasks = [asyncio.create_task(lines.batches.send("INCR", "n", rings=rings)) for rings in (True, False)]
    await asyncio.sleep(0)
    await lines.let_go()
    assert await asyncio.gather(*tasks) == [2, 3]


async def test_what_rings_does_not_wait_for_company(lines: Held) -> None:
    tasks = await waiting(lines, ("INCR", "n"), ("INCR", "n"))
    await lines.let_go()
    await asyncio.gather(*tasks)
    before = await lines.calls("ping")
    assert await lines.batches.send("INCR", "n", rings=True) == 3
    assert await lines.calls("ping") == before + 1


async def test_a_loop_that_ends_leaves_nobody_waiting(lines: Held) -> None:
    await lines.stand_still(ms=400)
    tasks = [asyncio.create_task(lines.batches.send("INCR", "n")) for _ in range(COUNT + 3 * MOST)]

    async def sending_is() -> bool:
        return bool(lines.batches._sending)

    await wait_until("one goes in the place of a silent line", sending_is)
    await asyncio.sleep(0.01)
    for sending in lines.batches._sending:
        sending.cancel()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(one) for one in found] == [int] * COUNT + [asyncio.CancelledError] * (3 * MOST)


async def test_a_longer_queue_goes_in_several_batches(lines: Held) -> None:
    many = (COUNT + 1) * MOST + 7
    tasks = await waiting(lines, *(("INCR", "n") for _ in range(many)))
    await lines.let_go()
    assert sorted(await asyncio.gather(*tasks)) == list(range(1, many + 1))


async def test_after_company_those_of_one_turn_go_together(lines: Held) -> None:
    """And one that comes alone then goes alone again, at once."""
    tasks = await waiting(lines, ("INCR", "n"), ("INCR", "n"))
    await lines.let_go()
    await asyncio.gather(*tasks)
    before = await lines.reads()
    found = await asyncio.gather(*(lines.batches.send("INCR", "n") for _ in range(MOST)))
    assert found == list(range(3, MOST + 3))
    assert await lines.reads() - before == 2  # the batch, and this question
    assert await lines.batches.send("INCR", "n") == MOST + 3  # waits for others, as the last had some
    before = await lines.reads()
    ours = [asyncio.create_task(lines.batches.send("INCR", "n")) for _ in range(MOST)]
    await asyncio.gather(*ours)
    assert await lines.reads() - before > 2


async def test_one_that_is_refused_is_refused_alone(lines: Held) -> None:
    await lines.redis.set("text", "x")
    tasks = await waiting(
        lines,
        ("INCR", "n"),
        ("HGET", "text", "field"),
        ("INCR", "n"),
    )
    await lines.let_go()
    first, refused, last = await asyncio.gather(*tasks, return_exceptions=True)
    assert (first, last) == (1, 2)
    assert isinstance(refused, ResponseError)
    assert "WRONGTYPE" in str(refused)


@pytest.mark.parametrize(
    "wrong",
    [
        ("SET", "text", "\ud83d"),
        ("SET", "text", None),
        ("SET", "text", ["x"]),
    ],
)
async def test_what_is_no_command_is_refused_alone(lines: Held, wrong: Any) -> None:
    tasks = await waiting(lines, ("INCR", "n"), wrong, ("INCR", "n"))
    await lines.let_go()
    first, refused, last = await asyncio.gather(*tasks, return_exceptions=True)
    assert (first, last) == (1, 2)
    assert isinstance(refused, UnicodeError | DataError)


async def test_bytes_that_are_no_text_disturb_nobody_and_nothing_is_sent_twice(
    lines: Held, redis_server: str
) -> None:
    async with Redis.from_url(redis_server) as plain:
        await plain.set("odd", b"\xff\xfe")
    tasks = await waiting(
        lines,
        ("APPEND", "log", "one "),
        ("GET", "odd"),
        ("APPEND", "log", "two "),
    )
    await lines.let_go()
    assert [await task for task in tasks] == [4, "\udcff\udcfe", 8]
    assert await lines.redis.get("log") == "one two "


async def test_whoever_stops_waiting_disturbs_nobody(lines: Held) -> None:
    tasks = await waiting(lines, *(("INCR", "n") for _ in range(3)))
    tasks[1].cancel()
    await lines.let_go()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(found[1], asyncio.CancelledError)
    assert [found[0], found[2]] == [1, 2]
    assert await lines.redis.get("n") == "2"


async def test_a_line_that_breaks_gives_way_to_the_next(lines: Held) -> None:
    """Those on it are told; those that wait go on another, and nothing is sent twice."""
    tasks = await waiting(lines, *(("INCR", "n") for _ in range(5)))
    await lines.break_off()
    assert sorted(await asyncio.gather(*tasks)) == [1, 2, 3, 4, 5]
    assert await lines.batches.send("GET", "n") == "5"


async def test_lines_that_are_silent_hold_nobody_up(lines: Held) -> None:
    tasks = await waiting(lines, *(("INCR", "n") for _ in range(MOST + 3)))
    assert sorted(await asyncio.wait_for(asyncio.gather(*tasks), 5)) == list(range(1, MOST + 4))
    assert await lines.batches.send("INCR", "n") == MOST + 4
    await lines.let_go()
    assert await lines.batches.send("INCR", "n") == MOST + 5


async def test_lines_that_took_the_place_of_silent_ones_are_given_up_again(lines: Held) -> None:
    """However busy it is: after a store that stood still no more lines than before are under way."""
    over = False

    async def ask() -> None:
        while not over:
            await lines.batches.send("INCR", "n")

    under_way = lines.batches._began
    clients = [asyncio.create_task(ask()) for _ in range(8 * MOST)]
    await lines.stand_still(ms=500)
    await asyncio.sleep(0.4)
    assert len(under_way) > COUNT
    await asyncio.sleep(0.4)
    seen = []
    for _ in range(50):
        await asyncio.sleep(0.002)
        seen.append(len(under_way))
    over = True
    await asyncio.gather(*clients)
    assert max(seen) <= COUNT


async def test_what_breaks_a_batch_is_told_to_all_that_were_in_it(lines: Held) -> None:
    tasks = await waiting(
        lines,
        *(("INCR", "n") for _ in range(3)),
        ("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "no"),
        *(("INCR", "n") for _ in range(3)),
    )
    before = await lines.calls("incr")
    await lines.let_go()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert any(isinstance(one, ConnectionError) for one in found[3:])
    assert await lines.calls("incr") - before <= 6
    assert await lines.batches.send("PING")
