"""Story: what happens between the first message and the final blocks.

The main job is done when all workers have ended and the supervisor has ended
its work on the last version of the findings. Whether it was done well is
counted from what the API says: every line that a worker was told is in the
block must be there.
"""

import asyncio
import time
from collections.abc import Sequence

from rich.console import Console

from service.client import Refused
from service.demo.cast import FINDINGS, SUMMARY, Cast, hand_out
from service.demo.machine import Machine
from service.demo.screen import Count, show_block, show_counts
from service.demo.tally import SeenChange, SeenRun, Tally, lost, median_of, new_line, version_told, work_of
from service.demo.texts import Part
from service.demo.timeline import Timeline
from service.errors import BlockwireError

_LOOK_S = 0.05
_GIVE_UP_S = 3.0
"""How long nothing may go on, after something has failed, before it is given up."""


class NotFinished(BlockwireError):
    """The main job is not done: the time is over, or an agent has failed."""


class Story:
    """One playing of the demo by a cast on a machine."""

    def __init__(self, machine: Machine, console: Console, cast: Cast) -> None:
        self._machine = machine
        self._client = machine.client
        self._console = console
        self._cast = cast
        self._tally = Tally()
        self._began = time.monotonic()
        self._timeline = Timeline(console, self._tally, cast, time.time())
        self._listening = asyncio.Event()
        self._summary = ""
        self._runs: list[str] = []
        """The workers' runs, in order of workers."""

    async def play(self, parts: Sequence[Part], seconds: float) -> None:
        """From handing out the text until the job is done. Raises NotFinished, or why it cannot be done."""
        self._timeline.open()
        job = asyncio.create_task(self._carry(parts))
        tasks = [job, asyncio.create_task(self._follow()), asyncio.create_task(self._machine.ended())]
        with self._timeline.live(self._status):
            try:
                done, _ = await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.wait(tasks)
            self._timeline.settle(closing=True)
        for task in done:
            task.result()
        if not done:
            raise NotFinished(f"the time is over: {'; '.join(self._unfinished())}")

    async def end(self, began: float) -> bool:
        """Shows the final blocks and what was counted; whether all went well."""
        findings = await self._client.get(f"/v1/blocks/{self._cast.findings}")
        summary = await self._client.get(f"/v1/blocks/{self._cast.summary}")
        works = [
            work_of(await self._client.get(f"/v1/runs/{run}/messages", limit=0)) for run in self._tally.runs
        ]
        lines = [line for work in works for line in work.lines]
        missing = lost(lines, findings["value"])
        refused = sum(work.refused for work in works)
        failures = self._failures()
        self._console.print()
        show_block(self._console, FINDINGS, findings["version"], findings["value"], "by the workers")
        show_block(self._console, SUMMARY, summary["version"], summary["value"], "by the supervisor")
        latencies = self._tally.latencies(self._cast.supervisor)
        edits = self._tally.findings()
        wakeups = len(self._tally.of(self._cast.supervisor))
        joined = len(edits) - len(latencies)
        counts = [
            Count("edits", self._edits()),
            Count("lines acknowledged", f"{len(lines)}, of which lost {len(missing)}", not missing),
            Count("conflicts and refusals", str(refused), not refused),
            Count("wake-ups of the supervisor", f"{wakeups} for {len(edits)} edits of `{FINDINGS}`"),
            Count("from write to supervisor told", median_of(latencies)),
            Count("joined a wake-up not yet read", f"{joined} edits"),
            Count(f"`{SUMMARY}` reflects", f"`{FINDINGS}` version {self._tally.summed_up()}", not failures),
            Count("elapsed", f"{time.monotonic() - began:.1f} s"),
        ]
        show_counts(self._console, counts)
        if failures:
            raise NotFinished("; ".join(failures))
        return not missing and not refused

    async def _carry(self, parts: Sequence[Part]) -> None:
        await self._listening.wait()
        self._runs = await hand_out(self._client, self._cast, parts)
        idle_since = time.monotonic()
        while True:
            await self._look()
            self._timeline.settle()
            if await self._is_done():
                return
            if any(run.is_live for run in self._tally.runs.values()):
                idle_since = time.monotonic()
            elif self._failures() and time.monotonic() - idle_since > _GIVE_UP_S:
                return
            await asyncio.sleep(_LOOK_S)

    async def _follow(self) -> None:
        """Takes in the change feed."""
        async for event in self._client.events("/v1/changes"):
            self._listening.set()
            if event.name == "change":
                change = SeenChange.model_validate_json(event.data)
                self._tally.changes.append(change)
                if change.kind == "edited":
                    self._timeline.add(change, await self._shown(change))
        raise Refused("the feed of changes has ended")

    async def _shown(self, change: SeenChange) -> str:
        """The line to show of a change; of a rewrite the feed tells the difference, which need not be one."""
        if change.block_id != self._cast.summary:
            return new_line("", change.added)
        before = self._summary
        self._summary = (await self._client.get(f"/v1/blocks/{change.block_id}"))["value"]
        return new_line(before, self._summary)

    async def _look(self) -> None:
        """Takes in how all runs stand, and what new wake-ups told."""
        asked_at = time.time()
        runs = await self._client.get("/v1/runs/", limit=1000)
        self._tally.saw([SeenRun.model_validate(run) for run in runs], asked_at, time.time())
        for run_id in self._tally.untold(self._cast.supervisor):
            version = version_told(await self._client.get(f"/v1/runs/{run_id}/messages"))
            if version:
                self._tally.told[run_id] = version

    async def _is_done(self) -> bool:
        if any(self._tally.runs[run].is_live for run in self._runs):
            return False
        version = (await self._client.get(f"/v1/blocks/{self._cast.findings}"))["version"]
        edits = self._tally.findings()
        if version == self._cast.first_version:
            return True
        seen = bool(edits) and edits[-1].version == version
        idle = not any(run.is_live for run in self._tally.of(self._cast.supervisor))
        return seen and idle and self._tally.summed_up() == version

    def _failures(self) -> list[str]:
        """Why runs failed, each reason once, with who it was."""
        who: dict[str, set[str]] = {}
        for run in self._tally.runs.values():
            if run.failure is not None:
                who.setdefault(run.failure, set()).add(self._cast.name_of(run.agent_id))
        return [f"{', '.join(sorted(names))} failed: {reason}" for reason, names in who.items()]

    def _unfinished(self) -> list[str]:
        """What still goes on, in words."""
        live = [
            f"{self._cast.name_of(run.agent_id)} is still at work"
            for run in self._tally.runs.values()
            if run.is_live
        ]
        edits = self._tally.findings()
        if edits and self._tally.summed_up() < edits[-1].version:
            live.append(
                f"`{SUMMARY}` reflects version {self._tally.summed_up()} of `{FINDINGS}`, "
                f"which is at version {edits[-1].version}"
            )
        return [*live, *self._failures()] or ["the workers were not heard of"]

    def _edits(self) -> str:
        counts = self._tally.edits_by()
        agents = [*self._cast.workers, self._cast.supervisor]
        return ", ".join(f"{self._cast.name_of(agent_id)}: {counts[agent_id]}" for agent_id in agents)

    def _status(self) -> str:
        seconds = f"{time.monotonic() - self._began:.1f} s"
        live = {run.agent_id for run in self._tally.runs.values() if run.is_live}
        agents = [*self._cast.workers, self._cast.supervisor]
        doing = [f"{self._cast.name_of(one)} {'at work' if one in live else 'idle'}" for one in agents]
        return "  ·  ".join([seconds, *doing])
