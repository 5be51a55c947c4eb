"""Workspaces: every route, called with the wrong token. Nothing crosses, nothing changes, nothing is told.

The routes are those of the table, so a new one is covered as soon as it is there.
A new kind of id is made by its noun's own POST and that route's example; one that
nothing makes so has to be named in `make_world`, and the tests fail until it is.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.types import Message

from service.bootstrap import Service
from service.http.app import ROUTES, create_app
from service.http.routing import Route
from service.settings import Settings
from service.store.client import StoreClient
from tests.http.conftest import WS, Worker, bearer
from tests.store.team import contents, raw

OTHERS = "others"
MAKERS = {(route.path.rstrip("/"), route.method): route for route in ROUTES}
BUILT_IN = {"tool_name"} | ({"tool_id"} if ("/v1/tools", "POST") not in MAKERS else set())
"""What every workspace has; a tool's id too, as long as nobody can make one."""
NUMBERS = {"version"}
WAITING = {("POST", "/v1/tools/run")}
"""Routes without an id that answer when a worker has worked, and there is none."""
ANSWER_S = 10
ALWAYS = {("PATCH", "/v1/agents/{agent_id}/messages/{message_id}"): 405}
"""Routes that answer everybody the same."""


@dataclass
class World:
    """One workspace with one of everything, and a text that stands all over it."""

    mark: str
    secret: str
    ids: dict[str, str]

    def value(self, parameter: str) -> str:
        if parameter not in self.ids:
            pytest.fail(f"`make_world` has to make one of this and name it: {parameter}")
        return self.ids[parameter]

    def marks(self) -> set[str]:
        return {self.mark} | {id for name, id in self.ids.items() if name not in BUILT_IN | NUMBERS}


async def make_world(client: httpx.AsyncClient, service: Service, workspace: str, mark: str) -> World:
    """Through the API, with a token of that workspace."""
    token, secret = await service.tokens.create(workspace, "admin", name=f"admin of {mark}")

    async def ask(method: str, path: str, body: Any = None) -> Any:
        answer = await client.request(method, path, json=body, headers=bearer(secret))
        assert answer.status_code == 200, answer.text
        return answer.json()

    block = await ask("POST", "/v1/blocks/", {"label": mark, "value": mark, "tags": [mark]})
    await ask("POST", f"/v1/blocks/{block['id']}/edits", {"operation": "append", "text": mark})
    new = {"model": "offline/extractive", "name": mark, "block_ids": [block["id"]], "tags": [mark]}
    agent = await ask("POST", "/v1/agents/", new)
    path = f"/v1/agents/{agent['id']}"
    subscription = await ask("POST", f"{path}/subscriptions", {"label": mark})
    run = await ask("POST", f"{path}/messages/async", {"input": mark})
    await Worker(service, workspace).answer(agent["id"], [{"role": "assistant", "content": mark}])
    named = {
        "agent_id": agent["id"],
        "block_id": block["id"],
        "block_label": mark,
        "message_id": (await ask("GET", f"{path}/messages"))[-1]["id"],
        "run_id": run["id"],
        "step_id": (await ask("GET", f"/v1/runs/{run['id']}/steps"))[0]["id"],
        "subscription_id": subscription["id"],
        "token_id": token.id,
        "version": "2",
    }
    for parameter, maker in made_by_example().items():
        if parameter not in named:
            named[parameter] = (await ask("POST", maker.path, maker.example))["id"]
    pinged = await ask("POST", f"/v1/webhooks/{named['webhook_id']}/ping")
    named["delivery_id"] = pinged["id"]
    tool = (await ask("GET", "/v1/tools/"))[0]
    named.setdefault("tool_id", tool["id"])
    named["tool_name"] = tool["name"]
    return World(mark, secret, named)


def made_by_example() -> dict[str, Route]:
    """Parameter -> the POST that makes what it is the id of: `{x}` of `/v1/things/{x}` by `/v1/things`."""
    found = {}
    for route in ROUTES:
        parent, _, last = route.path.rpartition("/")
        maker = MAKERS.get((parent, "POST"))
        if last.startswith("{") and maker is not None and not maker.parameters:
            found[last.strip("{}")] = maker
    return found


@pytest.fixture
def app(service: Service, settings: Settings) -> Starlette:
    """Its streams end as soon as they have begun."""
    ending = asyncio.Event()
    ending.set()
    return create_app(settings, service, ending)


@pytest.fixture
async def client(app: Starlette) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as open_client:
        yield open_client


@pytest.fixture
async def ours(client: httpx.AsyncClient, service: Service) -> World:
    return await make_world(client, service, WS, "sealed-7b1d")


