"""Processes: children kept alive, ended in order, and never left behind."""

import asyncio
import ctypes
import json
import os
import signal
import socket
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from structlog.typing import EventDict

from service import children, leash, processes
from service.bootstrap import open_service, open_tokens
from service.commands import doctor
from service.entry import WONT_WORK, python_module
from service.errors import Invalid, StoreUnreachable
from service.processes import Child, Pace, ProcessGroup, listen, open_listener, store_for
from service.records.blocks import Author, Block, BlockFields
from service.settings import Settings, environment_for

QUICK = Pace(grace=10, first_pause=0.05, longest_pause=0.2, settled=60)

STAYS = """
import os, signal, sys, time
def end(*_):
    with open(sys.argv[1], "a") as diary:
        diary.write(f"{sys.argv[2]} ended\\n")
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
with open(sys.argv[1], "a") as diary:
    diary.write(f"{sys.argv[2]} began {os.getpid()}\\n")
while True:
    time.sleep(600)
"""

STUBBORN = STAYS.replace(
    "signal.signal(signal.SIGTERM, end)", "signal.signal(signal.SIGTERM, signal.SIG_IGN)"
)

ONE_UP = """
import sys
from service import processes
def stand_in(module):
    return [sys.executable, "-c", sys.argv[2 if module == "service.http.serve" else 3], sys.argv[4], module]
processes.python_module = stand_in
processes.main()
"""

WEB = """
import http.server, os, signal, sys
class Healthy(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/v1/health/" else 404)
        self.end_headers()
    def log_message(self, *_):
        pass
with open(sys.argv[1], "a") as diary:
    diary.write(f"web began {os.getpid()}\\nweb has {os.environ['REDIS_URL']}\\n")
def end(*_):
    with open(sys.argv[1], "a") as diary:
        diary.write("web ended\\n")
    os._exit(0)
signal.signal(signal.SIGTERM, end)
http.server.HTTPServer(("127.0.0.1", int(os.environ["BLOCKWIRE_PORT"])), Healthy).serve_forever()
"""


async def wait_until(fact: str, holds: Callable[[], bool], deadline_s: float = 30) -> None:
    end = time.monotonic() + deadline_s
    while True:
        if holds():
            return
        assert time.monotonic() < end, f"waited {deadline_s} s in vain until {fact}"
        await asyncio.sleep(0.01)


