"""Figures: who waits for the workers of which pool, and what all processes have counted, in one text."""

import re
from pathlib import Path
from typing import Any

import pytest
from arq.jobs import serialize_job
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from service.bootstrap import Service
from service.errors import StoreUnreachable
from service.queue import dumps
from service.records.agents import Agent
from service.records.figures import PoolState
from service.records.runs import When
from service.store.keys import WORKERS_KEY, key, worker_key
from tests.store.team import ALICE, WS, Team, wait_until

pytestmark = pytest.mark.anyio

README = Path(__file__).parents[2] / "README.md"


async def pools(team: Team) -> dict[str, PoolState]:
    return {pool.pool: pool for pool in await team.service.figures.pools()}


async def waiting(team: Team) -> dict[str, int]:
    return {name: pool.waiting for name, pool in (await pools(team)).items()}


async def since(team: Team, agent: Agent, pool: str, ms: int) -> None:
    """As if the agent had waited for so much longer."""
    await team.redis.zincrby(key(WS, "queued", pool), -ms, agent.id)


async def test_a_fresh_server_tells_of_the_default_pool(team: Team) -> None:
    assert await pools(team) == {"default": PoolState(pool="default")}


async def test_agents_that_are_ready_wait_in_their_pool_until_a_worker_has_them(team: Team) -> None:
    agents = [await team.agent(pool="gpu") for _ in range(3)]
    for agent in agents:
        await team.send(agent)
    await team.send(await team.agent())
    await since(team, agents[1], "gpu", 40_000)
    found = await pools(team)
    assert {name: pool.waiting for name, pool in found.items()} == {"default": 1, "gpu": 3}
    assert 40_000 <= found["gpu"].lag_ms < 60_000
    assert found["default"].lag_ms < 20_000
    await team.lease(agents[1])
    assert (await waiting(team))["gpu"] == 2
    assert (await pools(team))["gpu"].lag_ms < 20_000


async def test_a_sweeper_that_names_an_agent_again_does_not_make_it_wait_anew(team: Team) -> None:
    agent = await team.agent()
    await team.send(agent)
    await since(team, agent, "default", 40_000)
    swept = await team.leases.sweep(WS, -1000)
    assert [one.agent_id for one in swept] == [agent.id]
    assert (await pools(team))["default"].lag_ms >= 40_000


async def test_one_whose_worker_was_lost_waits_again_from_then_on(team: Team) -> None:
    agent = await team.agent()
    lease = await team.lease(agent, ms=1)

    async def lost() -> bool:
        return [one.reason for one in await team.leases.sweep(WS, 60_000)] == ["lost"]

    await wait_until("the lease ran out", lost)
    assert await waiting(team) == {"default": 1}
    assert await team.leases.renew(WS, [lease], 1000) == {agent.id}


async def test_an_agent_that_changes_its_pool_waits_in_the_new_one_and_no_shorter(team: Team) -> None:
    agent = await team.agent(pool="gpu")
    await team.send(agent)
    await since(team, agent, "gpu", 40_000)
    await team.update(agent, pool="tpu")
    found = await pools(team)
    assert (found["gpu"].waiting, found["tpu"].waiting) == (0, 1)
    assert found["tpu"].lag_ms >= 40_000
    await team.lease(agent)
    assert set((await waiting(team)).values()) == {0}


async def test_a_deleted_agent_waits_for_nobody(team: Team) -> None:
    agent = await team.agent(pool="gpu")
    await team.send(agent)
    await team.service.agents.delete(WS, agent.id, ALICE)
    assert await waiting(team) == {"default": 0, "gpu": 0}


