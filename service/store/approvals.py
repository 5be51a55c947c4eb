"""Approvals in the store: which request of an agent is pending, and how it is denied."""

from service.errors import NotFound
from service.records.messages import Message
from service.records.runs import Ready
from service.store.client import StoreClient
from service.store.keys import key
from service.store.messages import body_of


class ApprovalStore:
    """What an agent's state says of requests. Who answers one: message_send.lua."""

    def __init__(self, store: StoreClient) -> None:
        self._store = store

    async def state(self, ws: str, agent_id: str) -> tuple[str | None, str | None]:
        """The request that is pending, and the run that answered the last one. Raises NotFound."""
        state = await self._store.hash(key(ws, "agent_state", agent_id))
        if not state:
            raise NotFound("agent", agent_id)
        return state.get("pending"), state.get("answered_by")

    async def pending(self, ws: str, agent_id: str) -> str | None:
        return await self._store.field(key(ws, "agent_state", agent_id), "pending")

    async def deny(self, ws: str, request: Message, results: Message) -> tuple[bool, Ready | None]:
        """Whether it was still pending, and whether its agent became ready."""
        reply = await self._store.run(
            "request_deny",
            ws,
            request.agent_id,
            request.id,
            request.run_id or "",
            results.id,
            body_of(results),
        )
        if reply[0] != "ok":
            return False, None
        if not reply[1]:
            return True, None
        return True, Ready(agent_id=request.agent_id, generation=int(reply[1]), pool=reply[2])
