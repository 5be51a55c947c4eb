"""Processes: `blockwire up` runs the store, the web and the workers of one machine as children.

A child that dies is started again, after a pause that doubles while it keeps
dying; one that says it was told something impossible (entry.WONT_WORK) ends
everything, as it would die the same way for ever. A stop goes in order: the
web takes no more requests, the workers hand back their steps, the store writes
its file. Workers are started by command: service never imports them.

`store_for` is how every process opens its store: this one, http/serve.py and
workers/main.py. A store that was given is examined first (store/examine.py).
"""

import asyncio
import contextlib
import os
import signal
import socket
import sys
import time
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass

import structlog

from service.bootstrap import open_tokens
from service.children import end_child, kill_child, start_child
from service.entry import WONT_WORK, one_line_errors, python_module, settings_or_exit
from service.errors import Invalid
from service.logs import set_up_logs
from service.loopback import is_loopback
from service.settings import Settings, environment_for
from service.store.embedded import EmbeddedStore, holds_store
from service.store.examine import address_of, examine, reach

log = structlog.get_logger()

HEALTH_PATH = "/v1/health/"
_ASK_S = 2.0
_POLL_S = 0.1
_BACKLOG = 2048


@contextlib.asynccontextmanager
async def store_for(settings: Settings) -> AsyncIterator[Settings]:
    """The settings with a `redis_url` that works: the one given, or the embedded store's, open meanwhile.

    Raises Invalid or StoreUnreachable, naming the variable, for a store or queue that cannot be used.
    """
    if settings.queue_url is not None:
        await reach("QUEUE_URL", settings.queue_url)
    if settings.redis_url is not None:
        await examine("REDIS_URL", settings.redis_url)
        log.info("store.opened", kind="redis", where=address_of(settings.redis_url))
        yield settings
        return
    async with EmbeddedStore(settings.data_dir, settings.max_memory_mb) as store:
        log.info("store.opened", kind="embedded", where=str(store.folder))
        yield settings.model_copy(update={"redis_url": store.url})


def require_store(settings: Settings) -> None:
    """For whoever only looks: Invalid where there is no store yet, so that none is made for looking."""
    if settings.redis_url is None and not holds_store(settings.data_dir):
        raise Invalid("data", f"there is no store in {settings.data_dir}; name its folder, or set REDIS_URL")


async def listen(settings: Settings) -> socket.socket:
    """A listener where the settings say; beyond loopback only if the store has tokens, or if told."""
    may_be_reached = settings.insecure or (not is_loopback(settings.host) and await _has_tokens(settings))
    return open_listener(settings.host, settings.port, insecure=may_be_reached)


async def _has_tokens(settings: Settings) -> bool:
    """Whether the store has any; one that is not there yet is not made for that."""
    if settings.redis_url is None and not holds_store(settings.data_dir):
        return False
    async with store_for(settings) as reachable, open_tokens(reachable) as tokens:
        return await tokens.exist()


def open_listener(host: str, port: int, *, insecure: bool = False) -> socket.socket:
    """A socket that listens there; Invalid if that cannot be, or if others could reach it unasked."""
    if not insecure:
        _refuse_exposure(host, host)
    try:
        places = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise Invalid(
            "host", f"{host!r} cannot be used ({error.strerror}); use an address of this machine"
        ) from None
    family, kind, protocol, _, address = min(places, key=lambda place: place[0] != socket.AF_INET)
    if not insecure:
        _refuse_exposure(host, str(address[0]))
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise Invalid(
            "port",
            f"{port} on {host} cannot be used ({os.strerror(error.errno or 0).lower()}); "
            "end the program that has it, or choose another with --port or PORT",
        ) from None
    return listener


def _refuse_exposure(host: str, place: str) -> None:
    """Without tokens whoever can reach the port can do everything."""
    if not is_loopback(place):
        raise Invalid(
            "host",
            f"{host!r} can be reached from other machines and the store has no tokens; make one with "
            "`blockwire token create`, use 127.0.0.1, or add --insecure (BLOCKWIRE_INSECURE=1) if the "
            "network itself keeps strangers out",
        )


@dataclass(frozen=True)
class Child:
    """A process to keep alive."""

    name: str
    command: Sequence[str]


@dataclass(frozen=True)
class Pace:
    """How patient a group of processes is with its children, in seconds."""

    grace: float = 10.0
    first_pause: float = 0.5
    longest_pause: float = 30.0
    settled: float = 60.0