@pytest.fixture
async def theirs(client: httpx.AsyncClient, service: Service) -> World:
    return await make_world(client, service, OTHERS, "plain-2c9e")


def path_of(route: Route, values: Mapping[str, str]) -> str:
    path = route.path.replace(":path}", "}")
    return path.format_map(dict(values))


async def call(client: httpx.AsyncClient, route: Route, path: str, secret: str | None) -> httpx.Response:
    body = None if route.body is None else route.example
    headers = {} if secret is None else bearer(secret)
    try:
        async with asyncio.timeout(ANSWER_S):
            return await client.request(route.method, path, json=body, headers=headers)
    except TimeoutError:
        pytest.fail(f"no answer to {route.method} {path}")


def guarded() -> Iterator[Route]:
    return (route for route in ROUTES if route.needs != "none")


async def test_the_owner_reads_all_of_it(client: httpx.AsyncClient, service: Service, ours: World) -> None:
    """So the ids of the tests below are those of things that are there."""
    _, secret = await service.tokens.create(WS, "read")
    wrong = []
    for route in guarded():
        if route.needs == "read" and route.method == "GET":
            path = path_of(route, {name: ours.value(name) for name in route.parameters})
            answer = await call(client, route, path, secret)
            if answer.status_code not in (200, 501):  # there, or not kept by a server of this kind
                wrong.append(f"{route.method} {path}: {answer.status_code} {answer.text}")
    assert wrong == []


async def test_what_is_in_another_workspace_does_not_exist(
    client: httpx.AsyncClient, store: StoreClient, ours: World, theirs: World
) -> None:
    """Each id of a path in turn is ours, in a request of theirs that is right in all else."""
    before = await workspace_contents(store, WS)
    wrong = []
    for route in guarded():
        foreign = [name for name in route.parameters if name not in BUILT_IN | NUMBERS]
        for name in foreign:
            values = {one: theirs.value(one) for one in route.parameters} | {name: ours.value(name)}
            answer = await call(client, route, path_of(route, values), theirs.secret)
            expected = ALWAYS.get((route.method, route.path), 404)
            if answer.status_code != expected or told(answer, ours, name):
                wrong.append(f"{route.method} {route.path}, our {name}: {answer.status_code} {answer.text}")
    assert wrong == []
    assert await workspace_contents(store, WS) == before


async def test_lists_and_answers_hold_nothing_of_another_workspace(
    client: httpx.AsyncClient, store: StoreClient, ours: World, theirs: World
) -> None:
    before = await workspace_contents(store, WS)
    wrong = []
    for route in guarded():
        waits = (route.method, route.path) in WAITING
        if not waits and all(name in BUILT_IN for name in route.parameters):
            values = {name: theirs.value(name) for name in route.parameters}
            answer = await call(client, route, path_of(route, values), theirs.secret)
            if answer.status_code >= 500 or told(answer, ours):
                wrong.append(f"{route.method} {route.path}: {answer.status_code} {answer.text}")
    assert wrong == []
    assert await workspace_contents(store, WS) == before


def told(answer: httpx.Response, world: World, named: str = "") -> set[str]:
    """What an answer tells of a world beside the id that the request named itself."""
    known = {world.ids[named], world.mark} if named == "block_label" else {world.ids.get(named)}
    return {mark for mark in world.marks() if mark in answer.text} - known


async def workspace_contents(store: StoreClient, workspace: str) -> dict[str, Any]:
    found = await contents(raw(store))
    return {name: content for name, content in found.items() if name.startswith(f"bw:{{{workspace}}}:")}


async def test_a_token_that_may_read_changes_nothing(
    client: httpx.AsyncClient, service: Service, store: StoreClient, ours: World
) -> None:
    _, secret = await service.tokens.create(WS, "read")
    before = await contents(raw(store))
    wrong = []
    for route in guarded():
        if route.needs == "read":
            continue
        path = path_of(route, {name: ours.value(name) for name in route.parameters})
        answer = await call(client, route, path, secret)
        detail = f"this needs a token of scope {route.needs}; yours has the scope read"
        if (answer.status_code, answer.json()) != (403, {"detail": detail}):
            wrong.append(f"{route.method} {path}: {answer.status_code} {answer.text}")
    assert wrong == []
    assert await contents(raw(store)) == before


