"""Summaries in streams and replies: where they come, as what they show, and how an overflow ends."""

import json
from typing import Any

import anyio
import httpx
import pytest
from starlette.applications import Starlette

from service.bootstrap import Service
from service.records.agents import Agent
from service.records.base import Page
from service.records.runs import ModelReply
from tests.http.conftest import WS
from tests.http.listening import DONE, of_kind, outline
from tests.http.streams.scenes import ENDED, NOTE, Back, Hear, until_sent
from tests.workers.bench import Bench, Entry, calls, says
from workers.models.base import Emit, ModelError, ModelRequest, ignore
from workers.models.scripted import ScriptedModel

SETTINGS = {
    "model": "offline/scripted",
    "prompt": f"<script>{json.dumps([says('They spoke of Miso.')])}</script>",
}
LONG = "The office cat told the quick brown fox of invoice 4711. " * 40
WINDOW = 3300
SHOWN = ["event", "summary"]
TOLD = [
    'tool_call memory_insert {"label": "notes", "new_string": "The office cat is called Miso."}',
    "tool_return memory_insert success",
]
OVERFLOW = "context_window_overflow_in_system_prompt"


@pytest.fixture
def strict(monkeypatch: pytest.MonkeyPatch) -> None:
    """A provider that takes two messages at most."""
    answer = ScriptedModel.answer

    async def refuses(model: ScriptedModel, request: ModelRequest, emit: Emit = ignore) -> ModelReply:
        if len(request.messages) > 2:
            raise ModelError("llm_context_window", "too long")
        return await answer(model, request, emit)

    monkeypatch.setattr(ScriptedModel, "answer", refuses)


async def nearly_full(bench: Bench) -> Agent:
    """One more long answer is too much for it."""
    agent = await bench.agent(
        {"notes": ""}, context_window_limit=WINDOW, compaction_settings=SETTINGS, include_base_tools=True
    )
    for _ in range(2):
        await bench.tell(agent, says(LONG))
    return agent


CASES: dict[str, tuple[list[Entry], list[str], list[str]]] = {
    "at the end": ([says(LONG)], [f"assistant: {LONG}"], []),
    "between steps": (
        [calls(NOTE, text=LONG), says("Done.")],
        [f"assistant: {LONG}", *TOLD],
        ["assistant: Done."],
    ),
}


@pytest.mark.parametrize("tokens", [False, True], ids=["steps", "tokens"])
@pytest.mark.parametrize("shown", [False, True], ids=["hidden", "shown"])
@pytest.mark.parametrize("case", CASES)
async def test_a_summary_comes_behind_the_step_that_made_it_necessary(
    hear: Hear, bench: Bench, case: str, shown: bool, tokens: bool
) -> None:
    script, before, after = CASES[case]
    agent = await nearly_full(bench)
    heard = await hear(agent, *script, stream_tokens=tokens, include_compaction_messages=shown)
    between = SHOWN if shown else ["user"]
    assert outline(heard) == ["ping", *before, *between, *after, *ENDED]
    if shown:
        [event], [summary] = of_kind(heard, "event_message"), of_kind(heard, "summary_message")
        assert (event["event_type"], event["event_data"]["trigger"]) == (
            "compaction",
            "context_window_exceeded",
        )
        assert summary["summary"] == "They spoke of Miso."
        assert summary["compaction_stats"]["context_window"] == WINDOW
        assert event["otid"] != summary["otid"]
    else:
        [told] = of_kind(heard, "user_message")
        assert json.loads(told["content"])["type"] == "system_alert"


@pytest.mark.usefixtures("strict")
async def test_a_summary_that_the_provider_asked_for_comes_before_the_answer(
    hear: Hear, bench: Bench
) -> None:
    agent = await bench.agent(compaction_settings=SETTINGS | {"mode": "all"})
    await bench.tell(agent, says("Fine."))
    heard = await hear(agent, says("Fits."), include_compaction_messages=True)
    assert outline(heard) == ["ping", *SHOWN, "assistant: Fits.", *ENDED]


async def test_a_prompt_that_is_too_long_by_itself_ends_in_an_error_of_its_own(
    hear: Hear, bench: Bench
) -> None:
    agent = await bench.agent({"notes": LONG * 10}, context_window_limit=WINDOW)
    heard = await hear(agent, {"error": "llm_context_window"})
    assert outline(heard) == ["ping", f"stop_reason {OVERFLOW}", f"event error: error {OVERFLOW}", DONE]


async def test_only_types_that_were_asked_for_are_told(hear: Hear, bench: Bench) -> None:
    heard = await hear(
        await nearly_full(bench),
        says(LONG),
        include_compaction_messages=True,
        include_return_message_types=["summary_message"],
    )
    assert outline(heard) == ["ping", "summary", *ENDED]


async def test_who_comes_back_is_told_the_same(hear: Hear, back: Back, bench: Bench) -> None:
    heard = await hear(
        await nearly_full(bench), says(LONG), background=True, include_compaction_messages=True
    )
    event, summary = of_kind(heard, "event_message")[0], of_kind(heard, "summary_message")[0]
    assert summary["seq_id"] == event["seq_id"] + 1
    run_id = heard[0].data["run_id"]
    assert outline(await back(run_id, starting_after=event["seq_id"]))[1:] == ["summary", *ENDED]


@pytest.mark.usefixtures("strict")
@pytest.mark.parametrize(
    ("shown", "kinds"),
    [
        (True, ["event_message", "summary_message", "assistant_message"]),
        (False, ["user_message", "assistant_message"]),
    ],
)
async def test_a_reply_shows_them_too_and_its_input_never(
    app: Starlette, service: Service, bench: Bench, shown: bool, kinds: list[str]
) -> None:
    agent = await bench.agent(compaction_settings=SETTINGS | {"mode": "all"})
    await bench.tell(agent, says("Fine."))
    sent = {"input": json.dumps({"script": [says("Fits.")]}), "include_compaction_messages": shown}
    replies: list[dict[str, Any]] = []

    async def send() -> None:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            replies.append((await client.post(f"/v1/agents/{agent.id}/messages", json=sent)).json())
            run = (await service.runs.find(WS, agent.id, _newest()))[0]
            listed = (await client.get(f"/v1/runs/{run.id}/messages")).json()
            replies.append({"kinds": [one["message_type"] for one in listed]})

    async with anyio.create_task_group() as group:
        group.start_soon(send)
        await until_sent(bench, agent)
        await bench.carry(agent)
    reply, of_run = replies
    assert [one["message_type"] for one in reply["messages"]] == kinds
    assert of_run["kinds"] == ["summary_message", "user_message", "assistant_message"]


def _newest() -> Page:
    return Page(limit=1, descending=True)
