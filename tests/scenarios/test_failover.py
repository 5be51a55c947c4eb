"""A primary is killed under load: sentinels promote a replica, and web and workers go on by themselves."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise

import httpx
import pytest
import structlog

from service.processes import HEALTH_PATH
from tests.fleet import Fleet, fleet
from tests.running import Running, running_blockwire
from tests.scenarios.api import Api, turn, wait_until

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.chaos]

log = structlog.get_logger()
WRITERS = 4
LINES_OF_AN_AGENT = 12
LAG_S = 1.0
"""More than replication on one machine ever lags behind."""
AWAY_S = 15.0
"""More than the sentinels of tests/fleet.py take to promote a replica, and everybody to find it."""


@dataclass
class Tally:
    """What writers were told."""

    acknowledged: dict[str, float] = field(default_factory=dict)
    """Line -> when."""
    refused: Counter[str] = field(default_factory=Counter)
    ending: bool = False


@asynccontextmanager
async def client(url: str) -> AsyncIterator[Api]:
    api = Api(url)
    try:
        yield api
    finally:
        await api.http.aclose()


@asynccontextmanager
async def writing(api: Api, block: str) -> AsyncIterator[Tally]:
    """Writers that append numbered lines one by one, each until it is acknowledged."""
    tally = Tally()

    async def put(line: str) -> None:
        body = {"operation": "append", "text": f"{line}\n", "edit_id": line}
        while True:
            answer = await api.http.post(f"/v1/blocks/{block}/edits", json=body)
            if answer.status_code == 200:
                tally.acknowledged[line] = time.monotonic()
                return
            assert (answer.status_code, "retry-after" in answer.headers) == (503, True), answer.text
            tally.refused[answer.json()["detail"]] += 1
            await asyncio.sleep(0.05)

    async def write(name: str) -> None:
        number = 0
        while not tally.ending:
            await put(f"{name}-{number}")
            number += 1

    writers = [asyncio.create_task(write(f"w{number}")) for number in range(WRITERS)]
    try:
        yield tally
    finally:
        tally.ending = True
        await asyncio.gather(*writers)


async def until_acknowledged(tally: Tally, more: int) -> None:
    most = len(tally.acknowledged) + more

    async def so_many() -> bool:
        return len(tally.acknowledged) >= most

    await wait_until(f"{more} more edits were acknowledged", so_many, 60)


async def fail_over(ships: Fleet, running: Running, tally: Tally) -> float:
    """The primary is killed while everybody writes; when that was."""
    await until_acknowledged(tally, 100)
    old = ships.primary()
    killed = time.monotonic()
    await asyncio.to_thread(old.kill)
    async with httpx.AsyncClient(base_url=running.url, trust_env=False, timeout=30) as web:
        assert (await web.get(HEALTH_PATH)).status_code == 200
        not_ready = await web.get("/v1/ready/")
        assert (not_ready.status_code, not_ready.headers["retry-after"]) == (503, "1")
    await asyncio.to_thread(ships.wait_for_promotion, old)
    await until_acknowledged(tally, 100)
    return killed


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
        killed = await fail_over(ships, running, tally)
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
    away = max(later - before for before, later in pairwise(times))
    assert away < AWAY_S
    log.info("failover.counted", acknowledged=len(times), lost=len(lost), away_s=away, refused=tally.refused)
