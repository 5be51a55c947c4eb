"""Faults of the store: it dies, stands still, drops connections, or forgets what it may forget."""

import asyncio
from collections.abc import Awaitable, Callable
from signal import SIGCONT, SIGSTOP

from service.records.base import DEFAULT_WORKSPACE
from service.store.keys import key
from tests.faults.fault import Faults, Inject
from tests.faults.load import Load
from tests.faults.scene import Scene
from tests.scenarios.api import wait_until

faults = Faults()
PAUSE_S = 1.0


def _nothing_waits(scene: Scene) -> Callable[[], Awaitable[bool]]:
    """While a sync is under way `everysec` leaves changes in the server's memory, for two seconds at most."""

    async def so() -> bool:
        told = scene.redis.info("persistence")
        return not told["aof_pending_bio_fsync"] and not told["aof_buffer_length"]

    return so


for policy in ("everysec", "always"):

    def _killed(policy: str) -> Inject:
        async def inject(scene: Scene, load: Load) -> None:
            scene.redis.config_set("appendfsync", policy)
            await wait_until("its disk keeps up", _nothing_waits(scene))
            scene.kill("store")
            scene.revive("store")

        inject.__doc__ = (
            f"SIGKILL to the server under `appendfsync {policy}`, its disk keeping up; it is started again."
        )
        return inject

    faults(f"store killed, appendfsync {policy}", "every process connects again", within_s=8)(_killed(policy))


@faults("store paused", "everybody waits; nothing is done twice", within_s=8)
async def _(scene: Scene, load: Load) -> None:
    """SIGSTOP to the server for longer than a lease, then SIGCONT."""
    scene.signal(SIGSTOP, "store")
    try:
        await asyncio.sleep(PAUSE_S)
    finally:
        scene.signal(SIGCONT, "store")


@faults("store killed together with both workers and the web", "what was acknowledged is there", within_s=10)
async def _(scene: Scene, load: Load) -> None:
    """SIGKILL to every process at once, as in a power cut that the disk survives."""
    names = [*scene.processes]
    scene.redis.config_set("appendfsync", "always")
    scene.kill(*names)
    scene.revive(*names)


@faults("all connections cut", "they are made again")
async def _(scene: Scene, load: Load) -> None:
    """CLIENT KILL TYPE normal, three times while edits are under way."""
    for _ in range(3):
        scene.redis.client_kill_filter(_type="normal", skipme=True)
        await asyncio.sleep(load.rng.random() / 10)


@faults("publish-and-subscribe connections cut", "the feed and the wake-ups miss nothing")
async def _(scene: Scene, load: Load) -> None:
    """CLIENT KILL TYPE pubsub, three times while edits are announced."""
    for _ in range(3):
        scene.redis.client_kill_filter(_type="pubsub")
        await asyncio.sleep(load.rng.random() / 10)


@faults("scripts forgotten", "they are sent again")
async def _(scene: Scene, load: Load) -> None:
    """SCRIPT FLUSH, three times while edits are under way."""
    for _ in range(3):
        scene.redis.script_flush()
        await asyncio.sleep(load.rng.random() / 10)


@faults("change stream trimmed under a follower", "it is told to read anew, never left in the dark")
async def _(scene: Scene, load: Load) -> None:
    """XTRIM of all but the newest change; a follower comes back with an id that is gone."""
    load.is_whole = False
    name = key(DEFAULT_WORKSPACE, "changes")
    old = scene.redis.xrange(name, count=1)[0][0]
    scene.redis.xtrim(name, maxlen=1, approximate=False)
    path, told = f"/v1/blocks/{load.board}/changes", ""
    async with load.once.http.stream("GET", path, headers={"Last-Event-ID": old}) as feed:
        async for line in feed.aiter_lines():
            if line.startswith("event:"):
                told = line[6:].strip()
                break
    assert told == "resync", f"the first event was {told}"
    newest = int(str(scene.redis.hget(key(DEFAULT_WORKSPACE, "block", load.board), "version")))

    async def followed() -> bool:
        return max(load.followed) > newest

    await wait_until("the feed went on", followed)
