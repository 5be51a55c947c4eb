"""Callbacks: posted once when a run has ended, to addresses that may be called; the run shows how it went."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest

from service.bootstrap import Service
from service.callbacks import UNKNOWN
from service.errors import StoreUnreachable
from service.records.agents import Agent
from service.records.messages import NewMessage
from service.records.runs import Run
from service.settings import Settings
from tests.receiver import Receiver
from tests.workers.bench import PERSON, WS, Bench, WorkerKilled, says, wait_until
from workers import callbacks
from workers.callbacks import Caller
from workers.posts import Outcome, Poster, Refused

pytestmark = pytest.mark.anyio


@pytest.fixture
async def caller(service: Service) -> AsyncIterator[Caller]:
    poster = Poster()
    yield Caller(service, poster)
    await poster.aclose()


async def ended(bench: Bench, url: str, *, private: bool = True, **entry: Any) -> tuple[Agent, Run]:
    """A run that was to be told of, and has ended."""
    agent = await bench.agent()
    script = json.dumps({"script": [entry or says("Hello.")]})
    run = await bench.service.messages.send(
        WS,
        agent.id,
        [NewMessage(content=script)],
        background=True,
        callback_url=url,
        callback_private=private,
    )
    await bench.carry(agent)
    return agent, await bench.service.runs.read(WS, run.id)


async def test_the_end_of_a_run_is_posted_once(bench: Bench, caller: Caller, receiver: Receiver) -> None:
    _, run = await ended(bench, f"{receiver.url}/runs?x=1")
    assert run.callback_sent_at is None
    assert await caller.tell(WS) is True
    assert await caller.tell(WS) is False
    [post] = receiver.posts
    body = post.body
    assert post.line == "POST /runs?x=1 HTTP/1.1"
    assert post.headers["host"] == receiver.url.removeprefix("http://")
    assert post.headers["user-agent"] == "blockwire"  # as the receiver lowers it
    assert body == {
        "run_id": run.id,
        "status": "completed",
        "completed_at": body["completed_at"],
        "metadata": {"run_type": "send_message"},
    }
    assert body["completed_at"].endswith("Z")
    told = await bench.service.runs.read(WS, run.id)
    assert told.callback_sent_at is not None
    assert (told.callback_status_code, told.callback_error) == (200, None)


async def test_a_failure_and_a_cancelled_run_are_told_too(
    bench: Bench, caller: Caller, receiver: Receiver
) -> None:
    await ended(bench, receiver.url, error="llm_rate_limit", message="slow down")
    agent = await bench.agent()
    waiting = await bench.service.messages.send(
        WS, agent.id, [NewMessage(content="x")], callback_url=receiver.url, callback_private=True
    )
    await bench.service.runs.cancel(WS, waiting.id)
    await caller.tell(WS)
    failed, cancelled = sorted(
        (post.body for post in receiver.posts), key=lambda body: -len(body["metadata"])
    )
    assert (failed["status"], failed["metadata"]["error"]["type"]) == ("failed", "llm_rate_limit")
    assert (cancelled["status"], cancelled["run_id"]) == ("cancelled", waiting.id)


async def test_redirects_are_not_followed(bench: Bench, caller: Caller, receiver: Receiver) -> None:
    receiver.status = "307 Temporary Redirect"
    _, run = await ended(bench, receiver.url)
    await caller.tell(WS)
    assert len(receiver.posts) == 1
    assert (await bench.service.runs.read(WS, run.id)).callback_status_code == 307


async def test_whoever_does_not_answer_in_time_is_given_up(
    bench: Bench, caller: Caller, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert callbacks.TIMEOUT_S == 5
    monkeypatch.setattr(callbacks, "TIMEOUT_S", 0.5)
    receiver.silent = True
    _, run = await ended(bench, receiver.url)
    await caller.tell(WS)
    told = await bench.service.runs.read(WS, run.id)
    assert (told.callback_status_code, told.callback_error) == (None, "no answer within 0.5 s")


async def test_an_address_where_nobody_is_leaves_an_error(bench: Bench, caller: Caller) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        _, run = await ended(bench, f"http://127.0.0.1:{free.getsockname()[1]}/x")
        await caller.tell(WS)
    told = await bench.service.runs.read(WS, run.id)
    assert told.callback_error == "could not be sent: ConnectError"


async def test_a_private_address_is_not_called_whatever_it_is_named(
    bench: Bench, caller: Caller, receiver: Receiver
) -> None:
    _, run = await ended(bench, receiver.url, private=False)
    await caller.tell(WS)
    assert receiver.posts == []
    error = (await bench.service.runs.read(WS, run.id)).callback_error
    assert error is not None
    assert error.startswith("not sent: its address lies in a private network")


class TestForbiddenSince:
    """The server allowed it; the worker's operator says no."""

    @pytest.fixture
    def settings(self) -> Settings:
        return Settings(callbacks_private=False)

    async def test_a_private_address_that_was_allowed_before_is_not_called_any_more(
        self, bench: Bench, caller: Caller, receiver: Receiver
    ) -> None:
        _, run = await ended(bench, receiver.url, private=True)
        await caller.tell(WS)
        assert receiver.posts == []
        error = (await bench.service.runs.read(WS, run.id)).callback_error
        assert error is not None
        assert error.startswith("not sent: its address lies in a private network")


