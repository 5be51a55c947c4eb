"""Tokens on a running Blockwire, made and revoked beside it; two teams that share nothing."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from tests.running import Running, make_token, running_blockwire, token_command
from tests.scenarios.api import Api, turn, wait_until

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


@asynccontextmanager
async def client(running: Running, **headers: str) -> AsyncIterator[Api]:
    api = Api(running.url)
    api.http.headers.update({name.replace("_", "-"): value for name, value in headers.items()})
    async with api.http:
        yield api


async def test_two_teams_on_one_server_see_nothing_of_each_other() -> None:
    with running_blockwire(workers=1) as running:
        async with client(running) as anybody:
            assert await anybody.get("/v1/blocks/") == []
            (first, _), (second, second_id) = make_token(running, "team-a"), make_token(running, "team-b")

            async def shut() -> bool:
                return (await anybody.http.get("/v1/blocks/")).status_code == 401

            await wait_until("nobody comes in without a token", shut)
        async with (
            client(running, authorization=f"Bearer {first}") as one,
            client(running, x_bare_password=f"password {second}") as two,
        ):
            notes = await one.block("notes")
            await work_in(two)
            assert await one.text(notes) == ""
            assert await one.get("/v1/agents/") == await one.get("/v1/runs/") == []
            await feed_ends(two, running, second_id)
            assert (await two.http.get("/v1/blocks/")).status_code == 401
            assert await one.text(notes) == ""


async def work_in(api: Api) -> None:
    """An agent edits a block, a supervisor is woken: workers look after every workspace."""
    notes = await api.block("notes")
    worker, supervisor = await api.agent(notes), await api.agent(notes)
    await api.watch(supervisor, notes)
    write = turn("memory_insert", label="notes", new_string="by an agent")
    assert (await api.ended(await api.send(worker, write)))["status"] == "completed"
    assert "by an agent" in await api.text(notes)

    async def woken() -> bool:
        return len(await api.get("/v1/runs/", agent_id=supervisor)) > 0

    await wait_until("the supervisor was woken", woken)


async def feed_ends(api: Api, running: Running, token_id: str) -> None:
    """Revokes the token while a feed is open."""
    async with api.http.stream("GET", "/v1/changes") as feed:
        lines = feed.aiter_lines()
        assert "still here" in await anext(lines)
        assert "is revoked" in token_command(running, "revoke", token_id).stderr
        try:
            assert [line async for line in lines if line.startswith("data")] == []
        except httpx.ReadTimeout:
            pytest.fail("the feed goes on without its token")
