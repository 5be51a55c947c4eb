"""Scene: a store, a web process and two workers that faults befall one after another, and what stands by.

A team of tests/scenarios whose web and workers can be made to die at a named point (crashing.py).
Whoever asks has a token, so that a test may revoke another one.
"""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import redis

from service.bootstrap import open_tokens
from service.entry import python_module
from tests.faults.crashing import TAKEN
from tests.scenarios.api import Api, wait_until
from tests.scenarios.team import Team

WORKERS = ("worker 1", "worker 2")
EVENT = {"web": "web.started"}
PATIENCE_S = 25.0
AGAIN = (429, 500, 502, 503, 504)


class Scene(Team):
    """The processes. Everything kept is kept long, and no run is given up: faults come thick here."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        kept = {"history_count": 1_000_000, "change_count": 1_000_000, "run_tries": 10_000}
        self.settings = self.settings.model_copy(update={"lease_ms": 800, **kept})
        self.points = folder / "points"
        self.points.mkdir()
        self.secret = ""

    def open(self) -> None:
        """All of it, ready when this returns."""
        self.start_store()
        self.secret = asyncio.run(self._token())
        for name in ("web", *WORKERS):
            self._begin(name)
        for name in ("web", *WORKERS):
            self.wait_for_log(name, EVENT.get(name, "worker.started"))

    async def _token(self) -> str:
        async with open_tokens(self.settings) as tokens:
            return (await tokens.create("default", "admin"))[1]

    def _begin(self, name: str) -> None:
        """Not in a thread: the kernel ends a child when the thread that made it is gone."""
        kind = "web" if name == "web" else "worker"
        self._start(name, python_module("tests.faults.crashing", kind, str(self.points)))

    def revive(self, *names: str) -> None:
        """Starts processes that have ended again, the store first. Only the store is waited for."""
        for name in sorted(names, key=lambda name: name != "store"):
            if name == "store":
                self.start_store()
            else:
                self._begin(name)

    def missing(self) -> list[str]:
        """Processes that should be there and are not."""
        alive = [name for name, process in self.processes.items() if process.poll() is None]
        return [name for name in ("store", "web", *WORKERS) if name not in alive]

    async def crash(self, point: str) -> str:
        """The name of the process that died there; some process has to come by."""
        (self.points / point).touch()
        taken = self.points / f"{point}{TAKEN}"
        dead: list[str] = []

        async def died() -> bool:
            dead[:] = [name for name, process in self.processes.items() if process.poll() is not None]
            return taken.exists() and bool(dead)

        try:
            await wait_until(f"a process came by {point}", died, PATIENCE_S)
        finally:
            for trace in (self.points / point, taken):
                trace.unlink(missing_ok=True)
        return dead[0]

    async def crash_and_revive(self, *points: str) -> None:
        """Somebody dies at each of the points, and is replaced."""
        for point in points:
            self.revive(await self.crash(point))

    def signal(self, number: signal.Signals, *names: str) -> None:
        for name in names:
            os.kill(self.processes[name].pid, number)

    @property
    def redis(self) -> Any:
        """A hand in the store itself."""
        return redis.Redis(unix_socket_path=f"{self.folder}/s", decode_responses=True)

    @asynccontextmanager
    async def client(self, *, patient: bool = True, secret: str | None = None) -> AsyncIterator[Api]:
        """A client of the API: one that asks again until it is answered, or one that asks once."""
        api = Api(self.url)
        await api.http.aclose()
        transport = httpx.AsyncHTTPTransport(trust_env=False)
        api.http = httpx.AsyncClient(
            base_url=self.url,
            timeout=PATIENCE_S,
            transport=Patient(transport) if patient else transport,
            headers={"Authorization": f"Bearer {secret or self.secret}"},
        )
        async with api.http:
            yield api


class Patient(httpx.AsyncBaseTransport):
    """Sends a request again until it is answered; each POST names itself, so that it counts once."""

    def __init__(self, through: httpx.AsyncHTTPTransport) -> None:
        self._through = through

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.method == "POST" and "Idempotency-Key" not in request.headers:
            request.headers["Idempotency-Key"] = os.urandom(12).hex()
        end = asyncio.get_running_loop().time() + PATIENCE_S
        while True:
            try:
                answer = await self._through.handle_async_request(request)
                body = await answer.aread()
                if answer.status_code not in AGAIN or asyncio.get_running_loop().time() > end:
                    return httpx.Response(answer.status_code, headers=answer.headers, content=body)
            except httpx.TransportError:
                if asyncio.get_running_loop().time() > end:
                    raise
            await asyncio.sleep(0.05)

    async def aclose(self) -> None:
        await self._through.aclose()
