"""Lists of many things, walked page by page through each SDK while others add to them and remove.

SDKs of 1.x ask for page after page by themselves; with older ones the caller does.
"""

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import httpx
import pytest

from tests.sdk.calling import CalledSdk
from tests.sdk.probes.probe import unique

pytestmark = pytest.mark.slow

THINGS = 250
PASSING = 30
"""Things among them that are removed while somebody walks."""
PAGE = 19
ADDED = 40
"""Things that are added at the most, so that no walk goes on for ever."""

Make = Callable[[], str]


@dataclass(frozen=True)
class Shelf:
    """A list: how to ask for it, and how its things come and go."""

    method: str
    query: dict[str, Any]
    make: Make
    """Makes one thing more; its name."""
    remove: Callable[[str], None] | None
    """None: such things stay for good."""
    name_of: Callable[[dict[str, Any]], str]
    there: Sequence[str] = ()
    """Things that came with the list."""


class Client:
    """A plain client of a Blockwire, which makes things for lists."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http

    def post(self, path: str, body: dict[str, Any]) -> Any:
        return self._http.post(path, json=body).raise_for_status().json()

    def delete(self, path: str) -> None:
        self._http.delete(path).raise_for_status()

    def has_ended(self, run_id: str) -> bool:
        return bool(self._http.get(f"/v1/runs/{run_id}").json()["status"] == "completed")


def blocks(client: Client) -> Shelf:
    label = unique("shelf")
    return Shelf(
        "blocks.list",
        {"label": label},
        lambda: str(client.post("/v1/blocks/", {"label": label, "value": ""})["id"]),
        lambda id: client.delete(f"/v1/blocks/{id}"),
        lambda block: str(block["id"]),
    )


def agents(client: Client) -> Shelf:
    tag = unique("shelf")
    told = {"model": "offline/scripted", "embedding": "openai/text-embedding-3-small", "tags": [tag]}
    return Shelf(
        "agents.list",
        {"tags": [tag]},
        lambda: str(client.post("/v1/agents/", told)["id"]),
        lambda id: client.delete(f"/v1/agents/{id}"),
        lambda agent: str(agent["id"]),
    )


def runs(client: Client) -> Shelf:
    """Of several agents, which work at once."""
    told = {"model": "offline/scripted", "embedding": "openai/text-embedding-3-small"}
    ids = [str(client.post("/v1/agents/", told)["id"]) for _ in range(20)]
    made = iter(range(1_000_000))

    def make() -> str:
        path = f"/v1/agents/{ids[next(made) % len(ids)]}/messages/async"
        return str(client.post(path, {"messages": [{"role": "user", "content": "Hello."}]})["id"])

    def remove(id: str) -> None:
        if client.has_ended(id):
            client.delete(f"/v1/runs/{id}")

    return Shelf("runs.list", {"agent_ids": ids}, make, remove, lambda run: str(run["id"]))


def messages(client: Client) -> Shelf:
    """An agent's, oldest first where the SDK can ask for that. Nothing removes one from its history."""
    told = {"model": "offline/scripted", "embedding": "openai/text-embedding-3-small"}
    there = [unique("message") for _ in range(THINGS)]
    first = [{"role": "user", "content": words} for words in there]
    agent = client.post("/v1/agents/", told | {"initial_message_sequence": first})["id"]
    path = f"/v1/agents/{agent}/messages"

    def make() -> str:
        words = unique("message")
        client.post(path, {"messages": [{"role": "user", "content": words}]})
        return words

    def name_of(message: dict[str, Any]) -> str:
        return str(message.get("content"))

    return Shelf("agents.messages.list", {"agent_id": agent, "order": "asc"}, make, None, name_of, there)


def newest_messages(client: Client) -> Shelf:
    """The same in the default order, which takes the newest first and lists each page oldest first."""
    shelf = messages(client)
    return replace(shelf, query={"agent_id": shelf.query["agent_id"]})


SHELVES = {
    "blocks": blocks,
    "agents": agents,
    "runs": runs,
    "messages": messages,
    "newest messages": newest_messages,
}


@dataclass(frozen=True)
class Filled:
    """A list with things that stay, and others that do not."""

    shelf: Shelf
    staying: list[str]
    passing: list[str]


@pytest.fixture(scope="session")
def filled(http: httpx.Client) -> dict[str, Filled]:
    """Every list, filled once: one thing in six will be removed during some walk."""
    return {name: _filled(make(Client(http))) for name, make in SHELVES.items()}


def _filled(shelf: Shelf) -> Filled:
    if shelf.remove is None:
        return Filled(shelf, list(shelf.there), [])
    with ThreadPoolExecutor(8) as threads:
        made = list(threads.map(lambda _: shelf.make(), range(THINGS + PASSING)))
    passing = made[:: THINGS // PASSING + 1]
    return Filled(shelf, [name for name in made if name not in set(passing)], passing)


@pytest.mark.parametrize("name", SHELVES)
def test_a_walk_meets_everything_that_stays_exactly_once(
    name: str, filled: dict[str, Filled], called: CalledSdk
) -> None:
    shelf, staying = filled[name].shelf, filled[name].staying
    over = threading.Event()
    busy = threading.Thread(target=_keep_busy, args=(filled[name], over))
    busy.start()
    try:
        walked = [shelf.name_of(one) for one in _walk(called, shelf)]
    finally:
        over.set()
        busy.join()
    met = Counter(walked)
    assert {one: met[one] for one in staying if met[one] != 1} == {}


def _keep_busy(filled: Filled, over: threading.Event) -> None:
    """Adds and removes until the walk is over; things that stay are left alone."""
    shelf, passing = filled.shelf, filled.passing
    for _ in range(ADDED):
        if over.is_set():
            return
        made = shelf.make()
        if shelf.remove is not None:
            passing.append(made)
            shelf.remove(passing.pop(0))


def _walk(called: CalledSdk, shelf: Shelf) -> list[dict[str, Any]]:
    if called.sdk.generation == "new":
        walked: list[dict[str, Any]] = called.call(shelf.method, limit=PAGE, **shelf.query)
        return walked
    query = {key: value for key, value in shelf.query.items() if key != "order"}
    towards, last = ("before", 0) if shelf.method == "agents.messages.list" else ("after", -1)
    walked, page = [], called.call(shelf.method, limit=PAGE, **query)
    while page:
        walked += page
        page = called.call(shelf.method, limit=PAGE, **query, **{towards: page[last]["id"]})
    return walked
