"""Messages in the store: into an agent's inbox, and out of its history and context."""

from collections.abc import Sequence

from service.errors import NotFound, PendingApproval
from service.records.base import Page
from service.records.messages import Message
from service.records.runs import Ready, Run
from service.store.client import StoreClient, flat
from service.store.keys import key
from service.store.pages import page_of
from service.store.runs import record_of, to_run


def body_of(message: Message, *, stamped: bool = False) -> str:
    """A message as JSON; without its time, which the store puts in, unless it has one."""
    return message.model_dump_json(exclude=None if stamped else {"created_at"}, exclude_defaults=True)


class NotPending(Exception):
    """The request that was to be answered is not the one that is pending."""


class MessageStore:
    """What lies in an agent's inbox, history and context."""

    def __init__(self, store: StoreClient) -> None:
        self._store = store

    async def send(self, ws: str, run: Run, *, waits: bool = True) -> tuple[Run, Ready | None]:
        """The run as it is stored, also if it was known before; and whether its agent became ready.

        While a request is pending a run that does not answer it waits, or is refused (PendingApproval).
        Raises NotPending for an answer that comes too late.
        """
        answer = run.messages[0].answer if run.messages else None
        answers = None if answer is None else answer.request_id
        reply = await self._store.run(
            "message_send",
            ws,
            run.agent_id,
            run.id,
            record_of(run),
            "1" if run.options.output != "none" else "",
            answers or ("wait" if waits else "refuse"),
        )
        if reply[0] == "missing":
            raise NotFound("agent", run.agent_id)
        if reply[0] == "known":
            return to_run(flat(reply[1])), None
        if reply[0] == "pending":
            if answers is not None:
                raise NotPending
            asked_by = [one.run_id or "" for one in await self.read_many(ws, run.agent_id, [reply[1]])]
            raise PendingApproval(reply[1], "".join(asked_by))
        ready = Ready(agent_id=run.agent_id, generation=int(reply[2]), pool=reply[3]) if reply[2] else None
        return run.model_copy(update={"created_at": int(reply[1])}), ready

    async def page(self, ws: str, agent_id: str, page: Page) -> list[Message]:
        """Raises NotFound for a cursor that is no message of this agent."""
        index = key(ws, "agent_messages", agent_id)
        for cursor in (page.after, page.before):
            if cursor is not None and await self._store.score(index, cursor) is None:
                raise NotFound("message", cursor)
        return await self.read_many(ws, agent_id, await page_of(self._store, index, page))

    async def context(self, ws: str, agent_id: str) -> list[Message]:
        """The messages in context, oldest first, the system prompt in front."""
        found = await self._store.range(key(ws, "agent_context", agent_id))
        return await self.read_many(ws, agent_id, [id for id, _ in found])

    async def read_many(self, ws: str, agent_id: str, ids: Sequence[str]) -> list[Message]:
        bodies = await self._store.fields(key(ws, "agent_bodies", agent_id), ids)
        return [Message.model_validate_json(body) for body in bodies if body is not None]
