"""Deliveries: what webhooks are sent, and what became of it.

A delivery is recorded whole, in the act that moves its webhook's position past the changes it
tells, before it is sent for the first time. So the same id always means the same bytes, and
whatever dies, it is sent until it got through or is given up. A webhook has one under way at a
time, and is served by one worker at a time: its receiver gets deliveries in order.

Elsewhere: the posting (workers/webhooks.py); how it is signed (signatures.py).
"""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from pydantic_core import to_json

from service.errors import NotFound
from service.records.base import Micros, iso
from service.records.ids import new_id
from service.records.webhooks import Claimed, Delivery, NewDelivery, Verdict
from service.settings import Settings
from service.store.bell import Bell
from service.store.client import StoreClient
from service.store.deliveries import DeliveryStore
from service.store.keys import key
from service.store.webhooks import WebhookStore


class Deliveries:
    """The room of deliveries."""

    def __init__(
        self, store: StoreClient, settings: Settings, bell: Bell, clock: Callable[[], Micros]
    ) -> None:
        self._store = DeliveryStore(store, round(settings.webhook_hours * 3_600_000))
        self._webhooks = WebhookStore(store)
        self._bell = bell
        self._clock = clock

    async def find(self, ws: str, webhook_id: str) -> list[Delivery]:
        """A webhook's that are kept, oldest first, without their bodies. Raises NotFound."""
        await self._check(ws, webhook_id)
        found = await self._store.find(ws, webhook_id)
        return sorted(found, key=lambda one: (one.created_at, one.id))

    async def read(self, ws: str, webhook_id: str, delivery_id: str) -> Delivery:
        """One of a webhook's, with its body until it got through. Raises NotFound."""
        await self._check(ws, webhook_id)
        found = await self._store.read(ws, webhook_id, delivery_id)
        if found is None:
            raise NotFound("delivery", delivery_id)
        return found

    async def redeliver(self, ws: str, webhook_id: str, delivery_id: str) -> Delivery:
        """Sends a dead letter again, under its id, before what is new. Raises NotFound, Invalid."""
        await self._check(ws, webhook_id)
        await self._store.send(ws, webhook_id, delivery_id)
        return await self.read(ws, webhook_id, delivery_id)

    async def ping(self, ws: str, webhook_id: str) -> Delivery:
        """Sends a delivery that tells nothing, before what is new. Raises NotFound, Invalid."""
        id = new_id("delivery")
        told = {"workspace": ws, "webhook_id": webhook_id}
        body = to_json({"type": "ping", "timestamp": iso(self._clock()), "data": told}).decode()
        await self._store.send(ws, webhook_id, id, body)
        return await self.read(ws, webhook_id, id)

    def rings(self, ws: str) -> AbstractAsyncContextManager["asyncio.Queue[str | None]"]:
        """Rung when a webhook has something to be told."""
        return self._bell.listen(key(ws, "summons"), "webhooks")

    async def claim(self, ws: str, most: int) -> tuple[float | None, list[Claimed]]:
        """Webhooks that have something to be told, for this worker alone; seconds until others have."""
        return await self._store.claim(ws, most)

    async def begin(self, ws: str, claimed: Claimed, upto: str, new: NewDelivery | None) -> str:
        """Moves a webhook's position, and records what it is to be told of the changes up to there.

        `begun`; or with nothing to tell `more`, still claimed, or `idle`; `lost`: another worker has it.
        """
        return await self._store.begin(ws, claimed, upto, new)

    async def settle(self, ws: str, claimed: Claimed, delivery_id: str, verdict: Verdict) -> tuple[str, str]:
        """What a delivery is after a try, or `lost`; and why its webhook was paused, or ''."""
        return await self._store.settle(ws, claimed, delivery_id, verdict)

    async def _check(self, ws: str, webhook_id: str) -> None:
        if await self._webhooks.text(ws, webhook_id) is None:
            raise NotFound("webhook", webhook_id)
