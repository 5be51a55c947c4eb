"""The sandbox: each call in a process of its own, which gets nothing it was not given and leaves nothing."""

import asyncio
import os
import sys
import tempfile
import time
import tracemalloc
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from service.records.tools import ToolOutcome
from service.settings import Settings
from tests.running import ROOT
from tests.workers.bench import wait_until
from workers.tools import sandbox
from workers.tools.sandbox import Program, Sandbox

pytestmark = pytest.mark.anyio


async def run(body: str, seconds: float = 30, mb: int = 512, **more: Any) -> ToolOutcome:
    """What a function `f` with this body gave."""
    lines = "\n".join(f"    {line}" for line in body.splitlines())
    given = {"arguments": {}, "function": "f"} | more
    names = ", ".join(given["arguments"])
    settings = Settings(custom_tools="process", tool_seconds=seconds, tool_mb=mb)
    return await Sandbox(settings).run(Program(source=f"def f({names}):\n{lines}\n", **given))


def line(kind: str, text: str) -> str:
    return f"Error executing function f: {kind}: {text}"


async def test_a_text_is_the_result_as_it_is_and_prints_are_kept_apart() -> None:
    outcome = await run(
        "import sys\nprint('one\\ntwo')\nprint('oh', file=sys.stderr)\nreturn name + '!'",
        arguments={"name": "Zoë 🙂"},
    )
    assert outcome == ToolOutcome(text="Zoë 🙂!", stdout=["one", "two"], stderr=["oh"])


@pytest.mark.parametrize(
    ("body", "text", "value"),
    [
        ("return {'a': [1, True, None]}", '{"a": [1, true, null]}', {"a": [1, True, None]}),
        ("return 5", "5", 5),
        ("pass", "None", None),
        ("return {1, 1}", "{1}", None),
        ("import io\nreturn complex(1, 2)", "(1+2j)", None),
        (r"return 'a\ud800'", "a?", None),
    ],
)
async def test_anything_else_is_json_or_what_python_shows(body: str, text: str, value: Any) -> None:
    outcome = await run(body)
    assert (outcome.status, outcome.text, outcome.value) == ("success", text, value)


async def test_the_environment_holds_what_was_given_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://secret")
    body = "import os\nreturn dict(os.environ)"
    assert (await run(body)).value == {}
    assert (await run(body, environ={"KEY": "v"})).value == {"KEY": "v"}


async def test_a_variable_that_cannot_be_set_is_an_error_of_the_call() -> None:
    outcome = await run("return 1", environ={"A\0": "b"})
    assert outcome.text == line("ValueError", "embedded null byte")


async def test_packages_and_the_services_own_modules_are_not_there() -> None:
    for name in ("redis", "service", "workers"):
        outcome = await run(f"import {name}")
        assert outcome.text == line("ModuleNotFoundError", f"No module named '{name}'")
        assert "ModuleNotFoundError" in outcome.stderr[-1]


async def test_the_folder_is_empty_its_own_and_gone_afterwards() -> None:
    outcome = await run("import os\nopen('x', 'w').write('y')\nreturn [os.getcwd(), os.listdir()]")
    assert outcome.value is not None
    folder, held = outcome.value
    assert held == ["x"]
    assert folder.startswith(f"{tempfile.gettempdir()}/bw-tool-")
    assert not exists(folder)


async def test_no_descriptor_of_ours_is_inherited_and_stdin_is_empty(tmp_path: Path) -> None:
    with (tmp_path / "held").open("w") as held:
        os.set_inheritable(held.fileno(), True)
        body = (
            "import os, sys\n"
            "there = {fd: os.readlink(f'/proc/self/fd/{fd}') for fd in os.listdir('/proc/self/fd')"
            " if os.path.lexists(f'/proc/self/fd/{fd}')}\n"
            "return [sys.stdin.read(), list(there.values())]"
        )
        outcome = await run(body)
    assert outcome.value is not None
    said, there = outcome.value
    assert said == ""
    assert not [path for path in there if "held" in path or "socket" in path]


async def test_an_exception_is_told_in_v1s_form_with_its_traceback() -> None:
    outcome = await run("print('before')\nraise KeyError('x' * 2000)")
    assert outcome.status == "error"
    assert outcome.text == line("KeyError", "'" + "x" * 2000)[:1000]
    assert outcome.stdout == ["before"]
    assert outcome.stderr[-1].startswith(
        'Traceback (most recent call last):\n  File "<tool>", line 3, in f\n'
    )
    assert outcome.value is None


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ("import sys\nsys.exit(3)", "SystemExit"),
        ("class Odd(Exception):\n    def __str__(self): raise ValueError\nraise Odd", "Odd"),
    ],
)
async def test_whatever_is_raised_is_told(body: str, kind: str) -> None:
    assert (await run(body)).text.startswith(f"Error executing function f: {kind}:")


