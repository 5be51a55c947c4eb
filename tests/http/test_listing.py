"""Paging through lists as SDKs do, while rows come and go: the walk ends, and holds what stayed once."""

from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from service.bootstrap import Service
from service.records.agents import NewAgent
from service.records.blocks import Author, BlockFields, Edit
from service.records.messages import NewMessage
from tests.http.conftest import MODERN, WS, Make, Worker

BY = Author(name="test")
COUNT = 250
Add = Callable[[], Awaitable[str]]
Remove = Callable[[str], Awaitable[None]]


class Listing:
    """One list: where it is, how a row gets into it and out of it."""

    def __init__(self, path: str, add: Add, remove: Remove | None, **query: Any) -> None:
        self.path = path
        self.add = add
        self.remove = remove
        self.query = query


async def _blocks(service: Service) -> Listing:
    async def add() -> str:
        return (await service.blocks.create(WS, BlockFields(label="x", tags=["t", "u"]), BY)).id

    async def remove(id: str) -> None:
        await service.blocks.delete(WS, id, BY)

    return Listing("/v1/blocks/", add, remove)


async def _tagged_blocks(service: Service) -> Listing:
    """What is removed loses its tag, and so leaves the list without being deleted."""
    blocks = await _blocks(service)

    async def remove(id: str) -> None:
        edit = Edit(operation="configure", fields=BlockFields(tags=[]))
        await service.blocks.edit(WS, id, edit, BY)

    return Listing("/v1/blocks/", blocks.add, remove, tags=["t", "u", "v"])


async def _searched_blocks(service: Service) -> Listing:
    blocks = await _blocks(service)
    return Listing("/v1/blocks/", blocks.add, blocks.remove, label_search="x")


async def _agents(service: Service) -> Listing:
    async def add() -> str:
        return (await service.agents.create(WS, NewAgent(model="offline/extractive", tags=["t"]), BY)).id

    async def remove(id: str) -> None:
        await service.agents.delete(WS, id, BY)

    return Listing("/v1/agents/", add, remove)


async def _updated_agents(service: Service) -> Listing:
    agents = await _agents(service)
    return Listing("/v1/agents/", agents.add, agents.remove, order_by="updated_at")


async def _agents_of_a_block(service: Service) -> Listing:
    block = await service.blocks.create(WS, BlockFields(label="x"), BY)

    async def add() -> str:
        new = NewAgent(model="offline/extractive", block_ids=[block.id])
        return (await service.agents.create(WS, new, BY)).id

    async def remove(id: str) -> None:
        await service.blocks.detach(WS, id, block.id, BY)

    return Listing(f"/v1/blocks/{block.id}/agents", add, remove)


async def _runs(service: Service) -> Listing:
    agent = await service.agents.create(WS, NewAgent(model="offline/extractive"), BY)

    async def add() -> str:
        return (await service.messages.send(WS, agent.id, [NewMessage(content="x")])).id

    async def remove(id: str) -> None:
        await service.runs.cancel(WS, id)
        await service.runs.delete(WS, id)

    return Listing("/v1/runs/", add, remove)


async def _active_runs(service: Service) -> Listing:
    """What is removed only ends."""
    runs = await _runs(service)

    async def remove(id: str) -> None:
        await service.runs.cancel(WS, id)

    return Listing("/v1/runs/", runs.add, remove, active=True)


async def _agents_blocks(service: Service) -> Listing:
    """By id, so a new one comes anywhere."""
    agent = await service.agents.create(WS, NewAgent(model="offline/extractive"), BY)
    made = iter(range(10_000))

    async def add() -> str:
        fields = BlockFields(label=f"l{next(made)}")
        return (await service.blocks.create(WS, fields, BY, attach_to=agent.id)).id

    async def remove(id: str) -> None:
        await service.blocks.detach(WS, agent.id, id, BY)

    return Listing(f"/v1/agents/{agent.id}/core-memory/blocks", add, remove)


LISTS: dict[str, Callable[[Service], Awaitable[Listing]]] = {
    "blocks": _blocks,
    "blocks with any of some tags": _tagged_blocks,
    "blocks that are searched for": _searched_blocks,
    "agents": _agents,
    "agents by their last update": _updated_agents,
    "the agents of a block": _agents_of_a_block,
    "runs": _runs,
    "active runs": _active_runs,
    "the blocks of an agent": _agents_blocks,
}


async def walked(
    client: httpx.AsyncClient, listing: Listing, query: dict[str, Any], meanwhile: Callable[[list[str]], Any]
) -> list[str]:
    """All ids that an SDK's auto-paging shows: until an empty page, from the last id, or the first."""
    seen: list[str] = []
    while True:
        answer = await client.get(listing.path, params=listing.query | query, headers=MODERN)
        assert answer.status_code == 200, answer.text
        page = [row["id"] for row in answer.json()]
        if not page:
            return seen
        seen += page
        assert len(seen) <= 2 * COUNT, "the list has no end"
        query = query | ({"before": page[0]} if "before" in query else {"after": page[-1]})
        if len(seen) <= COUNT:
            await meanwhile(page)


