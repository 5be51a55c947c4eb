"""Running: the whole of Blockwire as a real process, for tests that need one.

    with running_blockwire() as running:
        httpx.get(f"{running.url}/v1/health/")

`blockwire up` with a data folder and a port of its own, told nothing by the
environment it is started from: no provider's key, nobody else's store. It ends
with the block, by its own process id, and with the test run if that is killed.
"""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from service.processes import HEALTH_PATH
from service.settings import Settings, variables_of

ROOT = Path(__file__).resolve().parents[1]
_LEASH = ROOT / "service" / "leash.py"
_START_S = 30.0
_STOP_S = 20.0
_POLL_S = 0.05
_SHOWN_LINES = 40


class NotRunning(AssertionError):
    """`blockwire up` did not start, or did not end; the end of its log is in the message."""


@dataclass(frozen=True)
class Running:
    """A Blockwire that answers."""

    url: str
    pid: int
    data: Path
    log_file: Path

    def log(self) -> str:
        """The last lines of what it wrote, for the message of a failure."""
        return _end_of(self.log_file)


@contextlib.contextmanager
def running_blockwire(workers: int = 2, environ: Mapping[str, str] | None = None) -> Iterator[Running]:
    """`blockwire up`, ready when the block begins; `environ` adds settings to those of a bare machine."""
    folder = Path(tempfile.mkdtemp(prefix="bw-"))
    try:
        log_file, data, port = folder / "up.log", folder / "data", free_port()
        with log_file.open("wb") as log:
            process = subprocess.Popen(
                _command(data, port, workers),
                cwd=ROOT,
                env=bare_environ() | dict(environ or {}),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        running = Running(f"http://127.0.0.1:{port}", process.pid, data, log_file)
        try:
            _wait_until_ready(process, running)
            yield running
        finally:
            _end(process, running)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def token_command(running: Running, *words: str) -> "subprocess.CompletedProcess[str]":
    """`blockwire token …`, beside a running one."""
    command = [sys.executable, "-m", "service.cli", "token", *words, "--data", str(running.data)]
    return subprocess.run(
        command, cwd=ROOT, env=bare_environ(), capture_output=True, text=True, timeout=60, check=True
    )


def make_token(running: Running, workspace: str, scope: str = "write") -> tuple[str, str]:
    """The secret, as a shell's `$(…)` would have it, and the token's id."""
    done = token_command(running, "create", "--workspace", workspace, "--scope", scope)
    return done.stdout.rstrip("\n"), done.stderr.split()[0]


def free_port() -> int:
    """A port that nothing listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def bare_environ() -> dict[str, str]:
    """This process's environment without anything that is a setting of Blockwire's."""
    settings = {name for field in Settings.model_fields for name in variables_of(field)}
    return {name: value for name, value in os.environ.items() if name not in settings}


def _command(data: Path, port: int, workers: int) -> list[str]:
    leash = [sys.executable, "-I", "-S", str(_LEASH), str(os.getpid())]
    up = [sys.executable, "-m", "service.cli", "up"]
    return [*leash, *up, "--data", str(data), "--port", str(port), "--workers", str(workers)]


def _wait_until_ready(process: subprocess.Popen[bytes], running: Running) -> None:
    deadline = time.monotonic() + _START_S
    while not _is_healthy(running.url):
        if process.poll() is not None:
            raise NotRunning(f"`blockwire up` ended with {process.returncode}:\n{running.log()}")
        if time.monotonic() > deadline:
            raise NotRunning(f"`blockwire up` was not ready after {_START_S:.0f} s:\n{running.log()}")
        time.sleep(_POLL_S)


def _is_healthy(url: str) -> bool:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(url + HEALTH_PATH, timeout=2) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def _end(process: subprocess.Popen[bytes], running: Running) -> None:
    process.terminate()
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise NotRunning(
            f"`blockwire up` was still there {_STOP_S:.0f} s after SIGTERM:\n{running.log()}"
        ) from None


def _end_of(file: Path) -> str:
    return "\n".join(file.read_text(errors="replace").splitlines()[-_SHOWN_LINES:])
