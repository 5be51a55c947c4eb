"""Lists of agents: queries answered from indexes, by creation or by a time that moves.

By such a time a list is walked along the order itself; where something else a query
asks for leaves few agents, these are read and sorted instead.
"""

from collections.abc import Sequence

from service.records.agents import Agent, AgentQuery
from service.records.base import Page
from service.store.agents import read_agents
from service.store.client import StoreClient
from service.store.keys import key
from service.store.pages import Keep, Read, Term, count_of, page_of, rows_of, size_of
from service.store.places import Moving, Place, by_creation
from service.store.terms import agent_shelves, agent_terms

FEW = 1000
"""So many agents are sorted in one request rather than looked for along an order of all."""


class AgentLists:
    """Which agents there are, in pages."""

    def __init__(self, store: StoreClient) -> None:
        self._store = store

    async def page(self, ws: str, query: AgentQuery, page: Page) -> list[Agent]:
        """One page of what a query asks for, in its order. Raises TooWide."""

        async def read(ids: Sequence[str]) -> list[Agent]:
            return await read_agents(self._store, ws, ids)

        terms = await agent_terms(self._store, ws, query)
        keep = self._search(ws, query)
        if query.order_by == "created_at":
            return await rows_of(self._store, by_creation(ws, "agents"), terms, page, read, keep)
        order = Moving(ws, query.order_by)
        sizes = [await size_of(self._store, term) for term in terms]
        if min(sizes) <= FEW:
            return await self._sorted(ws, order, terms, page, read, keep)
        along = Term([key(ws, "agents_ordered", shelf + query.order_by) for shelf in agent_shelves(query)])
        return await rows_of(self._store, order, [along, *terms], page, read, keep)

    async def count(self, ws: str, query: AgentQuery) -> int:
        """How many agents a query asks for. Raises TooWide."""
        terms = await agent_terms(self._store, ws, query)
        return await count_of(self._store, by_creation(ws, "agents"), terms, self._search(ws, query))

    async def _sorted(
        self,
        ws: str,
        order: Moving,
        terms: Sequence[Term],
        page: Page,
        read: "Read[Agent]",
        keep: Keep | None,
    ) -> list[Agent]:
        """A page of few agents: their places are read, put in order and cut as a walk would."""
        ids = await page_of(self._store, by_creation(ws, "agents"), terms, Page(limit=None))
        if keep is not None:
            ids = await keep(ids)
        times = await self._fields(ws, ids, order.name)
        places = {order.standing(id, at): id for id, at in zip(ids, times, strict=True)}
        after = await order.place(self._store, page.after) if page.after else None
        before = await order.place(self._store, page.before) if page.before else None
        chosen = [
            place for place in sorted(places, reverse=page.descending) if _between(place, after, before, page)
        ]
        if before is not None and after is None:
            chosen = chosen[-page.limit :] if page.limit else chosen
        else:
            chosen = chosen[: page.limit]
        await order.remember(self._store, [(places[place], place) for place in chosen])
        return await read([places[place] for place in chosen])

    def _search(self, ws: str, query: AgentQuery) -> Keep | None:
        if query.query_text is None:
            return None
        word = query.query_text.casefold()

        async def keep(ids: Sequence[str]) -> list[str]:
            names = await self._fields(ws, ids, "name")
            return [id for id, name in zip(ids, names, strict=True) if word in (name or "").casefold()]

        return keep

    async def _fields(self, ws: str, ids: Sequence[str], name: str) -> list[str | None]:
        return await self._store.together([("HGET", key(ws, "agent", id), name) for id in ids]) if ids else []


def _between(place: str, after: Place | None, before: Place | None, page: Page) -> bool:
    low, high = (before, after) if page.descending else (after, before)
    return (low is None or place > str(low)) and (high is None or place < str(high))
