"""A primary is killed under load: sentinels promote a replica, and web and workers go on by themselves."""

import asyncio
import time
from collections import Counter
from itertools import pairwise

import httpx
import pytest
import structlog

from service.processes import HEALTH_PATH
from tests.fleet import Fleet, fleet, wait_for
from tests.running import Running, running_blockwire
from tests.scenarios.api import Api, turn
from tests.scenarios.writers import Tally, client, until_acknowledged, writing

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.chaos]

log = structlog.get_logger()
LINES_OF_AN_AGENT = 12
LAG_S = 1.0
"""More than replication on one machine ever lags behind."""
AWAY_S = 10.0
"""How long everybody may take to find the new primary once it is one. How long sentinels take is theirs."""


async def fail_over(ships: Fleet, running: Running, tally: Tally, replicas: int) -> tuple[float, float]:
    """The primary is killed while everybody writes: when, and when another could take writes again."""
    await until_acknowledged(tally, 100)
    old = ships.primary()
    killed = time.monotonic()
    await asyncio.to_thread(old.kill)
    async with httpx.AsyncClient(base_url=running.url, trust_env=False, timeout=30) as web:
        assert (await web.get(HEALTH_PATH)).status_code == 200
        not_ready = await web.get("/v1/ready/")
        assert (not_ready.status_code, not_ready.headers["retry-after"]) == (503, "1")
    new = await asyncio.to_thread(ships.wait_for_promotion, old)
    await asyncio.to_thread(wait_for, lambda: new.followers() >= replicas, "its replicas followed it")
    promoted = time.monotonic()
    await until_acknowledged(tally, 100)
    return killed, promoted


@pytest.mark.parametrize("replicas", [0, 1])
async def test_a_failover_under_load_loses_at_most_the_lag_and_doubles_nothing(replicas: int) -> None:
    """With BLOCKWIRE_WAIT_REPLICAS=1 nothing that was acknowledged is lost."""
    with fleet(replicas=2, sentinels=3) as ships:
        environ = {"REDIS_URL": ships.url, "BLOCKWIRE_WAIT_REPLICAS": str(replicas)}
        with running_blockwire(environ=environ) as running:
            async with client(running.url) as api:
                await kill_and_count(ships, running, api, replicas)


async def kill_and_count(ships: Fleet, running: Running, api: Api, replicas: int) -> None:
    block, by_agents = await api.block("people"), await api.block("agents")
    agents = [await api.agent(by_agents) for _ in range(3)]
    script = [
        turn("memory_insert", label="agents", new_string=f"{number}", sleep_ms=500)
        for number in range(LINES_OF_AN_AGENT)
    ]
    async with writing(api, block) as tally:
        runs = [await api.send(agent, *script) for agent in agents]
        killed, promoted = await fail_over(ships, running, tally, replicas)
    lines = Counter(await api.lines(block))
    lost = {line: killed - at for line, at in tally.acknowledged.items() if line not in lines}
    assert not [line for line, count in lines.items() if count > 1]
    assert all(ago < LAG_S for ago in lost.values()), lost
    assert replicas == 0 or lost == {}
    assert tally.refused
    assert [(await api.ended(run, 60))["status"] for run in runs] == ["completed"] * len(runs)
    told = Counter(await api.lines(by_agents))
    assert told == {str(number): len(agents) for number in range(LINES_OF_AN_AGENT)}

    times = sorted(tally.acknowledged.values())
    away, back = max((later - before, later) for before, later in pairwise(times))
    assert back - promoted < AWAY_S
    log.info("failover.counted", acknowledged=len(times), lost=len(lost), away_s=away, refused=tally.refused)
