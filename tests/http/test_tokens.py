"""Tokens over HTTP: how they are sent, made and revoked, what they end, and what holds without any."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import anyio
import fakeredis
import httpx
import pytest
from starlette.applications import Starlette
from structlog.testing import capture_logs

from service import access
from service.bootstrap import Service, assemble
from service.errors import StoreUnreachable
from service.http.app import create_app
from service.http.endings import NO_LEAVE
from service.queue import PREFIXES
from service.records.tokens import Scope
from service.settings import Settings
from service.store.client import StoreClient
from service.store.queue import QueueStore
from tests.http.conftest import WS, bearer
from tests.http.listening import Listener, listening
from tests.store.team import Team, wait_until

USER = "user-00000000-0000-4000-8000-000000000000"
LOCAL = {"Host": "localhost"}
HOUR = 3_600_000_000

Issue = Callable[..., Awaitable[str]]


@pytest.fixture
def issue(service: Service) -> Issue:
    """Makes a token, gives its secret."""

    async def issue(scope: Scope = "write", workspace: str = WS, **more: Any) -> str:
        return (await service.tokens.create(workspace, scope, **more))[1]

    return issue


@pytest.fixture
def app(service: Service, settings: Settings) -> Starlette:
    return create_app(settings, service)


async def status(client: httpx.AsyncClient, headers: Mapping[str, str], path: str = "/v1/blocks/") -> int:
    return (await client.get(path, headers=headers)).status_code


@pytest.mark.parametrize(
    ("name", "sent"),
    [
        ("Authorization", "Bearer {}"),
        ("Authorization", "bearer  {} "),
        ("authorization", "BEARER {}"),
        ("X-BARE-PASSWORD", "password {}"),
        ("x-bare-password", "Password {}"),
    ],
)
async def test_a_token_is_taken_as_the_sdks_and_v1s_clients_send_it(
    client: httpx.AsyncClient, issue: Issue, name: str, sent: str
) -> None:
    secret = await issue()
    assert await status(client, {name: sent.format(secret)}) == 200


@pytest.mark.parametrize(
    ("name", "sent"),
    [
        ("Authorization", "Basic {}"),
        ("Authorization", "{}"),
        ("Authorization", "Bearer"),
        ("Authorization", "Bearer {}x"),
        ("X-BARE-PASSWORD", "{}"),
        ("X-BARE-PASSWORD", "bearer {}"),
    ],
)
async def test_anything_else_is_no_token(
    client: httpx.AsyncClient, issue: Issue, name: str, sent: str
) -> None:
    secret = await issue()
    assert await status(client, {name: sent.format(secret)}) == 401


async def test_a_password_beside_another_kind_of_authorization_counts(
    client: httpx.AsyncClient, issue: Issue
) -> None:
    """A proxy may have an authorization of its own."""
    secret = await issue()
    sent = {"Authorization": "Basic cHJveHk6", "X-BARE-PASSWORD": f"password {secret}"}
    assert await status(client, sent) == 200


async def test_with_tokens_the_name_and_the_page_a_request_comes_from_do_not_matter(
    client: httpx.AsyncClient, issue: Issue
) -> None:
    elsewhere = {"Host": "blocks.example", "Origin": "https://app.example"}
    assert await status(client, elsewhere) == 403
    assert await status(client, elsewhere | bearer(await issue())) == 200
    assert await status(client, elsewhere) == 401


@pytest.mark.parametrize("path", ["/v1/health/", "/v1/ready/", "/latest/health"])
async def test_health_asks_for_no_token(client: httpx.AsyncClient, issue: Issue, path: str) -> None:
    elsewhere = {"Host": "10.0.0.1"}
    assert await status(client, elsewhere, path) == 403
    assert await status(client, LOCAL, path) == 200
    await issue()
    assert await status(client, elsewhere, path) == 200
    assert await status(client, bearer("bw-unknown"), path) == 200


async def test_health_answers_while_the_store_is_away(
    service: Service, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object) -> None:
        raise StoreUnreachable("the store does not answer")

    monkeypatch.setattr(service.store, "together", away)
    async with calling(create_app(settings, service)) as client:
        assert await status(client, {}, "/v1/health/") == 200
        assert await status(client, {}, "/v1/blocks/") == 503


@asynccontextmanager
async def calling(app: Starlette, address: str = "127.0.0.1") -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app, client=(address, 4321))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        yield client


@pytest.mark.parametrize(
    ("address", "expected"),
    [("127.0.0.1", 200), ("::1", 200), ("::ffff:127.0.0.1", 200), ("192.0.2.7", 403), ("2001:db8::1", 403)],
)
async def test_without_tokens_only_this_machine_is_answered(
    app: Starlette, address: str, expected: int
) -> None:
    async with calling(app, address) as client:
        answer = await client.get("/v1/blocks/")
    assert answer.status_code == expected
    if expected == 403:
        assert answer.json()["detail"].startswith(
            "this server answers to its own machine only, as it has no "
        )
        assert "blockwire token create" in answer.json()["detail"]


async def test_an_insecure_server_without_tokens_answers_everybody(service: Service) -> None:
    async with calling(create_app(Settings(insecure=True), service), "192.0.2.7") as client:
        assert await status(client, {"Host": "blocks.example"}) == 200
        await service.tokens.create(WS, "read")
        assert await status(client, {"Host": "blocks.example"}) == 401


async def test_when_the_last_token_is_gone_only_this_machine_comes_in_and_the_log_says_so(
    app: Starlette, service: Service
) -> None:
    token, secret = await service.tokens.create(WS, "read")
    async with calling(app) as near, calling(app, "192.0.2.7") as far:
        assert [await status(one, bearer(secret)) for one in (near, far)] == [200, 200]
        await service.tokens.revoke(token.id, even_last=True)
        with capture_logs() as logs:
            assert [await status(one, bearer(secret)) for one in (near, far)] == [200, 403]
    assert [line["event"] for line in logs if line["log_level"] == "warning"] == ["tokens.gone"]


async def test_a_token_that_ran_out_does_not_open_the_door(
    client: httpx.AsyncClient, service: Service, issue: Issue, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = bearer(await issue(expires_at=service.tokens._clock() + HOUR))
    assert [await status(client, headers) for headers in (secret, {})] == [200, 401]
    later = service.tokens._clock() + HOUR
    monkeypatch.setattr(service.tokens, "_clock", lambda: later)
    assert [await status(client, headers) for headers in (secret, {})] == [401, 401]


async def test_an_admin_makes_tokens_of_its_workspace(client: httpx.AsyncClient, issue: Issue) -> None:
    admin = bearer(await issue("admin", "team-a"))
    asked = {"scope": "write", "name": "import", "expires_at": "2100-01-01T00:00:00Z", "rate": 60}
    made = (await client.post("/v1/tokens/", json=asked, headers=admin)).json()
    secret = made.pop("token")
    assert made.pop("created_at").endswith("Z")
    assert made.pop("id").startswith("token-")
    assert made == asked | {
        "workspace": "team-a",
        "ends_with": secret[-4:],
        "expires_at": "2100-01-01T00:00:00.000000Z",
    }
    block = await client.post("/v1/blocks/", json={"label": "a"}, headers=bearer(secret))
    assert block.status_code == 200
    assert len((await client.get("/v1/blocks/", headers=admin)).json()) == 1


async def test_what_cannot_be_a_token_is_refused_by_name(client: httpx.AsyncClient, issue: Issue) -> None:
    admin = bearer(await issue("admin"))
    for body, status, opening in (
        ({"scope": "everything"}, 422, "body.scope: "),
        ({}, 422, "body.scope: "),
        ({"scope": "read", "rate": -1}, 422, "body.rate: "),
        ({"scope": "read", "expires_at": "2100-01-01T00:00:00"}, 422, "body.expires_at: "),
        ({"scope": "read", "expires_at": "2020-01-01T00:00:00Z"}, 400, "INVALID_ARGUMENT: expires_at: "),
        ({"scope": "read", "name": "a\nb"}, 400, "INVALID_ARGUMENT: name: "),
    ):
        answer = await client.post("/v1/tokens/", json=body, headers=admin)
        assert (answer.status_code, answer.json()["detail"].startswith(opening)) == (status, True), body


async def test_a_list_shows_a_workspaces_tokens_without_their_secrets(
    client: httpx.AsyncClient, issue: Issue
) -> None:
    secrets = [await issue("admin", "team-a", name="first"), await issue("read", "team-a", name="second")]
    await issue("read", "team-b", name="elsewhere")
    answer = await client.get("/v1/tokens/", headers=bearer(secrets[0]))
    assert [(one["name"], one["scope"], one["ends_with"]) for one in answer.json()] == [
        ("first", "admin", secrets[0][-4:]),
        ("second", "read", secrets[1][-4:]),
    ]
    assert not any(secret in answer.text for secret in secrets)
    assert "token" not in answer.json()[0]


async def test_an_admin_revokes_its_workspaces_tokens_but_not_the_servers_last(
    client: httpx.AsyncClient, issue: Issue, service: Service
) -> None:
    admin, other = await issue("admin", "team-a"), await issue("read", "team-a")
    own, read = await service.tokens.find("team-a")
    assert await status(client, bearer(other)) == 200
    revoked = await client.delete(f"/v1/tokens/{read.id}", headers=bearer(admin))
    assert (revoked.status_code, revoked.json()) == (200, None)
    assert await status(client, bearer(other)) == 401
    again = await client.delete(f"/v1/tokens/{read.id}", headers=bearer(admin))
    assert again.status_code == 404
    last = await client.delete(f"/v1/tokens/{own.id}", headers=bearer(admin))
    assert (last.status_code, last.headers["x-should-retry"]) == (409, "false")
    assert last.json()["detail"].startswith(f"CONFLICT: {own.id} is the last token of this server")
    assert await status(client, bearer(admin)) == 200
    assert (await client.delete("/v1/tokens/nonsense", headers=bearer(admin))).status_code == 404


async def test_the_first_token_is_not_made_over_http(client: httpx.AsyncClient) -> None:
    answers = [
        await client.post("/v1/tokens/", json={"scope": "admin"}),
        await client.get("/v1/tokens/"),
        await client.delete("/v1/tokens/token-1"),
    ]
    for answer in answers:
        assert answer.status_code == 403
        assert "make the first with `blockwire token create`" in answer.json()["detail"]


async def test_what_is_changed_with_a_token_says_with_which(
    client: httpx.AsyncClient, service: Service, team: Team
) -> None:
    token, secret = await service.tokens.create(WS, "write", name="nightly import")
    block = (await client.post("/v1/blocks/", json={"label": "a"}, headers=bearer(secret))).json()
    edit = {"operation": "append", "text": "!"}
    sent = bearer(secret) | {"user_id": USER}
    edited = await client.post(f"/v1/blocks/{block['id']}/edits", json=edit, headers=sent)
    assert (block["created_by_id"], edited.json()["last_updated_by_id"]) == ("nightly import", USER)
    authors = [change.author for change in await team.changes()]
    assert [(one.name, one.token_id) for one in authors] == [("nightly import", token.id), (USER, token.id)]
    assert token.id in (await team.history(await service.blocks.read(WS, block["id"])))[-1]["author"]


async def test_a_repeated_request_attaches_to_one_of_its_own_token_alone(
    client: httpx.AsyncClient, issue: Issue
) -> None:
    """Two services may say the same at the same time, and the second may have lost its first attempt."""
    one, other = await issue(name="importer"), await issue(name="importer")

    async def made(secret: str, attempt: int) -> str:
        headers = bearer(secret) | {"x-stainless-retry-count": str(attempt)}
        answer = await client.post("/v1/blocks/", json={"label": "a"}, headers=headers)
        return str(answer.json()["id"])

    first = await made(one, 0)
    assert await made(other, 1) != first
    assert await made(one, 1) == first


async def test_a_rate_is_kept_over_all_web_processes(
    service: Service, settings: Settings, store: StoreClient, issue: Issue
) -> None:
    secret = bearer(await issue("write", rate=2))
    async with another(settings, store) as other:
        apps = [create_app(settings, one) for one in (service, other)]
        async with calling(apps[0]) as one, calling(apps[1]) as two:
            assert [await status(client, secret) for client in (one, two, one, two)] == [200, 200, 429, 429]
            answer = await two.get("/v1/blocks/", headers=secret)
            assert 1 <= int(answer.headers["retry-after"]) <= 30
            seconds = answer.headers["retry-after"]
            assert answer.json() == {
                "detail": f"this token may send 2 requests per minute; try again in {seconds} s"
            }
            assert await status(one, secret, "/v1/health/") == 200
            assert await status(one, bearer(await issue("write"))) == 200


@asynccontextmanager
async def another(settings: Settings, store: StoreClient) -> AsyncIterator[Service]:
    """The rooms of another process on the same store."""
    queue = fakeredis.FakeAsyncRedis(server=fakeredis.FakeServer())
    rooms = assemble(settings, store, QueueStore(queue, PREFIXES))
    yield rooms
    await rooms.bell.close()
    await queue.aclose()


async def test_the_rate_of_the_settings_binds_tokens_without_one_of_their_own(
    store: StoreClient, issue: Issue
) -> None:
    limited = Settings(rate_limit=1)
    bound, own, free = await issue(), await issue(rate=2), await issue(rate=0)
    async with another(limited, store) as rooms, calling(create_app(limited, rooms)) as client:
        for secret, expected in ((bound, [200, 429, 429]), (own, [200, 200, 429]), (free, [200, 200, 200])):
            assert [await status(client, bearer(secret)) for _ in range(3)] == expected


@asynccontextmanager
async def feed(app: Starlette, secret: str | None) -> AsyncIterator[Listener]:
    headers = LOCAL if secret is None else bearer(secret)
    async with listening(app, "/v1/changes", None, headers, "GET") as listener:
        await says(listener, "still here")
        yield listener


async def says(listener: Listener, text: str) -> None:
    async def heard() -> bool:
        return text.encode() in listener.raw

    await wait_until(f"the stream says {text}", heard)


async def ends(listener: Listener) -> None:
    with anyio.fail_after(4):  # sooner than streams look by themselves
        await listener.task


async def test_a_feed_tells_the_changes_of_its_own_workspace_alone(
    app: Starlette, client: httpx.AsyncClient, issue: Issue
) -> None:
    one, two = await issue("write", "team-a"), await issue("write", "team-b")
    async with feed(app, one) as ours, feed(app, two) as theirs:
        for secret, label in ((one, "first"), (two, "second"), (one, "third")):
            await client.post("/v1/blocks/", json={"label": label}, headers=bearer(secret))
        await says(ours, "third")
        await says(theirs, "second")
    assert (b"second" in ours.raw, b"first" in theirs.raw, b"third" in theirs.raw) == (False,) * 3


async def test_revoking_a_token_ends_its_feed_in_every_process_and_no_other(
    app: Starlette, service: Service, settings: Settings, store: StoreClient
) -> None:
    token, secret = await service.tokens.create(WS, "read")
    _, kept = await service.tokens.create(WS, "read")
    async with another(settings, store) as other:
        second = create_app(settings, other)
        async with feed(app, secret) as here, feed(second, secret) as there, feed(second, kept) as stays:
            await service.tokens.revoke(token.id)
            await ends(here)
            await ends(there)
            async with calling(second) as client:
                assert await status(client, bearer(secret)) == 401
            assert not stays.task.done()


async def test_a_feed_ends_when_its_token_runs_out(
    app: Starlette, service: Service, issue: Issue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access, "KEPT_S", 0.02)
    secret = await issue(expires_at=service.tokens._clock() + HOUR)
    async with feed(app, secret) as listener:
        later = service.tokens._clock() + HOUR
        monkeypatch.setattr(service.tokens, "_clock", lambda: later)
        await ends(listener)


async def test_the_first_token_ends_what_streams_to_nobody_in_particular(
    app: Starlette, service: Service
) -> None:
    async with feed(app, None) as listener:
        await service.tokens.create(WS, "read")
        await ends(listener)


async def test_a_run_is_told_to_the_end_though_its_stream_ends_with_the_token(
    app: Starlette, client: httpx.AsyncClient, service: Service
) -> None:
    token, secret = await service.tokens.create(WS, "write")
    await service.tokens.create(WS, "read")
    made = await client.post("/v1/agents/", json={"model": "offline/scripted"}, headers=bearer(secret))
    path = f"/v1/agents/{made.json()['id']}/messages/stream"
    async with listening(app, path, {"input": "Hello."}, bearer(secret)) as listener:
        run_id = (await listener.next()).data["run_id"]
        await service.tokens.revoke(token.id)
        stop, error, _ = await listener.rest()
    assert (stop.data["stop_reason"], error.data["error_type"]) == ("error", "stream_incomplete")
    assert NO_LEAVE in error.data["message"]
    assert (await service.runs.read(WS, run_id)).status == "created"


async def test_a_stream_costs_one_request_of_the_rate(
    app: Starlette, client: httpx.AsyncClient, issue: Issue
) -> None:
    secret = await issue("write", rate=2)
    _, other = await issue("write"), await issue("write")
    async with feed(app, secret) as listener:
        await client.post("/v1/blocks/", json={"label": "heard"}, headers=bearer(other))
        await says(listener, "heard")
        assert await status(client, bearer(secret)) == 200
        assert await status(client, bearer(secret)) == 429
