"""The main job, as anybody first sees it: `blockwire demo`, a real process from its first line to its end."""

import asyncio
import os
import pty
import re
import signal
import sys
import threading
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from service import cli
from service.demo.cast import FINDINGS, SUMMARY
from service.entry import FAILED, INTERRUPTED
from service.settings import Settings, variables_of
from tests.standin import Answer, Asked, Call, Standin, fails

pytestmark = pytest.mark.slow

HOME = Path(cli.__file__).parents[1]
DEADLINE_S = 60
TEXT = """\
# Harbour office

The harbour office moves to the new quay on 14 May. Until then all ships report to the old one.
Pilots are booked by radio, on channel 12, at least two hours ahead.

The crane was tested with 40 tonnes and held. It is rated for 32 tonnes and must never lift more.
Its operator needs a licence of class B, renewed every two years.

Fees rise by 3 percent in June. Ships that run on shore power pay half of the harbour fee.
Invoices are sent at the end of each month and are due within 30 days.
"""


def environment(temporary: Path, **more: str) -> dict[str, str]:
    """A machine where nothing is set, with a folder for temporary files of its own."""
    ours = {variable for field in Settings.model_fields for variable in variables_of(field)}
    environ = {name: value for name, value in os.environ.items() if name not in ours}
    return environ | {"TMPDIR": str(temporary)} | more


@asynccontextmanager
async def demo(temporary: Path, *arguments: str, **environ: str) -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "service.cli", "demo", *arguments),
        cwd=HOME,
        env=environment(temporary, **environ),
        stdout=PIPE,
        stderr=PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def whole(process: Process) -> tuple[str, str]:
    with anyio.fail_after(DEADLINE_S):
        out, err = await process.communicate()
    return out.decode(), err.decode()


def panel(shown: str, title: str) -> str:
    """The words inside a panel, line ends and marks taken out."""
    lines = shown.splitlines()
    begin = next(at for at, line in enumerate(lines) if line.startswith(f"╭─ {title}"))
    end = next(at for at in range(begin, len(lines)) if lines[at].startswith("╰"))
    return " ".join(" ".join(line.strip("│ ") for line in lines[begin + 1 : end]).split())


def left_in(temporary: Path) -> list[Path]:
    return list(temporary.iterdir())


@pytest.fixture
def text(tmp_path: Path) -> str:
    file = tmp_path / "harbour.md"
    file.write_text(TEXT)
    return str(file)


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    folder = tmp_path / "t"
    folder.mkdir()
    return folder


async def test_without_a_key_it_does_the_main_job_on_blockwires_own_documentation(temporary: Path) -> None:
    began = time.monotonic()
    async with demo(temporary) as process:
        out, err = await whole(process)
    assert time.monotonic() - began < DEADLINE_S
    assert (process.returncode, err) == (0, ""), out
    assert "offline/extractive" in out
    assert "README.md" in out
    writers = set(re.findall(rf"^ +\d+\.\d+  (worker \d) +added to +{FINDINGS} v\d+ ", out, re.MULTILINE))
    assert writers == {"worker 1", "worker 2", "worker 3"}
    assert re.search(rf"^ +\d+\.\d+  supervisor +rewrote +{SUMMARY} v\d+ ", out, re.MULTILINE)
    assert re.search(r" v\d+ +\d+\.\d ms  ", out)
    assert not re.search(r" v\d+ +\?  ", out)
    findings, summary = panel(out, f"{FINDINGS} version"), panel(out, f"{SUMMARY} version")
    assert len(findings) > len(summary) > 100
    assert all(finding in findings for finding in summary.removeprefix("- ").split(" - "))
    last = max(int(version) for version in re.findall(rf" added to +{FINDINGS} v(\d+) ", out))
    counted = panel(out, "counted")
    assert f"lines acknowledged {last - 1}, of which lost 0" in counted
    assert "conflicts and refusals 0" in counted
    assert re.search(r"supervisor told median \d+\.\d ms, longest \d+\.\d ms", counted)
    assert f"`{SUMMARY}` reflects `{FINDINGS}` version {last}" in counted
    assert "\x1b" not in out
    assert left_in(temporary) == []


async def test_a_file_that_is_named_is_read_and_the_folder_kept_on_request(
    temporary: Path, text: str
) -> None:
    async with demo(temporary, "--keep", text) as process:
        out, _ = await whole(process)
    assert process.returncode == 0, out
    assert set(re.findall(r"14 May|40 tonnes|3 percent", panel(out, f"{FINDINGS} version")))
    [place] = left_in(temporary)
    assert f"blockwire up --data {place}/data" in out
    assert (place / "log").is_file()
    assert (place / "data").is_dir()


