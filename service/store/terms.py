"""Terms: which indexes answer a query for blocks or agents, and where a row is filed.

What lists leave out unasked (hidden rows, templates) lies on a shelf of its own:
the same indexes once more, under another first word. So no list walks past what it
does not show.

Elsewhere: what files rows (lua/block_places.lua, lua/agent_places.lua); what walks (pages.py).
"""

from collections.abc import Sequence

from service.records.agents import Agent, AgentQuery
from service.records.blocks import BlockQuery
from service.records.identities import Identity, IdentityQuery
from service.store.client import StoreClient
from service.store.keys import key
from service.store.pages import Term

IDENTITIES_MOST = 1000
"""Identities that keys of other systems may stand for in one query."""


def agent_places(agent: Agent) -> list[str]:
    """The indexes of an agent that follow from its record; the store adds those that follow from its runs."""
    given = {
        "project": agent.project_id,
        "template": agent.template_id,
        "base_template": agent.base_template_id,
    }
    places = ["all", f"name:{agent.name}", *(f"tag:{tag}" for tag in agent.tags)]
    return places + [f"{name}:{value}" for name, value in given.items() if value is not None]


def identity_places(identity: Identity) -> list[str]:
    project = [] if identity.project_id is None else [f"project:{identity.project_id}"]
    own = [f"key:{identity.identifier_key}", f"name:{identity.name}", f"type:{identity.identity_type}"]
    return own + project


def identity_terms(ws: str, query: IdentityQuery) -> list[Term]:
    wanted = {
        "key": query.identifier_key,
        "name": query.name,
        "type": query.identity_type,
        "project": query.project_id,
    }
    terms = [
        Term([key(ws, "identities_filed", f"{name}:{value}")])
        for name, value in wanted.items()
        if value is not None
    ]
    return terms or [Term([key(ws, "identities")])]


class Shelves:
    """Terms over the shelves that a query looks at."""

    def __init__(self, ws: str, index: str, shelves: Sequence[str]) -> None:
        self._ws = ws
        self._index = index
        self._shelves = shelves

    def any_of(self, *facets: str, apart: bool = True) -> Term:
        """What has any of these facets; `apart`: no row has two of them."""
        indexes = [key(self._ws, self._index, shelf + facet) for facet in facets for shelf in self._shelves]
        return Term(indexes, apart=apart)

    def tagged(self, tags: Sequence[str] | None, match_all: bool) -> list[Term]:
        names = [f"tag:{tag}" for tag in dict.fromkeys(tags or ())]
        if match_all:
            return [self.any_of(name) for name in names]
        return [self.any_of(*names, apart=len(names) == 1)] if names else []


async def block_terms(store: StoreClient, ws: str, query: BlockQuery) -> list[Term]:
    """All that indexes say of a query; what is left is the searches."""
    on = "template." if query.templates_only else ""
    shelves = Shelves(ws, "blocks_filed", [on, f"hidden.{on}"] if query.show_hidden else [on])
    wanted = {
        "label": query.label,
        "template_name": query.name,
        "project": query.project_id,
        "identity": query.identity_id,
    }
    terms = [shelves.any_of(f"{name}:{value}") for name, value in wanted.items() if value is not None]
    terms += shelves.tagged(query.tags, query.match_all_tags)
    if query.agents_gt is not None or query.agents_lt is not None or query.agents_in:
        counts = await _counts(store, ws, query)
        terms.append(shelves.any_of(*(f"agents:{count}" for count in counts)))
    if query.identifier_keys:
        terms.append(await _of_identities(store, ws, shelves, query.identifier_keys))
    return terms or [shelves.any_of("all")]


async def agent_terms(store: StoreClient, ws: str, query: AgentQuery) -> list[Term]:
    shelves = Shelves(ws, "agents_filed", agent_shelves(query))
    wanted = {
        "name": query.name,
        "project": query.project_id,
        "template": query.template_id,
        "base_template": query.base_template_id,
        "identity": query.identity_id,
        "stop": query.last_stop_reason,
    }
    terms = [shelves.any_of(f"{name}:{value}") for name, value in wanted.items() if value is not None]
    terms += shelves.tagged(query.tags, query.match_all_tags)
    if query.created_by_id is not None:  # nobody's agents: who created one is not kept
        terms.append(Term([]))
    if query.identifier_keys:
        terms.append(await _of_identities(store, ws, shelves, query.identifier_keys))
    return terms or [shelves.any_of("all")]


def agent_shelves(query: AgentQuery) -> list[str]:
    return ["", "hidden."] if query.show_hidden else [""]


async def _counts(store: StoreClient, ws: str, query: BlockQuery) -> list[int]:
    """The counts of agents that some block has and the query asks for."""
    low = "-inf" if query.agents_gt is None else f"({query.agents_gt}"
    high = "+inf" if query.agents_lt is None else f"({query.agents_lt}"
    counts = [int(count) for count, _ in await store.range(key(ws, "block_counts"), low, high)]
    return [count for count in counts if not query.agents_in or count in query.agents_in]


async def _of_identities(
    store: StoreClient, ws: str, shelves: Shelves, identifier_keys: Sequence[str]
) -> Term:
    """What has any of the identities with these keys."""
    ids: dict[str, None] = {}
    for name in dict.fromkeys(identifier_keys):
        index = key(ws, "identities_filed", f"key:{name}")
        ids |= dict.fromkeys(id for id, _ in await store.range(index, limit=IDENTITIES_MOST))
    return shelves.any_of(*(f"identity:{id}" for id in ids), apart=len(ids) == 1)