class Diary:
    """What stand-in children wrote about themselves."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()

    def lines(self) -> list[str]:
        return self.path.read_text().splitlines()

    def pids(self) -> list[int]:
        return [int(line.split(" began ")[1]) for line in self.lines() if " began " in line]

    def child(self, name: str, script: str = STAYS) -> Child:
        return Child(name, [sys.executable, "-c", script, str(self.path), name])


@pytest.fixture
def diary(tmp_path: Path) -> Diary:
    return Diary(tmp_path / "diary")


def with_password(socket_url: str) -> str:
    """A URL with a secret to hide; a server without passwords takes any from its default user."""
    return socket_url.replace("unix://", "unix://default:secret@")


def is_gone(pid: int) -> bool:
    """Whether the process has ended, be it that nobody has asked for its exit code yet."""
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat")
        return state.exists() and state.read_text().rpartition(")")[2].split()[0] == "Z"
    except (ProcessLookupError, FileNotFoundError):
        return True


@contextmanager
def recorded() -> Iterator[list[EventDict]]:
    with capture_logs() as events:
        yield events


def named(events: list[EventDict], name: str) -> list[EventDict]:
    return [event for event in events if event["event"] == name]


@asynccontextmanager
async def running(group: ProcessGroup) -> AsyncIterator[asyncio.Task[int]]:
    task = asyncio.create_task(group.run())
    try:
        yield task
    finally:
        if not task.done():
            group.ask_to_stop()
            group.ask_to_stop()
        await asyncio.wait([task])


async def test_children_start_together_and_a_stop_ends_them_stage_by_stage(diary: Diary) -> None:
    web, workers = diary.child("web"), [diary.child("worker 1"), diary.child("worker 2")]
    group = ProcessGroup([[web], workers], QUICK)
    async with running(group) as task:
        await wait_until("all have begun", lambda: len(diary.pids()) == 3)
        group.ask_to_stop()
        assert await task == 0
    ended = [line for line in diary.lines() if line.endswith("ended")]
    assert ended[0] == "web ended"
    assert sorted(ended[1:]) == ["worker 1 ended", "worker 2 ended"]


async def test_a_child_that_dies_is_started_again_after_pauses_that_double(diary: Diary) -> None:
    with recorded() as events:
        group = ProcessGroup([[diary.child("worker 1", "raise SystemExit(3)")]], QUICK)
        async with running(group) as task:
            await wait_until("it died five times", lambda: len(named(events, "child.exited")) >= 5)
            group.ask_to_stop()
            assert await task == 0
    exits = named(events, "child.exited")[:5]
    assert [event["next_try_s"] for event in exits] == [0.05, 0.1, 0.2, 0.2, 0.2]
    assert {(event["child"], event["code"]) for event in exits} == {("worker 1", 3)}
    assert len(named(events, "child.started")) == 1
    assert len(named(events, "child.restarted")) >= 4


async def test_a_child_that_lived_long_enough_is_started_again_soon(diary: Diary) -> None:
    pace = Pace(first_pause=0.02, settled=0)
    with recorded() as events:
        async with running(ProcessGroup([[diary.child("worker 1", "")]], pace)):
            await wait_until("it died three times", lambda: len(named(events, "child.exited")) >= 3)
    assert {event["next_try_s"] for event in named(events, "child.exited")} == {0.02}


async def test_a_child_that_cannot_be_started_is_said_and_tried_again_after_pauses_that_double(
    diary: Diary, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, refusals = children.start_child, [OSError(11, "no more processes")] * 3

    async def start(command: Sequence[str], *, environ: Mapping[str, str] | None = None) -> Process:
        if refusals:
            raise refusals.pop()
        return await real(command, environ=environ)

    monkeypatch.setattr(processes, "start_child", start)
    with recorded() as events:
        async with running(ProcessGroup([[diary.child("worker 1")]], QUICK)):
            await wait_until("it has begun", lambda: len(diary.pids()) == 1)
    failures = named(events, "child.failed")
    assert [event["next_try_s"] for event in failures] == [0.05, 0.1, 0.2]
    assert {event["child"] for event in failures} == {"worker 1"}
    assert "no more processes" in failures[0]["reason"]
    assert len(named(events, "child.started")) == 1


async def test_one_child_dying_leaves_the_others_alone(diary: Diary) -> None:
    with recorded() as events:
        async with running(ProcessGroup([[diary.child("web")], [diary.child("worker 1")]], QUICK)):
            await wait_until("both have begun", lambda: len(diary.pids()) == 2)
            victim = next(line for line in diary.lines() if line.startswith("worker 1"))
            os.kill(int(victim.split()[-1]), signal.SIGKILL)
            await wait_until("it is back", lambda: len(diary.pids()) == 3)
    assert [event["child"] for event in named(events, "child.restarted")] == ["worker 1"]
    assert named(events, "child.exited")[0]["code"] == -signal.SIGKILL


async def test_a_child_told_something_impossible_ends_everything(diary: Diary) -> None:
    with recorded() as events:
        refuses = diary.child("web", f"raise SystemExit({WONT_WORK})")
        async with running(ProcessGroup([[refuses], [diary.child("worker 1")]], QUICK)) as task:
            assert await asyncio.wait_for(task, 20) == WONT_WORK
    assert named(events, "child.refused") == [
        {"event": "child.refused", "child": "web", "code": WONT_WORK, "log_level": "error"}
    ]
    assert named(events, "child.restarted") == []


async def test_a_stop_does_not_wait_for_a_pause(diary: Diary) -> None:
    with recorded() as events:
        group = ProcessGroup([[diary.child("worker 1", "")]], Pace(first_pause=600))
        async with running(group) as task:
            await wait_until("it died", lambda: named(events, "child.exited") != [])
            group.ask_to_stop()
            assert await asyncio.wait_for(task, 10) == 0


async def test_a_child_that_ignores_the_stop_is_killed_after_the_grace(diary: Diary) -> None:
    with recorded() as events:
        group = ProcessGroup([[diary.child("worker 1", STUBBORN)]], Pace(grace=0.1))
        async with running(group) as task:
            await wait_until("it has begun", lambda: len(diary.pids()) == 1)
            group.ask_to_stop()
            assert await asyncio.wait_for(task, 10) == 0
    assert named(events, "child.stopped")[0]["code"] == -signal.SIGKILL


async def test_asking_twice_kills_at_once(diary: Diary) -> None:
    stages = [[diary.child("web", STUBBORN)], [diary.child("worker 1", STUBBORN)]]
    group = ProcessGroup(stages, Pace(grace=600))
    async with running(group) as task:
        await wait_until("both have begun", lambda: len(diary.pids()) == 2)
        group.ask_to_stop()
        group.ask_to_stop()
        assert await asyncio.wait_for(task, 10) == 0
    assert all(map(is_gone, diary.pids()))


async def test_a_child_that_ends_by_itself_during_the_stop_is_not_started_again(diary: Diary) -> None:
    with recorded() as events:
        group = ProcessGroup([[diary.child("web")]], QUICK)
        async with running(group) as task:
            await wait_until("it has begun", lambda: len(diary.pids()) == 1)
            os.kill(diary.pids()[0], signal.SIGTERM)
            while not is_gone(diary.pids()[0]):
                pass  # the loop does not turn: both facts arrive together
            group.ask_to_stop()
            assert await task == 0
    assert named(events, "child.restarted") == []


async def test_killing_a_child_that_is_gone_is_nothing(diary: Diary) -> None:
    process = await children.start_child([sys.executable, "-c", ""])
    await process.wait()
    children.kill_child(process)
    await children.end_child(process, 1)


async def test_the_leash_gives_up_if_the_parent_is_gone_already(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    touch = [sys.executable, "-c", "import sys; open(sys.argv[1], 'w')", str(marker)]
    process = await asyncio.create_subprocess_exec(sys.executable, leash.__file__, "1", *touch)
    assert await process.wait() == 0
    assert marker.exists() is (sys.platform != "linux")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent is gone")
def test_the_leash_asks_the_kernel_first(monkeypatch: pytest.MonkeyPatch) -> None:
    became: list[object] = []
    asked: list[tuple[int, int]] = []

    class Libc:
        def __init__(self, _name: None) -> None:
            pass

        def prctl(self, option: int, number: ctypes.c_ulong) -> None:
            asked.append((option, number.value))

    monkeypatch.setattr(ctypes, "CDLL", Libc)
    monkeypatch.setattr(os, "execv", lambda *command: became.append(command))
    monkeypatch.setattr(os, "umask", lambda mask: mask)
    leash.main([str(os.getppid()), "/bin/program"])
    assert asked == [(1, signal.SIGTERM)]
    assert became == [("/bin/program", ["/bin/program"])]


def test_the_leash_is_only_a_program_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    became: list[object] = []
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(os, "execv", lambda *command: became.append(command))
    monkeypatch.setattr(os, "umask", lambda mask: mask)
    leash.main(["1", "/bin/program", "option"])
    assert became == [("/bin/program", ["/bin/program", "option"])]


async def test_the_store_of_settings_with_a_url_is_that_url(redis_server: str) -> None:
    settings = Settings(redis_url=with_password(redis_server) + "?health_check_interval=7")
    with recorded() as events:
        async with store_for(settings) as reachable:
            assert reachable == settings
    [opened] = named(events, "store.opened")
    assert (opened["kind"], opened["where"]) == ("redis", redis_server)


@pytest.mark.parametrize("field", ["redis_url", "queue_url"])
async def test_a_store_or_queue_that_does_not_answer_is_never_opened(field: str, tmp_path: Path) -> None:
    settings = Settings.model_validate({"data_dir": tmp_path / "data", field: "unix:///nowhere/at/all"})
    with recorded() as events, pytest.raises(StoreUnreachable, match=f"/nowhere/at/all .*{field.upper()}$"):
        async with store_for(settings):
            pytest.fail("it opened")
    assert events == []
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("field", ["redis_url", "queue_url"])
async def test_a_url_that_no_store_has_is_named(field: str) -> None:
    settings = Settings.model_validate({field: "localhost:6379"})
    with pytest.raises(Invalid, match=f"{field.upper()}: must look like redis://localhost:6379/0"):
        async with store_for(settings):
            pytest.fail("it opened")


async def test_the_store_of_settings_without_a_url_is_embedded(tmp_path: Path) -> None:
    with recorded() as events:
        async with store_for(Settings(data_dir=tmp_path)) as reachable:
            assert reachable.redis_url == f"unix://{tmp_path}/store.sock"
    [opened] = named(events, "store.opened")
    assert (opened["kind"], opened["where"]) == ("embedded", str(tmp_path))


async def test_the_embedded_store_is_bounded_by_the_settings(tmp_path: Path) -> None:
    bounded = Settings(data_dir=tmp_path, max_memory_mb=4)
    async with store_for(bounded) as reachable, open_service(reachable) as service:
        made: list[Block] = []

        async def fill() -> None:
            while len(made) < 40:
                fields = BlockFields(label=f"b{len(made)}", value="x" * 100_000)
                made.append(await service.blocks.create("default", fields, Author()))

        with pytest.raises(StoreUnreachable, match="its memory is full"):
            await fill()
        assert made
        assert await service.blocks.read("default", made[0].id) == made[0]
        findings, _ = await doctor.examine_store(Settings(data_dir=tmp_path))  # which names no bound itself
        [memory] = [finding.found for finding in findings if finding.what == "memory"]
        assert " of 4.0 MB (" in memory


def test_a_taken_port_is_named_with_what_to_do() -> None:
    with open_listener("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(Invalid, match=rf"port: {port} on 127\.0\.0\.1 cannot be used \(address already"):
            open_listener("127.0.0.1", port)


def test_a_host_that_is_nowhere_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_arguments: object, **_options: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(Invalid, match="host: 'nowhere' cannot be used"):
        open_listener("nowhere", 0, insecure=True)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "blockwire.example"])
def test_a_host_that_others_reach_is_refused_while_there_are_no_tokens(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "socket", lambda *_: pytest.fail("it listened"))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: pytest.fail("it was looked up"))
    with pytest.raises(
        Invalid, match=f"host: '{host}' can be reached .* no tokens.*token create.*--insecure"
    ):
        open_listener(host, 0)


def test_a_loopback_name_that_leads_elsewhere_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.7", 0))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: elsewhere)
    with pytest.raises(Invalid, match=r"'app\.localhost' can be reached"):
        open_listener("app.localhost", 0)


def test_an_insecure_listener_is_open_to_others() -> None:
    with open_listener("0.0.0.0", 0, insecure=True) as listener:
        assert listener.getsockname()[0] == "0.0.0.0"


def test_a_name_with_several_addresses_is_listened_to_on_the_older_kind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    both = [
        (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", 0, 0, 0)),
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0)),
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_arguments, **_options: both)
    with open_listener("localhost", 0) as listener:
        assert listener.family == socket.AF_INET


async def test_with_tokens_it_listens_beyond_this_machine_and_without_it_does_not(tmp_path: Path) -> None:
    told = Settings(data_dir=tmp_path / "data", host="0.0.0.0", port=0)
    with pytest.raises(Invalid, match=r"can be reached .* the store has no tokens"):
        await listen(told)
    assert not told.data_dir.exists()
    async with store_for(told) as reachable, open_tokens(reachable) as tokens:
        with pytest.raises(Invalid, match="no tokens"):
            await listen(told)
        await tokens.create("default", "read")
    with await listen(told) as listener:
        assert listener.getsockname()[0] == "0.0.0.0"


async def test_on_loopback_no_store_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "store_for", lambda _: pytest.fail("it was opened"))
    for told in ({"host": "127.0.0.1"}, {"host": "0.0.0.0", "insecure": True}):
        with await listen(Settings.model_validate({"port": 0, "data_dir": tmp_path} | told)) as listener:
            assert listener.getsockname()[0] == told["host"]


@asynccontextmanager
async def one_up(
    data_dir: Path, diary: Diary, *, web: str = WEB, worker: str = STAYS, **settings: object
) -> AsyncIterator[Process]:
    """`blockwire up` in a process of its own, with stand-ins for the web and the workers."""
    told = Settings.model_validate({"data_dir": data_dir, "port": 0, "json_logs": True} | settings)
    arguments = [sys.executable, "-c", ONE_UP, "2", web, worker, str(diary.path)]
    process = await asyncio.create_subprocess_exec(
        *arguments, env=environment_for(told), stdout=PIPE, stderr=PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def within(deadline_s: float, answer: Awaitable[tuple[bytes, bytes]]) -> tuple[str, list[EventDict]]:
    output, errors = await asyncio.wait_for(answer, deadline_s)
    return output.decode(), [json.loads(line) for line in errors.decode().splitlines()]


async def test_up_greets_once_the_web_answers_and_stops_cleanly(tmp_path: Path, diary: Diary) -> None:
    async with one_up(tmp_path / "data", diary) as up:
        assert up.stdout is not None
        greeting = (await asyncio.wait_for(up.stdout.readline(), 30)).decode()
        assert greeting.startswith("Blockwire is ready at http://127.0.0.1:")
        assert f"(embedded store, data in {tmp_path / 'data'}; 2 workers; Ctrl-C stops it)" in greeting
        await wait_until("all have begun", lambda: len(diary.pids()) == 3)
        assert f"web has unix://{tmp_path}/data/store.sock" in diary.lines()
        up.send_signal(signal.SIGINT)
        output, events = await within(30, up.communicate())
        assert up.returncode == 0
    assert output == ""
    ended = [line for line in diary.lines() if line.endswith("ended")]
    assert ended == ["web ended", "workers.main ended", "workers.main ended"]
    assert [event["event"] for event in events][-4:] == ["child.stopped"] * 3 + ["store.stopped"]
    assert all(event["process"] == "up" for event in events)


async def test_up_leaves_nothing_behind_when_it_is_killed(tmp_path: Path, diary: Diary) -> None:
    if sys.platform != "linux":
        pytest.skip("only Linux tells a child that its parent is gone")
    async with one_up(tmp_path / "data", diary) as up:
        await wait_until("all have begun", lambda: len(diary.pids()) == 3)
        up.kill()
        await up.wait()
        await wait_until("all are gone", lambda: all(map(is_gone, diary.pids())))
        await wait_until("the socket is gone", lambda: not (tmp_path / "data" / "store.sock").exists())


async def test_up_uses_the_store_it_was_told(tmp_path: Path, diary: Diary, redis_server: str) -> None:
    url = with_password(redis_server)
    async with one_up(tmp_path / "data", diary, redis_url=url) as up:
        assert up.stdout is not None
        greeting = (await asyncio.wait_for(up.stdout.readline(), 30)).decode()
        assert f"(store {redis_server}; 2 workers; " in greeting
        assert f"web has {url}" in diary.lines()
        up.terminate()
        await within(30, up.communicate())
        assert up.returncode == 0
    assert not (tmp_path / "data").exists()


async def test_up_stops_while_the_web_does_not_answer_yet(tmp_path: Path, diary: Diary) -> None:
    async with one_up(tmp_path / "data", diary, web=STAYS) as up:
        await wait_until("all have begun", lambda: len(diary.pids()) == 3)
        up.terminate()
        output, _ = await within(30, up.communicate())
        assert (up.returncode, output) == (0, "")


async def test_up_says_in_one_line_that_the_port_is_taken(tmp_path: Path) -> None:
    with open_listener("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        up = await asyncio.create_subprocess_exec(
            *python_module("service.processes", "2"),
            env=environment_for(Settings(data_dir=tmp_path / "data", port=port)),
            stdout=PIPE,
            stderr=PIPE,
        )
        output, errors = await asyncio.wait_for(up.communicate(), 30)
    assert (up.returncode, output) == (WONT_WORK, b"")
    [line] = errors.decode().splitlines()
    assert line.startswith(f"blockwire: port: {port} on 127.0.0.1 cannot be used")
    assert not (tmp_path / "data").exists()


async def test_up_says_in_one_line_that_the_store_cannot_open(tmp_path: Path, diary: Diary) -> None:
    (tmp_path / "file").touch()
    async with one_up(tmp_path / "file", diary) as up:
        _, errors = await asyncio.wait_for(up.communicate(), 30)
        assert up.returncode == 1
    [line] = errors.decode().splitlines()
    assert line.startswith(f"blockwire: the data folder {tmp_path / 'file'} cannot be used")


async def test_up_ends_with_a_web_that_cannot_start(tmp_path: Path, diary: Diary) -> None:
    async with one_up(tmp_path / "data", diary, web=f"raise SystemExit({WONT_WORK})") as up:
        _, events = await within(30, up.communicate())
        assert up.returncode == WONT_WORK
    assert [event["child"] for event in events if event["event"] == "child.refused"] == ["web"]


@pytest.mark.parametrize(
    ("host", "workers", "greeting"),
    [
        ("::1", 1, "http://[::1]:9000 (embedded store, data in "),
        ("0.0.0.0", 3, "http://127.0.0.1:9000 (embedded store, data in "),
    ],
)
async def test_the_greeting_names_an_address_that_can_be_opened(
    host: str,
    workers: int,
    greeting: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    answers = [False, True]

    async def is_healthy(_host: str, _port: int) -> bool:
        return answers.pop(0)

    monkeypatch.setattr(processes, "_is_healthy", is_healthy)
    await processes._greet(Settings(host=host, port=9000), workers)
    line = capsys.readouterr().out
    assert greeting in line
    assert ("1 worker;" if workers == 1 else "3 workers;") in line
