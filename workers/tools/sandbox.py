"""Sandbox: runs the source of somebody's tool, each call in a fresh process of its own.

The process starts with an empty environment and gets the variables it is given, an
empty folder that is removed afterwards, no descriptor of ours, bounds on memory,
processor time, files and processes, and a time limit after which its whole group is
killed. It ends with this worker. Payload and result are JSON through pipes.

This keeps accidents apart, not attackers: the process is of the same user, so it can read the
files that user can read, reach the network, and look for this worker or the store on
purpose. Whoever may create tools is therefore trusted like whoever may log in as that user,
and running them is off unless a worker is told to (BLOCKWIRE_CUSTOM_TOOLS=process). For tools of
strangers run workers in a container of their own, with a store that asks for a password.
Python's standard library is there; packages are not.

Elsewhere: what runs inside (sandboxed.py); who asks (custom.py, workers/tool_jobs.py).
"""

import asyncio
import contextlib
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from service.records.tools import ToolOutcome
from service.settings import Settings

AT_ONCE = 8
"""Processes of one worker; further calls wait, and their time does not run yet."""
MOST_PRINTED = 100_000
MOST_RESULT = 16_000_000
LEFT_S = 2.0
ERROR_CHARS = 1000
OFF = (
    "tools with a source of their own are not run by this worker; whoever runs it can allow it by setting "
    "BLOCKWIRE_CUSTOM_TOOLS=process"
)
_PROGRAM = str(Path(__file__).with_name("sandboxed.py"))
_CHUNK = 65_536


@dataclass(frozen=True)
class Program:
    """One call: the source, its function, and what it is given."""

    source: str
    function: str
    arguments: dict[str, Any]
    environ: dict[str, str] = field(default_factory=dict)
    most_chars: int = 50_000


class Sandbox:
    """Runs programs, within the bounds that the settings give."""

    def __init__(self, settings: Settings) -> None:
        self._on = settings.custom_tools == "process"
        self._seconds = settings.tool_seconds
        self._bytes = settings.tool_mb * 1024 * 1024
        self._free = asyncio.Semaphore(AT_ONCE)

    async def run(self, program: Program) -> ToolOutcome:
        """What the call gave; whatever goes wrong in it is an outcome. Cancelled, it kills the process."""
        if not self._on:
            return failed(program.function, "PermissionError", OFF)
        async with self._free:
            try:
                folder = tempfile.mkdtemp(prefix="bw-tool-")
                try:
                    return await self._in_folder(program, folder)
                finally:
                    await asyncio.shield(asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True))
            except OSError as fault:
                problem = f"its process could not be started ({fault.strerror})"
                return failed(program.function, "OSError", problem)

    async def _in_folder(self, program: Program, folder: str) -> ToolOutcome:
        payload = {
            "source": program.source,
            "function": program.function,
            "arguments": program.arguments,
            "environ": program.environ,
            "most_chars": program.most_chars,
            "bytes": self._bytes,
            "cpu_seconds": math.ceil(self._seconds) + 1,
        }
        with _started(folder) as (process, result):
            pipes = [_Pipe(result, MOST_RESULT), _Pipe(process.stdout, MOST_PRINTED)]
            pipes.append(_Pipe(process.stderr, MOST_PRINTED))
            reading = [asyncio.create_task(pipe.read()) for pipe in pipes]
            feeding = asyncio.create_task(_feed(process.stdin, json.dumps(payload).encode()))
            try:
                ended, _ = await asyncio.wait(reading[:1], timeout=self._seconds)
            finally:
                _kill(process)
                await _settled([feeding, *reading])
            code = await asyncio.to_thread(process.wait)
        if not ended:
            late = f"it did not end within {self._seconds:g} s; it was killed"
            return failed(program.function, "TimeoutError", late, pipes[1].lines(), pipes[2].lines())
        return _outcome(program, code, *pipes)


