"""The provider's prompt cache: what a run sends again is the same to the letter, and marked.

Anthropic caches up to a marked block, and finds that again if everything before the mark is as it was.
"""

import json
from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any

import pytest

from tests.standin import Answer, Standin
from tests.workers.bench import Bench, call, calls, notes_in, says
from workers.models.anthropic import AnthropicModel
from workers.models.base import ModelRequest

pytestmark = pytest.mark.anyio

FIND = call("conversation_search", query="x")
MARK = "cache_control"
MARKS_AT_MOST = 4


@pytest.fixture
async def model() -> AsyncIterator[AnthropicModel]:
    model = AnthropicModel(api_key="sk-test", base_url=None, timeout_s=10, retries=0)
    yield model
    await model.aclose()


def blocks_of(body: dict[str, Any]) -> list[dict[str, Any]]:
    """All that is sent, in the order of the cache: tools, prompt, and the blocks of each message."""
    said = [block | {"of": turn["role"]} for turn in body["messages"] for block in turn["content"]]
    return [*body.get("tools", []), *body.get("system", []), *said]


def marked(body: dict[str, Any]) -> list[int]:
    """How many blocks lie before each mark, the marked one among them."""
    return [at + 1 for at, block in enumerate(blocks_of(body)) if MARK in block]


def bare(body: dict[str, Any], count: int) -> str:
    """The first so many blocks without the marks, which are no part of what is cached."""
    blocks = blocks_of(body)[:count]
    return json.dumps([{name: part for name, part in block.items() if name != MARK} for block in blocks])


async def test_each_call_of_a_run_finds_all_that_the_one_before_had_cached(
    bench: Bench, model: AnthropicModel
) -> None:
    """Also when others edit its blocks meanwhile: it is told at the end, and nothing before that changes."""
    agent = await bench.agent({"notes": "before"})
    bench.models.meanwhile[0] = lambda: bench.edit("notes", "set", text="first")
    bench.models.meanwhile[2] = lambda: bench.edit("notes", "set", text="second")
    insert = call("memory_insert", label="notes", new_string="mine")
    await bench.tell(agent, calls(FIND, FIND), calls(insert), calls(FIND), says("Done."))
    assert [len(notes_in(request)) for request in bench.requests] == [0, 1, 1, 2]
    bodies = [model.payload(request) for request in bench.requests]
    for before, after in pairwise(bodies):
        end = len(blocks_of(before))
        assert bare(before, end) == bare(after, end)
        assert marked(before)[-1] == end
        assert end in marked(after)
        assert len(marked(after)) <= MARKS_AT_MOST


async def test_what_was_marked_reaches_the_provider(bench: Bench) -> None:
    agent = await bench.agent({"notes": "before"})
    bench.models.meanwhile[0] = lambda: bench.edit("notes", "set", text="by others")
    await bench.tell(agent, calls(FIND), says("Done."))
    with Standin() as standin:
        model = AnthropicModel(api_key="sk-test", base_url=standin.url, timeout_s=10, retries=0)
        try:
            for request in bench.requests:
                standin.will(Answer(text="ok"))
                await model.answer(request)
        finally:
            await model.aclose()
        first, second = standin.bodies
    assert "by others" in json.dumps(second["messages"][-1]["content"][-1])
    assert MARK in second["messages"][-1]["content"][-1]
    assert len(blocks_of(first)) in marked(second)


@pytest.mark.parametrize("last", ["assistant", "user"])
async def test_words_that_stand_in_where_nobody_spoke_are_not_marked(
    model: AnthropicModel, last: str
) -> None:
    """The next request does not have them there."""
    said: list[dict[str, Any]] = [
        {"role": "user", "content": "Hello."},
        {"role": "assistant", "content": "Hi."},
    ]
    if last == "user":
        said.append({"role": "user", "content": "Go on."})
    messages = [
        {"id": f"message-{n}", "agent_id": "agent-1", "created_at": 0} | one for n, one in enumerate(said)
    ]
    asked = ModelRequest.model_validate({"model": "claude-sonnet-4-5", "system": "", "messages": messages})
    body = model.payload(asked)
    assert [[MARK in block for block in turn["content"]] for turn in body["messages"]] == (
        [[True], [True], [False]] if last == "assistant" else [[True], [False], [True]]
    )
