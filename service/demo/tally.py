"""Tally: what the API has told of the demo so far, and what follows from it. Pure.

Which wake-up told of a change: its own message names the versions, once the
supervisor's first step with it is over; often it is certain sooner, from when
wake-ups were recorded and read. A change that came while one was still unread
has joined that one and has no time of its own.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from statistics import median
from typing import Any, NamedTuple

from service.demo.cast import FINDINGS
from service.records.base import Record

_TOLD = re.compile(rf"^- `{FINDINGS}` version (\d+)\b", re.MULTILINE)
_LIVE = ("created", "running")
_DISPATCHED_S = 1.0
"""After so long a change has certainly reached its subscribers' inboxes (workers/wakeups.py)."""


class Author(Record):
    agent_id: str | None = None
    run_id: str | None = None


class SeenChange(Record):
    """A change as the feed told it."""

    id: str
    block_id: str
    label: str
    version: int
    operation: str
    kind: str
    at: datetime
    author: Author
    added: str = ""


class SeenRun(Record):
    """A run as the list of runs told it."""

    id: str
    agent_id: str
    status: str
    created_at: datetime
    metadata: dict[str, Any] = {}

    @property
    def is_live(self) -> bool:
        return self.status in _LIVE

    @property
    def failure(self) -> str | None:
        if self.is_live or self.status == "completed":
            return None
        return str((self.metadata.get("error") or {}).get("message") or self.status)


class Work(NamedTuple):
    """What a run did, as its messages tell: lines that a tool said it had put in, and calls that failed."""

    lines: list[str]
    refused: int


class Notice(NamedTuple):
    """How a change of the findings reached the supervisor; no time: it joined a wake-up not yet read."""

    run_id: str
    ms: float | None


class Tally:
    """What was seen so far. Times are seconds of the store's clock, which is this machine's."""

    def __init__(self) -> None:
        self.changes: list[SeenChange] = []
        self.runs: dict[str, SeenRun] = {}
        self.told: dict[str, int] = {}
        """wake-up run -> the newest version of the findings in its message."""
        self._read_by: dict[str, float] = {}
        """run -> a moment when it had been begun."""
        self._unread_at: dict[str, float] = {}
        """run -> the last moment when it was seen not yet begun."""

    def saw(self, runs: Iterable[SeenRun], asked_at: float, answered_at: float) -> None:
        """Takes in the list of runs as it was at some moment between the two."""
        for run in runs:
            self.runs[run.id] = run
            if run.status == "created":
                self._unread_at[run.id] = asked_at
            else:
                self._read_by.setdefault(run.id, answered_at)

    def findings(self) -> list[SeenChange]:
        """The edits of the shared block."""
        return [one for one in self.changes if one.label == FINDINGS and one.kind == "edited"]

    def untold(self, agent_id: str) -> list[str]:
        """The agent's runs of which it is not known yet what they told."""
        return [run.id for run in self.of(agent_id) if run.id not in self.told]

    def of(self, agent_id: str) -> list[SeenRun]:
        """An agent's runs, oldest first."""
        return sorted(
            (run for run in self.runs.values() if run.agent_id == agent_id), key=lambda run: run.created_at
        )

    def notice(self, change: SeenChange, supervisor: str) -> Notice | None:
        """By which wake-up a change of the findings was told, once that is certain."""
        at = change.at.timestamp()
        for run in self.of(supervisor):
            ms = (run.created_at - change.at).total_seconds() * 1000
            if run.id in self.told:
                if self.told[run.id] >= change.version:
                    return Notice(run.id, ms if ms >= 0 else None)
            elif ms >= 0:
                return Notice(run.id, ms)
            elif self._unread_at.get(run.id, 0) >= at + _DISPATCHED_S:
                return Notice(run.id, None)
            elif self._read_by.get(run.id, at + 1) > at:
                return None
        return None

    def latencies(self, supervisor: str) -> list[float]:
        """Milliseconds from each write of the findings that caused a wake-up until that was recorded."""
        notices = [self.notice(change, supervisor) for change in self.findings()]
        return [one.ms for one in notices if one is not None and one.ms is not None]

    def summed_up(self) -> int:
        """The newest version of the findings that a finished wake-up told of."""
        return max((v for id, v in self.told.items() if self.runs[id].status == "completed"), default=0)

    def edits_by(self) -> Counter[str | None]:
        return Counter(one.author.agent_id for one in self.changes if one.kind == "edited")


def median_of(numbers: Sequence[float]) -> str:
    return f"median {median(numbers):.1f} ms, longest {max(numbers):.1f} ms" if numbers else "none"


def version_told(messages: Iterable[Mapping[str, Any]]) -> int:
    """The newest version of the findings in a wake-up's message; 0 while there is none."""
    told = [
        int(version)
        for message in messages
        if message["message_type"] == "user_message"
        for version in _TOLD.findall(str(message["content"]))
    ]
    return max(told, default=0)


def work_of(messages: Iterable[Mapping[str, Any]]) -> Work:
    """What the tool calls of one run's messages did. Ids of calls may repeat from step to step."""
    calls: dict[str, Any] = {}
    lines: list[str] = []
    refused = 0
    for message in messages:
        if message["message_type"] == "tool_call_message":
            calls = {call["tool_call_id"]: call for call in message["tool_calls"]}
        elif message["message_type"] == "tool_return_message":
            results = message["tool_returns"]
            refused += sum(result["status"] != "success" for result in results)
            for result in results:
                if result["status"] == "success":
                    lines += _lines_put_in(calls[result["tool_call_id"]])
    return Work(lines, refused)


def new_line(before: str, value: str) -> str:
    """The first line of a value that it did not have before, else its first."""
    lines = [line for line in value.splitlines() if line.strip()]
    known = set(before.splitlines())
    return next((line for line in lines if line not in known), lines[0] if lines else "")


def lost(acknowledged: Iterable[str], value: str) -> list[str]:
    """The lines that were acknowledged and are not in the block."""
    return sorted((Counter(acknowledged) - Counter(value.splitlines())).elements())


def _lines_put_in(call: Mapping[str, Any]) -> list[str]:
    if call["name"] != "memory_insert":
        return []
    arguments = json.loads(call["arguments"])
    return [line for line in str(arguments["new_string"]).expandtabs().splitlines() if line.strip()]
