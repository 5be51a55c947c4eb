"""Running Blockwire as a real process: it starts bare, says why it could not, and leaves nothing."""

import json
import os
import time

import pytest

from tests.running import NotRunning, Running, bare_environ, running_blockwire

pytestmark = pytest.mark.slow


def test_a_start_that_fails_is_told_with_its_log() -> None:
    with (
        pytest.raises(NotRunning, match="BLOCKWIRE_SLOTS"),
        running_blockwire(environ={"BLOCKWIRE_SLOTS": "none"}),
    ):
        pytest.fail("it started")


def test_nothing_is_left_when_it_ends() -> None:
    with running_blockwire(workers=1) as running:
        pids = [running.pid, *_children(running)]
        assert len(pids) == 4  # up; the store, the web and the worker
    deadline = time.monotonic() + 5
    while any(_is_there(pid) for pid in pids):
        assert time.monotonic() < deadline, f"still there: {[pid for pid in pids if _is_there(pid)]}"
        time.sleep(0.02)
    assert not running.data.exists()


def test_no_setting_of_this_machine_reaches_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://somebody.example:6379/0")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "a key")
    assert not {"REDIS_URL", "ANTHROPIC_API_KEY"} & bare_environ().keys()


def _children(running: Running) -> list[int]:
    lines = [json.loads(line) for line in running.log_file.read_text().splitlines() if line.startswith("{")]
    return [line["pid"] for line in lines if "pid" in line]


def _is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