async def test_it_never_touches_a_store_that_is_set(temporary: Path, text: str) -> None:
    async with demo(temporary, text, REDIS_URL="redis://127.0.0.1:9/0", BLOCKWIRE_POOL="other") as process:
        out, _ = await whole(process)
    assert process.returncode == 0, out
    assert "embedded Valkey" in out


async def test_where_only_ascii_can_be_shown_it_shows_that(temporary: Path, text: str) -> None:
    async with demo(temporary, text, PYTHONIOENCODING="ascii") as process:
        out, err = await whole(process)
    assert process.returncode == 0, err
    assert out.isascii()
    assert "lost 0" in out


def answer_as_agents_do(asked: Asked) -> Answer:
    """A provider's model that follows the demo's instructions: two findings each, and a summary."""
    messages = asked.body["messages"]
    results = sum(
        "tool_result" in str(message["content"]) for message in messages if message["role"] == "user"
    )
    if "You are the supervisor" in str(asked.body["system"]):
        if "tool_result" in str(messages[-1]):
            return Answer(text="The summary is current.")
        return Answer(calls=(Call("memory_rethink", {"label": SUMMARY, "new_memory": "- All is well."}),))
    if results < 2:
        line = f"- Finding {results} of {len(str(messages[0]['content']))} characters."
        return Answer(calls=(Call("memory_insert", {"label": FINDINGS, "new_string": line}),))
    return Answer(text="Done.")


async def test_with_a_key_it_asks_the_providers_model(temporary: Path, text: str) -> None:
    with Standin() as standin:
        standin.otherwise = answer_as_agents_do
        keys = {"ANTHROPIC_API_KEY": "secret", "ANTHROPIC_BASE_URL": standin.url}
        async with demo(temporary, text, **keys) as process:
            out, err = await whole(process)
    assert process.returncode == 0, out + err
    assert "a provider's model, by ANTHROPIC_API_KEY" in out
    assert "lines acknowledged 6, of which lost 0" in panel(out, "counted")
    assert panel(out, f"{SUMMARY} version") == "- All is well."
    assert "secret" not in out


async def test_a_provider_that_refuses_is_said_in_one_line(temporary: Path, text: str) -> None:
    with Standin() as standin:
        standin.otherwise = lambda asked: fails(401, "no such key")
        keys = {"ANTHROPIC_API_KEY": "secret", "ANTHROPIC_BASE_URL": standin.url}
        async with demo(temporary, text, **keys) as process:
            out, err = await whole(process)
    assert process.returncode == FAILED, out
    [line] = err.splitlines()
    assert line.startswith("blockwire: worker 1, worker 2, worker 3 failed: ")
    assert "secret" not in out + err
    assert left_in(temporary) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_told_to_stop_it_leaves_nothing_behind(temporary: Path, text: str, number: int) -> None:
    with Standin() as standin:
        standin.otherwise = lambda asked: Answer(text="late", delay_s=60)
        keys = {"ANTHROPIC_API_KEY": "secret", "ANTHROPIC_BASE_URL": standin.url}
        async with demo(temporary, text, **keys) as process:
            assert process.stdout is not None
            with anyio.fail_after(DEADLINE_S):
                while b"seconds" not in await process.stdout.readline():
                    pass
            process.send_signal(number)
            out, err = await whole(process)
    assert (process.returncode, err) == (INTERRUPTED, "")
    assert "Stopping Blockwire" in out
    assert left_in(temporary) == []


async def test_on_a_terminal_it_is_coloured_and_says_who_is_at_work(temporary: Path, text: str) -> None:
    ours, theirs = pty.openpty()
    environ = environment(temporary, TERM="xterm-256color", COLUMNS="110", LINES="40")
    environ.pop("NO_COLOR", None)
    command = [sys.executable, "-m", "service.cli", "demo", text]
    process = await asyncio.create_subprocess_exec(
        *command, cwd=HOME, env=environ, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    shown: list[bytes] = []
    reading = threading.Thread(target=_read_all, args=(ours, shown))
    reading.start()
    with anyio.fail_after(DEADLINE_S):
        assert await process.wait() == 0, b"".join(shown).decode()
    await asyncio.to_thread(reading.join, 10)
    os.close(ours)
    out = b"".join(shown).decode()
    assert "\x1b[36mworker 1" in out
    assert re.search(r"\d\.\d s  ·  worker 1 ", out)


def _read_all(terminal: int, shown: list[bytes]) -> None:
    while True:
        try:
            piece = os.read(terminal, 65536)
        except OSError:  # Linux: the other end is closed
            return
        if not piece:
            return
        shown.append(piece)
