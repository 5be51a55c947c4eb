"""How the demo ends: when the job is done, when it cannot be, and when the time is over."""

import asyncio
import io
import json
import re
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from rich.console import Console

from service.client import Client, Event, Refused
from service.demo import story
from service.demo.machine import Machine, Stopped
from service.demo.story import NotFinished, Story
from service.demo.texts import Part
from service.records.base import iso
from tests.service.test_demo_tally import called, returned
from tests.service.test_demo_timeline import CAST

PARTS = [Part(["a.md"], "text")] * 3
BEGIN_MICROS = 1_767_323_045_000_000


class Api(Client):
    """The API as the story sees it: runs, blocks and messages are what a test puts in."""

    def __init__(self) -> None:
        super().__init__("http://127.0.0.1:1")
        self.runs: dict[str, dict[str, Any]] = {}
        self.messages: dict[str, list[dict[str, Any]]] = {}
        self.blocks: dict[str, dict[str, Any]] = {
            CAST.findings: {"version": 1, "value": ""},
            CAST.summary: {"version": 1, "value": ""},
        }
        self.feed: asyncio.Queue[Event | None] = asyncio.Queue()
        self.feed.put_nowait(Event("1-0", "", ""))

    def run(self, name: str, agent_id: str, status: str = "completed", **fields: Any) -> None:
        """Puts in a run, or changes it."""
        at = iso(BEGIN_MICROS + 1000 * len(self.runs))
        common = {"id": name, "agent_id": agent_id, "created_at": at, "metadata": {"run_type": "x"}}
        self.runs[name] = {**common, "status": status, **fields}

    def edit(self, block_id: str, label: str, agent_id: str, line: str, kind: str = "edited") -> None:
        block = self.blocks[block_id]
        self.blocks[block_id] = {"version": block["version"] + 1, "value": f"{block['value']}\n{line}"}
        change = {
            "id": f"1-{self.feed.qsize()}",
            "block_id": block_id,
            "label": label,
            "version": self.blocks[block_id]["version"],
            "operation": "insert",
            "kind": kind,
            "at": iso(BEGIN_MICROS),
            "author": {"name": "x", "agent_id": agent_id},
            "added": f"\n{line}",
        }
        self.feed.put_nowait(Event("1-1", "change", json.dumps(change)))

    def works(self, number: int, *lines: str, status: str = "completed") -> None:
        """A worker's run that says it put lines in, and did."""
        name = f"run-{number}"
        self.run(name, CAST.workers[number - 1], status)
        self.messages[name] = []
        for line in lines:
            call = called("call_0", "memory_insert", label="findings", new_string=line)
            self.messages[name] += [call, returned("call_0")]
            self.edit(CAST.findings, "findings", CAST.workers[number - 1], line)

    def wakes(self, version: int, status: str = "completed") -> None:
        """The supervisor's run that was told of the findings up to a version."""
        self.run("wake", CAST.supervisor, status)
        told = f"Changed:\n\n- `findings` version {version}: insert by x at y"
        self.messages["wake"] = [{"message_type": "user_message", "content": told}]
        self.edit(CAST.summary, "summary", CAST.supervisor, "- the essence")

    async def get(self, path: str, **query: object) -> Any:
        if path == "/v1/runs/":
            return list(self.runs.values())
        if path.startswith("/v1/runs/"):
            return self.messages.get(path.split("/")[3], [])
        return self.blocks[path.removeprefix("/v1/blocks/")]

    async def post(self, path: str, body: object) -> Any:
        agent_id = path.split("/")[3]
        return {"id": f"run-{CAST.workers.index(agent_id) + 1}"}

    async def events(
        self, path: str, *, after: str | None = None, body: object | None = None, **query: Any
    ) -> AsyncGenerator[Event, None]:
        while (event := await self.feed.get()) is not None:
            yield event


