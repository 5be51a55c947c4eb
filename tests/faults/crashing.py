"""Crashing: a worker or web process that kills itself at a named point, once somebody asks for it.

    python -m tests.faults.crashing worker FOLDER

Ours in everything else. A file FOLDER/<point> asks for the crash; the first process that comes
by takes it (renames it to <point>.taken) and sends itself SIGKILL, so that exactly one dies, at
exactly that line, with nothing flushed and nobody told.
"""

import os
import signal
import sys
from collections.abc import Awaitable, Callable
from functools import wraps
from pathlib import Path
from typing import Any

from service.asks import Asks
from service.blocks import Blocks
from service.deliveries import Deliveries
from service.http import serve
from service.leases import Leases
from service.store.messages import MessageStore
from service.subscriptions import Subscriptions
from workers import main as worker
from workers.models.scripted import ScriptedModel

TAKEN = ".taken"
_POINTS: dict[str, list[tuple[type, str, str, str]]] = {
    "worker": [
        (ScriptedModel, "answer", "model.asked", ""),
        (Leases, "begin", "job.taken", "run.begun"),
        (Leases, "store_answer", "", "answer.stored"),
        (Blocks, "edit", "", "tool.edited"),
        (Leases, "store_step", "tools.done", "step.stored"),
        (Leases, "compact", "summary.written", "summary.stored"),
        (Asks, "ask", "", "reply.asked"),
        (Asks, "wait", "", "wait.stored"),
        (Subscriptions, "wake", "wakeup.decided", "wakeup.recorded"),
        (Deliveries, "settle", "delivery.posted", ""),
    ],
    "web": [
        (Blocks, "edit", "", "edit.applied"),
        (MessageStore, "send", "", "send.recorded"),
    ],
}


def main(kind: str, folder: Path) -> None:
    for owner, name, before, after in _POINTS[kind]:
        _crash_around(owner, name, folder, before, after)
    sys.argv = sys.argv[:1]
    if kind == "web":
        serve.main()
    else:
        worker.main()


def _crash_around(owner: type, name: str, folder: Path, before: str, after: str) -> None:
    whole: Callable[..., Awaitable[Any]] = getattr(owner, name)

    @wraps(whole)
    async def around(*args: Any, **named: Any) -> Any:
        _crash_if_asked(folder, before)
        given = await whole(*args, **named)
        _crash_if_asked(folder, after)
        return given

    setattr(owner, name, around)


def _crash_if_asked(folder: Path, point: str) -> None:
    if not point:
        return
    try:
        os.rename(folder / point, folder / f"{point}{TAKEN}")
    except FileNotFoundError:
        return
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
