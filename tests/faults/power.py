"""Power: a whole Blockwire that loses its power within a millisecond of an acknowledgement, again and again.

One supervisor watches a block. A person edits it over a plain socket; the moment the answer's first
bytes are there, web and workers (in every other round the store, too) get SIGKILL. Everything is
started again, and the supervisor has to be told of that very version. At the end each version was
told, and told once.
"""

import http.client
import json
import os
import random
import re
import signal
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from service.settings import environment_for
from tests.faults.nursery import Nursery
from tests.scenarios.team import Team

LATEST_S = 0.001
"""A round in which this process was kept from killing for longer does not count."""
_PATIENCE_S = 30.0
_LOOK_S = 0.01
_WORKERS = ("worker 1", "worker 2")
_SYSTEM = 'Nothing to do. <script>[{"text": "Seen."}]</script>'
_VERSION = re.compile(r"`board` version (\d+): ")


@dataclass
class Report:
    """What came of the rounds."""

    rounds: int = 0
    late: int = 0
    """Rounds that do not count: the kills came later than LATEST_S. Nothing may be missed in these either."""
    with_store: int = 0
    versions: set[int] = field(default_factory=set)
    """What was acknowledged and had to be told."""
    told: Counter[int] = field(default_factory=Counter)
    kill_us: list[int] = field(default_factory=list)
    woken_s: list[float] = field(default_factory=list)

    @property
    def missed(self) -> list[int]:
        return sorted(self.versions - set(self.told))

    @property
    def doubled(self) -> list[int]:
        return sorted(version for version, times in self.told.items() if times > 1)

    def __str__(self) -> str:
        kills, woken = sorted(self.kill_us), sorted(self.woken_s)
        return (
            f"{self.rounds} rounds ({self.with_store} with the store), {self.late} not counted; killed after "
            f"{kills[len(kills) // 2]} us (median), {kills[-1]} us at the most; woken after "
            f"{woken[len(woken) // 2]:.2f} s (median), {woken[-1]:.2f} s at the most; "
            f"{len(self.missed)} missed, {len(self.doubled)} doubled"
        )


class Powered(Team):
    """The processes, started and killed as one."""

    def __init__(self, folder: Path, nursery: Nursery) -> None:
        super().__init__(folder)
        self.settings = self.settings.model_copy(update={"lease_ms": 500, "run_tries": 1000})
        self._nursery = nursery
        self._pids: dict[str, int] = {}

    def up(self) -> None:
        """Everything that is not there is started; ready when the web answers."""
        if "store" not in self.processes:
            self.start_store("--appendfsync", "always")
        for name in ("web", *_WORKERS):
            kind = "web" if name == "web" else "worker"
            environ = environment_for(self.settings)
            self._pids[name] = self._nursery.begin(kind, self._log_file(name), environ)
        _wait("the web answers", self._answers)

    def _answers(self) -> bool:
        with suppress(OSError):
            return self.ask("GET", "/v1/health/")[0] == 200
        return False

    def cut(self, *, store: bool) -> float:
        """SIGKILL to everybody; when the last of them had been sent."""
        pids = list(self._pids.values())
        if store:
            pids.insert(0, self.processes["store"].pid)
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        sent = time.perf_counter()
        _wait("all of them are gone", lambda: not any(map(_exists, self._pids.values())))
        self._pids.clear()
        if store:
            self.processes.pop("store").wait(10)
        return sent

    def end(self) -> None:
        for pid in self._pids.values():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        super().end()

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.settings.port, timeout=_PATIENCE_S)
        try:
            return _asked(connection, method, path, body)
        finally:
            connection.close()


def endure(powered: Powered, rounds: int, chance: random.Random) -> Report:
    """So many rounds that count."""
    powered.up()
    board = powered.ask("POST", "/v1/blocks/", {"label": "board", "value": ""})[1]["id"]
    new = {"model": "offline/scripted", "system": _SYSTEM, "message_buffer_autoclear": True}
    agent = powered.ask("POST", "/v1/agents/", new | {"include_base_tools": False})[1]["id"]
    assert powered.ask("POST", f"/v1/agents/{agent}/subscriptions", {"block_id": board})[0] == 200
    report = Report()
    while report.rounds < rounds:
        store = bool((report.rounds + report.late) % 2)
        version, took = _edit_and_cut(powered, board, chance.uniform(0, 0.8 * LATEST_S), store)
        report.versions.add(version)
        began = time.monotonic()
        powered.up()
        _wait_until_told(powered, agent, version)
        report.woken_s.append(time.monotonic() - began)
        if took <= LATEST_S:
            report.rounds += 1
            report.with_store += store
            report.kill_us.append(int(took * 1e6))
        else:
            report.late += 1
    report.told = _all_told(powered, agent)
    return report


def _edit_and_cut(powered: Powered, board: str, pause_s: float, store: bool) -> tuple[int, float]:
    """The version that was acknowledged, and how long after that everybody had been killed."""
    connection = http.client.HTTPConnection("127.0.0.1", powered.settings.port, timeout=_PATIENCE_S)
    edit = json.dumps({"operation": "set", "text": os.urandom(8).hex()})
    connection.request("POST", f"/v1/blocks/{board}/edits", edit, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    body = answer.read()
    acknowledged = time.perf_counter()
    while time.perf_counter() < acknowledged + pause_s:  # sleeping would take longer than that
        pass
    sent = powered.cut(store=store)
    connection.close()
    assert answer.status == 200, body
    return int(json.loads(body)["version"]), sent - acknowledged


def _wait_until_told(powered: Powered, agent: str, version: int) -> None:
    def told() -> bool:
        path = f"/v1/agents/{agent}/messages?limit=6&order=desc"
        return version in _versions(powered.ask("GET", path)[1])

    _wait(f"the supervisor is woken and told of version {version}", told)


def _all_told(powered: Powered, agent: str) -> Counter[int]:
    return _versions(powered.ask("GET", f"/v1/agents/{agent}/messages?limit=0")[1])


def _versions(messages: list[dict[str, Any]]) -> Counter[int]:
    asked = [one["content"] for one in messages if one["message_type"] == "user_message"]
    return Counter(int(version) for text in asked for version in _VERSION.findall(text))


def _asked(
    connection: http.client.HTTPConnection, method: str, path: str, body: dict[str, Any] | None
) -> tuple[int, Any]:
    sent = None if body is None else json.dumps(body)
    connection.request(method, path, sent, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    return answer.status, json.loads(answer.read())


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _wait(what: str, is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while not is_so():
        assert time.monotonic() < deadline, f"not so after {_PATIENCE_S:.0f} s: {what}"
        time.sleep(_LOOK_S)
