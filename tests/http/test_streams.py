"""Streams of sends: which events come in which order, numbers to come back by, and ends of every kind."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any

import anyio
import httpx
import pytest
from starlette.applications import Starlette
from structlog.testing import capture_logs

from service import output
from service.bootstrap import Service
from service.errors import LeaseLost, NotFound, StoreUnreachable
from service.http import streams
from service.http.app import create_app
from service.output import piece_of
from service.records.agents import Agent
from service.records.ids import new_id
from service.records.messages import NewMessage
from service.records.runs import ModelReply, OutputEvent, Piece, Run, RunOptions
from service.runs import LOOK_AGAIN_S
from service.settings import Settings
from service.store.keys import key
from tests.http.conftest import MODERN, WS
from tests.http.listening import DEADLINE_S, DONE, Listener, Sent, listening, of_kind, outline, text_in
from tests.workers.bench import PERSON, Bench, Entry, call, calls, says, wait_until
from workers.models.base import Emit, ModelError, ModelRequest, ignore
from workers.models.scripted import ScriptedModel
from workers.voice import GATHER_S

LOCAL = {"host": "localhost"}

Listen = Callable[..., AbstractAsyncContextManager[Listener]]


@pytest.fixture
def settings() -> Settings:
    """Nobody renews leases here, and a machine may be slow."""
    return Settings(lease_ms=60_000)


@pytest.fixture
def ending() -> asyncio.Event:
    return asyncio.Event()


@pytest.fixture
def app(service: Service, settings: Settings, ending: asyncio.Event) -> Starlette:
    return create_app(settings, service, ending)


@pytest.fixture
def bench(service: Service) -> Bench:
    return Bench(service)


@pytest.fixture
def listen(app: Starlette) -> Listen:
    """Sends a script to an agent and listens to what it says; `to` is the rest of the path."""

    @asynccontextmanager
    async def listen(
        agent: Agent, *script: Entry, to: str = "/stream", headers: dict[str, str] | None = None, **body: Any
    ) -> AsyncIterator[Listener]:
        sent = {"messages": [{"role": "user", "content": json.dumps({"script": script})}], **body}
        path = f"/v1/agents/{agent.id}/messages{to}"
        async with listening(app, path, sent, LOCAL | (headers or {})) as listener:
            yield listener

    return listen


Hear = Callable[..., Awaitable[list[Sent]]]


@pytest.fixture
def hear(listen: Listen, bench: Bench) -> Hear:
    """All that an agent says to a script, from the first event to the end marker."""

    async def hear(agent: Agent, *script: Entry, **body: Any) -> list[Sent]:
        async with listen(agent, *script, **body) as listener:
            first = await listener.next() if body.get("include_pings", True) else None
            if first is None:
                await until_sent(bench, agent)
            await bench.carry(agent)
            rest = await listener.rest()
        return [*([first] if first else []), *rest]

    return hear


Back = Callable[..., Awaitable[list[Sent]]]


@pytest.fixture
def back(app: Starlette) -> Back:
    """What somebody who comes back to a run is told."""

    async def back(run_id: str, **body: Any) -> list[Sent]:
        async with listening(app, f"/v1/runs/{run_id}/stream", body or None, LOCAL) as listener:
            return await listener.rest()

    return back


async def until_sent(bench: Bench, agent: Agent) -> None:
    async def ready() -> bool:
        return (await bench.state(agent)).get("status") == "ready"

    await wait_until("the message was sent", ready)


def slow(entry: Entry) -> Entry:
    """An answer whose pieces come one by one."""
    return entry | {"pace_ms": 50}


# --- which events, in which order -------------------------------------------------------------------------

NOTE = call("memory_insert", label="notes", new_string="The office cat is called Miso.")
LOST = call("memory_insert", label="nowhere", new_string="x")
APPEND = call("core_memory_append", label="notes", content="It is Miso.", request_heartbeat=True)
BYE = call("send_message", message="Noted, and thank you very much for it.")

FIRST = calls(NOTE, text="Let me write that down first.", reasoning="What is this about, I wonder?")
V1_FIRST = [
    "reasoning: What is this about, I wonder?",
    "assistant: Let me write that down first.",
    'tool_call memory_insert {"label": "notes", "new_string": "The office cat is called Miso."}',
    "tool_return memory_insert success",
]
MEMGPT_FIRST = [
    "reasoning: I had better remember this one.",
    'tool_call core_memory_append {"label": "notes", "content": "It is Miso.", "request_heartbeat": true}',
    "tool_return core_memory_append success",
]
REMEMBER = calls(APPEND, text="I had better remember this one.")
ENDED = ["stop_reason end_turn", "usage_statistics", DONE]
FAILED = ["stop_reason llm_api_error", "event error: error llm_rate_limit", DONE]
STOPPED = ["stop_reason max_steps", "usage_statistics", DONE]

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
    agent = await bench.agent()
    async with listen(agent, says("Hello."), stream_tokens=True) as listener:
        await listener.next()
        with monkeypatch.context() as broken:
            broken.setattr(bench.service.leases, "store_answer", lost)
            with pytest.raises(LeaseLost):
                await bench.carry(agent)
        await bench.take_over(agent)
        heard = await listener.rest()
    assert [one["content"] for one in of_kind(heard, "assistant_message")] == ["Hello.", "Hello."]
    first, second = of_kind(heard, "assistant_message")
    assert first["id"] != second["id"]
    assert outline(heard)[2:] == ENDED
    listed = await bench.history(agent)
    assert [one.id for one in listed if one.role == "assistant"] == [second["id"]]


async def lost(*_: object) -> None:
    raise LeaseLost("agent")


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


# --- the ways to ask for a stream -------------------------------------------------------------------------


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

    monkeypatch.setattr(bench.service.agents, "read", away)
    async with listening(app, f"/v1/agents/{agent.id}/messages/stream", {"input": "x"}, LOCAL) as listener:
        await asyncio.wait_for(listener.task, DEADLINE_S)
    assert listener.status == 503
    assert (await bench.state(agent)).get("status") != "ready"


# --- background runs, and coming back ---------------------------------------------------------------------


async def test_objects_of_a_background_run_are_numbered_upwards_from_the_first_ping(
    hear: Hear, bench: Bench
) -> None:
    for tokens in (False, True):
        agent = await bench.agent({"notes": ""})
        heard = await hear(agent, slow(FIRST), says("Done."), background=True, stream_tokens=tokens)
        *objects, stop, usage, done = heard
        seqs = [one.data["seq_id"] for one in objects]
        assert seqs[0] == 1
        assert seqs == sorted(set(seqs))
        assert "seq_id" not in stop.data
        assert "seq_id" not in usage.data
        assert done.data == DONE
        assert (await bench.service.runs.read(WS, objects[0].data["run_id"])).background is True


async def test_objects_of_other_runs_have_no_numbers(hear: Hear, bench: Bench) -> None:
    heard = await hear(await bench.agent({"notes": ""}), FIRST, says("Done."))
    assert {one.data.get("seq_id") for one in heard if one.data != DONE} == {None}


@pytest.mark.parametrize("tokens", [False, True], ids=["steps", "tokens"])
async def test_who_comes_back_goes_on_behind_any_object(
    hear: Hear, back: Back, bench: Bench, tokens: bool
) -> None:
    agent = await bench.memgpt(blocks={"notes": ""})
    script = [slow(REMEMBER), slow(calls(BYE, text="Time to say goodbye to them now."))]
    ping, *heard = await hear(agent, *script, background=True, stream_tokens=tokens)
    run_id = ping.data["run_id"]
    again = await back(run_id)
    assert (again[0].data["message_type"], again[0].data["seq_id"]) == ("ping", 1)
    assert again[1:] == heard
    objects = [one for one in heard if one.data != DONE and "date" in one.data]
    for place, one in enumerate(objects):
        seq = one.data["seq_id"]
        assert await back(run_id, starting_after=seq, include_pings=False) == heard[place + 1 :]
    [late, *rest] = await back(run_id, starting_after=objects[-1].data["seq_id"])
    assert late.data["seq_id"] == objects[-1].data["seq_id"]
    assert outline(rest) == ENDED


async def test_who_comes_back_before_the_end_hears_the_rest_as_it_is_made(
    listen: Listen, app: Starlette, bench: Bench
) -> None:
    agent = await bench.agent({"notes": ""})
    async with listen(agent, FIRST, says("Done."), background=True) as listener:
        run_id = (await listener.next()).data["run_id"]
    async with listening(app, f"/v1/runs/{run_id}/stream", {"starting_after": 1}, LOCAL) as listener:
        assert (await listener.next()).data["seq_id"] == 1
        await bench.carry(agent)
        assert outline(await listener.rest()) == [*V1_FIRST, "assistant: Done.", *ENDED]


async def test_an_async_run_can_be_followed_step_by_step(app: Starlette, back: Back, bench: Bench) -> None:
    agent = await bench.agent({"notes": ""})
    body = {"messages": [{"role": "user", "content": json.dumps({"script": [FIRST, says("Done.")]})}]}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
        run = (await client.post(f"/v1/agents/{agent.id}/messages/async", json=body)).json()
    await bench.carry(agent)
    assert outline(await back(run["id"])) == ["ping", *V1_FIRST, "assistant: Done.", *ENDED]


@pytest.mark.parametrize("kind", ["blocking", "streaming", "unknown", "malformed", "expired"])
async def test_a_run_one_cannot_come_back_to_is_refused(app: Starlette, bench: Bench, kind: str) -> None:
    agent = await bench.agent()
    run = await bench.send(agent, "Hello.", output="steps" if kind == "streaming" else "none")
    run_id, body = run.id, {"starting_after": -1 if kind == "malformed" else 0}
    if kind == "unknown":
        run_id = "run-00000000-0000-4000-8000-000000000000"
    if kind == "expired":
        options = RunOptions(output="steps")
        sent = [NewMessage(content="Hello.")]
        run = await bench.service.messages.send(WS, agent.id, sent, options, background=True)
        await bench.carry(agent)
        run_id = run.id
        await bench.service.store._redis.delete(key(WS, "run_output", run_id))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
        answer = await client.post(f"/v1/runs/{run_id}/stream", json=body)
    refusals = {
        "blocking": (400, "INVALID_ARGUMENT: run_id: not a background run"),
        "streaming": (400, "INVALID_ARGUMENT: run_id: not a background run"),
        "unknown": (404, "run "),
        "malformed": (422, "body.starting_after: "),
        "expired": (410, "EXPIRED: "),
    }
    status, opening = refusals[kind]
    assert answer.status_code == status
    assert answer.json()["detail"].startswith(opening)


# --- while nothing happens, and ends that are not the run's -----------------------------------------------


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing happens for long at once."""
    monkeypatch.setattr(output, "LOOK_AGAIN_S", 0.01)
    monkeypatch.setattr(streams, "PING_S", 0.02)


