"""The shrinker: takes from the past while memory is short, stops when there is enough."""

import asyncio
from unittest.mock import patch

import pytest
from structlog.testing import capture_logs

from service.errors import StoreUnreachable
from service.pressure import Filling
from service.records.shrinking import Bite
from service.settings import Settings
from tests.store.team import Team, wait_until
from workers import shrinker
from workers.shrinker import Shrinker

pytestmark = pytest.mark.anyio

ENOUGH, SHORT = Filling(10, 100), Filling(85, 100)


@pytest.fixture
def settings() -> Settings:
    return Settings(history_count=32)


class Gauge:
    """What is measured, time after time; the last for ever. An exception is raised."""

    def __init__(self, team: Team, *told: Filling | Exception) -> None:
        self.told = list(told)
        self.asked = 0
        self._patch = patch.object(team.service.pressure, "measure", self)

    async def __call__(self) -> Filling:
        told = self.told[min(self.asked, len(self.told) - 1)]
        self.asked += 1
        if isinstance(told, Exception):
            raise told
        return told

    def __enter__(self) -> "Gauge":
        self._patch.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._patch.stop()


async def entries(team: Team, block_id: str) -> int:
    return len(await team.store.entries(f"bw:{{default}}:block:{block_id}:history"))


async def test_nothing_is_taken_while_there_is_enough(team: Team) -> None:
    block = await team.block()
    for _ in range(20):
        await team.edit(block, "append", "x")
    with Gauge(team, ENOUGH):
        assert await Shrinker(team.service).turn() is False
    assert await entries(team, block.id) == 21


async def test_bite_after_bite_is_taken_until_there_is_enough_and_it_is_told(team: Team) -> None:
    block = await team.block()
    for _ in range(20):
        await team.edit(block, "append", "x")
    worker = Shrinker(team.service)
    with Gauge(team, SHORT, SHORT, ENOUGH), capture_logs() as logs:
        assert await worker.turn() is True
        assert await entries(team, block.id) == 16
        assert await worker.turn() is True
        assert await entries(team, block.id) == 8
        assert await worker.turn() is False
    assert await entries(team, block.id) == 8
    assert [entry["event"] for entry in logs] == ["memory.short", "memory.enough", "history.shrunk"]
    assert (logs[-1]["entries"], logs[-1]["runs"]) == (13, 0)


async def test_runs_go_when_histories_have_nothing_more_to_give(team: Team) -> None:
    agent = await team.agent()
    lease, open_run = await team.working(agent)
    await team.leases.finish(lease, open_run.run.id, "end_turn", None)
    worker = Shrinker(team.service)
    with Gauge(team, SHORT), patch.object(type(team.service.shrinking), "runs") as runs:
        runs.return_value = Bite(dropped=1, done=True)
        while await worker.turn():
            pass
    assert runs.call_count == 1


async def test_a_store_that_is_away_is_waited_for(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shrinker, "PAUSE_S", 0.001)
    with Gauge(team, StoreUnreachable("gone"), ENOUGH) as gauge, capture_logs() as logs:
        task = asyncio.create_task(Shrinker(team.service).run())

        async def went_on() -> bool:
            return gauge.asked > 3

        await wait_until("it measures again", went_on)
        task.cancel()
    assert [entry["event"] for entry in logs] == ["shrinking.deferred"]