async def test_the_default_ports_are_those_of_the_scheme(
    bench: Bench, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    async def address(poster: Poster, host: str, port: int, private: bool) -> str:
        asked.append((host, port))
        raise Refused("not now")

    monkeypatch.setattr(Poster, "_address", address)
    for url in ("http://a.example/x", "https://b.example/x", "https://c.example:8443/x"):
        await ended(bench, url)
    await caller.tell(WS)
    assert sorted(asked) == [("a.example", 80), ("b.example", 443), ("c.example", 8443)]


async def test_a_worker_that_dies_while_it_tells_leaves_an_error_and_nobody_tells_again(
    bench: Bench, caller: Caller, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, run = await ended(bench, receiver.url)

    async def dies(*_: object, **__: object) -> Outcome:
        raise WorkerKilled

    with monkeypatch.context() as broken:
        broken.setattr(Poster, "post", dies)
        with pytest.raises(WorkerKilled):
            await caller.tell(WS)
    assert await caller.tell(WS) is False
    assert receiver.posts == []
    assert (await bench.service.runs.read(WS, run.id)).callback_error == UNKNOWN


async def test_a_run_that_was_deleted_is_told_of_no_more(
    bench: Bench, caller: Caller, receiver: Receiver
) -> None:
    _, run = await ended(bench, receiver.url)
    await bench.service.runs.delete(WS, run.id)
    assert await caller.tell(WS) is False
    await bench.service.callbacks.settle(WS, run.id, 200, None)


async def test_the_end_of_a_run_rings_for_those_who_tell_of_it(bench: Bench, receiver: Receiver) -> None:
    async with bench.service.callbacks.rings(WS) as rings:
        assert await asyncio.wait_for(rings.get(), 5) is None
        await ended(bench, receiver.url)
        assert await asyncio.wait_for(rings.get(), 5) == "callbacks due"


async def test_a_worker_tells_as_soon_as_it_is_rung_and_outlives_the_store(
    bench: Bench, caller: Caller, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.workspaces.PAUSE_S", 0.01)
    monkeypatch.setattr(callbacks, "LOOK_AGAIN_S", 0.01)
    take, away = bench.service.callbacks.take, 1

    async def sometimes(ws: str) -> list[Run]:
        nonlocal away
        away -= 1
        if away >= 0:
            raise StoreUnreachable("the store does not answer")
        return await take(ws)

    monkeypatch.setattr(bench.service.callbacks, "take", sometimes)
    task = asyncio.create_task(caller.run())
    try:
        await ended(bench, receiver.url)

        async def told() -> bool:
            return bool(receiver.posts)

        await wait_until("the receiver was told", told)
    finally:
        task.cancel()
        await asyncio.wait({task})


async def test_an_agent_that_is_deleted_has_its_open_runs_told(
    bench: Bench, caller: Caller, receiver: Receiver
) -> None:
    agent = await bench.agent()
    sent = [NewMessage(content="x")]
    await bench.service.messages.send(WS, agent.id, sent, callback_url=receiver.url, callback_private=True)
    await bench.service.agents.delete(WS, agent.id, PERSON)
    await caller.tell(WS)
    assert [post.body["status"] for post in receiver.posts] == ["cancelled"]
