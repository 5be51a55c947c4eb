"""Faults of the queue: jobs vanish, come twice, come late, or are no jobs; sweepers get in the way."""

import asyncio
import json

from service.bootstrap import open_service
from service.queue import QUEUE
from service.records.base import DEFAULT_WORKSPACE
from service.store.keys import key
from service.store.queue import bell_of
from tests.faults.fault import Faults
from tests.faults.load import Load
from tests.faults.scene import Scene
from tests.scenarios.api import Found

faults = Faults()
TIMES = 12


def _plant(scene: Scene, job_id: str, body: bytes, at: int = 0) -> None:
    """A job in arq's format, due at once."""
    redis = scene.redis
    redis.set(f"arq:job:{job_id}", body, px=60_000)
    redis.zadd(QUEUE, {job_id: at})
    redis.rpush(bell_of(QUEUE), "1")


def _step(agent: str, generation: int) -> bytes:
    job: Found = {"t": None, "f": "step", "a": [DEFAULT_WORKSPACE, agent, generation], "k": {}, "et": 1}
    return json.dumps(job).encode()


async def _agent_of(load: Load) -> tuple[str, str]:
    run = await load.send_agent("late")
    return str((await load.api.run(run))["agent_id"]), run


def _generation(scene: Scene, agent: str) -> int:
    return int(str(scene.redis.hget(key(DEFAULT_WORKSPACE, "agent_state", agent), "generation")))


@faults("queue emptied", "the sweeper queues every agent again")
async def _(scene: Scene, load: Load) -> None:
    """The queue's set, its bell and every job are deleted, three times."""
    for n in range(3):
        await load.send_agent(f"q{n}")
        redis = scene.redis
        redis.delete(QUEUE, bell_of(QUEUE), *redis.keys("arq:job:*"))


@faults("queue deleted, its jobs left", "the sweeper gives them a place again")
async def _(scene: Scene, load: Load) -> None:
    """The queue's set and its bell are deleted over and over; the jobs' bodies stay."""
    for n in range(3):
        await load.send_agent(f"p{n}")
        for _ in range(10):
            scene.redis.delete(QUEUE, bell_of(QUEUE))
            await asyncio.sleep(0.005)


@faults("job bodies deleted", "the sweeper queues the agents again")
async def _(scene: Scene, load: Load) -> None:
    """The queue names jobs whose bodies are gone."""
    await load.send_agent("q")
    redis = scene.redis
    redis.delete("nothing", *redis.keys("arq:job:*"))


@faults("jobs in duplicate", "one of them gets in")
async def _(scene: Scene, load: Load) -> None:
    """The same step is queued a dozen times under other ids."""
    agent, _ = await _agent_of(load)
    for n in range(TIMES):
        _plant(scene, f"twin:{agent}:{n}", _step(agent, _generation(scene, agent)))


@faults("a job of an old generation", "it does nothing")
async def _(scene: Scene, load: Load) -> None:
    """Steps of generations that are over, and of ones that are not yet, are queued."""
    agent, _ = await _agent_of(load)
    now = _generation(scene, agent)
    for generation in (0, now - 1, now + 5):
        _plant(scene, f"old:{agent}:{generation}", _step(agent, generation))


@faults("a job that is no job", "it is dropped, and the worker goes on")
async def _(scene: Scene, load: Load) -> None:
    """A pickle, half a JSON object and an unknown function are queued."""
    for n, body in enumerate((b"\x80\x04K\x01.", b'{"t": 1', _step("x", 1).replace(b"step", b"nothing"))):
        _plant(scene, f"junk:{load.board}:{n}", body)


@faults("many sweepers at once", "each agent is queued, and carried by one worker")
async def _(scene: Scene, load: Load) -> None:
    """Eight sweepers beside the workers' own, over and over, while a worker dies with leases."""
    await load.send_agent("q")
    worker = await scene.crash("model.asked")
    async with open_service(scene.settings) as service:
        for _ in range(10):
            await asyncio.gather(*(service.leases.sweep() for _ in range(8)))
            await asyncio.sleep(0.05)
    scene.revive(worker)


@faults("many dispatchers at once", "one of them records each wake-up")
async def _(scene: Scene, load: Load) -> None:
    """Wake-ups are claimed with a cursor that others have moved, a dozen at a time."""
    async with open_service(scene.settings) as service:
        cursor = await service.subscriptions.cursor(DEFAULT_WORKSPACE)
        changes = await service.changes.after(DEFAULT_WORKSPACE, "0-0", 1)
        moved = [
            service.subscriptions.wake(DEFAULT_WORKSPACE, "0-1", changes[-1].id, []) for _ in range(TIMES)
        ]
        assert not any(await asyncio.gather(*moved)), f"a stale cursor was taken for {cursor}"
