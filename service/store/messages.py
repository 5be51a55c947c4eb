"""Messages in the store: into an agent's inbox, and out of its history and context."""

from collections.abc import Sequence

from service.errors import NotFound
from service.records.base import Page
from service.records.messages import Message
from service.records.runs import Ready, Run
from service.store.client import StoreClient
from service.store.keys import key
from service.store.pages import Term, page_of
from service.store.places import Creation
from service.store.runs import record_of


def body_of(message: Message, *, stamped: bool = False) -> str:
    """A message as JSON; without its time, which the store puts in, unless it has one."""
    return message.model_dump_json(exclude=None if stamped else {"created_at"}, exclude_defaults=True)


class MessageStore:
    """What lies in an agent's inbox, history and context."""

    def __init__(self, store: StoreClient) -> None:
        self._store = store

    async def send(self, ws: str, run: Run) -> tuple[int | None, Ready | None]:
        """The time it was created, or None for a known run; and whether its agent became ready."""
        reply = await self._store.run(
            "message_send",
            ws,
            run.agent_id,
            run.id,
            record_of(run),
            "1" if run.options.output != "none" else "",
        )
        if reply[0] == "missing":
            raise NotFound("agent", run.agent_id)
        if reply[0] == "known":
            return None, None
        ready = Ready(agent_id=run.agent_id, generation=int(reply[2]), pool=reply[3]) if reply[2] else None
        return int(reply[1]), ready

    async def page(self, ws: str, agent_id: str, page: Page) -> list[Message]:
        """Raises NotFound for a cursor that is no message of this agent."""
        index = key(ws, "agent_messages", agent_id)
        for cursor in (page.after, page.before):
            if cursor is not None and await self._store.score(index, cursor) is None:
                raise NotFound("message", cursor)
        ids = await page_of(self._store, Creation(index), [Term([index])], page)
        return await self.read_many(ws, agent_id, ids)

    async def context(self, ws: str, agent_id: str) -> list[Message]:
        """The messages in context, oldest first, the system prompt in front."""
        found = await self._store.range(key(ws, "agent_context", agent_id))
        return await self.read_many(ws, agent_id, [id for id, _ in found])

    async def read_many(self, ws: str, agent_id: str, ids: Sequence[str]) -> list[Message]:
        bodies = await self._store.fields(key(ws, "agent_bodies", agent_id), ids)
        return [Message.model_validate_json(body) for body in bodies if body is not None]
