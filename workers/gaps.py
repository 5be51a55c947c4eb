"""Gaps: what stands in for changes that were trimmed before anybody was told of them.

The blocks that each subscription covers now are held against the versions that it
told last; where there is a difference its agent is told the range, and the text as
it is. Of blocks that it never told, only those that changed since it was made.
"""

from collections.abc import Sequence

from service.bootstrap import Service
from service.matches import fits
from service.records.agents import AgentQuery
from service.records.base import Page
from service.records.blocks import Block, BlockQuery, Cause, Change, order
from service.records.subscriptions import Subscription

MISSED = "missed"
"""The operation of a cause that stands in for changes that are gone."""


async def gaps(service: Service, ws: str, changes: Sequence[Change]) -> list[tuple[Subscription, Cause]]:
    """For each subscription what it missed before the first of these changes; each agent once per block."""
    first = changes[0]
    asked = [
        one
        for one in await service.subscriptions.all(ws)
        if one.active and order(one.since) < order(first.prev)
    ]
    told = await service.subscriptions.told(ws, [one.id for one in asked])
    begins = _begins(changes)
    covered = _Covered(service, ws)
    found: dict[tuple[str, str], tuple[Subscription, Cause]] = {}
    for one in sorted(asked, key=lambda one: (one.created_at, one.id)):
        known = told[one.id]
        for block in await covered.by(one):
            at = (one.agent_id, block.id)
            upto = min(block.version, begins.get(block.id, block.version + 1) - 1)
            new = block.updated_at > one.created_at if block.id not in known else upto > known[block.id]
            if new and upto > 0 and at not in found:
                found[at] = one, _gap(block, upto, known.get(block.id), first, one)
    return list(found.values())


def _begins(changes: Sequence[Change]) -> dict[str, int]:
    """By block the version of its first change that can still be told."""
    begins: dict[str, int] = {}
    for change in changes:
        begins.setdefault(change.block_id, change.version)
    return begins


def _gap(block: Block, upto: int, told: int | None, first: Change, by: Subscription) -> Cause:
    return Cause(
        id=first.prev,
        prev="0-0",
        kind="edited",
        block_id=block.id,
        label=block.label,
        version=upto,
        operation=MISSED,
        at=block.updated_at,
        chars=block.chars,
        cut=True,
        by=by.id,
        missed_from=None if told is None else told + 1,
    )


class _Covered:
    """The blocks that subscriptions cover at present, each kind of question asked once."""

    def __init__(self, service: Service, ws: str) -> None:
        self._service = service
        self._ws = ws
        self._known: dict[tuple[str, str], list[Block]] = {}

    async def by(self, one: Subscription) -> list[Block]:
        [(name, value)] = one.targets().items()
        if (name, value) not in self._known:
            self._known[name, value] = await self._find(name, value)
        return self._known[name, value]

    async def _find(self, name: str, value: str) -> list[Block]:
        blocks = self._service.blocks
        if name == "block_id":
            return await blocks.existing(self._ws, [value])
        if name == "agent_tag":
            return await self._of_agents(value)
        query = BlockQuery(show_hidden=True)
        if name == "label":
            query = query.model_copy(update={"label": value})
        if name == "block_tag":
            query = query.model_copy(update={"tags": [value]})
        found = await blocks.find(self._ws, query, Page(limit=None))
        found += await blocks.find(
            self._ws, query.model_copy(update={"templates_only": True}), Page(limit=None)
        )
        return [block for block in found if fits(value, block.label)] if name == "label_glob" else found

    async def _of_agents(self, tag: str) -> list[Block]:
        query = AgentQuery(tags=[tag], show_hidden=True)
        ids: dict[str, None] = {}
        for agent in await self._service.agents.find(self._ws, query, Page(limit=None)):
            ids |= dict.fromkeys((await self._service.blocks.labels(self._ws, agent.id)).values())
        return await self._service.blocks.existing(self._ws, list(ids))
