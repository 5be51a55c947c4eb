"""Asks: messages that one agent sends to another, and waiting for the reply.

An agent that waits has no worker: its run is stored as waiting, its lease given
back, and whatever ends the last run that it waits for (its answer, its failure,
its cancellation, the deletion of its agent) makes it ready again in the same
script. The step is then carried out anew, with the results of the calls that
were done put in; a message is sent once, however often its call is repeated.

Who waits for whom is stored with the agent before the message is sent. A message
that would close a circle is refused at once: in it everybody would wait until
the deadline. A deadline ends the waiting, never the run that was asked for.

Elsewhere: the tools that ask (workers/tools/agents.py); the loop that stops for
it (workers/waits.py); deadlines and lost wake-ups (lua/sweep.lua).
"""

from collections.abc import Mapping, Sequence

import structlog

from service.metrics.process import Metrics
from service.pressure import Pressure
from service.queue import Queue
from service.records.messages import NewMessage, ToolReturn
from service.records.runs import AskState, Lease, Run
from service.settings import Settings
from service.store.asks import AskStore
from service.store.client import StoreClient

log = structlog.get_logger()

KIND = "agent_message"


class Asks:
    """The room of what agents ask of each other."""

    def __init__(
        self, store: StoreClient, settings: Settings, queue: Queue, pressure: Pressure, metrics: Metrics
    ) -> None:
        self._metrics = metrics
        self._store = AskStore(store)
        self._pressure = pressure
        self._inbox = settings.inbox_count
        self._queue = queue
        self._wait_ms = int(settings.reply_timeout_s * 1000)

    async def ask(
        self, lease: Lease, run: Run, receiver_id: str, text: str, asked_id: str, *, waits: bool
    ) -> AskState:
        """Sends a text to another agent in the name of `run`, once for each `asked_id`, the receiver's run.

        Raises NotFound for the receiver, AskCircle where the waiting would never end, InboxFull,
        StoreFilling, LeaseLost.
        """
        asked = Run(
            id=asked_id,
            agent_id=receiver_id,
            kind=KIND,
            background=True,
            depth=run.depth,
            messages=[NewMessage(role="system", content=text, sender_id=lease.agent_id)],
            metadata={"run_type": KIND},
            created_at=0,
        )
        state, ready = await self._store.ask(
            lease,
            run.id,
            asked,
            self._wait_ms if waits else None,
            most=self._inbox,
            filling=await self._pressure.refusal(),
        )
        await self._queue.nudge(lease.workspace, ready)
        if state == "sent":
            self._metrics.messages.add(KIND)
            log.info(
                "message.sent", agent_id=receiver_id, run_id=asked_id, kind=KIND, sender_id=lease.agent_id
            )
        return state

    async def decide(self, lease: Lease, run: Run, call: int, decision: Sequence[str]) -> list[str]:
        """What a tool call decided when it was first carried out; later ones are given that again."""
        return await self._store.decide(lease, run.id, call, decision)

    async def wait(
        self, lease: Lease, run: Run, seen: Mapping[str, int], results: Mapping[int, ToolReturn]
    ) -> None:
        """Gives the lease back until the last reply is there, with what the step's calls gave so far.

        Should the replies have come meanwhile, the agent is queued again at once.
        """
        await self._queue.nudge(lease.workspace, await self._store.wait(lease, run.id, seen, results))

    async def results(self, ws: str, run_id: str) -> dict[int, ToolReturn]:
        """Index of a call -> its result, of those that were done before the run waited."""
        return await self._store.results(ws, run_id)