class _Pipe:
    """What comes out of a pipe: the first `most` bytes are kept, the rest is dropped as it comes."""

    def __init__(self, pipe: IO[bytes] | None, most: int) -> None:
        self._pipe = pipe
        self._most = most
        self.kept = bytearray()
        self.dropped = False

    async def read(self) -> None:
        """To the end; cancelled, it leaves what came until then."""
        reader = asyncio.StreamReader(limit=_CHUNK)
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), self._pipe
        )
        try:
            while piece := await reader.read(_CHUNK):
                self.dropped = self.dropped or len(self.kept) + len(piece) > self._most
                self.kept += piece[: self._most - len(self.kept)]
        finally:
            transport.close()

    def lines(self) -> list[str]:
        lines = self.kept.decode("utf-8", "replace").splitlines()
        return [*lines, f"[cut: only the first {self._most} bytes were kept]"] if self.dropped else lines


@contextlib.contextmanager
def _started(folder: str) -> Iterator[tuple["subprocess.Popen[bytes]", IO[bytes]]]:
    """The process, and the end of the pipe that its result comes out of.

    It is not asyncio's: that one reaps a process by itself, and then its group could
    no longer be killed without hitting whoever got its number.
    """
    reading, writing = os.pipe()
    try:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", _PROGRAM, str(os.getpid()), str(writing)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={},
            cwd=folder,
            pass_fds=(writing,),
            start_new_session=True,
        )
    except BaseException:
        os.close(reading)
        raise
    finally:
        os.close(writing)
    try:
        yield process, os.fdopen(reading, "rb")
    finally:
        _kill(process)
        process.wait()


def _kill(process: "subprocess.Popen[bytes]") -> None:
    """The whole group, while its leader has not been reaped, so that the number is surely its own."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)


async def _feed(pipe: IO[bytes] | None, payload: bytes) -> None:
    """Writes the payload; a process that does not want all of it has its reasons."""
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, pipe)
    writer = asyncio.StreamWriter(transport, protocol, None, loop)
    try:
        with contextlib.suppress(OSError):
            writer.write(payload)
            await writer.drain()
    finally:
        writer.close()


async def _settled(tasks: "list[asyncio.Task[None]]") -> None:
    """Waits for what a killed process left in its pipes; not for one that escaped and keeps them open."""

    async def settle() -> None:
        _, open_still = await asyncio.wait(tasks, timeout=LEFT_S)
        for task in open_still:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    settling = asyncio.create_task(settle())
    try:
        await asyncio.shield(settling)
    except asyncio.CancelledError:
        await settling
        raise


def _outcome(program: Program, code: int, result: _Pipe, stdout: _Pipe, stderr: _Pipe) -> ToolOutcome:
    said, name = _said(result), program.function
    if said is None:
        return failed(name, "RuntimeError", _without_result(result, code), stdout.lines(), stderr.lines())
    text = str(said["text"])
    if "error" in said:
        trace = str(said.get("trace", ""))
        return failed(name, str(said["error"]), text, stdout.lines(), stderr.lines(), trace)
    whole = len(text) <= program.most_chars and said.get("chars") == len(text)
    value = json.loads(text) if whole and said.get("json") is True else None
    if not whole:
        text = _cut_note(text, program.most_chars, said.get("chars"))
    return ToolOutcome(text=text, value=value, stdout=stdout.lines(), stderr=stderr.lines())


def _said(result: _Pipe) -> dict[str, Any] | None:
    """What the process said, if it did; halves of surrogate pairs, which nobody could store, are replaced."""
    if result.dropped:
        return None
    try:
        said = json.loads(result.kept)
        if b"\\ud" in result.kept:
            said = json.loads(json.dumps(said, ensure_ascii=False).encode("utf-8", "replace"))
    except ValueError:
        return None
    return said if isinstance(said, dict) and "text" in said else None


def _without_result(result: _Pipe, code: int) -> str:
    if result.dropped:
        return f"its result was larger than {MOST_RESULT} bytes"
    why = f"signal {-code}" if code < 0 else f"code {code}"
    return f"its process ended without a result ({why}); perhaps it passed its memory or processor time"


def failed(
    name: str,
    kind: str,
    text: str,
    stdout: Sequence[str] = (),
    stderr: Sequence[str] = (),
    trace: str = "",
) -> ToolOutcome:
    """An error in V1's form; the trace, or else the same line, ends `stderr`."""
    line = f"Error executing function {name}: {kind}: {text}"[:ERROR_CHARS]
    return ToolOutcome(status="error", text=line, stdout=list(stdout), stderr=[*stderr, trace or line])


def _cut_note(text: str, most: int, chars: object) -> str:
    return f"{text[:most]}\n[cut: the first {most} of {chars} characters]"
