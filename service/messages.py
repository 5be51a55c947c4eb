"""Messages: what is sent to agents and what they said.

A message goes into the agent's inbox as a run; sending makes an idle agent
ready, in one script, which queues a job for it, too, where the queue is in the
same store. Elsewhere the job comes after. If it is not queued, because the queue is
away or this process dies, the sweeper of any worker queues it a moment later: the
store's mark is the truth, the job only a nudge.

A message that is sent to be begun later waits beside the inbox for its time, by the
store's clock; whichever worker sweeps next puts it in.

While an agent waits for its caller's word (approvals.py) a message is refused, or
waits in the inbox if its sender says so; only the answer itself gets through.

Elsewhere: how a run goes on (workers/loop.py); how V1 clients see messages
(http/schemas/transcript.py).
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import structlog

from service.approvals import Approvals
from service.catalog import Catalog
from service.errors import Invalid
from service.metrics.process import Metrics
from service.pressure import Pressure
from service.queue import Queue
from service.records.base import Page
from service.records.ids import derived_id, new_id
from service.records.messages import Message, NewMessage
from service.records.runs import HIGHEST_PRIORITY, NOW, Run, RunOptions, When
from service.settings import Settings
from service.store.client import StoreClient
from service.store.messages import MessageStore, NotPending
from service.store.runs import RunStore, again

log = structlog.get_logger()

ANSWER_TRIES = 5
"""So often an answer is checked anew because the request it was checked against was answered meanwhile."""


class Messages:
    """The room of messages."""

    def __init__(
        self,
        store: StoreClient,
        settings: Settings,
        queue: Queue,
        catalog: Catalog,
        approvals: Approvals,
        pressure: Pressure,
        metrics: Metrics,
    ) -> None:
        self._metrics = metrics
        self._store = MessageStore(store)
        self._runs = RunStore(store)
        self._queue = queue
        self._catalog = catalog
        self._approvals = approvals
        self._pressure = pressure
        self._inbox = settings.inbox_count

    async def send(
        self,
        ws: str,
        agent_id: str,
        messages: Sequence[NewMessage],
        options: RunOptions | None = None,
        *,
        background: bool = False,
        kind: str = "send_message",
        callback_url: str | None = None,
        callback_private: bool = False,
        errand: dict[str, Any] | None = None,
        run_id: str | None = None,
        depth: int = 0,
        waits: bool = False,
        priority: int = 0,
        when: When = NOW,
    ) -> Run:
        """Puts messages into an agent's inbox as one run. A `run_id` that is known gives its run as it is.

        `waits`: whether they wait while the agent waits for its caller's word; PendingApproval otherwise.
        The first of them may be that word; one that was given before is answered with the run it began.
        With an `errand`, its `kind` says what is asked of the agent's worker instead of an answer, and
        messages may be missing. Raises NotFound for the agent, Invalid for no messages or a word that does
        not fit, UnknownModel for an override; for what is new and no such word also InboxFull, StoreFilling.

        `priority`, 0 to 9: how far in front it goes in the inbox. `when`: the time at which it enters it;
        until then it is listed and can be cancelled like any that waits, and no pending request refuses it.
        """
        if not messages and errand is None:
            raise Invalid("messages", "is empty; send at least one message")
        if type(priority) is not int or not 0 <= priority <= HIGHEST_PRIORITY:
            raise Invalid(
                "priority", f"must be a whole number from 0 (the default) to {HIGHEST_PRIORITY} (goes first)"
            )
        options = options or RunOptions()
        if options.override_model is not None:
            self._catalog.resolve(options.override_model)
        run = Run(
            id=run_id or new_id("run"),
            agent_id=agent_id,
            kind=kind,
            background=background,
            depth=depth,
            options=options,
            messages=list(messages),
            metadata={"run_type": kind},
            callback_url=callback_url,
            callback_private=callback_private,
            errand=errand,
            priority=priority,
            created_at=0,
        )
        if run.messages and run.messages[0].answer is not None:
            if errand is not None:  # it would use up the request, and carry out none of its calls
                raise Invalid(
                    "messages", "an answer to a request can only be sent; send it, or plain messages"
                )
            if when.is_later:
                raise Invalid("messages", "an answer to a request is given at once; leave out when it is due")
            return await self._answer(ws, run)
        return await self._send(ws, run, waits or when.is_later, when=when)

    async def retry(self, ws: str, run_id: str) -> Run:
        """A failed run's input and options as a new run, behind what the inbox has; once, however often.

        Raises NotFound for the run or its agent, Invalid for one that cannot be tried again, PendingApproval.
        """
        failed = await self._runs.read(ws, run_id)
        if failed.status != "failed":
            raise Invalid("run_id", f"only a failed run can be tried again, and this one is {failed.status}")
        if failed.messages and failed.messages[0].answer is not None:
            raise Invalid("run_id", "the run answered an approval request; send a message instead")
        run = again(failed, derived_id("run", "retry", failed.id))
        return await self._send(ws, run, False, failed.id)

    async def _answer(self, ws: str, run: Run) -> Run:
        """Sends a run whose first message is an answer to what is pending."""
        word, *rest = run.messages
        for _ in range(ANSWER_TRIES):
            checked = await self._approvals.check(ws, run.agent_id, word)
            if isinstance(checked, NewMessage):
                with suppress(NotPending):
                    return await self._send(ws, run.model_copy(update={"messages": [checked, *rest]}), False)
            elif rest in ([], checked.messages[1:]):
                return checked
            else:
                return await self._send(ws, run.model_copy(update={"messages": rest}), False)
        raise Invalid("messages", "the request is being answered by others; read the agent's messages")

    async def _send(
        self, ws: str, run: Run, waits: bool, retries: str | None = None, when: When = NOW
    ) -> Run:
        filling = await self._pressure.refusal()
        job = self._queue.step_to_be(ws, run.agent_id)
        sent = await self._store.send(
            ws, run, waits=waits, retries=retries, due=when.told(), most=self._inbox, filling=filling, job=job
        )
        if sent.ready is not None:
            await self._queue.nudge(ws, [sent.ready])
        if sent.is_new:
            self._metrics.messages.add(run.kind)
            log.info("message.sent", workspace=ws, agent_id=run.agent_id, run_id=run.id, kind=run.kind)
        return sent.run

    async def find(
        self, ws: str, agent_id: str, page: Page, keep: Callable[[Message], bool] | None = None
    ) -> list[Message]:
        """One page of an agent's history, or of what of it `keep` says yes to, in the order asked.

        Raises NotFound for an unknown cursor; TooWide where nothing is found among as many as it looks at.
        """
        return await self._store.page(ws, agent_id, page, keep)

    async def find_all(
        self, ws: str, page: Page, keep: Callable[[Message], bool] | None = None
    ) -> list[Message]:
        """One page of what all agents have and `keep` says yes to, in the order asked.

        Raises NotFound for an unknown cursor; TooWide where nothing is found among as many as it looks at.
        """
        return await self._store.page_of_all(ws, page, keep)

    async def read(self, ws: str, message_id: str) -> Message:
        """A message, whosever it is."""
        return await self._store.read(ws, message_id)

    async def count(self, ws: str, agent_id: str) -> int:
        """How many messages an agent's history has."""
        return await self._store.count(ws, agent_id)

    async def context(self, ws: str, agent_id: str) -> list[Message]:
        """What of the history is in context, oldest first, the system prompt in front."""
        return await self._store.context(ws, agent_id)

    async def read_many(self, ws: str, agent_id: str, message_ids: Sequence[str]) -> list[Message]:
        return await self._store.read_many(ws, agent_id, message_ids)
