"""Reporter: a worker that cannot report works on, and reports when the store is back."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from service.bootstrap import Service
from service.errors import StoreUnreachable
from service.figures import Figures
from service.pickup import DoorbellWorker
from service.store.client import StoreClient
from tests.store.team import wait_until
from workers import reporter
from workers.reporter import Reporter

pytestmark = pytest.mark.anyio


@pytest.fixture
def store(fake_store: StoreClient) -> StoreClient:
    return fake_store


async def test_it_reports_again_and_again_and_once_more_at_its_end(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reporter, "REPORT_S", 0.01)
    worker = SimpleNamespace(tasks={"job": None})
    reporting = asyncio.create_task(Reporter(service, "w:1", cast(DoorbellWorker, worker)).run())
    slots = service.settings.slots

    async def state(**wanted: int) -> bool:
        (pool,) = await service.figures.pools()
        return wanted.items() <= pool.model_dump().items()

    await wait_until("it had reported", lambda: state(workers=1, slots=slots, busy=1))
    worker.tasks = {}
    await wait_until("it had reported again", lambda: state(workers=1, slots=slots, busy=0))
    reporting.cancel()
    await asyncio.gather(reporting, return_exceptions=True)
    assert await state(workers=1, slots=0)


async def test_while_the_store_is_away_it_waits_for_better_times(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []

    async def away(*_: Any, **__: Any) -> None:
        tried.append("")
        raise StoreUnreachable("gone")

    monkeypatch.setattr(reporter, "REPORT_S", 0.001)
    with monkeypatch.context() as broken:
        broken.setattr(Figures, "report", away)
        broken.setattr(Figures, "forget_the_gone", away)
        reporting = asyncio.create_task(
            Reporter(service, "w:1", cast(DoorbellWorker, SimpleNamespace(tasks={}))).run()
        )

        async def tried_often() -> bool:
            return len(tried) >= 3

        await wait_until("it had tried three times", tried_often)
    assert not reporting.done()

    async def reported() -> bool:
        return (await service.figures.pools())[0].workers == 1

    await wait_until("it had reported", reported)
    reporting.cancel()
    await asyncio.gather(reporting, return_exceptions=True)
