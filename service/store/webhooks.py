"""Webhooks in the store: kept as JSON, their secrets and how they fare beside it."""

from collections.abc import Sequence
from functools import lru_cache

from service.errors import Invalid
from service.records.webhooks import Paused, Standing, Webhook
from service.store.client import StoreClient
from service.store.keys import key

MOST = 100
"""Webhooks in one workspace: each change is held against all of them."""
_STANDING = (
    "on",
    "paused_at",
    "paused_reason",
    "secret",
    "position",
    "delivered_at",
    "failing_since",
    "delivery",
    "dropped",
)


class WebhookStore:
    """Webhooks of a workspace."""

    def __init__(self, store: StoreClient) -> None:
        self._store = store

    async def put(
        self,
        ws: str,
        webhook: Webhook,
        before: str = "",
        *,
        secret: str = "",
        active: bool | None = None,
    ) -> bool:
        """Keeps a new one with its secret or, if its text is still what was read, a changed one; else False.

        Raises Invalid where there are too many.
        """
        reply = await self._store.run(
            "webhook_put",
            ws,
            webhook.id,
            webhook.model_dump_json(),
            before,
            secret,
            webhook.since,
            "" if active is None else str(int(active)),
            MOST,
        )
        if reply[0] == "many":
            raise Invalid("url", f"a workspace has at most {MOST} webhooks; delete one of them first")
        return bool(reply[0] == "ok")

    async def drop(self, ws: str, webhook_id: str) -> bool:
        reply = await self._store.run("webhook_drop", ws, webhook_id)
        return bool(reply[0] == "ok")

    async def rotate(self, ws: str, webhook_id: str, secret: str, overlap_ms: int) -> bool:
        reply = await self._store.run("webhook_rotate", ws, webhook_id, secret, overlap_ms)
        return bool(reply[0] == "ok")

    async def all(self, ws: str) -> list[Webhook]:
        """In no order."""
        return [webhook_of(text) for text in (await self._store.hash(key(ws, "webhooks"))).values()]

    async def text(self, ws: str, webhook_id: str) -> str | None:
        """As it is kept."""
        return await self._store.field(key(ws, "webhooks"), webhook_id)

    async def secret(self, ws: str, webhook_id: str) -> str | None:
        """What its deliveries are signed with; None if it does not exist."""
        return await self._store.field(key(ws, "webhook", webhook_id), "secret")

    async def standings(self, ws: str, ids: Sequence[str]) -> list[Standing]:
        """How each of them fares, in one round trip."""
        if not ids:
            return []
        commands = [("HMGET", key(ws, "webhook", id), *_STANDING) for id in ids]
        counts = [("ZCARD", key(ws, "webhook_dead", id)) for id in ids]
        found = await self._store.together([*commands, *counts])
        return [_standing(*pair) for pair in zip(found[: len(ids)], found[len(ids) :], strict=True)]


@lru_cache(maxsize=1000)
def webhook_of(text: str) -> Webhook:
    """From its JSON; every range of changes asks for all of them."""
    return Webhook.model_validate_json(text)


def _standing(found: Sequence[str | None], dead: int) -> Standing:
    fields = dict(zip(_STANDING, found, strict=True))
    paused = None
    if fields["paused_at"] is not None:
        paused = Paused.model_validate({"at": fields["paused_at"], "reason": fields["paused_reason"]})
    return Standing(
        active=fields["on"] == "1",
        paused=paused,
        secret_ends_with=(fields["secret"] or "")[-4:],
        position=fields["position"] or "0-0",
        delivered_at=_number(fields["delivered_at"]),
        failing_since=_number(fields["failing_since"]),
        under_way=fields["delivery"],
        dead_letters=dead,
        dropped=int(fields["dropped"] or 0),
    )


def _number(text: str | None) -> int | None:
    return None if text is None else int(text)
