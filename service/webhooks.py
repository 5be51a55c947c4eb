"""Webhooks: who outside is told which changes, though he holds no connection.

A webhook asks for changes as a feed does, and stands at a place of its own in the stream of
changes: nothing is copied for it until it is its turn, however far it is behind. While it is
off, or paused because nothing gets through, it keeps its place.

Elsewhere: what is sent, and what became of it (deliveries.py); who sends (workers/webhooks.py).
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import lru_cache
from urllib.parse import urlsplit

from service.addresses import check_address, may_be_private
from service.blocks import Blocks
from service.changes import Changes
from service.errors import Invalid, NotFound
from service.matches import fits
from service.records.base import Micros
from service.records.blocks import Change, order
from service.records.ids import new_id
from service.records.webhooks import Standing, Webhook, WebhookFields
from service.settings import Settings
from service.signatures import check_secret, new_secret
from service.store.client import StoreClient
from service.store.webhooks import WebhookStore, webhook_of

Shown = tuple[Webhook, Standing]


class Webhooks:
    """The room of webhooks."""

    def __init__(
        self,
        store: StoreClient,
        settings: Settings,
        blocks: Blocks,
        changes: Changes,
        clock: Callable[[], Micros],
    ) -> None:
        self._store = WebhookStore(store)
        self._settings = settings
        self._blocks = blocks
        self._changes = changes
        self._clock = clock

    async def create(
        self, ws: str, fields: WebhookFields, secret: str | None = None, webhook_id: str | None = None
    ) -> tuple[Shown, str]:
        """A new one and its secret, which is not told again. Raises Invalid, NotFound for a block.

        With a `webhook_id` that exists already the webhook is given back as it is, with its present secret.
        """
        id = webhook_id or new_id("webhook")
        if webhook_id is not None and (known := await self._store.secret(ws, id)) is not None:
            return await self.read(ws, id), known
        if fields.url is None:
            raise Invalid("url", "is missing; give the address to which changes are posted")
        if secret is not None:
            check_secret(secret)
        secret = secret or new_secret()
        blank = Webhook(
            id=id,
            url=fields.url,
            since=await self._changes.last_id(ws),
            created_at=self._clock(),
        )
        made = await self._with(ws, blank, fields)
        if not await self._store.put(ws, made, secret=secret, active=fields.active is not False):
            secret = await self._store.secret(ws, id) or ""  # another was first
        return await self.read(ws, id), secret

    async def find(self, ws: str) -> list[Shown]:
        """All of a workspace, oldest first."""
        found = sorted(await self._store.all(ws), key=lambda one: (one.created_at, one.id))
        standings = await self._store.standings(ws, [one.id for one in found])
        return list(zip(found, standings, strict=True))

    async def read(self, ws: str, webhook_id: str) -> Shown:
        """Raises NotFound."""
        webhook = webhook_of(await self._text(ws, webhook_id))
        [standing] = await self._store.standings(ws, [webhook_id])
        return webhook, standing

    async def update(self, ws: str, webhook_id: str, fields: WebhookFields) -> Shown:
        """What is not given stays. Raises as `create`.

        `active` resumes one that was paused, and has what is under way tried at once.
        """
        while True:
            text = await self._text(ws, webhook_id)
            after = await self._with(ws, webhook_of(text), fields)
            if await self._store.put(ws, after, text, active=fields.active):
                return await self.read(ws, webhook_id)

    async def delete(self, ws: str, webhook_id: str) -> None:
        if not await self._store.drop(ws, webhook_id):
            raise NotFound("webhook", webhook_id)

    async def rotate(
        self, ws: str, webhook_id: str, secret: str | None, overlap_ms: int
    ) -> tuple[Shown, str]:
        """Another secret; the one before signs beside it for a while. Raises NotFound, Invalid."""
        if secret is not None:
            check_secret(secret)
        secret = secret or new_secret()
        if not await self._store.rotate(ws, webhook_id, secret, overlap_ms):
            raise NotFound("webhook", webhook_id)
        return await self.read(ws, webhook_id), secret

    async def concerned(self, ws: str, changes: Sequence[Change], *, gap: bool) -> list[str]:
        """Ids of webhooks that may have something to be told of these changes.

        With a gap, changes before them are gone: then that is told to all.
        """
        found = await self._store.all(ws)
        if gap or not found:
            return [one.id for one in found]
        return await asyncio.to_thread(_concerned, found, changes)  # up to 100 of them by 500 changes

    async def chosen(self, ws: str, webhook: Webhook, changes: Sequence[Change]) -> list[Change]:
        """Of these changes those that a webhook asks for.

        Which agents had a block that is deleted, nobody can tell any more: a deletion passes that filter.
        """
        found = await asyncio.to_thread(lambda: [change for change in changes if _picks(webhook, change)])
        if not webhook.agent_tags:
            return found
        blocks = sorted({change.block_id for change in found})
        pairs = [(block, tag) for block in blocks for tag in webhook.agent_tags]
        attached = {block for block, _ in await self._blocks.attached_to(ws, pairs)}
        return [change for change in found if change.block_id in attached or change.kind == "deleted"]

    async def _text(self, ws: str, webhook_id: str) -> str:
        text = await self._store.text(ws, webhook_id)
        if text is None:
            raise NotFound("webhook", webhook_id)
        return text

    async def _with(self, ws: str, before: Webhook, fields: WebhookFields) -> Webhook:
        """A webhook with other fields, checked."""
        given = fields.model_dump(exclude_none=True, exclude={"active"})
        after = before.model_copy(update={**given, "private": may_be_private(self._settings)})
        check_address("url", after.url, after.private)
        parts = urlsplit(after.url)
        if parts.username is not None or parts.password is not None:
            raise Invalid(
                "url", "must not hold a name or password, which lists would show; verify the signature"
            )
        if after.writers and after.except_writers:
            raise Invalid("except_writers", "give either writers or except_writers")
        await self._blocks.read_many(ws, [id for id in after.block_ids if id not in before.block_ids])
        return after


def _concerned(webhooks: Sequence[Webhook], changes: Sequence[Change]) -> list[str]:
    return [one.id for one in webhooks if any(_picks(one, change) for change in changes)]


def _picks(webhook: Webhook, change: Change) -> bool:
    """Whether a change fits all filters that can be asked without the store."""
    one, by = webhook, change.author.agent_id
    return (
        order(change.id) > order(one.since)
        and (not one.block_ids or change.block_id in one.block_ids)
        and (not one.labels or change.label in one.labels)
        and (not one.label_globs or _like(tuple(one.label_globs), change.label))
        and (not one.tags or not set(one.tags).isdisjoint(change.tags))
        and (not one.writers or by in one.writers)
        and by not in one.except_writers
        and (not one.operations or change.operation in one.operations)
        and (not one.kinds or change.kind in one.kinds)
    )


@lru_cache(maxsize=10_000)
def _like(globs: tuple[str, ...], label: str) -> bool:
    return any(fits(glob, label) for glob in globs)