async def test_wrong_arguments_are_pythons_own_error() -> None:
    outcome = await run("return 1", arguments={"a": 1}, function="f")
    assert outcome.text == "1"
    settings = Settings(custom_tools="process")
    missing = await Sandbox(settings).run(Program(source="def f(a): return a", function="f", arguments={}))
    assert missing.text == line("TypeError", "f() missing 1 required positional argument: 'a'")


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("def helper(): return 'no'\ndef f(): return helper() + '!'", "no!"),
        ("def other(): return 'last'", "last"),
        ("from os.path import join\ndef other(): return 'own'", "own"),
        ("async def f(): return 'awaited'", "awaited"),
        (
            "import dataclasses\n@dataclasses.dataclass\nclass A:\n    a: 'int' = 1\ndef f(): return A().a",
            "1",
        ),
        ("x = 1", line("NameError", "the source defines no function 'f'")),
        ("def f(:", line("SyntaxError", "invalid syntax (<tool>, line 1)")),
    ],
)
async def test_the_function_of_the_tools_name_is_called_or_else_the_last(source: str, text: str) -> None:
    settings = Settings(custom_tools="process")
    assert (await Sandbox(settings).run(Program(source=source, function="f", arguments={}))).text == text


async def test_a_call_that_does_not_end_is_killed_at_the_time_limit() -> None:
    began = time.monotonic()
    outcome = await run("import time\nprint('here', flush=True)\ntime.sleep(60)", seconds=0.8)
    assert time.monotonic() - began < 20
    assert outcome.text == line("TimeoutError", "it did not end within 0.8 s; it was killed")
    assert outcome.stderr == [outcome.text]
    assert outcome.stdout in (["here"], [])  # a machine under load may not have come so far


async def test_too_much_memory_is_an_error_of_the_call() -> None:
    outcome = await run("x = bytearray(300 * 1024 * 1024)\nreturn len(x)", mb=128)
    assert outcome.text.startswith("Error executing function f: MemoryError")


async def test_bounds_are_set_on_files_and_processor_time() -> None:
    body = (
        "import resource as r\n"
        "kinds = (r.RLIMIT_NOFILE, r.RLIMIT_FSIZE, r.RLIMIT_CPU, r.RLIMIT_CORE, r.RLIMIT_NPROC)\n"
        "return [r.getrlimit(kind)[1] for kind in kinds]"
    )
    assert (await run(body, seconds=30)).value == [64, 64 * 1024 * 1024, 31, 0, 0]


async def test_a_long_result_is_cut_with_a_note() -> None:
    outcome = await run("return 'y' * 3000", most_chars=10)
    assert outcome.text == "yyyyyyyyyy\n[cut: the first 10 of 3000 characters]"
    listed = await run("return list(range(100))", most_chars=10)
    assert (listed.value, listed.text.splitlines()[0]) == (None, "[0, 1, 2, ")


async def test_of_fifty_megabytes_the_worker_holds_what_it_shows() -> None:
    tracemalloc.start()
    try:
        outcome = await run("return 'y' * 50_000_000", most_chars=50_000)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert outcome.text.endswith("y\n[cut: the first 50000 of 50000000 characters]")
    assert most < 5_000_000


async def test_more_output_than_is_kept_is_dropped_as_it_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "MOST_PRINTED", 100)
    outcome = await run("for _ in range(20_000): print('x' * 99)\nreturn 'done'")
    assert outcome.text == "done"
    assert outcome.stdout == ["x" * 99, "[cut: only the first 100 bytes were kept]"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("import os\nos._exit(3)", "its process ended without a result (code 3)"),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", "(signal 9)"),
        ("import os, sys\nos.write(int(sys.argv[2]), b'{')\nos._exit(0)", "(code 0)"),
        ("import os, sys\nos.write(int(sys.argv[2]), b'{}')\nos._exit(0)", "(code 0)"),
        ("import os, sys\nos.write(int(sys.argv[2]), b'x' * 2000)\nos._exit(0)", "larger than 1000 bytes"),
    ],
)
async def test_a_process_that_does_not_say_what_it_should_is_an_error(
    monkeypatch: pytest.MonkeyPatch, body: str, said: str
) -> None:
    monkeypatch.setattr(sandbox, "MOST_RESULT", 1000)
    outcome = await run(body)
    assert outcome.status == "error"
    assert said in outcome.text


async def test_a_large_payload_arrives_and_one_that_nobody_reads_is_no_error() -> None:
    outcome = await run("return len(a)", arguments={"a": "z" * 3_000_000})
    assert outcome.text == "3000000"


