"""Work that something else may cut short: it ends there, and whatever else befalls it stays as it is."""

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import pytest

from service.interruption import Interruption, interrupted_by

pytestmark = pytest.mark.anyio


async def at_once(word: str = "now") -> str:
    return word


async def never() -> None:
    await asyncio.Event().wait()


async def breaks() -> None:
    raise RuntimeError("it broke")


async def worked(*events: Coroutine[Any, Any, object], turns: int = 5) -> tuple[Interruption, bool]:
    """An interruption, and whether the work came to its end."""
    done = False
    with interrupted_by(*events) as interruption:
        for _ in range(turns):
            await asyncio.sleep(0)
        done = True
    return interruption, done


async def cut_by(event: asyncio.Event) -> None:
    with interrupted_by(event.wait()):
        await never()


async def test_work_that_nothing_befalls_is_done(anyio_backend: str) -> None:
    before = asyncio.all_tasks()
    interruption, done = await worked(never(), never())
    assert (done, interruption.happened, interruption.why) == (True, False, None)
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before


async def test_what_happens_first_cuts_it_short_and_says_why() -> None:
    before = asyncio.all_tasks()
    interruption, done = await worked(never(), at_once("first"), at_once("second"))
    assert (done, interruption.happened, interruption.why) == (False, True, "first")
    assert asyncio.current_task().cancelling() == 0  # type: ignore[union-attr]
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before


async def test_an_event_that_breaks_cuts_nothing_short() -> None:
    interruption, done = await worked(breaks())
    assert (done, interruption.happened) == (True, False)


async def test_what_the_work_raises_is_raised() -> None:
    with pytest.raises(RuntimeError, match="it broke"), interrupted_by(never()):
        await breaks()


async def test_work_that_is_done_before_it_pauses_is_done() -> None:
    assert (await worked(at_once(), turns=0))[1]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
async def test_what_happens_as_the_work_ends_cuts_nothing_short_behind_it(order: tuple[int, int]) -> None:
    for turns in range(4):
        happens = asyncio.Event()
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        tellers: list[Callable[[], None]] = [happens.set, partial(done.set_result, None)]

        async def work(happens: asyncio.Event, done: "asyncio.Future[None]") -> str:
            with interrupted_by(happens.wait()) as interruption:
                await done
            await asyncio.sleep(0.01)
            return "interrupted" if interruption.happened else "done"

        working = asyncio.create_task(work(happens, done))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        for place in order:
            tellers[place]()
            if place == order[0]:
                for _ in range(turns):
                    await asyncio.sleep(0)
            if done.cancelled():
                break
        assert await asyncio.wait_for(working, 5) in ("interrupted", "done")


async def test_whoever_cancels_it_meanwhile_is_obeyed() -> None:
    """Before the interruption comes, at the same moment, and where one lies within another."""
    ends: list[bool] = []
    for turns in range(1, 5):
        happens = asyncio.Event()
        task = asyncio.create_task(cut_by(happens))
        await asyncio.sleep(0)
        happens.set()
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task})
        ends.append(task.cancelled())
    assert ends == sorted(ends, reverse=True)
    assert set(ends) == {True, False}
    outer = interrupted_by(at_once("outer"))
    with outer, interrupted_by(never()) as inner:
        await never()
    assert (outer.why, inner.happened) == ("outer", False)


async def test_events_may_be_begun_later_and_not_at_all_where_the_work_is_over_by_then() -> None:
    begun: list[str] = []

    async def noted() -> str:
        begun.append("noted")
        return "now"

    with interrupted_by(noted(), after_s=0.01) as interruption:
        await asyncio.sleep(0)
    await asyncio.sleep(0.03)
    assert (begun, interruption.happened) == ([], False)
    with interrupted_by(noted(), after_s=0.01) as interruption:
        await asyncio.sleep(0)
        assert begun == []
        await never()
    assert (begun, interruption.why) == (["noted"], "now")
