"""Wake-ups in the store: how far changes were told to subscribers, and what that told them."""

import json
from collections.abc import Sequence

from service.records.blocks import Change
from service.records.runs import Ready, Run
from service.store.blocks import change_of
from service.store.client import StoreClient
from service.store.keys import key
from service.store.runs import record_of


class WakeUpStore:
    """The dispatch cursor and what is recorded while it moves."""

    def __init__(self, store: StoreClient) -> None:
        self._store = store

    async def cursor(self, ws: str) -> str:
        return await self._store.get(key(ws, "dispatched")) or "0-0"

    async def changes_after(self, ws: str, cursor: str, limit: int) -> list[Change]:
        found = await self._store.entries(key(ws, "changes"), after=f"({cursor}", limit=limit)
        return [change_of(fields["change"]) for _, fields in found]

    async def move(
        self, ws: str, cursor: str, upto: str, wakes: Sequence[tuple[Run, Sequence[Change]]]
    ) -> list[Ready] | None:
        """Moves the cursor and records the wake-ups; None when another dispatcher was first."""
        payload = [
            {
                "agent": run.agent_id,
                "run": run.id,
                "record": record_of(run),
                "changes": [change.model_dump_json() for change in changes],
            }
            for run, changes in wakes
        ]
        reply = await self._store.run("dispatch", ws, cursor, upto, json.dumps(payload, ensure_ascii=False))
        if reply[0] != "ok":
            return None
        return [
            Ready(agent_id=reply[i], generation=int(reply[i + 1]), pool=reply[i + 2], reason="woken")
            for i in range(1, len(reply), 3)
        ]
