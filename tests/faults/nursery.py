"""Nursery: web and worker processes by the thousand, forked from one that has loaded everything.

    python -m tests.faults.nursery

Reads one JSON line each from stdin, `{"kind": "web" or "worker", "log": …, "environ": {…}}`, and answers
with the process id of the one it began. Each runs the same `main` as the command does, with its own
environment, session and log; starting Python and loading what it needs is all that is left out, which
takes most of a second. They end with the nursery, which ends with its stdin.
"""

import contextlib
import ctypes
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from service.http import serve
from service.leash import _PR_SET_PDEATHSIG
from tests.running import ROOT
from workers import main as worker

_MAINS = {"web": serve.main, "worker": worker.main}


class Nursery:
    """The other end: asks for processes, which are then the asker's to kill."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def begin(self, kind: str, log: Path, environ: dict[str, str]) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"kind": kind, "log": str(log), "environ": environ}) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


@contextmanager
def nursery() -> Iterator[Nursery]:
    with subprocess.Popen(
        [sys.executable, "-m", "tests.faults.nursery"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        yield Nursery(process)


def main() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
    begun: list[int] = []
    for line in sys.stdin:
        asked = json.loads(line)
        begun.append(_begin(asked))
        sys.stdout.write(f"{begun[-1]}\n")
        sys.stdout.flush()
    for pid in begun:
        with contextlib.suppress(ProcessLookupError):
            if os.getsid(pid) == pid:  # it is ours still: nobody else's process leads a session by this id
                os.kill(pid, signal.SIGKILL)


def _begin(asked: dict[str, Any]) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        _become(asked)
    finally:
        os._exit(1)


def _become(asked: dict[str, Any]) -> None:
    """From here on it is the process it was asked to be; it never comes back."""
    os.setsid()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL))
    nowhere = os.open(os.devnull, os.O_RDONLY)
    log = os.open(asked["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(nowhere, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.environ.clear()
    os.environ.update(asked["environ"])
    sys.argv = sys.argv[:1]
    random.seed()
    _MAINS[asked["kind"]]()
    os._exit(0)


if __name__ == "__main__":
    main()
