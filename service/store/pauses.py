"""Pauses in the store: whether an agent may go on. The scripts that heed it: lua/idle.lua, lua/ready.lua."""

from service.errors import NotFound
from service.records.runs import Ready
from service.store.client import StoreClient


class PauseStore:
    """One door to the scripts that stop agents and let them go on."""

    def __init__(self, store: StoreClient) -> None:
        self._store = store

    async def pause(self, ws: str, agent_id: str) -> None:
        """Raises NotFound for the agent."""
        if (await self._store.run("agent_pause", ws, agent_id))[0] != "ok":
            raise NotFound("agent", agent_id)

    async def resume(self, ws: str, agent_id: str) -> list[Ready]:
        """The agent, if it has something to go on with. Raises NotFound."""
        reply = await self._store.run("agent_resume", ws, agent_id)
        if reply[0] != "ok":
            raise NotFound("agent", agent_id)
        if not reply[1]:
            return []
        return [Ready(agent_id=agent_id, generation=int(reply[1]), pool=reply[2], reason="resumed")]
