"""Wake-ups in the store: how far changes were told to subscribers, what that told, and what is due."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from service.records.blocks import Cause
from service.records.runs import Ready, Run
from service.records.subscriptions import Subscription, WakeUp
from service.store.client import StoreClient
from service.store.keys import key
from service.store.runs import record_of, woken

DUE_AT_ONCE = 100


class WakeUpStore:
    """The dispatch cursor and what is recorded while it moves."""

    def __init__(self, store: StoreClient) -> None:
        self._store = store

    async def cursor(self, ws: str) -> str:
        return await self._store.get(key(ws, "dispatched")) or "0-0"

    async def move(
        self, ws: str, cursor: str, upto: str, wakes: Sequence[WakeUp], webhooks: Sequence[str] = ()
    ) -> list[Ready] | None:
        """Moves the cursor and records the wake-ups; None when another dispatcher was first."""
        payload = [
            {
                "agent": wake.run.agent_id,
                "run": wake.run.id,
                "record": record_of(wake.run),
                "subscriptions": [_subscription(one, wake.causes) for one in wake.by],
                "causes": [
                    {"by": cause.by, "held": cause.held or "", "text": cause_text(cause)}
                    for cause in wake.causes
                ],
            }
            for wake in wakes
        ]
        texts = json.dumps(payload, ensure_ascii=False), json.dumps(list(webhooks))
        reply = await self._store.run("dispatch", ws, cursor, upto, *texts)
        return None if reply[0] != "ok" else woken(reply, "woken")

    async def waiting(self, ws: str) -> list[str]:
        """Agents whose wake-up waits for the end of a burst, the most urgent first."""
        found = await self._store.range(key(ws, "wakes"), limit=DUE_AT_ONCE)
        return [agent_id for agent_id, _ in found]

    async def due(self, ws: str, runs: Sequence[Run]) -> tuple[float | None, list[Ready]]:
        """Wakes those of the agents whose time has come; seconds until the next, and who became ready."""
        args = [part for run in runs for part in (run.agent_id, run.id, record_of(run))]
        reply = await self._store.run("wake_due", ws, *args)
        return (int(reply[0]) / 1000 if reply[0] else None), woken(reply, "woken")


def cause_text(cause: Cause) -> str:
    return cause.model_dump_json(exclude_none=True)


def _subscription(one: Subscription, causes: Sequence[Cause]) -> Mapping[str, Any]:
    own = [cause for cause in causes if cause.by == one.id]
    return {
        "id": one.id,
        "debounce": str(one.debounce_ms),
        "max_wait": str(one.max_wait_ms),
        "rate": str(one.wakes_per_minute),
        "wakes": any(cause.held is None for cause in own),
        "told": {cause.block_id: "" if cause.kind == "deleted" else str(cause.version) for cause in own},
    }