@pytest.mark.usefixtures("quick")
async def test_pings_repeat_while_nothing_happens(listen: Listen, bench: Bench) -> None:
    agent = await bench.agent()
    async with listen(agent, says("Hello."), background=True) as listener:
        pings = [await listener.next() for _ in range(3)]
        await bench.carry(agent)
        rest = await listener.rest()
    assert outline(pings) == ["ping"] * 3
    assert len({one.data["id"] for one in pings}) == 3
    assert {one.data["seq_id"] for one in pings} == {1}
    assert outline([one for one in rest if one.data == DONE or one.data["message_type"] != "ping"]) == [
        "assistant: Hello.",
        *ENDED,
    ]


@pytest.mark.usefixtures("quick")
async def test_a_later_ping_has_the_number_of_the_object_before(listen: Listen, bench: Bench) -> None:
    agent = await bench.agent()
    async with listen(agent, background=True, stream_tokens=True) as listener:
        run_id = (await listener.next()).data["run_id"]
        lease = await bench.lease(agent)
        message = piece_of(new_id("message"), "step-1", run_id, agent.id, 0)
        hel = OutputEvent(kind="piece", message=message, piece=Piece(kind="text", text="Hel"))
        await bench.service.leases.tell(lease, run_id, [hel])
        told = await listener.next()
        while told.data["message_type"] == "ping":
            told = await listener.next()
        ping = await listener.next()
    assert told.data["content"] == "Hel"
    assert (ping.data["message_type"], ping.data["seq_id"]) == ("ping", told.data["seq_id"])


