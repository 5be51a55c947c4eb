"""Voice: passes a model's answer on as it arrives, gathered for a moment: the store is not asked per token.

Pieces of the same kind that arrive together become one; the last ones go with the answer
itself. If the lease is lost meanwhile, the loss is learnt here first and ends the model call.
"""

import asyncio
import time
from collections.abc import Callable

from service.bootstrap import Service
from service.output import piece_of
from service.records.runs import Lease, OutputEvent, Piece, Run, Step

GATHER_S = 0.03


class Voice:
    """One answer's way out. `emit` is what the model calls; `rest` is what is stored with the answer."""

    def __init__(
        self, service: Service, lease: Lease, run: Run, step: Step, wanted: Callable[[Piece], bool]
    ) -> None:
        """`wanted`: whether a piece is said; what is not comes with the stored answer, or never."""
        self._service = service
        self._lease = lease
        self._run = run
        self._step = step
        self._wanted = wanted
        self._pieces: list[Piece] = []
        self._gathering: asyncio.TimerHandle | None = None
        self._sending: asyncio.Task[None] | None = None
        self._is_complete = False

    async def emit(self, piece: Piece) -> None:
        """Takes a piece. Raises LeaseLost or StoreUnreachable from an earlier sending."""
        if not self._wanted(piece):
            return
        if self._pieces and _joins(self._pieces[-1], piece):
            last = self._pieces[-1]
            self._pieces[-1] = last.model_copy(update={"text": last.text + piece.text})
        else:
            self._pieces.append(piece)
        if self._sending is not None and self._sending.done():
            self._sending.result()
            self._sending = None
        if self._sending is None and self._gathering is None:
            self._gather()

    async def rest(self) -> list[OutputEvent]:
        """What was not sent yet, as soon as what is being sent has arrived; the answer is complete."""
        self._is_complete = True
        self._stop_gathering()
        if self._sending is not None:
            await self._sending
        pieces, self._pieces = self._pieces, []
        return self._events(pieces)

    async def close(self) -> None:
        """Ends the sending, whatever came of it; of an answer that failed nothing more is said."""
        self._is_complete = True
        self._stop_gathering()
        if self._sending is None:
            return
        self._sending.cancel()
        await asyncio.wait({self._sending})
        if not self._sending.cancelled():
            self._sending.exception()  # told to whoever emits or flushes; here it would hide why we close

    def _gather(self) -> None:
        """By a timer, no task: the whole of a short answer is there before it rings."""
        self._gathering = asyncio.get_running_loop().call_later(GATHER_S, self._send)

    def _stop_gathering(self) -> None:
        if self._gathering is not None:
            self._gathering.cancel()
            self._gathering = None

    def _send(self) -> None:
        self._gathering = None
        self._sending = asyncio.create_task(self._send_gathered(), name="voice")

    async def _send_gathered(self) -> None:
        """What has gathered; what comes while it is being sent gathers again."""
        pieces, self._pieces = self._pieces, []
        await self._service.leases.tell(self._lease, self._run.id, self._events(pieces))
        if self._pieces and not self._is_complete:
            self._gather()

    def _events(self, pieces: list[Piece]) -> list[OutputEvent]:
        message = piece_of(
            self._step.message_id or "",
            self._step.id,
            self._run.id,
            self._run.agent_id,
            time.time_ns() // 1000,
        )
        return [OutputEvent(kind="piece", message=message, piece=piece) for piece in pieces]


def _joins(last: Piece, piece: Piece) -> bool:
    return (last.kind, last.index) == (piece.kind, piece.index)
