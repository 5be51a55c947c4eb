"""Subscriptions in the store: kept as JSON, and filed by what they watch, so that a change finds them.

Those that no index can find (patterns, tags of agents) lie in one small hash that
is read with each range of changes.
"""

from collections.abc import Mapping, Sequence

from service.errors import Invalid, NotFound
from service.records.runs import Ready, Run
from service.records.subscriptions import Cut, Subscription
from service.store.client import StoreClient
from service.store.keys import key
from service.store.runs import record_of, woken

WIDE_MOST = 1000
"""Subscriptions by pattern or by agents' tag in one workspace: each change is held against all of them."""


class SubscriptionStore:
    """Subscriptions of a workspace."""

    def __init__(self, store: StoreClient) -> None:
        self._store = store

    async def put(
        self,
        ws: str,
        subscription: Subscription,
        before: str = "",
        resume: Run | None = None,
    ) -> list[Ready] | None:
        """Keeps a new one or, if its text is still what was read, a changed one; else None.

        With a run it is resumed: its cut forgotten, its agent woken by what was held back. Raises NotFound
        for its agent, Invalid where there are too many that no place finds.
        """
        place, wide = _filing(subscription)
        reply = await self._store.run(
            "subscription_put",
            ws,
            subscription.agent_id,
            subscription.id,
            _text(subscription),
            before,
            place,
            wide,
            WIDE_MOST,
            "" if resume is None else resume.id,
            "" if resume is None else record_of(resume),
        )
        match reply[0]:
            case "missing":
                raise NotFound("agent", subscription.agent_id)
            case "many":
                field = "agent_tag" if subscription.label_glob is None else "label_glob"
                many = f"a workspace has at most {WIDE_MOST} subscriptions of this kind"
                raise Invalid(field, f"{many}; delete one of them, or name labels or tags of blocks")
            case "moved":
                return None
        return woken(reply)

    async def drop(self, ws: str, agent_id: str, subscription_id: str) -> bool:
        reply = await self._store.run("subscription_drop", ws, agent_id, subscription_id)
        return bool(reply[0] == "ok")

    async def all(self, ws: str) -> list[Subscription]:
        return await self.read_many(ws, list(await self._store.hash(key(ws, "subscriptions"))))

    async def of_agent(self, ws: str, agent_id: str) -> list[Subscription]:
        return await self.read_many(
            ws, sorted(await self._store.members(key(ws, "subscriptions_filed", f"agent:{agent_id}")))
        )

    async def text(self, ws: str, subscription_id: str) -> str:
        """As it is kept, which may be how another version wrote it; empty if it does not exist."""
        return await self._store.field(key(ws, "subscriptions"), subscription_id) or ""

    async def read_many(self, ws: str, ids: Sequence[str]) -> list[Subscription]:
        """Those of them that exist, in order."""
        if not ids:
            return []
        commands = [("HMGET", key(ws, "subscriptions"), *ids)]
        commands += [("HMGET", key(ws, "subscription_state", id), *_CUT) for id in ids]
        texts, *states = await self._store.together(commands)
        return [_subscription(text, state) for text, state in zip(texts, states, strict=True) if text]

    async def filed(
        self, ws: str, places: Sequence[str]
    ) -> tuple[dict[str, set[str]], dict[str, tuple[str, str]]]:
        """place -> ids of what is filed there; of those that no place finds id -> (`glob` or `agents`, what
        it looks for). In one round trip."""
        commands = [("SMEMBERS", key(ws, "subscriptions_filed", place)) for place in places]
        *found, wide = await self._store.together([*commands, ("HGETALL", key(ws, "subscriptions_wide"))])
        sought = {id: (kind, what) for id, text in wide.items() for kind, _, what in [text.partition(":")]}
        return dict(zip(places, found, strict=True)), sought

    async def told(self, ws: str, ids: Sequence[str]) -> dict[str, dict[str, int]]:
        """id -> block -> the version that was told last."""
        found = await self._store.hashes([key(ws, "subscription_told", id) for id in ids])
        return {
            id: {block: int(version) for block, version in told.items()}
            for id, told in zip(ids, found, strict=True)
        }


_CUT = ("cut_at", "cut_reason", "cut_changes")


def _text(subscription: Subscription) -> str:
    return subscription.model_dump_json(exclude={"cut"})


def _subscription(text: str, state: Sequence[str | None]) -> Subscription:
    at, reason, changes = state
    cut = None if at is None else Cut.model_validate({"at": at, "reason": reason, "changes": changes or 0})
    return Subscription.model_validate_json(text).model_copy(update={"cut": cut})


_PLACES: Mapping[str, str] = {"block_id": "block", "label": "label", "block_tag": "tag"}
_WIDE: Mapping[str, str] = {"label_glob": "glob", "agent_tag": "agents"}


def _filing(subscription: Subscription) -> tuple[str, str]:
    """Where it is found, and what it looks for if there is no such place."""
    [(name, value)] = subscription.targets().items()
    if name in _PLACES:
        return f"{_PLACES[name]}:{value}", ""
    return "", f"{_WIDE[name]}:{value}"
