"""Deliveries in the store: what is sent to webhooks, who sends it, and what became of it."""

from collections.abc import Mapping, Sequence
from typing import Any

from service.errors import Invalid, NotFound
from service.records.webhooks import Claimed, Delivery, NewDelivery, Verdict
from service.store.client import StoreClient, flat
from service.store.keys import key
from service.store.webhooks import webhook_of

CLAIM_MS = 15_000
"""How long a worker may take over one delivery before another takes it for dead: more than a try takes."""
KEPT_MS = 30 * 86_400_000
RECENT_MOST = 100
DEAD_MOST = 50
DEAD_IN_ROW = 10
"""A webhook that refuses so many deliveries, one after the other, is paused."""
AGAIN_MOST = 50
_SHOWN = (
    "webhook_id",
    "kind",
    "status",
    "changes",
    "after",
    "upto",
    "created_at",
    "tries",
    "tried_at",
    "http_status",
    "error",
    "next_try_at",
    "ended_at",
)


class DeliveryStore:
    """One door to the scripts on deliveries. `give_up_ms`: how long one is tried."""

    def __init__(self, store: StoreClient, give_up_ms: int) -> None:
        self._store = store
        self._give_up_ms = give_up_ms

    async def claim(self, ws: str, most: int) -> tuple[float | None, list[Claimed]]:
        """Webhooks that have something to be told, for this worker alone; seconds until others have."""
        soonest, *found = await self._store.run("webhook_claim", ws, most, CLAIM_MS)
        return (int(soonest) / 1000 if soonest else None), [_claimed(one) for one in found]

    async def begin(self, ws: str, claimed: Claimed, upto: str, new: NewDelivery | None) -> str:
        """Moves the position and records what is to be sent: `begun`, `more`, `idle` or `lost`."""
        delivery: list[str | int] = [""] * 6
        if new is not None:
            delivery = [new.id, new.kind, new.changes, new.after, new.upto, new.body]
        args = (claimed.webhook.id, claimed.number, upto, CLAIM_MS, *delivery)
        return str((await self._store.run("webhook_begin", ws, *args))[0])

    async def settle(self, ws: str, claimed: Claimed, delivery_id: str, verdict: Verdict) -> tuple[str, str]:
        """What the delivery is now, or `lost`; and why the webhook was paused, or ''."""
        reply = await self._store.run(
            "webhook_settle",
            ws,
            claimed.webhook.id,
            claimed.number,
            delivery_id,
            verdict.outcome,
            "" if verdict.http_status is None else verdict.http_status,
            verdict.error or "",
            verdict.wait_ms,
            self._give_up_ms,
            KEPT_MS,
            RECENT_MOST,
            DEAD_MOST,
            DEAD_IN_ROW,
        )
        return reply[0], reply[1] if len(reply) > 1 else ""

    async def send(self, ws: str, webhook_id: str, delivery_id: str, body: str = "") -> None:
        """Has a ping sent, or without a body a dead letter again; one that waits already is no change.

        Raises NotFound, Invalid where too many wait or it is no dead letter.
        """
        reply = await self._store.run("webhook_send", ws, webhook_id, delivery_id, body, AGAIN_MOST)
        match reply[0]:
            case "missing" if body:
                raise NotFound("webhook", webhook_id)
            case "missing":
                raise NotFound("delivery", delivery_id)
            case "many":
                raise Invalid("webhook_id", f"{AGAIN_MOST} deliveries wait to be sent already; wait for them")
            case "delivered" | "failed":
                raise Invalid("delivery_id", f"is {reply[0]}; only a dead letter can be sent again")

    async def find(self, ws: str, webhook_id: str) -> list[Delivery]:
        """Those that are kept, without their bodies."""
        dead, recent, again, under_way = await self._store.together(
            [
                ("ZRANGE", key(ws, "webhook_dead", webhook_id), 0, -1),
                ("ZRANGE", key(ws, "webhook_recent", webhook_id), 0, -1),
                ("LRANGE", key(ws, "webhook_again", webhook_id), 0, -1),
                ("HMGET", key(ws, "webhook", webhook_id), "delivery"),
            ]
        )
        ids = [*dead, *recent, *again, *(id for id in under_way if id)]
        if not ids:
            return []
        found = await self._store.together([("HMGET", key(ws, "delivery", id), *_SHOWN) for id in ids])
        shown = [dict(zip(_SHOWN, fields, strict=True)) for fields in found]
        return [_delivery(id, fields) for id, fields in zip(ids, shown, strict=True) if fields["kind"]]

    async def read(self, ws: str, webhook_id: str, delivery_id: str) -> Delivery | None:
        """One of a webhook's, with its body if that is kept."""
        found = await self._store.hash(key(ws, "delivery", delivery_id))
        return _delivery(delivery_id, found) if found.get("webhook_id") == webhook_id else None


def _claimed(found: Sequence[Any]) -> Claimed:
    _, number, text, position, secret, old_secret, delivery, fields = found
    return Claimed(
        webhook=webhook_of(text),
        number=number,
        secrets=[one for one in (secret, old_secret) if one],
        position=position,
        delivery=_delivery(delivery, flat(fields)) if delivery else None,
    )


def _delivery(id: str, fields: Mapping[str, str | None]) -> Delivery:
    given = {name: text for name, text in fields.items() if text not in (None, "")}
    return Delivery.model_validate({**given, "id": id})
