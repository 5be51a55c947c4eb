"""Posting: a workspace whose changes are posted to a receiver of the test's own."""

import asyncio
from collections.abc import Callable
from typing import Any

from service.bootstrap import Service
from service.records.blocks import Author, Block, BlockFields, Edit
from service.records.webhooks import Claimed, Delivery, Standing, Webhook, WebhookFields
from service.store.keys import key
from tests.receiver import Receiver
from tests.store.team import raw
from tests.workers.bench import PERSON, WS, wait_until
from workers.posts import Poster
from workers.wakeups import Dispatcher
from workers.webhooks import Deliverer

FAILED = "503 Service Unavailable"


class Post:
    """A workspace with a webhook in it, and a worker that serves it when it is told to."""

    def __init__(self, service: Service, poster: Poster, receiver: Receiver) -> None:
        self.service = service
        self.receiver = receiver
        self.deliverer = Deliverer(service, poster)
        self.id = ""
        self.secret = ""

    async def hook(self, **fields: Any) -> Webhook:
        asked = WebhookFields(**{"url": f"{self.receiver.url}/hook?x=1", **fields})
        (webhook, _), self.secret = await self.service.webhooks.create(WS, asked)
        self.id = webhook.id
        return webhook

    async def block(self, value: str = "", label: str = "notes", **fields: Any) -> Block:
        made = BlockFields(label=label, value=value, **fields)
        return await self.service.blocks.create(WS, made, PERSON)

    async def append(self, block: Block, text: str, by: Author = PERSON) -> None:
        await self.service.blocks.edit(WS, block.id, Edit(operation="append", text=text), by)

    async def claimed(self) -> list[Claimed]:
        """Whoever has something to be told, once subscribers and webhooks were told of all changes."""
        while await Dispatcher(self.service).dispatch(WS):
            pass
        return (await self.service.deliveries.claim(WS, 20))[1]

    async def serve(self) -> None:
        """Until nobody has anything to be told at this moment."""
        while found := await self.claimed():
            await asyncio.gather(*(self.deliverer.serve(WS, one) for one in found))

    async def serve_until(self, fact: str, holds: Callable[[], bool]) -> None:
        """As time passes, until it holds."""

        async def served() -> bool:
            await self.serve()
            return holds()

        await wait_until(fact, served)

    async def turn_is_over(self) -> None:
        """As if whoever has claimed the webhook had let its time pass."""
        redis = raw(self.service.store)
        await redis.zadd(key(WS, "webhooks_due"), {self.id: 0})

    async def resume(self) -> None:
        """Everything that waits for a later try is due."""
        await self.service.webhooks.update(WS, self.id, WebhookFields(active=True))

    async def standing(self) -> Standing:
        return (await self.service.webhooks.read(WS, self.id))[1]

    async def deliveries(self, status: str) -> list[Delivery]:
        found = await self.service.deliveries.find(WS, self.id)
        return [one for one in found if one.status == status]

    def counted(self) -> dict[str, float]:
        """By outcome, the tries of this worker, as `/metrics` tells them; with changes told, and pauses."""
        metrics = self.service.metrics
        tries = {labels["outcome"]: value for _, labels, value in metrics.deliveries.family().samples}
        paused = metrics.webhooks_paused.family().samples
        pauses = {f"paused, {labels['reason']}": value for _, labels, value in paused}
        [(_, _, changes)] = metrics.delivered_changes.family().samples
        return {**tries, **pauses, "changes": changes}

    def told(self) -> list[str]:
        """What was added by the changes that were told, in order; a delivery sent again counts once."""
        bodies = {post.headers["webhook-id"]: post.body for post in self.receiver.posts}
        return [change["added"] for body in bodies.values() for change in body["data"].get("changes", [])]
