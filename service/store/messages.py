"""Messages in the store: into an agent's inbox, and out of its history and context."""

import json
from collections.abc import Callable, Sequence
from typing import NamedTuple

from service.errors import AgentBusy, InboxFull, Invalid, NotFound, PendingApproval, StoreFilling
from service.records.base import Page
from service.records.messages import Message
from service.records.runs import STREAMED, Ready, Run
from service.store.client import StoreClient, flat
from service.store.keys import key
from service.store.pages import Term, page_of, rows_of
from service.store.places import Creation
from service.store.queue import PreparedJob
from service.store.runs import record_of, to_run


def body_of(message: Message, *, stamped: bool = False) -> str:
    """A message as JSON; without its time, which the store puts in, unless it has one."""
    return message.model_dump_json(exclude=None if stamped else {"created_at"}, exclude_defaults=True)


INBOX_MOST = 10_000


class NotPending(Exception):
    """The request that was to be answered is not the one that is pending."""


class Sent(NamedTuple):
    """A run as it is stored, and its agent, if that became ready and has no job yet."""

    run: Run
    ready: Ready | None
    is_new: bool


def _kept_for(run: Run, *, again: bool) -> str:
    """What of a run is for whom: its output for streams, its end for a sender who waits."""
    if run.options.output != "none":
        return "stream" if run.kind == STREAMED and not again else "1"
    return "" if run.background else "end"


class MessageStore:
    """What lies in an agent's inbox, history and context."""

    def __init__(self, store: StoreClient) -> None:
        self._store = store

    async def send(
        self,
        ws: str,
        run: Run,
        *,
        waits: bool = True,
        retries: str | None = None,
        due: str = "",
        most: int = INBOX_MOST,
        filling: StoreFilling | None = None,
        job: PreparedJob | None = None,
    ) -> Sent:
        """The run as it is stored, also if it was known before.

        While a request is pending a run that does not answer it waits, or is refused (PendingApproval).
        `retries`: the failed run that it tries again. Raises NotPending for an answer that comes too late,
        InboxFull past `most` unread ones, and `filling`, if it is given, for a run that is new and no answer.
        `due`: when it enters the inbox, as message_send.lua reads it; Invalid past what may wait so.
        `job`: is queued if the agent becomes ready.
        """
        answer = run.messages[0].answer if run.messages else None
        answers = None if answer is None else answer.request_id
        reply = await self._store.run(
            "message_send",
            ws,
            run.agent_id,
            run.id,
            record_of(run),
            _kept_for(run, again=retries is not None),
            "1" if run.callback_url else "",
            answers or ("wait" if waits else "refuse"),
            retries or "",
            0 if answers else run.priority,
            due,
            most,
            "1" if filling else "",
            *(("",) if job is None else job),
        )
        if reply[0] == "missing":
            raise NotFound("agent", run.agent_id)
        if reply[0] == "known":
            return Sent(to_run(flat(reply[1])), None, is_new=False)
        if reply[0] == "full":
            raise InboxFull(run.agent_id, most)
        if reply[0] == "filling" and filling is not None:
            raise filling
        if reply[0] == "crowded":
            raise Invalid(
                "delay_s, not_before",
                f"the agent has {reply[1]} messages that wait for their time, as many as may; cancel some, "
                "or send this one when it is time",
            )
        if reply[0] == "pending":
            if answers is not None:
                raise NotPending
            asked_by = [one.run_id or "" for one in await self.read_many(ws, run.agent_id, [reply[1]])]
            raise PendingApproval(reply[1], "".join(asked_by))
        ready = Ready(agent_id=run.agent_id, generation=int(reply[2]), pool=reply[3]) if reply[2] else None
        told = {"created_at": int(reply[1]), "not_before": int(reply[4]) if reply[4] else None}
        return Sent(run.model_copy(update=told), None if reply[5] == "1" else ready, is_new=True)

    async def page(
        self, ws: str, agent_id: str, page: Page, keep: Callable[[Message], bool] | None = None
    ) -> list[Message]:
        """One page of those that `keep` says yes to. NotFound for a cursor that is none of this agent's."""
        index = key(ws, "agent_messages", agent_id)
        for cursor in (page.after, page.before):
            if cursor is not None and await self._store.score(index, cursor) is None:
                raise NotFound("message", cursor)
        axis, terms = Creation(index), [Term([index])]
        if keep is None:
            return await self.read_many(ws, agent_id, await page_of(self._store, axis, terms, page))

        async def read(ids: Sequence[str]) -> list[Message]:
            found = await self.read_many(ws, agent_id, ids)
            return [message for message in found if keep(message)]

        return await rows_of(self._store, axis, terms, page, read)

    async def reset(self, ws: str, message_0: Message, first: Sequence[Message]) -> Ready | None:
        """Whether the agent became ready, because what waited for an answer need not wait.

        Raises NotFound for the agent, AgentBusy while a run of its is under way.
        """
        agent_id = message_0.agent_id
        rows = json.dumps([(one.id, body_of(one)) for one in first], ensure_ascii=False)
        reply = await self._store.run(
            "context_reset", ws, agent_id, message_0.id, body_of(message_0, stamped=True), rows
        )
        if reply[0] == "missing":
            raise NotFound("agent", agent_id)
        if reply[0] == "busy":
            raise AgentBusy(agent_id, reply[1])
        return Ready(agent_id=agent_id, generation=int(reply[1]), pool=reply[2]) if reply[1] else None

    async def page_of_all(
        self, ws: str, page: Page, keep: Callable[[Message], bool] | None = None
    ) -> list[Message]:
        """One page of what all agents have and `keep` says yes to, asked of a bounded number (TooWide).

        Raises NotFound for a cursor that is no message.
        """
        for cursor in (page.after, page.before):
            if cursor is not None:
                await self.read(ws, cursor)

        async def read(ids: Sequence[str]) -> list[Message]:
            agents = await self._store.fields(key(ws, "message_agents"), ids)
            names = {id: agent for id, agent in zip(ids, agents, strict=True) if agent is not None}
            found: dict[str, Message] = {}
            for agent in sorted(set(names.values())):
                own = [id for id in ids if names.get(id) == agent]
                found |= {message.id: message for message in await self.read_many(ws, agent, own)}
            return [found[id] for id in ids if id in found and (keep is None or keep(found[id]))]

        index = key(ws, "messages")
        return await rows_of(self._store, Creation(index), [Term([index])], page, read)

    async def read(self, ws: str, message_id: str) -> Message:
        agent_id = await self._store.field(key(ws, "message_agents"), message_id)
        found = [] if agent_id is None else await self.read_many(ws, agent_id, [message_id])
        if not found:
            raise NotFound("message", message_id)
        return found[0]

    async def count(self, ws: str, agent_id: str) -> int:
        return await self._store.count(key(ws, "agent_messages", agent_id))

    async def context(self, ws: str, agent_id: str) -> list[Message]:
        """The messages in context, oldest first, the system prompt in front."""
        found = await self._store.range(key(ws, "agent_context", agent_id))
        return await self.read_many(ws, agent_id, [id for id, _ in found])

    async def read_many(self, ws: str, agent_id: str, ids: Sequence[str]) -> list[Message]:
        bodies = await self._store.fields(key(ws, "agent_bodies", agent_id), ids)
        return [Message.model_validate_json(body) for body in bodies if body is not None]
