"""Sequences: which events a stream has in which order, in steps and in tokens."""

import asyncio
import json
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from service.errors import LeaseLost
from service.records.runs import ModelReply, Piece
from tests.http.conftest import WS
from tests.http.listening import DONE, of_kind, outline, text_in
from tests.http.streams.scenes import (
    BYE,
    ENDED,
    FAILED,
    FIRST,
    LOST,
    MEMGPT_FIRST,
    NOTE,
    REMEMBER,
    STOPPED,
    V1_FIRST,
    Hear,
    Listen,
    lost,
    slow,
)
from tests.workers.bench import PERSON, Bench, Entry, call, calls, says
from workers.models.base import Emit, ModelError, ModelRequest, ignore
from workers.models.scripted import ScriptedModel
from workers.voice import GATHER_S

SEQUENCES: dict[tuple[str, str], tuple[list[Entry], dict[str, Any], list[str]]] = {
    ("letta_v1_agent", "success"): (
        [FIRST, says("I noted it; is there anything else?")],
        {},
        [*V1_FIRST, "assistant: I noted it; is there anything else?", *ENDED],
    ),
    ("letta_v1_agent", "tool error"): (
        [calls(LOST), says("That did not work, I am afraid.")],
        {},
        [
            'tool_call memory_insert {"label": "nowhere", "new_string": "x"}',
            "tool_return memory_insert error",
            "assistant: That did not work, I am afraid.",
            *ENDED,
        ],
    ),
    ("letta_v1_agent", "model error"): (
        [FIRST, {"error": "llm_rate_limit", "message": "slow down"}],
        {},
        [*V1_FIRST, *FAILED],
    ),
    ("letta_v1_agent", "model error at once"): ([{"error": "llm_rate_limit"}], {}, FAILED),
    ("letta_v1_agent", "max_steps"): ([FIRST], {"max_steps": 1}, [*V1_FIRST, *STOPPED]),
    ("memgpt_agent", "success"): (
        [REMEMBER, calls(BYE, text="Time to say goodbye to them now.")],
        {},
        [
            *MEMGPT_FIRST,
            "reasoning: Time to say goodbye to them now.",
            "assistant: Noted, and thank you very much for it.",
            *ENDED,
        ],
    ),
    ("memgpt_agent", "tool error"): (
        [calls(call("core_memory_append", label="nowhere", content="x")), calls(BYE)],
        {},
        [
            'tool_call core_memory_append {"label": "nowhere", "content": "x"}',
            "tool_return core_memory_append error",
            "assistant: Noted, and thank you very much for it.",
            *ENDED,
        ],
    ),
    ("memgpt_agent", "model error"): ([REMEMBER, {"error": "llm_rate_limit"}], {}, [*MEMGPT_FIRST, *FAILED]),
    ("memgpt_agent", "max_steps"): ([REMEMBER], {"max_steps": 1}, [*MEMGPT_FIRST, *STOPPED]),
    ("memgpt_agent", "the voice unheard"): (
        [calls(call("send_message", message="Hello."))],
        {"use_assistant_message": False},
        ['tool_call send_message {"message": "Hello."}', "tool_return send_message success", *ENDED],
    ),
    ("memgpt_agent", "no call"): (
        [{"text": ""}],
        {},
        ["stop_reason no_tool_call", "usage_statistics", DONE],
    ),
}


@pytest.mark.parametrize("tokens", [False, True], ids=["steps", "tokens"])
@pytest.mark.parametrize("case", SEQUENCES, ids=" ".join)
async def test_events_come_in_the_order_of_v1(
    hear: Hear, bench: Bench, case: tuple[str, str], tokens: bool
) -> None:
    script, options, expected = SEQUENCES[case]
    make = bench.agent if case[0] == "letta_v1_agent" else bench.memgpt
    agent = await make(blocks={"notes": ""})
    heard = await hear(agent, *[slow(entry) for entry in script], stream_tokens=tokens, **options)
    assert outline(heard) == ["ping", *expected]
    in_pieces = tokens and not expected[0].startswith("stop_reason")
    assert (len(heard) > len(expected) + 1) is in_pieces