@pytest.mark.usefixtures("quick")
async def test_without_pings_nothing_is_sent_while_nothing_happens(
    listen: Listen, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = await bench.agent()
    looks = 0
    read = bench.service.runs.read

    async def counted(ws: str, run_id: str) -> Run:
        nonlocal looks
        looks += 1
        return await read(ws, run_id)

    monkeypatch.setattr(bench.service.runs, "read", counted)
    async with listen(agent, says("Hello."), include_pings=False) as listener:

        async def looked() -> bool:
            return looks > 5

        await wait_until("the run was looked at several times", looked)
        assert listener.raw == b""


@pytest.mark.usefixtures("quick")
async def test_a_stream_that_had_only_pings_for_half_an_hour_is_ended(
    listen: Listen, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (streams.PING_S, streams.SILENT_S) == (0.02, 1800)
    monkeypatch.setattr(streams, "SILENT_S", 0.05)
    agent = await bench.agent()
    with capture_logs() as logs:
        async with listen(agent, says("Hello.")) as listener:
            heard = await listener.rest()
    lines = outline([one for one in heard if one.data == DONE or one.data["message_type"] != "ping"])
    assert lines == ["stop_reason error", "event error: error stream_incomplete", DONE]
    assert "stream.silent" in [one["event"] for one in logs]
    await bench.carry(agent)
    run = await bench.service.runs.read(WS, heard[0].data["run_id"])
    assert run.status == "completed"


def test_pings_come_every_twenty_seconds_as_in_v1() -> None:
    assert streams.PING_S == 20
    assert streams.PING_S % LOOK_AGAIN_S == 0


Broken = AsyncGenerator[OutputEvent | None, None]


@pytest.mark.parametrize("failure", [StoreUnreachable("the store does not answer"), NotFound("run", "run-1")])
async def test_a_stream_whose_store_goes_says_that_it_is_incomplete(
    listen: Listen, bench: Bench, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    async def broken(ws: str, run_id: str, after: int = 0) -> Broken:
        raise failure
        yield

    monkeypatch.setattr(bench.service.output, "follow", broken)
    agent = await bench.agent()
    with capture_logs() as logs:
        async with listen(agent, says("Hello.")) as listener:
            heard = await listener.rest()
    assert outline(heard) == ["ping", "stop_reason error", "event error: error stream_incomplete", DONE]
    run_id = heard[0].data["run_id"]
    error = heard[-2].data
    assert error["run_id"] == run_id
    assert run_id in error["message"]
    [told] = [one for one in logs if one["event"] == "stream.ended"]
    assert (told["run_id"], told["error"]) == (run_id, str(failure))


async def test_a_server_that_stops_ends_its_streams_and_says_so(
    listen: Listen, bench: Bench, ending: asyncio.Event
) -> None:
    agent = await bench.agent()
    async with listen(agent, says("Hello.")) as listener:
        ping = await listener.next()
        ending.set()
        heard = await listener.rest()
    assert outline(heard) == ["stop_reason error", "event error: error stream_incomplete", DONE]
    assert "is being stopped" in heard[1].data["message"]
    await bench.carry(agent)
    assert (await bench.service.runs.read(WS, ping.data["run_id"])).status == "completed"


async def test_a_server_that_stops_ends_feeds_of_changes_too(
    app: Starlette, bench: Bench, ending: asyncio.Event
) -> None:
    await bench.block("notes")
    ending.set()
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
        with anyio.fail_after(DEADLINE_S):
            assert (await client.get("/v1/changes")).status_code == 200


# --- clients that leave or do not read --------------------------------------------------------------------


def listeners(service: Service) -> int:
    """How many wait for what runs say."""
    waiting = service.bell._waiters.get(key(WS, "output"), {})
    return sum(len(queues) for queues in waiting.values())


async def test_clients_that_leave_are_forgotten_and_their_run_goes_on(
    listen: Listen, app: Starlette, bench: Bench
) -> None:
    agent = await bench.agent()
    before = len(asyncio.all_tasks())
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(listen(agent, says("Hello."), background=True))
        run_id = (await first.next()).data["run_id"]
        for _ in range(20):
            await stack.enter_async_context(listening(app, f"/v1/runs/{run_id}/stream", None, LOCAL))

        async def listened() -> bool:
            return listeners(bench.service) == 21

        await wait_until("all of them listened", listened)
    assert listeners(bench.service) == 0
    assert len(asyncio.all_tasks()) <= before + 2  # the bell's own, and what the store's fake waits with
    await bench.carry(agent)
    assert (await bench.service.runs.read(WS, run_id)).status == "completed"


async def test_a_client_that_reads_slowly_holds_up_nobody_and_misses_nothing(
    listen: Listen, bench: Bench
) -> None:
    agent = await bench.agent({"notes": ""})
    async with listen(agent, slow(FIRST), says("Done."), stream_tokens=True) as listener:
        ping = await listener.next()
        listener.pause()
        await bench.carry(agent)
        assert (await bench.service.runs.read(WS, ping.data["run_id"])).status == "completed"
        assert listener.raw.count(b"data: ") == 1
        listener.go_on()
        assert outline(await listener.rest()) == [*V1_FIRST, "assistant: Done.", *ENDED]


async def test_a_client_that_takes_nothing_for_long_is_given_up(
    listen: Listen, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "STUCK_S", 0.05)
    agent = await bench.agent()
    with capture_logs() as logs:
        async with listen(agent, says("Hello.")) as listener:
            await listener.next()
            listener.pause()
            await bench.carry(agent)
            await asyncio.wait_for(asyncio.shield(listener.task), DEADLINE_S)
    assert "stream.stuck" in [one["event"] for one in logs]
    assert listeners(bench.service) == 0
