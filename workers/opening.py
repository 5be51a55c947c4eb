"""Opening: what a run starts from, on its way to the store while the first model call is made.

It sets out as soon as that call waits for something. A model that answers at once has it stored with
its step instead, in one act.
"""

import asyncio

from service.leases import Leases
from service.records.open_runs import Opening
from service.records.runs import Lease


class Opener:
    """One opening, from where it is known until it is stored."""

    def __init__(self, leases: Leases, lease: Lease, opening: Opening) -> None:
        self._leases = leases
        self._lease = lease
        self._opening = opening
        self._sending: asyncio.Task[None] | None = None
        self._turn = asyncio.get_running_loop().call_soon(self._send)

    def _send(self) -> None:
        self._turn.cancel()
        sending = self._leases.open_run(self._lease, self._opening)
        self._sending = asyncio.create_task(sending, name="opening")

    async def stored(self) -> None:
        """Until it is. Raises LeaseLost, StoreUnreachable."""
        if self._sending is None:
            self._send()
        assert self._sending is not None
        await self._sending

    async def left(self) -> Opening | None:
        """What whoever asks is to store instead; None once it is stored. What is on its way is waited for."""
        if self._sending is None:
            self._turn.cancel()
            return self._opening
        await self._sending
        return None
