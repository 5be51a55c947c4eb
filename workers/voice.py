"""Voice: passes a model's answer on as it arrives, gathered for a moment: the store is not asked per token.

Pieces of the same kind that arrive together become one. If the lease is lost
meanwhile, the loss is learnt here first and ends the model call.
"""

import asyncio
import time
from contextlib import suppress

from service.bootstrap import Service
from service.output import piece_of
from service.records.runs import Lease, OutputEvent, Piece, Run, Step

GATHER_S = 0.03


class Voice:
    """One answer's way out. `emit` is what the model calls; `flush` before the answer is stored."""

    def __init__(self, service: Service, lease: Lease, run: Run, step: Step) -> None:
        self._service = service
        self._lease = lease
        self._run = run
        self._step = step
        self._pieces: list[Piece] = []
        self._sending: asyncio.Task[None] | None = None

    async def emit(self, piece: Piece) -> None:
        """Takes a piece. Raises LeaseLost or StoreUnreachable from an earlier sending."""
        if self._pieces and _joins(self._pieces[-1], piece):
            last = self._pieces[-1]
            self._pieces[-1] = last.model_copy(update={"text": last.text + piece.text})
        else:
            self._pieces.append(piece)
        if self._sending is None:
            self._sending = asyncio.create_task(self._send_soon())
        elif self._sending.done():
            self._sending.result()
            self._sending = asyncio.create_task(self._send_soon())

    async def flush(self) -> None:
        """Sends what is left, after what is being sent."""
        if self._sending is not None:
            await self._sending
            self._sending = None
        await self._send()

    async def close(self) -> None:
        """For an answer that failed: nothing more is sent."""
        if self._sending is not None:
            self._sending.cancel()
            with suppress(asyncio.CancelledError):
                await self._sending

    async def _send_soon(self) -> None:
        await asyncio.sleep(GATHER_S)
        await self._send()

    async def _send(self) -> None:
        pieces, self._pieces = self._pieces, []
        if not pieces:
            return
        message = piece_of(
            self._step.message_id or "",
            self._step.id,
            self._run.id,
            self._run.agent_id,
            time.time_ns() // 1000,
        )
        events = [OutputEvent(kind="piece", message=message, piece=piece) for piece in pieces]
        await self._service.leases.tell(self._lease, self._run.id, events)


def _joins(last: Piece, piece: Piece) -> bool:
    return (last.kind, last.index) == (piece.kind, piece.index)
