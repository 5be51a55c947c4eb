"""A provider that names every call `call_0`, in each step and run: effects once, each result in place."""

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import fakeredis
import pytest

from service.bootstrap import assemble, prepare
from service.queue import PREFIXES
from service.records.agents import Agent
from service.settings import Settings
from service.store.client import StoreClient
from service.store.queue import QueueStore
from tests.standin import Answer, Call, Standin
from tests.workers.bench import WS, Bench, WorkerKilled

pytestmark = pytest.mark.anyio

HANDLES = ["anthropic/claude-3-5-sonnet-20241022", "openai/gpt-4o-mini"]


@pytest.fixture(scope="module")
def server() -> Iterator[Standin]:
    with Standin() as standin:
        yield standin


@pytest.fixture
def standin(server: Standin) -> Standin:
    server.forget()
    return server


@pytest.fixture
async def bench(fake_store: StoreClient, standin: Standin) -> AsyncIterator[Bench]:
    """Agents of both providers, whose adapters talk to the stand-in."""
    await prepare(fake_store)
    queue = fakeredis.FakeAsyncRedis(server=fakeredis.FakeServer())
    settings = Settings(
        lease_ms=1000,
        anthropic_api_key="sk-test",
        anthropic_base_url=standin.url,
        openai_api_key="sk-test",
        openai_base_url=f"{standin.url}/v1",
    )
    bench = Bench(assemble(settings, fake_store, QueueStore(queue, PREFIXES)))
    yield bench
    await bench.models.aclose()
    await bench.service.bell.close()
    await queue.aclose()


def inserts(*texts: str) -> Answer:
    """Lines for the block, each by a call of its own, all under one id."""
    made = [Call("memory_insert", {"label": "notes", "new_string": text}, id="call_0") for text in texts]
    return Answer(calls=tuple(made))


async def agent_of(bench: Bench, handle: str) -> Agent:
    return await bench.agent({"notes": "top"}, model=handle, parallel_tool_calls=True)


def exchanged(body: dict[str, Any]) -> list[tuple[str, str]]:
    """Of a request the line each call asked for, and the last line of the block in the result it was given.

    The ids that calls and results are matched by must not repeat.
    """
    asked: dict[str, str] = {}
    given: dict[str, str] = {}
    for message in body["messages"]:
        for call in message.get("tool_calls") or ():
            assert call["id"] not in asked
            asked[call["id"]] = json.loads(call["function"]["arguments"])["new_string"]
        if message["role"] == "tool":
            given[message["tool_call_id"]] = message["content"]
        for part in message["content"] if isinstance(message["content"], list) else ():
            if part["type"] == "tool_use":
                assert part["id"] not in asked
                asked[part["id"]] = part["input"]["new_string"]
            if part["type"] == "tool_result":
                given[part["tool_use_id"]] = _text(part["content"])
    assert set(asked) == set(given)
    return [(asked[id], json.loads(given[id])["message"].splitlines()[-1]) for id in asked]


def _text(content: Any) -> str:
    return content if isinstance(content, str) else "".join(part["text"] for part in content)


@pytest.mark.parametrize("handle", HANDLES)
async def test_over_steps_and_runs_each_call_has_its_effect_once_and_its_own_result(
    bench: Bench, standin: Standin, handle: str
) -> None:
    agent = await agent_of(bench, handle)
    done = Answer(text="Done.")
    standin.will(inserts("a"), inserts("b", "c"), done, inserts("d"), inserts("d"), done)
    for _ in range(2):
        run = await bench.send(agent, "Go on.")
        await bench.carry(agent)
        assert (await bench.service.runs.read(WS, run.id)).stop_reason == "end_turn"
    assert await bench.text("notes") == "top\na\nb\nc\nd\nd"
    assert exchanged(standin.bodies[-1]) == [(line, line) for line in "abcdd"]


@pytest.mark.parametrize("handle", HANDLES)
@pytest.mark.parametrize("effect", [0, 1, 2])
async def test_after_a_takeover_too(
    bench: Bench, standin: Standin, monkeypatch: pytest.MonkeyPatch, handle: str, effect: int
) -> None:
    """The worker dies after one of the step's three calls was carried out, before any result was stored."""
    agent = await agent_of(bench, handle)
    standin.will(inserts("a"), inserts("b", "b", "c"), Answer(text="Done."))
    run = await bench.send(agent, "Go on.")
    real, edits = bench.service.blocks.edit, 0

    async def deadly(*args: Any, **kwargs: Any) -> Any:
        nonlocal edits
        edits += 1
        outcome = await real(*args, **kwargs)
        if edits == 2 + effect:
            raise WorkerKilled
        return outcome

    monkeypatch.setattr(bench.service.blocks, "edit", deadly)
    with pytest.raises(WorkerKilled):
        await bench.carry(agent)
    monkeypatch.undo()
    await bench.take_over(agent)
    assert (await bench.service.runs.read(WS, run.id)).stop_reason == "end_turn"
    assert await bench.text("notes") == "top\na\nb\nb\nc"
    assert [one.tool_call_id for one in await bench.results(run)] == ["call_0"] * 4
    assert len(standin.bodies) == 3, "no model call was made twice"
    asked = [line for line, _ in exchanged(standin.bodies[-1])]
    assert asked == ["a", "b", "b", "c"]