WAYS = [("asc", "after"), ("desc", "after"), ("asc", "before"), ("desc", "before")]
CASES = [
    (name, *way)
    for name in LISTS
    for way in (WAYS if name in ("blocks", "agents", "runs") else WAYS[len(name) % 2 :: 3][:1])
]


@pytest.mark.parametrize(("name", "order", "direction"), CASES)
async def test_each_row_that_stays_is_shown_once(
    client: httpx.AsyncClient, service: Service, name: str, order: str, direction: str
) -> None:
    """After each page its last, its first and an unseen row go, and a new one comes, for a while."""
    listing = await LISTS[name](service)
    assert listing.remove is not None
    ids = [await listing.add() for _ in range(COUNT)]
    unseen, gone = set(ids), set()
    query: dict[str, Any] = {"limit": 50, "order": order}
    if direction == "before":
        end = {"limit": 1, "order": "desc" if order == "asc" else "asc"}
        (last,) = (await client.get(listing.path, params=listing.query | end, headers=MODERN)).json()
        query["before"] = last["id"]
        unseen.discard(last["id"])

    async def meanwhile(page: list[str]) -> None:
        unseen.difference_update(page)
        going = {page[0], page[-1], *list(unseen)[:1]} & set(ids)
        gone.update(going)
        unseen.difference_update(going)
        for id in going:
            await remove(id)
        await listing.add()

    remove = listing.remove
    seen = await walked(client, listing, query, meanwhile)
    stayed = set(ids) - gone
    if direction == "before":
        stayed.discard(query["before"])
    assert len(seen) == len(set(seen))
    assert stayed <= set(seen)


@pytest.mark.parametrize(("order", "direction"), [("asc", "after"), ("desc", "before")])
async def test_each_message_is_shown_once_while_new_ones_come(
    client: httpx.AsyncClient, worker: Worker, make_agent: Make, order: str, direction: str
) -> None:
    first = [{"role": "user", "content": str(number)} for number in range(COUNT)]
    agent = await make_agent(initial_message_sequence=first)
    listing = Listing(f"/v1/agents/{agent['id']}/messages", _nothing, None)
    query: dict[str, Any] = {"limit": 50, "order": order}
    if direction == "before":
        newest = await client.get(listing.path, params={"limit": 1, "order": "desc"}, headers=MODERN)
        query["before"] = newest.json()[-1]["id"]

    async def meanwhile(page: list[str]) -> None:
        body = {"messages": [{"role": "user", "content": "more"}]}
        await client.post(f"/v1/agents/{agent['id']}/messages/async", json=body)
        await worker.answer(agent["id"], [{"role": "assistant", "content": "Yes."}])

    seen = await walked(client, listing, query, meanwhile)
    assert len(seen) == len(set(seen))
    shown = set(agent["message_ids"]) - {query.get("before")}
    assert shown <= set(seen)


async def _nothing() -> str:
    return ""


async def test_a_loop_that_deletes_what_it_is_shown_sees_every_row(
    client: httpx.AsyncClient, service: Service
) -> None:
    listing = await _blocks(service)
    assert listing.remove is not None
    ids = [await listing.add() for _ in range(COUNT)]
    remove = listing.remove

    async def meanwhile(page: list[str]) -> None:
        for id in page:
            await remove(id)

    assert await walked(client, listing, {"limit": 50}, meanwhile) == ids


async def test_agents_that_are_updated_while_they_are_paged_by_that_do_not_start_the_list_over(
    client: httpx.AsyncClient, service: Service
) -> None:
    """Each page's last agent moves to the front before the next page is asked for by it."""
    listing = await _updated_agents(service)
    ids = [await listing.add() for _ in range(COUNT)]

    async def meanwhile(page: list[str]) -> None:
        answer = await client.patch(f"/v1/agents/{page[-1]}", json={"description": "moved"})
        assert answer.status_code == 200

    assert await walked(client, listing, {"limit": 50, "order": "desc"}, meanwhile) == ids[::-1]


async def test_an_id_that_never_was_starts_the_list_over_and_of_messages_is_404(
    client: httpx.AsyncClient, make_block: Make, make_agent: Make
) -> None:
    block, agent = await make_block(), await make_agent()
    for path, id in (("/v1/blocks/", block["id"]), ("/v1/agents/", agent["id"])):
        listed = (await client.get(path, params={"after": "nobody"})).json()
        assert [row["id"] for row in listed] == [id]
    unknown = await client.get(f"/v1/agents/{agent['id']}/messages", params={"after": "message-x"})
    assert unknown.status_code == 404