class Running(Machine):
    """A machine that goes on until it is told to end."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.over = asyncio.Event()

    async def ended(self) -> None:
        await self.over.wait()
        raise Stopped("Blockwire has stopped by itself (exit code 1)")


class Stage:
    def __init__(self) -> None:
        self.api = Api()
        self.machine = Running(self.api)
        self.output = io.StringIO()
        console = Console(file=self.output, width=110, highlight=False, markup=False, emoji=False)
        self.story = Story(self.machine, console, CAST)

    async def play(self, seconds: float = 20) -> bool:
        await self.story.play(PARTS, seconds)
        return await self.story.end(began=0)

    def counted(self, what: str) -> str:
        """What the final table says."""
        lines = [line.strip("│ ") for line in self.output.getvalue().splitlines()]
        [line] = [line for line in lines if line.startswith(what)]
        return line.removeprefix(what).strip()


@pytest.fixture
def stage() -> Stage:
    return Stage()


async def test_it_ends_well_when_the_supervisor_has_worked_on_the_last_version(stage: Stage) -> None:
    for number in (1, 2, 3):
        stage.api.works(number, f"- finding {number}")
    stage.api.wakes(version=4)
    assert await stage.play()
    assert stage.counted("edits") == "worker 1: 1, worker 2: 1, worker 3: 1, supervisor: 1"
    assert stage.counted("lines acknowledged") == "3, of which lost 0"
    assert stage.counted("conflicts and refusals") == "0"
    assert stage.counted("`summary` reflects") == "`findings` version 4"
    assert "- the essence" in stage.output.getvalue()


async def test_it_goes_on_while_the_supervisor_has_not_seen_the_last_version(stage: Stage) -> None:
    for number in (1, 2, 3):
        stage.api.works(number, f"- finding {number}")
    stage.api.wakes(version=3)
    with pytest.raises(
        NotFinished, match="`summary` reflects version 3 of `findings`, which is at version 4"
    ):
        await stage.play(seconds=0.2)


async def test_it_says_who_is_still_at_work_when_the_time_is_over(stage: Stage) -> None:
    stage.api.works(1, "- finding 1")
    stage.api.works(2, status="running")
    stage.api.works(3)
    stage.api.wakes(version=2, status="created")
    with pytest.raises(NotFinished) as ended:
        await stage.play(seconds=0.2)
    assert "the time is over: worker 2 is still at work; supervisor is still at work" in str(ended.value)


async def test_before_anything_was_heard_it_says_so(stage: Stage) -> None:
    stage.api.feed.get_nowait()  # the feed never begins
    with pytest.raises(NotFinished, match="the workers were not heard of"):
        await stage.play(seconds=0.05)


async def test_a_text_without_findings_is_no_failure(stage: Stage) -> None:
    for number in (1, 2, 3):
        stage.api.works(number)
    assert await stage.play()
    assert stage.counted("from write to supervisor told") == "none"


async def test_only_edits_are_on_the_time_line(stage: Stage) -> None:
    stage.api.edit(CAST.summary, "summary", CAST.supervisor, "- a new limit", kind="configured")
    for number in (1, 2, 3):
        stage.api.works(number, "- a finding")
    stage.api.wakes(version=4)
    assert await stage.play()
    assert stage.counted("edits") == "worker 1: 1, worker 2: 1, worker 3: 1, supervisor: 1"
    assert re.findall(r" summary v\d+", stage.output.getvalue()) == [" summary v3"]


async def test_a_lost_line_is_a_failure(stage: Stage) -> None:
    for number in (1, 2, 3):
        stage.api.works(number, f"- finding {number}")
    stage.api.wakes(version=4)
    stage.api.blocks[CAST.findings]["value"] = "\n- finding 1\n- finding 3"
    assert not await stage.play()
    assert stage.counted("lines acknowledged") == "3, of which lost 1"


async def test_a_refused_call_is_a_failure(stage: Stage) -> None:
    for number in (1, 2, 3):
        stage.api.works(number)
    stage.api.messages["run-2"] += [
        called("call_0", "memory_insert", label="findings", new_string="- x"),
        returned("call_0", "error"),
    ]
    assert not await stage.play()
    assert stage.counted("conflicts and refusals") == "1"


async def test_failed_runs_are_told_once_for_each_reason(stage: Stage) -> None:
    error = {"metadata": {"error": {"message": "the key is wrong"}}}
    for number in (1, 2, 3):
        stage.api.run(f"run-{number}", CAST.workers[number - 1], "failed", **error)
    with pytest.raises(NotFinished, match=r"^worker 1, worker 2, worker 3 failed: the key is wrong$"):
        await stage.play()


async def test_a_supervisor_that_failed_is_not_waited_for(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(story, "_GIVE_UP_S", 0.1)
    for number in (1, 2, 3):
        stage.api.works(number, f"- finding {number}")
    stage.api.run("wake", CAST.supervisor, "failed")
    with pytest.raises(NotFinished, match=r"^supervisor failed: failed$"):
        await stage.play()


async def test_blockwire_stopping_by_itself_ends_it(stage: Stage) -> None:
    stage.api.works(1, status="running")
    stage.machine.over.set()
    with pytest.raises(Stopped, match="exit code 1"):
        await stage.play()


async def test_a_feed_that_ends_ends_it(stage: Stage) -> None:
    stage.api.works(1, status="running")
    stage.api.feed.put_nowait(None)
    with pytest.raises(Refused, match="feed of changes has ended"):
        await stage.play()