async def test_a_post_that_only_reads_is_open_to_a_token_that_may_read(
    client: httpx.AsyncClient, service: Service, store: StoreClient, ours: World
) -> None:
    _, secret = await service.tokens.create(WS, "read")
    before = await contents(raw(store))
    paths = {route.path for route in guarded() if route.needs == "read" and route.method != "GET"}
    assert paths == {
        "/v1/agents/messages/search",
        "/v1/messages/search",
        "/v1/runs/{run_id}/stream",
        "/v1/tools/add-base-tools",
        "/v1/tools/generate-schema",
        "/v1/tools/search",
    }
    for path, body in (
        ("agents/messages/search", {"query": ours.mark}),
        ("tools/add-base-tools", {}),
        ("tools/generate-schema", {"code": 'def f() -> str:\n    """F."""\n    return ""\n'}),
        ("tools/search", {"query": "memory"}),
    ):
        answer = await client.post(f"/v1/{path}", json=body, headers=bearer(secret))
        assert answer.status_code == 200, answer.text
    assert await contents(raw(store)) == before


async def test_a_token_that_may_write_makes_no_tokens(
    client: httpx.AsyncClient, service: Service, ours: World
) -> None:
    _, secret = await service.tokens.create(WS, "write")
    admins = [route for route in guarded() if route.needs == "admin"]
    assert {route.path for route in admins} == {"/v1/tokens/", "/v1/tokens/{token_id}"}
    for route in admins:
        path = path_of(route, {name: ours.value(name) for name in route.parameters})
        answer = await call(client, route, path, secret)
        assert answer.status_code == 403
        assert answer.json()["detail"].startswith("this needs a token of scope admin")


@pytest.mark.parametrize("kind", ["missing", "unknown", "revoked", "over", "of no scheme"])
async def test_without_a_token_that_holds_every_route_answers_the_same_and_reads_no_body(
    app: Starlette, service: Service, store: StoreClient, ours: World, kind: str
) -> None:
    headers = await headers_of(service, kind)
    before = await contents(raw(store))
    wrong = []
    routes = [(route.method, path_of(route, ours.ids)) for route in guarded()]
    for method, path in [
        *routes,
        ("GET", "/v1/nothing"),
        ("PUT", "/v1/blocks/"),
        ("GET", "/docs"),
        ("GET", "/"),
    ]:
        answer = await raw_answer(app, method, path, headers)
        if answer != (401, {"detail": "Unauthorized"}, "Bearer"):
            wrong.append(f"{method} {path}: {answer}")
    assert wrong == []
    assert await contents(raw(store)) == before


async def headers_of(service: Service, kind: str) -> dict[str, str]:
    if kind == "missing":
        return {}
    if kind == "unknown":
        return bearer("bw-nothing-of-the-kind")
    token, secret = await service.tokens.create(WS, "admin", expires_at=None)
    if kind == "revoked":
        await service.tokens.revoke(token.id)
    if kind == "over":
        digests = {one.id: digest for digest, one in (await service.tokens._store.all()).items()}
        await service.tokens._store.put(digests[token.id], token.model_copy(update={"expires_at": 1}))
    return {"Authorization": secret} if kind == "of no scheme" else bearer(secret)


async def raw_answer(
    app: Starlette, method: str, path: str, headers: Mapping[str, str]
) -> tuple[int, Any, str | None]:
    """Status, body and challenge; fails if the request's body is read."""
    sent: list[Message] = []

    async def receive() -> Message:
        pytest.fail(f"the body of {method} {path} was read")

    async def send(message: Message) -> None:
        sent.append(message)

    told = {"host": "blocks.example", "content-type": "application/json", **headers}
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(name.lower().encode(), value.encode()) for name, value in told.items()],
    }
    await app(scope, receive, send)
    challenge = dict(sent[0]["headers"]).get(b"www-authenticate")
    return sent[0]["status"], json.loads(sent[1]["body"]), challenge and challenge.decode()


async def test_ids_of_others_in_bodies_do_not_exist_either(
    client: httpx.AsyncClient, ours: World, theirs: World
) -> None:
    path = f"/v1/agents/{theirs.ids['agent_id']}"
    block, run = ours.ids["block_id"], ours.ids["run_id"]
    for target, body in (
        ("/v1/agents/", {"model": "offline/extractive", "block_ids": [block]}),
        (f"{path}/subscriptions", {"block_id": block}),
    ):
        answer = await client.post(target, json=body, headers=bearer(theirs.secret))
        assert (answer.status_code, answer.json()["detail"]) == (
            404,
            f"block {block} was not found in this workspace",
        )
    cancelled = await client.post(
        f"{path}/messages/cancel", json={"run_ids": [run]}, headers=bearer(theirs.secret)
    )
    assert cancelled.json() == {run: "failed"}
