"""Matches: which subscriptions a change concerns.

Those by block, label and tag are found where they are filed, so that a change costs
what it concerns, however many others there are. Patterns and tags of agents are
held against every change; there is a bound on how many there may be.
"""

import asyncio
import re
from collections.abc import Mapping, Sequence
from fnmatch import translate
from functools import lru_cache

from service.blocks import Blocks
from service.records.blocks import Change, order
from service.records.subscriptions import Subscription
from service.store.subscriptions import WIDE_MOST, SubscriptionStore

TELLING = ("created", "edited", "configured", "deleted")
"""Kinds of changes that anybody is told."""


class Matches:
    """Looks up the subscriptions of a range of changes in a few round trips."""

    def __init__(self, store: SubscriptionStore, blocks: Blocks) -> None:
        self._store = store
        self._blocks = blocks

    async def of(self, ws: str, changes: Sequence[Change]) -> dict[str, list[Subscription]]:
        """By the id of a change those it concerns; oldest first."""
        telling = [change for change in changes if change.kind in TELLING]
        places = {change.id: _places(change) for change in telling}
        if not telling:
            return {}
        filed, sought = await self._store.filed(
            ws, sorted({place for some in places.values() for place in some})
        )
        wide = await self._wide(ws, telling, sought) if sought else {}
        ids = {
            change.id: {id for place in places[change.id] for id in filed[place]}
            | wide.get((change.block_id, change.label), set())
            for change in telling
        }
        found = await self._store.read_many(ws, sorted({id for some in ids.values() for id in some}))
        found.sort(key=lambda one: (one.created_at, one.id))
        return {
            change.id: [one for one in found if one.id in ids[change.id] and wants(one, change)]
            for change in telling
        }

    async def _wide(
        self, ws: str, changes: Sequence[Change], wide: Mapping[str, tuple[str, str]]
    ) -> Mapping[tuple[str, str], set[str]]:
        """By block and label the ids of those that no place finds."""
        blocks = {(change.block_id, change.label) for change in changes}
        globs = {id: sought for id, (kind, sought) in wide.items() if kind == "glob"}
        tags = {id: sought for id, (kind, sought) in wide.items() if kind == "agents"}
        fitting = await asyncio.to_thread(_fitting, sorted({label for _, label in blocks}), globs)
        pairs = {(block, tag) for block, _ in blocks for tag in tags.values()}
        attached = await self._blocks.attached_to(ws, sorted(pairs))
        deleted = {change.block_id for change in changes if change.kind == "deleted"}
        told = await self._store.told(ws, sorted(tags)) if deleted else {}
        return {
            (block, label): fitting[label]
            | {id for id, tag in tags.items() if (block, tag) in attached}
            | {id for id, known in told.items() if block in deleted and block in known}
            for block, label in blocks
        }


def wants(subscription: Subscription, change: Change) -> bool:
    """Whether a change that a subscription finds is one it asks for."""
    by, one = change.author.agent_id, subscription
    return (
        one.active
        and order(change.id) > order(one.since)
        and (one.own_edits or by != one.agent_id)
        and (not one.writers or by in one.writers)
        and by not in one.except_writers
        and (not one.operations or change.operation in one.operations)
    )


def fits(glob: str, label: str) -> bool:
    """Whether a label is like a pattern."""
    return _pattern(glob).match(label) is not None


@lru_cache(4 * WIDE_MOST)
def _pattern(glob: str) -> re.Pattern[str]:
    """Compiling takes a hundred times as long as matching, and Python itself keeps 512."""
    return re.compile(translate(glob))


def _places(change: Change) -> list[str]:
    return [
        f"block:{change.block_id}",
        f"label:{change.label}",
        *(f"tag:{tag}" for tag in dict.fromkeys(change.tags)),
    ]


def _fitting(labels: Sequence[str], globs: Mapping[str, str]) -> dict[str, set[str]]:
    """By label the ids of the patterns that fit it."""
    return {label: {id for id, glob in globs.items() if fits(glob, label)} for label in labels}
