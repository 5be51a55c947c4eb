"""Posts: what is sent from here to addresses that people gave; the one place that calls them.

One try with a deadline; redirects are not followed and nothing but the head of the answer
is read. A name is looked up once, and what it stands for is both checked and called: an
address of this machine or its network only where that is allowed. Names are looked up by
threads of their own, so that one that hangs holds up no step.
"""

import asyncio
import socket
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import httpx2

from service.loopback import is_private

NAMES_AT_ONCE = 16
USER_AGENT = "Blockwire"


class Refused(Exception):
    """An address that must not be called."""


@dataclass(frozen=True)
class Outcome:
    """How a post went: the answer's status, or why there is none."""

    status: int | None = None
    error: str | None = None
    retry_after: str = ""


class Poster:
    """Posts to anybody; `aclose` ends its connections."""

    def __init__(self) -> None:
        self._client: httpx2.AsyncClient | None = None
        self._opening = asyncio.Lock()
        self._names = ThreadPoolExecutor(NAMES_AT_ONCE, thread_name_prefix="names")

    async def aclose(self) -> None:
        self._names.shutdown(wait=False, cancel_futures=True)
        if self._client is not None:
            await self._client.aclose()

    async def post(
        self, url: str, body: bytes, headers: Mapping[str, str], *, private: bool, timeout_s: float
    ) -> Outcome:
        """One try; whatever goes wrong is in the outcome."""
        async with self._opening:  # it reads certificates, which takes a tenth of a second
            if self._client is None:
                self._client = await asyncio.to_thread(_client)
        try:
            async with asyncio.timeout(timeout_s):
                return await self._send(self._client, httpx2.URL(url), body, headers, private)
        except TimeoutError:
            return Outcome(error=f"no answer within {timeout_s:g} s")
        except Refused as refusal:
            return Outcome(error=str(refusal))
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError) as failure:
            return Outcome(error=f"could not be sent: {type(failure).__name__}")

    async def _send(
        self,
        client: httpx2.AsyncClient,
        url: httpx2.URL,
        body: bytes,
        headers: Mapping[str, str],
        private: bool,
    ) -> Outcome:
        address = await self._address(url.host, url.port or (443 if url.scheme == "https" else 80), private)
        request = client.stream(
            "POST",
            url.copy_with(host=address),
            content=body,
            headers={
                "content-type": "application/json",
                **headers,
                "host": url.netloc.decode("ascii"),
                "connection": "close",
            },
            extensions={"sni_hostname": url.host},
        )
        async with request as response:
            return Outcome(response.status_code, retry_after=response.headers.get("retry-after", ""))

    async def _address(self, host: str, port: int, private: bool) -> str:
        """The address that a name stands for. Raises Refused, OSError for a name that stands for none."""
        found = await asyncio.get_running_loop().run_in_executor(
            self._names, lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        )
        addresses = [str(info[4][0]) for info in found]
        if not private and any(is_private(address) for address in addresses):
            raise Refused(
                "not sent: its address lies in a private network (BLOCKWIRE_CALLBACKS_PRIVATE=1 allows it)"
            )
        return addresses[0]


def _client() -> httpx2.AsyncClient:
    return httpx2.AsyncClient(trust_env=False, follow_redirects=False, headers={"user-agent": USER_AGENT})