@pytest.mark.parametrize("tokens", [False, True], ids=["steps", "tokens"])
async def test_without_pings_the_messages_come_first(hear: Hear, bench: Bench, tokens: bool) -> None:
    heard = await hear(await bench.agent(), says("Hello."), stream_tokens=tokens, include_pings=False)
    assert outline(heard) == ["assistant: Hello.", *ENDED]


async def test_the_first_ping_names_the_run_and_has_the_fields_of_every_message(
    hear: Hear, bench: Bench
) -> None:
    agent = await bench.agent()
    heard = await hear(agent, says("Hello."))
    ping, message = heard[0].data, heard[1].data
    run = await bench.service.runs.read(WS, ping["run_id"])
    assert (run.agent_id, run.kind, run.background) == (agent.id, "send_message_streaming", False)
    assert ping["id"].startswith("ping-")
    assert ping["date"].endswith("+00:00")
    assert ping.keys() == message.keys() - {"content"}
    assert message["run_id"] == run.id


async def test_the_stream_is_framed_as_server_sent_events(listen: Listen, bench: Bench) -> None:
    agent = await bench.agent()
    async with listen(agent, says("Two\nlines.")) as listener:
        await listener.next()
        await bench.carry(agent)
        await listener.rest()
    assert listener.status == 200
    assert listener.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert listener.headers["cache-control"] == "no-cache"
    blocks = listener.raw.decode().split("\n\n")
    assert blocks[-2:] == ["data: [DONE]", ""]
    assert all(block.startswith("data: ") and "\n" not in block for block in blocks[:-1])


async def test_the_end_tells_the_reason_and_what_the_whole_run_used(hear: Hear, bench: Bench) -> None:
    heard = await hear(await bench.agent({"notes": ""}), calls(NOTE), says("Done."))
    stop, usage, done = heard[-3:]
    assert stop == ("", {"message_type": "stop_reason", "stop_reason": "end_turn"})
    run = await bench.service.runs.read(WS, heard[0].data["run_id"])
    assert usage.data == {
        "message_type": "usage_statistics",
        **run.usage.model_dump(),
        "total_tokens": run.usage.total_tokens,
        "step_count": 2,
        "run_ids": None,
        "context_tokens": run.context_tokens,
    }
    assert done == ("", DONE)


async def test_a_failure_tells_its_type_and_the_words_of_its_cause(hear: Hear, bench: Bench) -> None:
    heard = await hear(await bench.agent(), {"error": "llm_timeout", "message": "no answer in time"})
    assert outline(heard) == ["ping", "stop_reason llm_api_error", "event error: error llm_timeout", DONE]
    run_id = heard[0].data["run_id"]
    assert heard[-2].data == {
        "message_type": "error_message",
        "run_id": run_id,
        "error_type": "llm_timeout",
        "message": "no answer in time",
        "detail": None,
        "seq_id": None,
    }
    assert (await bench.service.runs.read(WS, run_id)).status == "failed"


