"""Sandboxed: the program of a process that runs one call of somebody's tool, and nothing else.

    python -I -S sandboxed.py PARENT-PID RESULT-FD < payload

Run by path with an empty module path and an empty environment; imports nothing of
ours. The payload comes as JSON, the result goes as one JSON object through a
descriptor of its own, so that what the tool prints cannot be taken for it. What the
tool leaves behind (threads, handlers) ends with the process, without ceremony.

Elsewhere: who starts it, watches it and kills it (sandbox.py).
"""

import asyncio
import contextlib
import ctypes
import inspect
import json
import os
import resource
import signal
import sys
import traceback
from types import ModuleType
from typing import Any

MOST_FILES = 64
MOST_FILE_BYTES = 64 * 1024 * 1024
_PR_SET_PDEATHSIG = 1
_SOURCE = "<tool>"
_TRACE_CHARS = 10_000


def main(parent: int, result: int) -> None:
    _die_with(parent)
    os.set_inheritable(result, False)
    payload = json.loads(sys.stdin.buffer.read())
    _close_input()
    _limit(payload["cpu_seconds"], payload["bytes"])
    try:
        os.environ.clear()
        os.environ.update(payload["environ"])
        value = _call(payload["source"], payload["function"], payload["arguments"])
        told = _told(value, payload["most_chars"])
    except BaseException as failure:  # noqa: BLE001 - also SystemExit: whatever it was, the caller is told
        told = _failure(failure)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    with os.fdopen(result, "wb") as out:
        out.write(json.dumps(told).encode())
    os._exit(0)


def _close_input() -> None:
    """The tool finds nothing to read."""
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)


def _die_with(parent: int) -> None:
    """Where the kernel can be asked for it (not on macOS), this process is killed when its parent is gone."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL))
    if os.getppid() != parent:
        os._exit(1)


def _limit(cpu_seconds: int, most_bytes: int) -> None:
    """No processes or threads of its own (root is exempt), and bounds on the rest."""
    for kind, most in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_CPU, cpu_seconds),
        (resource.RLIMIT_FSIZE, MOST_FILE_BYTES),
        (resource.RLIMIT_NOFILE, MOST_FILES),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_AS, most_bytes),
    ):
        with contextlib.suppress(ValueError, OSError):  # some systems do not let this one be set
            resource.setrlimit(kind, (most, most))


def _call(source: str, name: str, arguments: dict[str, Any]) -> Any:
    """Runs the source, then its function of that name, else the last one it defines."""
    module = ModuleType("tool")
    sys.modules["tool"] = module
    exec(compile(source, _SOURCE, "exec", dont_inherit=True), module.__dict__)
    function = module.__dict__.get(name)
    if not callable(function):
        own = [one for one in vars(module).values() if inspect.isfunction(one) and one.__module__ == "tool"]
        if not own:
            raise NameError(f"the source defines no function {name!r}")
        function = own[-1]
    value = function(**arguments)
    return asyncio.run(_awaited(value)) if inspect.isawaitable(value) else value


async def _awaited(value: Any) -> Any:
    return await value


def _told(value: Any, most: int) -> dict[str, Any]:
    """A text as it is; anything else as JSON if it can be, else as Python shows it. Cut, with its length."""
    text, is_json = _as_text(value)
    return {"text": text[:most], "chars": len(text), "json": is_json}


def _as_text(value: Any) -> tuple[str, bool]:
    if isinstance(value, str):
        return str(value), False
    if value is None:
        return "None", False
    try:
        return json.dumps(value, ensure_ascii=False), True
    except (TypeError, ValueError, RecursionError):
        return repr(value), False


def _failure(failure: BaseException) -> dict[str, Any]:
    try:
        text = str(failure)
        lines = traceback.format_exception(type(failure), failure, _in_source(failure))
    except Exception:  # noqa: BLE001 - an exception that cannot even be shown
        text, lines = "", []
    return {"error": type(failure).__name__, "text": text, "trace": "".join(lines)[-_TRACE_CHARS:]}


def _in_source(failure: BaseException) -> Any:
    """The traceback from the tool's own first line on."""
    frame = failure.__traceback__
    while frame is not None and frame.tb_frame.f_code.co_filename != _SOURCE:
        frame = frame.tb_next
    return frame


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
