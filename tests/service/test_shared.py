"""What many ask for at once is done once; and an answer is never older than the question."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from service.shared import Asking, Made
from tests.store.team import wait_until

pytestmark = pytest.mark.anyio


class Slow:
    """An act that ends when it is let, and counts."""

    def __init__(self) -> None:
        self.begun = 0
        self.at_once = 0
        self.most = 0
        self.let = asyncio.Event()

    async def __call__(self) -> int:
        self.begun += 1
        number = self.begun
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        await self.let.wait()
        self.at_once -= 1
        return number

    async def text(self) -> bytes:
        return str(await self()).encode()


async def begun(slow: Slow, count: int = 1) -> None:
    async def is_so() -> bool:
        return slow.begun >= count

    await wait_until(f"{count} had begun", is_so)


async def test_who_asks_while_one_is_under_way_shares_the_next() -> None:
    asking, slow = Asking(1), Slow()
    first = asyncio.create_task(asking.ask("a", slow))
    await begun(slow)
    later = [asyncio.create_task(asking.ask("a", slow)) for _ in range(100)]
    await asyncio.sleep(0)
    slow.let.set()
    assert [await first, *(await asyncio.gather(*later))] == [1] + [2] * 100


async def test_other_questions_wait_for_their_turn() -> None:
    asking, slow = Asking(2), Slow()
    slow.let.set()
    found = await asyncio.gather(*(asking.ask(name, slow) for name in range(20)))
    assert sorted(found) == list(range(1, 21))
    assert slow.most <= 2


async def test_of_one_question_one_is_under_way_whatever_room_there_is() -> None:
    asking, slow = Asking(8), Slow()
    found: list[asyncio.Task[int]] = []
    for _ in range(5):
        found.append(asyncio.create_task(asking.ask("a", slow)))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    slow.let.set()
    assert await asyncio.gather(*found) == [1, 2, 2, 2, 2]
    assert slow.most == 1


async def test_who_leaves_takes_the_answer_from_nobody() -> None:
    slow = Slow()

    async def leaves(ask: Callable[[], Awaitable[object]]) -> object:
        one, other = asyncio.ensure_future(ask()), asyncio.ensure_future(ask())
        before = slow.begun
        await begun(slow, before + 1)
        one.cancel()
        await asyncio.sleep(0)
        slow.let.set()
        return await other

    asking, made = Asking(1), Made(100)
    assert await leaves(lambda: asking.ask("a", slow)) == 1
    slow.let.clear()
    assert await leaves(lambda: made.get("a", slow.text)) == b"2"


async def test_a_failure_is_everybodys_and_is_not_kept() -> None:
    made, calls = Made(100), list[int]()

    async def make() -> bytes:
        calls.append(1)
        await asyncio.sleep(0)
        if len(calls) == 1:
            raise ValueError("no")
        return b"yes"

    found = await asyncio.gather(*(made.get("a", make) for _ in range(3)), return_exceptions=True)
    assert [type(one) for one in found] == [ValueError] * 3
    assert await made.get("a", make) == b"yes"
    assert len(calls) == 2


async def test_so_many_bytes_of_texts_are_kept_the_newest() -> None:
    made, calls = Made(10), list[str]()

    def making(name: str, size: int) -> Callable[[], Awaitable[bytes]]:
        async def make() -> bytes:
            calls.append(name)
            return b"x" * size

        return make

    for name in ("a", "b", "a", "c", "b", "a"):
        assert await made.get(name, making(name, 4)) == b"xxxx"
    assert calls == ["a", "b", "c", "a"]
    assert len(await made.get("long", making("long", 100))) == 100
    assert len(await made.get("long", making("long", 100))) == 100
    assert calls[4:] == ["long"]
