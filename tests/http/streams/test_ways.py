"""The ways to ask for a stream, and what is refused before there is one."""

import asyncio
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from service.errors import StoreUnreachable
from tests.http.conftest import MODERN
from tests.http.listening import DEADLINE_S, listening, outline
from tests.http.streams.scenes import (
    ENDED,
    LOCAL,
    Listen,
)
from tests.workers.bench import Bench, says


@pytest.mark.parametrize("headers", [MODERN, {"User-Agent": "letta-client/0.1.324"}], ids=["new", "old"])
async def test_the_stream_route_serves_both_generations(
    listen: Listen, bench: Bench, headers: dict[str, str]
) -> None:
    agent = await bench.agent()
    async with listen(agent, says("Hello."), headers=headers) as listener:
        await listener.next()
        await bench.carry(agent)
        assert outline(await listener.rest()) == ["assistant: Hello.", *ENDED]


async def test_a_send_with_streaming_is_a_stream_for_callers_of_the_new_generation(
    listen: Listen, bench: Bench
) -> None:
    agent = await bench.agent()
    async with listen(agent, says("Hello."), to="", headers=MODERN, streaming=True) as listener:
        await listener.next()
        await bench.carry(agent)
        assert outline(await listener.rest()) == ["assistant: Hello.", *ENDED]


@pytest.mark.parametrize(
    ("to", "headers", "body", "status", "opening"),
    [
        ("", {}, {"streaming": True}, 422, "streaming: needs an SDK of 1.x"),
        ("", {"User-Agent": "letta-client/0.1.324"}, {"streaming": True}, 422, "streaming: "),
        ("", MODERN, {"stream_tokens": True}, 422, "stream_tokens: goes with streaming"),
        ("", MODERN, {"background": True}, 422, "background: goes with streaming"),
        ("", MODERN, {"include_pings": False}, 422, "include_pings: goes with streaming"),
        ("", MODERN, {"streaming": True, "messages": []}, 422, "messages: "),
        ("/stream", {}, {"messages": []}, 422, "messages: "),
        ("/stream", {}, {"input": "x"}, 422, "messages, input: "),
        ("/stream", {}, {"override_model": "offline/nothing"}, 404, "NOT_FOUND: "),
    ],
)
async def test_what_is_wrong_before_the_run_has_a_status(
    app: Starlette,
    bench: Bench,
    to: str,
    headers: dict[str, str],
    body: dict[str, Any],
    status: int,
    opening: str,
) -> None:
    agent = await bench.agent()
    sent = {"messages": [{"role": "user", "content": "hello"}], **body}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
        answer = await client.post(f"/v1/agents/{agent.id}/messages{to}", json=sent, headers=headers)
        assert answer.status_code == status
        assert answer.json()["detail"].startswith(opening)
        nobody = "agent-00000000-0000-4000-8000-000000000000"
        unknown = await client.post(f"/v1/agents/{nobody}/messages/stream", json={"input": "x"})
        assert unknown.status_code == 404
    assert (await bench.state(agent)).get("status") != "ready"


async def test_a_store_that_fails_before_the_message_is_sent_leaves_no_run(
    app: Starlette, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An SDK sends again after a 503; a run that had begun would then be there twice."""
    agent = await bench.agent()

    async def away(*_: object) -> None:
        raise StoreUnreachable("the store does not answer")

    monkeypatch.setattr(bench.service.agents, "type_of", away)
    async with listening(app, f"/v1/agents/{agent.id}/messages/stream", {"input": "x"}, LOCAL) as listener:
        await asyncio.wait_for(listener.task, DEADLINE_S)
    assert listener.status == 503
    assert (await bench.state(agent)).get("status") != "ready"