async def test_an_answer_that_breaks_off_is_followed_by_its_failure(
    hear: Hear, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def breaks_off(model: ScriptedModel, request: ModelRequest, emit: Emit = ignore) -> ModelReply:
        await emit(Piece(kind="text", text="Hello and"))
        await asyncio.sleep(2 * GATHER_S)
        raise ModelError("llm_rate_limit", "broke off")

    monkeypatch.setattr(ScriptedModel, "answer", breaks_off)
    agent = await bench.agent()
    assert outline(await hear(agent, stream_tokens=True)) == ["ping", "assistant: Hello and", *FAILED]


async def test_a_step_that_is_asked_again_is_told_again_under_another_id(
    listen: Listen, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the answer that was lost only its first piece was told; the second comes with what is stored."""
    first_piece, second_piece = "x" * 24, "y" * 24
    agent = await bench.agent()
    async with listen(agent, slow(says(first_piece + second_piece)), stream_tokens=True) as listener:
        await listener.next()
        with monkeypatch.context() as broken:
            broken.setattr(bench.service.leases, "store_step", lost)
            with pytest.raises(LeaseLost):
                await bench.carry(agent)
        await bench.take_over(agent)
        heard = await listener.rest()
    first, second, third = of_kind(heard, "assistant_message")
    assert [one["content"] for one in (first, second, third)] == [first_piece, first_piece, second_piece]
    assert first["id"] != second["id"] == third["id"]
    assert outline(heard)[2:] == ENDED
    listed = await bench.history(agent)
    assert [one.id for one in listed if one.role == "assistant"] == [second["id"]]


async def test_the_end_of_a_cancelled_run_is_told_without_usage(listen: Listen, bench: Bench) -> None:
    agent = await bench.agent()
    async with listen(agent, says("Hello.")) as listener:
        await listener.next()
        await bench.service.agents.delete(WS, agent.id, PERSON)
        assert outline(await listener.rest()) == ["stop_reason cancelled", DONE]


async def test_stop_reason_and_usage_come_whatever_types_were_asked_for(hear: Hear, bench: Bench) -> None:
    agent = await bench.agent({"notes": ""})
    wanted = ["tool_return_message"]
    for tokens in (False, True):
        heard = await hear(agent, FIRST, says("x"), include_return_message_types=wanted, stream_tokens=tokens)
        assert outline(heard) == ["ping", "tool_return memory_insert success", *ENDED]


async def test_pieces_put_together_are_what_is_listed(hear: Hear, bench: Bench, app: Starlette) -> None:
    agent = await bench.memgpt()
    words = 'A rather long goodbye, with "quotes", a \\ and an é — so that it takes several pieces.'
    script = [slow(calls(call("send_message", message=words), text="A thought that is long enough for two."))]
    heard = await hear(agent, *script, stream_tokens=True)
    run_id = heard[0].data["run_id"]
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
        listed = (await client.get(f"/v1/runs/{run_id}/messages")).json()
    thought, spoken = listed[1:]
    assert (thought["reasoning"], spoken["content"]) == (text_in(heard, "reasoning_message"), words)
    assert text_in(heard) == words
    assert len(of_kind(heard, "assistant_message")) > 2
    for kind, one in (("reasoning_message", thought), ("assistant_message", spoken)):
        assert {(told["id"], told["otid"]) for told in of_kind(heard, kind)} == {(one["id"], one["otid"])}


async def test_calls_that_do_not_count_are_never_shown(hear: Hear, bench: Bench) -> None:
    more = [call("send_message", message="First."), call("send_message", message="Second.")]
    heard = await hear(await bench.memgpt(), slow(calls(*more)), stream_tokens=True)
    assert outline(heard) == ["ping", "assistant: First.", *ENDED]


async def test_calls_in_parallel_are_all_shown_and_each_gets_its_result(hear: Hear, bench: Bench) -> None:
    agent = await bench.agent({"notes": ""}, parallel_tool_calls=True)
    both = [NOTE | {"id": "a"}, LOST | {"id": "b"}]
    heard = await hear(agent, slow(calls(*both)), says("Done."), stream_tokens=True)
    called = {one["tool_call"]["tool_call_id"] for one in of_kind(heard, "tool_call_message")}
    [returns] = of_kind(heard, "tool_return_message")
    assert called == {one["tool_call_id"] for one in returns["tool_returns"]} == {"a", "b"}


async def test_a_call_whose_arguments_a_rule_fixes_is_shown_once_with_those(hear: Hear, bench: Bench) -> None:
    rule = {"type": "run_first", "tool_name": "memory_insert", "args": {"new_string": "fixed"}}
    agent = await bench.agent({"notes": ""}, tool_rules=[rule])
    heard = await hear(agent, slow(calls(NOTE, text="Well then.")), says("Done."), stream_tokens=True)
    [called] = of_kind(heard, "tool_call_message")
    assert json.loads(called["tool_call"]["arguments"]) == {"label": "notes", "new_string": "fixed"}
    assert outline(heard)[1] == "assistant: Well then."
