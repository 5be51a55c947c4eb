"""Pools as an autoscaler sees them: who waits for which workers, at /metrics, and who works."""

import json
import subprocess
import sys

import httpx
import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from service.settings import environment_for
from tests.running import ROOT
from tests.scenarios.api import Api, turn, wait_until
from tests.scenarios.team import Team

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


async def scraped(url: str, **asked: str) -> dict[str, Metric]:
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.get(f"{url}/metrics", params=asked)
    assert answer.status_code == 200, answer.text
    return {family.name: family for family in text_string_to_metric_families(answer.text)}


async def of_pool(url: str, name: str, pool: str) -> float:
    found = (await scraped(url))[f"blockwire_{name}"].samples
    return sum(one.value for one in found if one.labels["pool"] == pool)


async def total(url: str, name: str, **labels: str) -> float:
    """A counter over all workers."""
    family = (await scraped(url)).get(f"blockwire_{name}")
    return sum(
        one.value
        for one in (family.samples if family else [])
        if one.name.endswith(("_total", "_count")) and labels.items() <= one.labels.items()
    )


def doctor(team: Team) -> dict[str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "service.cli", "doctor", "--json"],
        cwd=ROOT,
        env=environment_for(team.settings),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout, done.stderr
    return {one["what"]: one["found"] for one in json.loads(done.stdout)["findings"]}


async def test_a_pool_without_workers_shows_who_waits_for_how_long_until_it_gets_one(
    team: Team, team_api: Api
) -> None:
    """Three agents of a pool that nobody serves, and ordinary ones that are served all the while."""
    team.start("worker 1")
    special = [await team_api.agent(pool="gpu") for _ in range(3)]
    ordinary = await team_api.agent()
    runs = [await team_api.send(agent, {"text": "At last."}) for agent in special]
    assert await of_pool(team.url, "queue_depth", "gpu") == 3
    assert (await team_api.ended(await team_api.send(ordinary, {"text": "Hi."})))["status"] == "completed"
    assert await of_pool(team.url, "queue_depth", "default") == 0
    lag = await of_pool(team.url, "queue_lag_seconds", "gpu")

    async def grown() -> bool:
        return await of_pool(team.url, "queue_lag_seconds", "gpu") > lag + 1.5

    await wait_until("the lag had grown, sweeps or no sweeps", grown)
    assert await of_pool(team.url, "workers", "gpu") == 0
    told = doctor(team)
    assert "no worker reports, start one with `blockwire worker --pool gpu`; 3 wait" in told["pool gpu"]
    assert told["pool default"].startswith("1 at work with 32 slots")

    team.start_worker("gpu worker", pool="gpu", slots=2)
    for run_id in runs:
        assert (await team_api.ended(run_id))["status"] == "completed"
        assert team.worker_of(run_id) == "gpu worker"
    assert await of_pool(team.url, "queue_depth", "gpu") == 0
    assert await of_pool(team.url, "queue_lag_seconds", "gpu") == 0
    assert await of_pool(team.url, "worker_slots", "gpu") == 2


async def test_tasks_for_later_wait_in_their_pool_when_no_worker_runs_at_all(
    team: Team, team_api: Api
) -> None:
    """So that a pool scaled down to nothing is given a worker when their time comes."""
    team.start()
    agent = await team_api.agent(pool="night")
    task = {"input": json.dumps({"script": [{"text": "Done."}]}), "delay_s": 1.5, "priority": 2}
    run = await team_api.post(f"/v1/agents/{agent}/messages/async", task)
    assert await of_pool(team.url, "queue_depth", "night") == 0

    async def due() -> bool:
        return await of_pool(team.url, "queue_depth", "night") == 1

    await wait_until("the task was due", due)
    assert await team_api.status(run["id"]) == "created"
    team.start_worker("night worker", pool="night")
    ended = await team_api.ended(run["id"])
    assert ended["status"] == "completed"
    assert ended["metadata"]["priority"] == 2


async def test_what_workers_do_is_told_by_any_web_process(team: Team, team_api: Api) -> None:
    """Steps, model calls, tools, edits and wake-ups happen in workers, which have no port."""
    team.start("worker 1")
    block = await team_api.block("board")
    writer = await team_api.agent(block)
    watcher = await team_api.agent(block)
    await team_api.watch(watcher, block)
    run = await team_api.send(
        writer, turn("memory_insert", label="board", new_string="hello"), {"text": "Done."}
    )
    assert (await team_api.ended(run))["status"] == "completed"
    second = team.start_web("web 2")

    async def told() -> bool:
        return await total(second, "runs_ended", status="completed") >= 2

    await wait_until("the worker had reported", told)
    for url in (team.url, second):
        assert await total(url, "steps", status="success") >= 3
        assert await total(url, "model_calls", provider="offline", model="scripted", outcome="ok") >= 3
        assert await total(url, "model_call_seconds", model="scripted") >= 3
        assert await total(url, "tool_calls", tool="memory_insert", outcome="success") == 1
        assert await total(url, "edits", operation="insert", outcome="applied") == 1
        assert await total(url, "wakeups", outcome="recorded") == 1
    processes = {one.labels["process"] for one in (await scraped(second))["process_open_fds"].samples}
    assert len(processes) == 2
    own = await scraped(second, own="true")
    assert {one.labels["process"] for one in own["process_open_fds"].samples} == {"web"}


async def test_a_worker_that_stops_has_no_slots_any_more_at_once(team: Team, team_api: Api) -> None:
    team.start("worker 1", "worker 2")

    async def both() -> bool:
        return await of_pool(team.url, "worker_slots", "default") == 64

    await wait_until("both had reported", both)
    assert team.terminate("worker 1").wait(20) == 0
    assert await of_pool(team.url, "worker_slots", "default") == 32
