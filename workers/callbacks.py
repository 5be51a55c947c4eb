"""Callbacks: posts to whoever asked to be told that a run has ended.

One try of five seconds; redirects are not followed and the answer's body is not
read. A name is looked up once, and what it stands for is both checked and called:
an address of this machine or its network only where the run's server allows it.
"""

import asyncio
import socket
from contextlib import suppress

import httpx2
import structlog

from service.bootstrap import Service
from service.callbacks import message_of
from service.errors import StoreUnreachable
from service.loopback import is_private
from service.records.runs import Run

log = structlog.get_logger()

PAUSE_S = 1.0
LOOK_AGAIN_S = 5.0
TIMEOUT_S = 5.0


class Refused(Exception):
    """An address that must not be called."""


class Caller:
    """Tells, for every workspace, until it is cancelled."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._client: httpx2.AsyncClient | None = None
        self._opening = asyncio.Lock()

    async def run(self) -> None:
        try:
            await self._watch_all()
        finally:
            await self.aclose()

    async def aclose(self) -> None:
        """Closes the connections, if there are any."""
        if self._client is not None:
            await self._client.aclose()

    async def _watch_all(self) -> None:
        async with asyncio.TaskGroup() as group:
            known: set[str] = set()
            while True:
                with suppress(StoreUnreachable):
                    for ws in await self._service.callbacks.workspaces():
                        if ws not in known:
                            known.add(ws)
                            group.create_task(self._watch(ws))
                await asyncio.sleep(PAUSE_S)

    async def _watch(self, ws: str) -> None:
        async with self._service.callbacks.rings(ws) as rings:
            while True:
                try:
                    while await self.tell(ws):
                        pass
                except StoreUnreachable as failure:
                    log.warning("callbacks.deferred", workspace=ws, error=str(failure))
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_AGAIN_S):
                        await rings.get()
                while not rings.empty():
                    rings.get_nowait()

    async def tell(self, ws: str) -> bool:
        """Tells those that are due; false when there were none."""
        due = await self._service.callbacks.take(ws)
        await asyncio.gather(*(self._tell(ws, run) for run in due))
        return bool(due)

    async def _tell(self, ws: str, run: Run) -> None:
        status, error = None, None
        async with self._opening:  # it reads certificates, which takes a tenth of a second
            if self._client is None:
                self._client = await asyncio.to_thread(_client)
        client = self._client
        try:
            async with asyncio.timeout(TIMEOUT_S):
                status = await _post(client, run)
        except TimeoutError:
            error = f"no answer within {TIMEOUT_S:g} s"
        except Refused as refusal:
            error = str(refusal)
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError) as failure:
            error = f"could not be sent: {type(failure).__name__}"
        log.info("callback.sent", workspace=ws, run_id=run.id, status=status, error=error)
        await self._service.callbacks.settle(ws, run.id, status, error)


def _client() -> httpx2.AsyncClient:
    return httpx2.AsyncClient(trust_env=False, follow_redirects=False, timeout=TIMEOUT_S)


async def _post(client: httpx2.AsyncClient, run: Run) -> int:
    url = httpx2.URL(run.callback_url or "")
    address = await _address(url.host, url.port or (443 if url.scheme == "https" else 80), run)
    request = client.stream(
        "POST",
        url.copy_with(host=address),
        json=message_of(run),
        headers={"host": url.netloc.decode("ascii"), "connection": "close"},
        extensions={"sni_hostname": url.host},
    )
    async with request as response:
        return response.status_code


async def _address(host: str, port: int, run: Run) -> str:
    """The address that a name stands for. Raises Refused, OSError for a name that stands for none."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = [str(info[4][0]) for info in found]
    if not run.callback_private and any(is_private(address) for address in addresses):
        raise Refused(
            "not sent: its address lies in a private network (BLOCKWIRE_CALLBACKS_PRIVATE=1 allows it)"
        )
    return addresses[0]
