"""Crowd: many agents edit one shared block and eight private ones while workers are killed every few seconds.

Half of them have the tools of one kind of agents, half those of the other; they append, insert at
the top and replace what they wrote. Each edit carries a mark (tally.py).
"""

import asyncio
import itertools
import random
from dataclasses import dataclass, field

from tests.faults.scene import PATIENCE_S, WORKERS, Scene
from tests.faults.tally import Tally, kept_of
from tests.scenarios.api import ENDED, Api, Found, turn, wait_until

PRIVATE = 8
PER_RUN = 5
"""Edits of one message; the next one begins with a fresh prompt."""
LOOK_S, LONGEST_S = 0.3, 300
"""How long one message may take when 64 agents want their turn on a machine that has other things to do."""
KINDS = ("memgpt_agent", "letta_v1_agent")


@dataclass
class Member:
    """One agent, and what it is to do: a run's turns, and which mark each writes into which block."""

    id: str
    kind: str
    blocks: dict[str, str]
    """label -> block id."""
    own: dict[str, list[str]] = field(default_factory=dict)
    """label -> marks that stand there, and that only this agent replaces."""
    wrote: list[tuple[str, list[tuple[str, str]]]] = field(default_factory=list)
    """run -> (block id, mark) of each of its calls."""

    def turn(self, mark: str, rng: random.Random) -> tuple[Found, tuple[str, str]]:
        label = rng.choice(list(self.blocks))
        own = self.own.setdefault(label, [])
        if own and rng.random() < 0.3:
            done = self._replace(label, own.pop(rng.randrange(len(own))), mark)
        elif self.kind == "memgpt_agent":
            done = turn("core_memory_append", label=label, content=mark)
        else:
            line = rng.choice(({}, {"insert_line": 0}))
            done = turn("memory_insert", label=label, new_string=mark, **line)
        own.append(mark)
        return done, (self.blocks[label], mark)

    def _replace(self, label: str, old: str, new: str) -> Found:
        if self.kind == "memgpt_agent":
            return turn("core_memory_replace", label=label, old_content=old, new_content=new)
        return turn("memory_replace", label=label, old_string=old, new_string=new)


async def crowd(
    scene: Scene, rng: random.Random, *, agents: int, edits: int, kill_every_s: float, lease_ms: int
) -> Tally:
    """All of them at once, to the end; then the nine blocks are counted. `lease_ms`: of replacements."""
    scene.settings = scene.settings.model_copy(update={"lease_ms": lease_ms})
    async with scene.client() as api:
        members = await _members(api, agents)
        killing = asyncio.create_task(_kill_now_and_then(scene, kill_every_s))
        try:
            await asyncio.gather(*(_work(api, m, f"a{n}", edits, rng) for n, m in enumerate(members)))
            assert not killing.done(), f"nobody was killed any more: {killing.exception()!r}"
        finally:
            killing.cancel()
            await asyncio.wait([killing])
            scene.revive(*scene.missing())
        return await _tally(scene, api, members)


async def _members(api: Api, agents: int) -> list[Member]:
    shared = await api.block("shared")
    private = [await api.block("private") for _ in range(PRIVATE)]
    members = []
    for n in range(agents):
        kind = KINDS[n % 2]
        blocks = {"shared": shared, "private": private[n % PRIVATE]}
        members.append(Member(await api.agent(*blocks.values(), agent_type=kind), kind, blocks))
    return members


async def _work(api: Api, member: Member, who: str, edits: int, rng: random.Random) -> None:
    """Message after message; each waits in the inbox until the one before is done."""
    for first in range(0, edits, PER_RUN):
        count = min(PER_RUN, edits - first)
        turns = [member.turn(f"<{who}.{first + n}>", rng) for n in range(count)]
        last = turn("send_message", message="Done.") if member.kind == "memgpt_agent" else {"text": "Done."}
        run = await api.send(member.id, *(one for one, _ in turns), last)
        member.wrote.append((run, [mark for _, mark in turns]))
    for run, _ in member.wrote:

        async def done(run: str = run) -> bool:
            await asyncio.sleep(LOOK_S)
            return await api.status(run) in ENDED

        await wait_until(f"{run} of {who} had ended after the one before", done, LONGEST_S)
        assert await api.status(run) == "completed", await api.run(run)


async def _kill_now_and_then(scene: Scene, every_s: float) -> None:
    """One of the two in turn, when both are there."""

    async def both_run() -> bool:
        return all(scene.events(worker, "worker.started") for worker in WORKERS)

    for name in itertools.cycle(WORKERS):
        await asyncio.sleep(every_s)
        await wait_until("both workers ran", both_run, PATIENCE_S)
        scene.kill(name)
        scene.revive(name)


async def _tally(scene: Scene, api: Api, members: list[Member]) -> Tally:
    tally = Tally()
    acknowledged: dict[str, list[str]] = {}
    for run, marks in itertools.chain.from_iterable(member.wrote for member in members):
        statuses = (await api.tool_statuses(run))[: len(marks)]
        if statuses != ["success"] * len(marks):
            tally.broken.append(f"calls of {run} went {statuses}")
        for (block, mark), status in zip(marks, statuses, strict=False):
            if status == "success":
                acknowledged.setdefault(block, []).append(mark)
    for block in {block for member in members for block in member.blocks.values()}:
        kept = kept_of(scene.redis, block)
        replayed, made = kept.replayed()
        tally.count(acknowledged.get(block, ()), made)
        if replayed != kept.value:
            tally.broken.append(f"the history of {block} does not end with its value")
        if kept.version != 1 + len(made):
            tally.broken.append(f"{block} is at version {kept.version} after {len(made)} edits")
    return tally