async def test_a_task_whose_time_has_come_waits_even_if_no_worker_is_there_to_put_it_in(team: Team) -> None:
    """Or a pool of no workers would never be given one."""
    agent = await team.agent(pool="gpu")
    await team.send(agent, when=When(delay_ms=3_600_000))
    assert "gpu" not in await waiting(team)
    run_id = await team.send(agent, when=When(at=1))
    await team.redis.zincrby(key(WS, "later"), -5000, run_id)
    assert (await pools(team))["gpu"].waiting == 1
    assert (await pools(team))["gpu"].lag_ms >= 5000
    await team.leases.sweep(WS, 60_000)
    assert (await pools(team))["gpu"].waiting == 1


async def test_jobs_of_other_services_wait_and_steps_are_not_counted_twice(team: Team) -> None:
    await team.send(await team.agent())
    queue: Any = team.service.queue
    job = serialize_job("send_message", ("agent-1", "x"), {}, None, 1, serializer=dumps)
    await queue.put("blockwire:jobs", "mine", job, expires_ms=60_000)
    await queue.put("blockwire:jobs", "deferred", job, delay_ms=60_000, expires_ms=120_000)
    await queue._redis.zincrby("blockwire:jobs", -30_000, "mine")
    found = (await pools(team))["default"]
    assert found.waiting == 2
    assert 30_000 <= found.lag_ms < 50_000
    assert (await queue.claim("blockwire:jobs", 1)).jobs[0].id == "mine"
    assert (await waiting(team))["default"] == 1


async def test_workers_are_told_of_while_they_report(team: Team) -> None:
    figures = team.service.figures
    await figures.report("w:1", "gpu", slots=8, busy=3)
    await figures.report("w:2", "gpu", slots=0, busy=1)
    assert (await pools(team))["gpu"] == PoolState(pool="gpu", workers=2, slots=8, busy=4)
    assert 0 < await team.redis.pttl(worker_key("w:1")) <= 30_000
    await team.redis.delete(worker_key("w:1"))
    assert (await pools(team))["gpu"].workers == 1
    await figures.forget_the_gone()
    assert await team.store.members(WORKERS_KEY) == {"w:2"}


def told(text: str) -> dict[str, Metric]:
    return {family.name: family for family in text_string_to_metric_families(text)}


async def test_the_text_tells_what_every_process_counted_and_how_pools_stand(team: Team) -> None:
    await team.service.figures.report("w:1", "gpu", slots=8, busy=3)
    block = await team.block()
    await team.edit(block, "append", "x")
    found = told(await team.service.figures.text())
    edits = {
        (one.labels["process"], one.labels["operation"]): one.value
        for one in found["blockwire_edits"].samples
    }
    assert edits == {("web", "append"): 1}
    processes = [one.labels["process"] for one in found["process_resident_memory_bytes"].samples]
    assert processes == ["web", "worker w:1"]
    slots = {one.labels["pool"]: one.value for one in found["blockwire_worker_slots"].samples}
    assert slots == {"default": 0, "gpu": 8}
    assert found["blockwire_store_up"].samples[0].value == 1
    own = told(await team.service.figures.text(own=True))
    assert len(own["process_resident_memory_bytes"].samples) == 1
    assert "blockwire_queue_depth" not in own


async def test_the_readme_names_every_figure_there_is_and_no_other(team: Team) -> None:
    """A `_total` more or less: Prometheus' parser takes it off the names of counters."""
    section = README.read_text("utf-8").partition("## Pools and figures\n")[2].partition("\n## ")[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    named = {name.removesuffix("_total") for row in rows for name in re.findall(r"`(\w+)`", row)}
    there = set(told(await team.service.figures.text()))
    assert {name for name in named if name.startswith("blockwire_")} == {
        name for name in there if name.startswith("blockwire_")
    }
    assert named <= there


async def test_while_the_store_is_away_a_process_still_tells_of_itself(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object) -> None:
        raise StoreUnreachable("gone")

    monkeypatch.setattr(service.store, "members", away)
    found = told(await service.figures.text())
    assert found["blockwire_store_up"].samples[0].value == 0
    assert "process_cpu_seconds" in found
    assert "blockwire_queue_depth" not in found
