"""A worker process from its start to its end: it takes jobs, stops when asked, never goes on crippled."""

import asyncio
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from redis import Redis
from structlog.testing import capture_logs

from service.bootstrap import Service, open_service
from service.entry import WONT_WORK, python_module
from service.settings import Settings
from tests.running import bare_environ
from tests.store.team import raw
from tests.workers.bench import WS, Bench, says, wait_until
from workers import main
from workers.wakeups import Dispatcher

pytestmark = pytest.mark.anyio

Stop = Callable[[], object]


@pytest.fixture
def settings(redis_server: str) -> Settings:
    return Settings(lease_ms=1000, redis_url=redis_server)


@pytest.fixture
async def service(settings: Settings) -> AsyncIterator[Service]:
    """The rooms as another process opens them, with jobs in the real queue."""
    with Redis.from_url(str(settings.redis_url)) as client:
        client.flushall()
    async with open_service(settings) as opened:
        yield opened


@pytest.fixture
async def signals(monkeypatch: pytest.MonkeyPatch) -> dict[int, Stop]:
    """What the process does on a signal, instead of having it done to the test run."""
    found: dict[int, Stop] = {}
    monkeypatch.setattr(asyncio.get_running_loop(), "add_signal_handler", found.__setitem__)
    return found


async def ends(process: "asyncio.Task[None]") -> None:
    await asyncio.wait({process}, timeout=5)
    assert process.done(), "the worker did not end"


async def status(bench: Bench, run_id: str) -> str:
    return (await bench.service.runs.read(WS, run_id)).status


@pytest.mark.parametrize("name", [signal.SIGTERM, signal.SIGINT])
async def test_it_works_until_it_is_told_to_stop(
    bench: Bench, settings: Settings, signals: dict[int, Stop], name: int
) -> None:
    agent = await bench.agent({"board": ""})
    await bench.watch(agent, "board")
    process = asyncio.create_task(main.serve(settings))
    run = await bench.script(agent, says("Hello."))

    async def completed() -> bool:
        return await status(bench, run.id) == "completed"

    await wait_until("the run was carried", completed)
    await bench.edit("board", "set", text="x")

    async def woken() -> bool:
        return [one.status for one in await bench.wakeups(agent)] == ["completed"]

    await wait_until("the wake-up was carried", woken)
    signals[name]()
    await ends(process)
    assert process.exception() is None


async def test_it_takes_over_agents_whose_worker_is_gone(
    bench: Bench, settings: Settings, signals: dict[int, Stop]
) -> None:
    agent = await bench.agent()
    run = await bench.script(agent, says("Hello."))
    await bench.service.leases.next_run(await bench.lease(agent, "a worker that dies"))
    process = asyncio.create_task(main.serve(settings))

    async def completed() -> bool:
        return await status(bench, run.id) == "completed"

    await wait_until("the lease ran out and the run was carried", completed)
    assert (await bench.service.runs.read(WS, run.id)).tries == 2
    signals[signal.SIGTERM]()
    await ends(process)


async def test_an_agent_whose_job_was_claimed_while_its_worker_stops_is_anothers_at_once(
    bench: Bench, settings: Settings, signals: dict[int, Stop]
) -> None:
    """A lease that was taken along with a claim is given back; it would last for a minute here."""
    settings = settings.model_copy(update={"lease_ms": 60_000})
    agent = await bench.agent()

    async def waits() -> bool:
        return bool((await raw(bench.service.store).info("clients"))["blocked_clients"])

    async def waiting_worker() -> "asyncio.Task[None]":
        signals.clear()
        process = asyncio.create_task(main.serve(settings))
        await wait_until("the worker waits for jobs", waits)
        return process

    for number in range(12):
        process = await waiting_worker()
        sending = asyncio.create_task(bench.script(agent, says("Hello.")))
        for _ in range(4 * (number % 6)):
            await asyncio.sleep(0)
        signals[signal.SIGTERM]()
        await ends(process)
        another = await waiting_worker()

        async def completed(run_id: str = (await sending).id) -> bool:
            return await status(bench, run_id) == "completed"

        await wait_until("the run was carried", completed)
        signals[signal.SIGTERM]()
        await ends(another)
        assert (await bench.service.runs.read(WS, (await sending).id)).tries <= 2


async def test_a_step_that_outlasts_the_grace_is_handed_back(
    bench: Bench, settings: Settings, signals: dict[int, Stop], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(main, "GRACE_S", 0.1)
    agent = await bench.agent()
    run = await bench.script(agent, says("late", sleep_ms=60_000))
    process = asyncio.create_task(main.serve(settings))

    async def running() -> bool:
        return await status(bench, run.id) == "running"

    await wait_until("the run was begun", running)
    with capture_logs() as logs:
        signals[signal.SIGTERM]()
        await ends(process)
    assert "agent.handed_back" in [log["event"] for log in logs]
    assert (await bench.state(agent))["status"] == "ready"


async def test_a_worker_whose_dispatcher_or_keeper_broke_ends_instead_of_going_on_without(
    bench: Bench, settings: Settings, signals: dict[int, Stop], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(_: Any) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(Dispatcher, "run", broken)
    process = asyncio.create_task(main.serve(settings))
    await ends(process)
    assert isinstance(process.exception(), RuntimeError)


def test_a_store_that_cannot_be_is_refused_in_one_line() -> None:
    environ = bare_environ() | {"REDIS_URL": "nonsense://here", "PATH": os.environ.get("PATH", "")}
    ended = subprocess.run(
        python_module("workers.main"), env=environ, capture_output=True, text=True, timeout=30, check=False
    )
    assert ended.returncode == WONT_WORK
    assert ended.stderr.splitlines()[-1].startswith("blockwire: REDIS_URL: must look like")
