"""Children: processes that one of ours starts, and that never outlive it.

Each runs in a session of its own, so that Ctrl-C in a terminal reaches the
parent alone, which then ends its children in order; and on a leash
(leash.py), so that a parent killed outright leaves none behind. Only what was
started here is ever signalled, through its own handle.

The kernel watches the thread that starts a child: start them from the main one.
"""

import asyncio
import contextlib
import os
import sys
from asyncio.subprocess import Process
from collections.abc import Mapping, Sequence
from pathlib import Path

_LEASH = str(Path(__file__).with_name("leash.py"))


async def start_child(
    command: Sequence[str],
    *,
    environ: Mapping[str, str] | None = None,
    folder: Path | None = None,
    output: int | None = None,
    keep: Sequence[int] = (),
) -> Process:
    """Start a command, named by its full path; `keep` are descriptors that it inherits."""
    leash = [sys.executable, "-I", "-S", _LEASH, str(os.getpid())]
    return await asyncio.create_subprocess_exec(
        *leash,
        *command,
        env=environ,
        cwd=folder,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        start_new_session=True,
        pass_fds=tuple(keep),
    )


async def end_child(process: Process, grace_s: float) -> None:
    """SIGTERM, and SIGKILL if it is still there after `grace_s`; returns when it is gone."""
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), grace_s)
    except TimeoutError:
        kill_child(process)
        await process.wait()


def kill_child(process: Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()