class ProcessGroup:
    """Keeps children alive until asked to stop, then ends them stage by stage, the first stage first."""

    def __init__(self, stages: Sequence[Sequence[Child]], pace: Pace | None = None) -> None:
        self._stages = stages
        self._pace = pace or Pace()
        self._asked = asyncio.Event()
        self._running: dict[str, Process] = {}
        self._killed = False
        self._exit_code = 0

    def ask_to_stop(self) -> None:
        """The first time: an orderly stop. The second time: everything is killed at once."""
        if self._asked.is_set():
            self._killed = True
            for process in self._running.values():
                kill_child(process)
        self._asked.set()

    async def run(self, environ: Mapping[str, str] | None = None) -> int:
        """Returns the exit code after a stop: 0, or that of the child that made it pointless to go on."""
        keepers = [
            [asyncio.create_task(self._keep(child, environ)) for child in stage] for stage in self._stages
        ]
        try:
            await self._asked.wait()
        finally:
            self._asked.set()
            for stage, tasks in zip(self._stages, keepers, strict=True):
                for task in tasks:
                    task.cancel()
                await asyncio.wait(tasks)
                await asyncio.gather(*(self._end(child) for child in stage))
        return self._exit_code

    async def _keep(self, child: Child, environ: Mapping[str, str] | None) -> None:
        pause = self._pace.first_pause
        event = "child.started"
        while True:
            began = time.monotonic()
            try:
                process = await start_child(child.command, environ=environ)
            except OSError as error:
                log.error("child.failed", child=child.name, reason=str(error), next_try_s=pause)
                await asyncio.sleep(pause)
                pause = min(pause * 2, self._pace.longest_pause)
                continue
            self._running[child.name] = process
            log.info(event, child=child.name, pid=process.pid)
            event = "child.restarted"
            code = await process.wait()
            if self._asked.is_set():
                return
            if code == WONT_WORK:
                log.error("child.refused", child=child.name, code=code)
                self._exit_code = code
                self._asked.set()
                return
            lived_s = time.monotonic() - began
            if lived_s >= self._pace.settled:
                pause = self._pace.first_pause
            log.warning(
                "child.exited", child=child.name, code=code, lived_s=round(lived_s, 1), next_try_s=pause
            )
            await asyncio.sleep(pause)
            pause = min(pause * 2, self._pace.longest_pause)

    async def _end(self, child: Child) -> None:
        process = self._running.get(child.name)
        if process is None or process.returncode is not None:
            return
        await end_child(process, 0 if self._killed else self._pace.grace)
        log.info("child.stopped", child=child.name, code=process.returncode)


async def up(settings: Settings, workers: int) -> int:
    """Everything on this machine, until Ctrl-C or SIGTERM; the exit code."""
    with await listen(settings) as listener:
        port = listener.getsockname()[1]
    settings = settings.model_copy(update={"port": port})
    group = ProcessGroup(
        [
            [Child("web", python_module("service.http.serve"))],
            [Child(f"worker {n}", python_module("workers.main")) for n in range(1, workers + 1)],
        ]
    )
    async with store_for(settings) as reachable:
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, group.ask_to_stop)
        greeting = asyncio.create_task(_greet(settings, workers))
        try:
            return await group.run(environment_for(reachable))
        finally:
            greeting.cancel()


async def _greet(settings: Settings, workers: int) -> None:
    """One line for the person at the terminal, once the web answers."""
    host = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)
    while True:
        if await _is_healthy(host, settings.port):
            break
        await asyncio.sleep(_POLL_S)
    if settings.redis_url is None:
        store = f"embedded store, data in {settings.data_dir.expanduser().resolve()}"
    else:
        store = f"store {address_of(settings.redis_url)}"
    workers_text = "1 worker" if workers == 1 else f"{workers} workers"
    url = f"http://{f'[{host}]' if ':' in host else host}:{settings.port}"
    sys.stdout.write(f"Blockwire is ready at {url} ({store}; {workers_text}; Ctrl-C stops it)\n")
    sys.stdout.flush()


async def _is_healthy(host: str, port: int) -> bool:
    request = f"GET {HEALTH_PATH} HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\n\r\n"
    try:
        async with asyncio.timeout(_ASK_S):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(request.encode())
                return b" 200 " in await reader.readline()
            finally:
                writer.close()
    except OSError:
        return False


def main() -> None:
    settings = settings_or_exit()
    set_up_logs(settings, "up")
    with one_line_errors():
        raise SystemExit(asyncio.run(up(settings, int(sys.argv[1]))))


if __name__ == "__main__":
    main()