async def test_what_it_started_is_killed_with_it() -> None:
    """Root may start processes in spite of the bound; they are of the same group."""
    body = (
        "import os, time\n"
        "try:\n    child = os.fork()\nexcept OSError:\n    return 0\n"
        "if child == 0:\n    time.sleep(60)\n    os._exit(0)\n"
        "print(child, flush=True)\ntime.sleep(60)"
    )
    outcome = await run(body, seconds=2)
    for child in outcome.stdout:
        await wait_until("the child is gone", lambda child=child: _gone(int(child)))  # type: ignore[misc]


async def _gone(pid: int) -> bool:
    """Whether a process is no more, or only waits for somebody to ask how it ended."""
    return state_of(pid) in ("", "Z")


def exists(path: str) -> bool:
    return Path(path).exists()


def state_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return ""


async def test_a_process_that_escapes_with_the_pipes_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sandbox, "LEFT_S", 0.05)
    free = tmp_path / "free"
    body = (
        "import os, time\n"
        "try:\n    child = os.fork()\nexcept OSError:\n    return 'none'\n"
        "if child == 0:\n"
        "    os.setsid()\n"
        "    while not os.path.exists(path): time.sleep(0.02)\n"
        "    os._exit(0)\n"
        "return 'escaped'"
    )
    outcome = await run(body, seconds=2, arguments={"path": str(free)})
    free.touch()
    assert outcome.status == "error" or outcome.text == "none"


async def test_cancelled_it_kills_the_process_and_removes_the_folder(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    body = (
        "import os, time\n"
        "open(path + '.new', 'w').write(f'{os.getpid()} {os.getcwd()}')\nos.rename(path + '.new', path)\n"
        "time.sleep(60)"
    )
    task = asyncio.create_task(run(body, seconds=60, arguments={"path": str(mark)}))

    async def is_there() -> bool:
        return mark.exists()

    await wait_until("the tool runs", is_there, 20)
    pid, folder = mark.read_text().split()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await _gone(int(pid))
    assert not exists(folder)


@pytest.mark.skipif(sys.platform != "linux", reason="only this kernel can be asked for it")
async def test_it_ends_with_a_worker_that_is_killed(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    tool = (
        "import os, time\ndef f(path):\n"
        "    open(path + '.new', 'w').write(str(os.getpid()))\n"
        "    os.rename(path + '.new', path)\n    time.sleep(60)\n"
    )
    worker = (
        "import asyncio\nfrom service.settings import Settings\nfrom workers.tools.sandbox import *\n"
        f"program = Program(source={tool!r}, function='f', arguments={{'path': {str(mark)!r}}})\n"
        "asyncio.run(Sandbox(Settings(custom_tools='process')).run(program))\n"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", worker, cwd=ROOT, env={"TMPDIR": str(tmp_path)}
    )

    async def is_there() -> bool:
        return mark.exists()

    await wait_until("the tool runs", is_there, 30)
    process.kill()
    await process.wait()
    pid = int(mark.read_text())
    await wait_until("the tool is gone", lambda: _gone(pid), 20)


async def test_only_so_many_run_at_once_and_waiting_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "AT_ONCE", 1)
    box = Sandbox(Settings(custom_tools="process", tool_seconds=5))
    slow = Program(
        source="def f():\n    import time\n    time.sleep(0.3)\n    return time.time()",
        function="f",
        arguments={},
    )
    outcomes = await asyncio.gather(*(box.run(slow) for _ in range(3)))
    ends = sorted(float(one.text) for one in outcomes)
    assert all(later - earlier >= 0.25 for earlier, later in pairwise(ends))


async def test_the_loop_goes_on_while_a_tool_runs() -> None:
    turns = 0
    task = asyncio.create_task(run("x = 0\nfor i in range(10 ** 7): x += i\nreturn 'done'"))
    while not task.done():
        turns += 1
        await asyncio.sleep(0.001)
    assert task.result().text == "done"
    assert turns > 20


async def test_off_nothing_is_started_and_the_remedy_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "_started", None)
    outcome = await Sandbox(Settings()).run(Program(source="def f(): pass", function="f", arguments={}))
    assert outcome.status == "error"
    assert "BLOCKWIRE_CUSTOM_TOOLS=process" in outcome.text


async def test_a_process_that_cannot_be_started_is_an_error_and_leaves_no_pipe(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(11, "no more processes")

    monkeypatch.setattr("workers.tools.sandbox.subprocess.Popen", refuse)
    before = len(os.listdir("/proc/self/fd"))
    outcome = await run("return 1")
    assert outcome.text == line("OSError", "its process could not be started (no more processes)")
    assert len(os.listdir("/proc/self/fd")) == before


async def test_cancelled_again_while_it_settles_it_still_settles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "LEFT_S", 0.1)
    reading = asyncio.create_task(asyncio.Event().wait())
    settling = asyncio.create_task(sandbox._settled([reading]))  # type: ignore[list-item]
    await asyncio.sleep(0)
    settling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await settling
    assert reading.cancelled()
