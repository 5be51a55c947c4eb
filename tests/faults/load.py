"""Load: what goes on while a fault is injected, and what everybody was told of it.

Three writers over REST, agents with tools, a supervisor that watches, and a follower of the
change feed, all on one new block. Each edit over REST names itself with an `edit_id` and is sent
again until it is answered; one writer sends each edit once and may never hear of it.
"""

import asyncio
import json
import random
import re
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from tests.faults.linear import Done, violations
from tests.faults.scene import PATIENCE_S, Scene
from tests.faults.tally import Tally, kept_of
from tests.scenarios.api import Api, Found, turn, wait_until

PACE_S = 0.02
MODEL_MS = 80
RATE_MOST = 60_000
SEES = '<script>[{"text": "Seen."}]</script>'
_TOLD = re.compile(r"^- `board` version (\d+):", re.MULTILINE)
_EARLIER = re.compile(r"^- `board` version \d+ to \d+: (\d+) earlier change", re.MULTILINE)
_UNLISTED = re.compile(r"^- (\d+) earlier change\(s\) are not listed", re.MULTILINE)


class Load:
    """One block under load. `api` asks until it is answered, `once` asks once."""

    def __init__(
        self, scene: Scene, api: Api, once: Api, rng: random.Random, agents: int, turns: int
    ) -> None:
        self.scene, self.api, self.once, self.rng = scene, api, once, rng
        self.done: list[Done] = []
        self.marks: list[str] = []
        self.runs: dict[str, list[str]] = {}
        """run -> the mark that each of its tool calls writes; "" for one that writes none."""
        self.followed: list[int] = []
        self.resyncs = 0
        self.board = self.supervisor = ""
        self.is_whole = True
        """Whether the feed and the wake-ups are to tell every version; a fault may take that away."""
        self._agents, self._turns = agents, turns
        self._stop = asyncio.Event()
        self._last = ""
        self._writers: list[asyncio.Task[None]] = []
        self._follower: asyncio.Task[None] | None = None

    async def begin(self) -> None:
        """The block, all who write to it and all who listen; those who listen first."""
        self.board = await self.api.block("board", "<first>")
        self._follower = asyncio.create_task(self._follow())

        async def listening() -> bool:
            return bool(self._last)

        await wait_until("the feed had begun", listening, PATIENCE_S)
        self.supervisor = await self.api.agent(system=SEES, name="supervisor")
        often = RATE_MOST  # a fault that takes ten seconds on a quick machine is no reason to be cut
        await self.api.watch(self.supervisor, self.board, wakes_per_minute=often)
        for n in range(self._agents):
            await self.send_agent(f"a{n}")
        who = {"w0": self.api, "w1": self.api, "once": self.once}
        self._writers = [asyncio.create_task(self._write(name, api)) for name, api in who.items()]

    async def send_agent(self, who: str, turns: int | None = None) -> str:
        """A new agent that writes its marks, one a turn, and replaces the first of them at the end."""
        agent = await self.api.agent(self.board)
        marks = [f"<{who}.{m}>" for m in range(turns or self._turns)]
        script = [turn("memory_insert", MODEL_MS, label="board", new_string=mark) for mark in marks]
        changed = f"<{who}.r>"
        script.append(
            turn("memory_replace", MODEL_MS, label="board", old_string=marks[0], new_string=changed)
        )
        run = await self.api.send(agent, *script, {"text": "Done."})
        self.runs[run] = [*marks, changed]
        return run

    async def under_way(self) -> None:
        """Until everybody has done something."""

        async def moving() -> bool:
            return len(self.done) >= 6 and len(self.followed) >= 3

        await wait_until("the load was under way", moving, PATIENCE_S)

    async def write_some(self) -> None:
        """Until there are a few more answers than there were."""
        before = len(self.done)

        async def more() -> bool:
            return len(self.done) >= before + 10

        await wait_until("a few more edits were answered", more, PATIENCE_S)

    async def recovered(self) -> None:
        """Until an edit begun now was answered and every run has ended."""
        asked = time.monotonic()
        for run in self.runs:
            await self.api.ended(run, PATIENCE_S)

        async def answered() -> bool:
            return any(one.began > asked and one.changed for one in self.done)

        await wait_until("an edit was answered again", answered, PATIENCE_S)

    # Writers.

    async def _write(self, who: str, api: Api) -> None:
        """Edits and reads until the load stops."""
        own: list[str] = []
        number = 0
        while not self._stop.is_set():
            number += 1
            mark = f"<{who}.{number}>"
            kind = self.rng.choice(["append", "append", "insert", "replace", "set", "undo", "read"])
            try:
                await self._act(api, kind, mark, own)
            except httpx.TransportError:
                own.clear()  # it may have been replaced, or not; nobody will ever know
            await asyncio.sleep(PACE_S * self.rng.random() * 2)

    async def _act(self, api: Api, kind: str, mark: str, own: list[str]) -> None:
        if kind == "read" or (kind == "replace" and not own):
            await self._read(api)
        elif kind == "replace":
            old = own.pop()
            if await self._edit(api, {"operation": "replace", "old": old, "text": mark}, mark):
                own.append(mark)
        elif kind == "set":
            if (seen := await self._read(api)) is not None:
                whole = {
                    "operation": "set",
                    "text": seen["value"] + mark,
                    "expected_version": seen["version"],
                }
                await self._edit(api, whole, mark)
        elif kind == "undo":
            if made := await self._edit(api, {"operation": "append", "text": mark}, mark):
                await self._undo(api, mark, made)
        elif await self._edit(api, _adding(kind, mark), mark):
            own.append(mark)

    async def _read(self, api: Api) -> Found | None:
        began = time.monotonic()
        answer = await api.http.get(f"/v1/blocks/{self.board}")
        if answer.status_code != 200:
            return None
        found: Found = answer.json()
        self._note(began, "read", found["version"], found["value"], changed=False)
        return found

    async def _edit(self, api: Api, asked: Found, mark: str) -> int | None:
        """The version it made, if it was acknowledged."""
        named = asked | ({"edit_id": f"{self.board}{mark}"} if api is self.api else {})
        began = time.monotonic()
        answer = await api.http.post(f"/v1/blocks/{self.board}/edits", json=named)
        if answer.status_code != 200:
            return None
        found = answer.json()
        told = found["edit"]
        value = None if told["repeated"] else found["value"]
        what = {name: asked[name] for name in ("text", "old", "line") if name in asked}
        self._note(began, asked["operation"], told["version"], value, changed=told["changed"], **what)
        self.marks.append(mark)
        return int(told["version"])

    async def _undo(self, api: Api, mark: str, version: int) -> None:
        began = time.monotonic()
        named = {"edit_id": f"{self.board}{mark} undone"} if api is self.api else {}
        answer = await api.http.post(f"/v1/blocks/{self.board}/versions/{version}/undo", json=named)
        if answer.status_code == 200:
            found = answer.json()
            value = None if found["edit"]["repeated"] else found["value"]
            self._note(began, "undo", found["edit"]["version"], value, old=mark)

    def _note(self, began: float, operation: str, version: int, value: str | None, **more: Any) -> None:
        self.done.append(Done(began, time.monotonic(), operation, version, value, **more))

    # Listeners.

    async def _follow(self) -> None:
        """The block's feed, for ever: after a break it comes back with the last id it has seen."""
        while True:
            headers = {"Last-Event-ID": self._last} if self._last else {}
            path = f"/v1/blocks/{self.board}/changes"
            try:
                async with self.once.http.stream("GET", path, headers=headers) as feed:
                    async for line in feed.aiter_lines():
                        self._heard(line)
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.02)

    def _heard(self, line: str) -> None:
        if line.startswith("id:"):
            self._last = line[3:].strip()
        if line.startswith("data:"):
            told = json.loads(line[5:])
            if "kind" not in told:
                self.resyncs += 1
            elif told["kind"] in ("edited", "configured"):
                self.followed.append(told["version"])

    # The end.

    async def tally(self) -> Tally:
        """Stops the writers, waits until everybody was told everything, and counts."""
        self._stop.set()
        await asyncio.gather(*self._writers)
        kept = await asyncio.to_thread(lambda: kept_of(self.scene.redis, self.board))
        tally = Tally()
        replayed, made = kept.replayed()
        acknowledged = [*self.marks, *await self._written_by_agents(tally)]
        tally.count(acknowledged, made)
        if replayed != kept.value:
            tally.broken.append("the history does not end with the block's value")
        tally.broken += violations(kept.first, self.done, kept.splices)
        if self.is_whole:
            await self._check_listeners(tally, kept.version)
        return tally

    async def end(self) -> None:
        """Nothing of the load is left; for one that was broken off, too."""
        for task in (*self._writers, *filter(None, [self._follower])):
            task.cancel()
            await asyncio.wait([task])

    async def _written_by_agents(self, tally: Tally) -> list[str]:
        marks: list[str] = []
        for run, wanted in self.runs.items():
            statuses = await self.api.tool_statuses(run)
            ended = await self.api.run(run)
            if ended["status"] != "completed" or len(statuses) != len(wanted):
                tally.broken.append(f"{run} is {ended['status']} after {len(statuses)} calls")
            marks += [
                mark for mark, status in zip(wanted, statuses, strict=False) if mark and status == "success"
            ]
        return marks

    async def _check_listeners(self, tally: Tally, newest: int) -> None:
        everything = list(range(2, newest + 1))

        async def followed() -> bool:
            return len(self.followed) >= len(everything)

        async def told() -> bool:
            return sum((await self._told()).values()) >= len(everything)

        for fact, holds in (("the feed had told all", followed), ("the supervisor was told all", told)):
            try:
                await wait_until(fact, holds, PATIENCE_S)
            except AssertionError as failure:
                tally.broken.append(str(failure))
        if self.followed != everything:
            tally.broken.append(f"the feed told {_difference(self.followed, everything)}")
        heard = await self._told()
        if sum(heard.values()) != len(everything) or any(heard[v] > 1 for v in everything):
            tally.broken.append(f"the supervisor was told {_difference([*heard.elements()], everything)}")

    async def _told(self) -> Counter[int]:
        """How often the supervisor was told of each version; those only counted stand under 0."""
        said = await self.api.get(f"/v1/agents/{self.supervisor}/messages", limit=0)
        heard: Counter[int] = Counter()
        for one in said:
            if one["message_type"] == "user_message":
                heard.update(int(version) for version in _TOLD.findall(one["content"]))
                for counted in (_EARLIER, _UNLISTED):
                    heard[0] += sum(map(int, counted.findall(one["content"])))
        return +heard


def _adding(kind: str, mark: str) -> Found:
    return (
        {"operation": "append", "text": mark}
        if kind == "append"
        else {"operation": "insert", "text": mark, "line": 0}
    )


def _difference(told: list[int], wanted: list[int]) -> str:
    often = [version for version, times in Counter(told).items() if times > 1]
    missing = sorted(set(wanted) - set(told))
    return f"{len(missing)} versions never {missing[:5]}, {len(often)} twice {often[:5]}"


@asynccontextmanager
async def loaded(scene: Scene, rng: random.Random, *, agents: int = 2, turns: int = 2) -> AsyncIterator[Load]:
    """A load that is under way, until the block ends."""
    async with scene.client() as api, scene.client(patient=False) as once:
        load = Load(scene, api, once, rng, agents, turns)
        try:
            await load.begin()
            await load.under_way()
            yield load
        finally:
            await load.end()
