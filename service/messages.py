"""Messages: what is sent to agents and what they said.

A message goes into the agent's inbox as a run; sending makes an idle agent
ready, in one script, and then queues a job for it. If the job is not queued,
because the queue is away or this process dies, the sweeper of any worker queues
it a moment later: the store's mark is the truth, the job only a nudge.

Elsewhere: how a run goes on (workers/loop.py); how V1 clients see messages
(http/schemas/messages.py).
"""

from collections.abc import Sequence
from typing import Any

import structlog

from service.catalog import Catalog
from service.errors import Invalid, StoreUnreachable
from service.queue import Queue
from service.records.base import Page
from service.records.ids import new_id
from service.records.messages import Message, NewMessage
from service.records.runs import Run, RunOptions
from service.store.client import StoreClient
from service.store.messages import MessageStore

log = structlog.get_logger()


class Messages:
    """The room of messages."""

    def __init__(self, store: StoreClient, queue: Queue, catalog: Catalog) -> None:
        self._store = MessageStore(store)
        self._queue = queue
        self._catalog = catalog

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
    ) -> Run:
        """Puts messages into an agent's inbox as one run. A `run_id` that is known changes nothing.

        With an `errand`, its `kind` says what is asked of the agent's worker instead of an answer, and
        messages may be missing.

        Raises NotFound for the agent, Invalid for no messages, UnknownModel for an override.
        """
        if not messages and errand is None:
            raise Invalid("messages", "is empty; send at least one message")
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
            created_at=0,
        )
        created_at, ready = await self._store.send(ws, run)
        if ready is not None:
            try:
                await self._queue.put_step(ws, ready)
            except StoreUnreachable as failure:
                log.warning("job.deferred", workspace=ws, agent_id=agent_id, reason=str(failure))
        log.info("message.sent", workspace=ws, agent_id=agent_id, run_id=run.id, kind=kind)
        return run.model_copy(update={"created_at": created_at or 0})

    async def find(self, ws: str, agent_id: str, page: Page, *, group_id: str | None = None) -> list[Message]:
        """One page of an agent's history, or of what was sent to it in a group, in the order asked.

        Raises NotFound for an unknown cursor.
        """
        return await self._store.page(ws, agent_id, page, group_id)

    async def find_all(self, ws: str, page: Page) -> list[Message]:
        """One page of what all agents have, in the order asked. Raises NotFound for an unknown cursor."""
        return await self._store.page_of_all(ws, page)

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
