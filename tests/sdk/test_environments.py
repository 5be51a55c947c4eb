"""How the SDKs' environments are built: once, from locks without addresses, with failures that help."""

import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.sdk import environments
from tests.sdk.environments import HERE, SDKS, EnvironmentNotBuilt, NodeMissing, Sdk, driver_command

OF_ITS_OWN = Sdk("python", "0.0.1", "old", "mine")


@pytest.fixture
def lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The lock of an SDK whose environment would be built in a folder of this test's own."""
    monkeypatch.setattr(environments, "HERE", tmp_path)
    monkeypatch.setattr(environments, "BUILT", tmp_path / "built")
    file = tmp_path / "python" / "mine" / "requirements.txt"
    file.parent.mkdir(parents=True)
    file.write_text("first")
    return file


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands of builds that only pretend, each of which leaves a folder."""
    ran: list[list[str]] = []

    def pretend(command: Sequence[str], **_options: Any) -> subprocess.CompletedProcess[str]:
        ran.append(list(command))
        OF_ITS_OWN.environment.mkdir(exist_ok=True)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", pretend)
    return ran


def test_locks_pin_the_published_sdks_and_name_no_address() -> None:
    for sdk in SDKS:
        python = sdk.language == "python"
        lock = (sdk.home / ("requirements.txt" if python else "package-lock.json")).read_text()
        pinned = f"letta-client=={sdk.version} " if python else f'"version": "{sdk.version}"'
        assert pinned in lock
        assert "sha256:" in lock if python else "sha512-" in lock
    files = [file for file in HERE.rglob("*") if file.suffix in (".txt", ".json") or file.name == ".npmrc"]
    assert len(files) > len(SDKS)
    assert [file for file in files if re.search(r"https?:", file.read_text())] == []


def test_an_environment_is_built_once(lock: Path, commands: list[list[str]]) -> None:
    first = driver_command(OF_ITS_OWN)
    assert [command[1:3] for command in commands] == [["-m", "venv"], ["-m", "pip"]]
    assert driver_command(OF_ITS_OWN) == first
    assert len(commands) == 2


def test_an_environment_is_built_again_when_its_lock_changes(lock: Path, commands: list[list[str]]) -> None:
    driver_command(OF_ITS_OWN)
    lock.write_text("second")
    driver_command(OF_ITS_OWN)
    assert len(commands) == 4


def test_one_builds_and_the_others_wait(lock: Path, commands: list[list[str]]) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(driver_command, [OF_ITS_OWN] * 8))
    assert all(answer == answers[0] for answer in answers)
    assert len(commands) == 2


def test_a_build_that_fails_names_its_command_and_counts_for_nothing(
    lock: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(command: Sequence[str], **_options: Any) -> subprocess.CompletedProcess[str]:
        OF_ITS_OWN.environment.mkdir(exist_ok=True)
        return subprocess.CompletedProcess(command, 1, "no route to the index", "")

    monkeypatch.setattr(subprocess, "run", fail)
    for _ in range(2):
        with pytest.raises(EnvironmentNotBuilt, match=r"(?s)python-0\.0\.1 .*-m venv.*no route to the index"):
            driver_command(OF_ITS_OWN)


def test_a_build_that_hangs_is_given_up(lock: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(command: Sequence[str], **_options: Any) -> None:
        raise subprocess.TimeoutExpired(command, 1)

    monkeypatch.setattr(subprocess, "run", hang)
    with pytest.raises(EnvironmentNotBuilt, match="was not done after"):
        driver_command(OF_ITS_OWN)


def test_a_machine_without_node_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    typescript = next(sdk for sdk in SDKS if sdk.language == "typescript")
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    with pytest.raises(NodeMissing, match=r"no Node\.js here"):
        driver_command(typescript)


def test_a_node_that_is_too_old_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    typescript = next(sdk for sdk in SDKS if sdk.language == "typescript")
    monkeypatch.setattr(shutil, "which", lambda _name: sys.executable)
    old = subprocess.CompletedProcess([], 0, "v16.20.2\n", "")
    monkeypatch.setattr(subprocess, "run", lambda *_command, **_options: old)
    with pytest.raises(NodeMissing, match=r"v16\.20\.2; 20 or newer"):
        driver_command(typescript)
