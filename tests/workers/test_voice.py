"""The voice: an answer goes out as it comes, gathered, never held back, in order, and ends with its lease."""

import asyncio
from collections.abc import Callable
from typing import Any

import anyio
import pytest

from service.errors import LeaseLost, StoreUnreachable
from service.records.agents import Agent
from service.records.ids import new_id
from service.records.runs import Lease, ModelReply, OutputEvent, Piece, Run, Step
from service.settings import Settings
from service.store.keys import key
from tests.workers.bench import WS, Bench, Entry, call, calls, says, wait_until
from workers import voice
from workers.models.base import Emit, ModelError, ModelRequest, ignore
from workers.models.scripted import ScriptedModel
from workers.voice import Voice

pytestmark = pytest.mark.anyio

DEADLINE_S = 5


@pytest.fixture
def settings() -> Settings:
    """Nobody renews leases here, and a machine may be slow."""
    return Settings(lease_ms=60_000)


def text(words: str) -> Piece:
    return Piece(kind="text", text=words)


def called(words: str, index: int = 0) -> Piece:
    return Piece(kind="tool_call", text=words, index=index, tool_call_id=f"c{index}", tool_name="look")


def said(events: list[OutputEvent]) -> list[str]:
    return [f"{event.piece.kind} {event.piece.text}" for event in events if event.piece]


class Wire:
    """Stands where pieces go out: keeps what was told, and may be slow or broken."""

    def __init__(self) -> None:
        self.told: list[list[str]] = []
        self.asked = 0
        self.open = asyncio.Event()
        self.open.set()
        self.failure: Exception | None = None

    async def tell(self, lease: Lease, run_id: str, events: list[OutputEvent]) -> None:
        self.asked += 1
        await self.open.wait()
        if self.failure is not None:
            raise self.failure
        assert all(event.message and event.message.id == "message-1" for event in events)
        self.told.append(said(events))


@pytest.fixture
def wire(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Wire:
    made = Wire()
    monkeypatch.setattr(bench.service.leases, "tell", made.tell)
    return made


def new_voice(bench: Bench, wanted: Callable[[Piece], bool] = lambda piece: True) -> Voice:
    run = Run(id=new_id("run"), agent_id="agent-1", created_at=0)
    step = Step(id="step-1", run_id=run.id, agent_id="agent-1", index=0, created_at=0, message_id="message-1")
    lease = Lease(workspace=WS, agent_id="agent-1", generation=1, worker_id="test")
    return Voice(bench.service, lease, run, step, wanted)


async def held_up(bench: Bench, wire: Wire) -> Voice:
    """A voice whose first piece, `Hello`, is on its way until the wire is open."""
    speaking = new_voice(bench)
    wire.open.clear()
    await speaking.emit(text("Hello"))

    async def is_sending() -> bool:
        return not speaking._pieces

    await wait_until("the first piece is on its way", is_sending)
    return speaking


def voices() -> list[asyncio.Task[Any]]:
    """The tasks of voices that are still there."""
    return [task for task in asyncio.all_tasks() if task.get_name() == "voice"]


async def output_of(bench: Bench, run: Run) -> list[OutputEvent]:
    found = await bench.service.store.entries(key(WS, "run_output", run.id))
    return [OutputEvent.model_validate_json(fields["event"]) for _, fields in found]


async def test_pieces_of_a_kind_that_come_together_go_out_as_one(bench: Bench, wire: Wire) -> None:
    speaking = new_voice(bench)
    for piece in (text("Hel"), text("lo"), called("{"), called("}"), called("[]", 1), text("!")):
        await speaking.emit(piece)
    assert wire.told == []
    assert said(await speaking.rest()) == ["text Hello", "tool_call {}", "tool_call []", "text !"]
    assert wire.told == []
    assert voices() == []


async def test_pieces_go_out_soon_though_no_more_come(bench: Bench, wire: Wire) -> None:
    speaking = new_voice(bench)
    await speaking.emit(text("Hello"))

    async def told() -> bool:
        return bool(wire.told)

    await wait_until("the piece went out by itself", told)
    await speaking.emit(text(" again"))
    assert said(await speaking.rest()) == ["text  again"]
    assert wire.told == [["text Hello"]]


async def test_pieces_that_come_while_others_are_sent_do_not_wait_for_more(bench: Bench, wire: Wire) -> None:
    """A model that pauses in mid-sentence would else keep the end of what it said."""
    speaking = await held_up(bench, wire)
    await speaking.emit(text(" there"))
    wire.open.set()

    async def told() -> bool:
        return len(wire.told) == 2

    await wait_until("the second piece went out by itself", told)
    assert wire.told == [["text Hello"], ["text  there"]]
    await speaking.close()


async def test_the_rest_is_what_was_not_sent_and_is_not_waited_for(
    bench: Bench, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(voice, "GATHER_S", 60)
    speaking = new_voice(bench)
    await speaking.emit(text("Hello"))
    with anyio.fail_after(DEADLINE_S):
        assert said(await speaking.rest()) == ["text Hello"]
    assert await speaking.rest() == []
    assert wire.told == []


async def test_the_rest_comes_after_what_is_being_sent(bench: Bench, wire: Wire) -> None:
    speaking = await held_up(bench, wire)
    await speaking.emit(text(" there"))
    rest = asyncio.create_task(speaking.rest())
    await asyncio.sleep(0)
    assert not rest.done()
    wire.open.set()
    assert said(await rest) == ["text  there"]
    assert wire.told == [["text Hello"]]


async def test_pieces_that_are_not_wanted_are_not_said(bench: Bench, wire: Wire) -> None:
    speaking = new_voice(bench, lambda piece: piece.index == 0)
    for piece in (called("{}"), called("[]", 1)):
        await speaking.emit(piece)
    assert said(await speaking.rest()) == ["tool_call {}"]


@pytest.mark.parametrize("failure", [LeaseLost("agent-1"), StoreUnreachable("the store does not answer")])
async def test_a_failure_to_send_is_told_to_whoever_speaks_next_and_to_nobody_twice(
    bench: Bench, wire: Wire, failure: Exception
) -> None:
    wire.failure = failure
    speaking, ending = new_voice(bench), new_voice(bench)
    for one in (speaking, ending):
        await one.emit(text("Hello"))

    async def failed() -> bool:
        return wire.asked == 2 and voices() == []

    await wait_until("the sending failed", failed)
    with pytest.raises(type(failure)):
        await speaking.emit(text(" again"))
    with pytest.raises(type(failure)):
        await ending.rest()
    for one in (speaking, ending):
        await one.close()  # what went wrong is known; here it would only hide why the answer ended


async def test_closing_ends_a_sending_that_is_under_way(bench: Bench, wire: Wire) -> None:
    speaking = new_voice(bench)
    await speaking.close()
    wire.open.clear()
    await speaking.emit(text("Hello"))
    with anyio.fail_after(DEADLINE_S):
        await speaking.close()
    assert (voices(), wire.told) == ([], [])


# --- within a step ----------------------------------------------------------------------------------------


def slowly(entry: Entry, pace_ms: float = 5) -> Entry:
    return entry | {"pace_ms": pace_ms}


LONG = "word " * 100


@pytest.mark.parametrize("entry", [says(LONG), calls(call("look_up"), text=LONG)], ids=["words", "a call"])
async def test_all_pieces_come_before_the_answer(bench: Bench, entry: Entry) -> None:
    agent = await bench.agent()
    run = await bench.script(agent, entry, output="tokens")
    await bench.carry(agent)
    events = await output_of(bench, run)
    kinds = [event.kind for event in events]
    first = kinds.index("message")
    before = [event.piece.text for event in events[:first] if event.piece and event.piece.kind == "text"]
    assert "".join(before) == LONG
    assert kinds[-1] == "end"
    [answer, *_] = [message.id for message in await bench.messages(run) if message.role == "assistant"]
    assert {event.message.id for event in events[: first + 1] if event.message} == {answer}


async def test_the_last_pieces_are_told_before_tools_are_run(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = await bench.agent({"notes": ""})
    told = ""

    async def edit(*args: Any, **fields: Any) -> None:
        nonlocal told
        told = "".join(event.piece.text for event in await output_of(bench, run) if event.piece)
        raise StoreUnreachable("seen enough")

    monkeypatch.setattr(bench.service.blocks, "edit", edit)
    insert = call("memory_insert", label="notes", new_string="x")
    run = await bench.script(agent, calls(insert, text="I note that."), output="tokens")
    async with bench.service.bell.listen(key(WS, "output"), run.id) as rings:
        assert await rings.get() is None
        with pytest.raises(StoreUnreachable):
            await bench.carry(agent)
        with anyio.fail_after(DEADLINE_S):
            assert await rings.get() == f"{run.id} running"
    assert told.startswith("I note that.")


async def test_a_sender_who_wants_steps_gets_no_pieces(bench: Bench) -> None:
    run = await bench.tell(await bench.agent(), says(LONG), output="steps")
    assert [event.kind for event in await output_of(bench, run)] == ["message", "end"]


async def test_calls_that_do_not_count_are_not_said(bench: Bench) -> None:
    both = calls(call("send_message", message="First."), call("send_message", message="Second."))
    run = await bench.tell(await bench.memgpt(), both, output="tokens")
    pieces = [event.piece for event in await output_of(bench, run) if event.piece]
    assert {piece.index for piece in pieces} == {0}


async def lost_in_mid_answer(bench: Bench, agent: Agent, run: Run) -> None:
    """Carries a slow answer, and lets the lease run out when its first pieces are heard."""
    carrying = asyncio.create_task(bench.carry(agent))

    async def heard() -> bool:
        return bool(await output_of(bench, run))

    await wait_until("the first pieces are heard", heard)
    await bench.lose(agent)
    with pytest.raises(LeaseLost):
        await asyncio.wait_for(carrying, DEADLINE_S)


async def test_a_lost_lease_ends_the_model_call(bench: Bench) -> None:
    agent = await bench.agent()
    run = await bench.script(agent, slowly(says(LONG * 100)), output="tokens")
    await lost_in_mid_answer(bench, agent, run)
    told = "".join(event.piece.text for event in await output_of(bench, run) if event.piece)
    assert 0 < len(told) < len(LONG * 100)
    assert voices() == []


async def test_an_answer_asked_for_again_is_told_under_another_id(bench: Bench) -> None:
    agent = await bench.agent()
    run = await bench.script(agent, slowly(says(LONG)), output="tokens")
    await lost_in_mid_answer(bench, agent, run)
    await bench.new_loop().carry(await bench.lease(agent, "two"))
    events = await output_of(bench, run)
    ids = list(dict.fromkeys(event.message.id for event in events if event.message))
    [_, answer] = await bench.messages(run)
    assert len(ids) == 2
    assert answer.id == ids[1]
    again = [event.piece.text for event in events if event.piece and event.message]
    assert "".join(again).endswith(LONG)


async def test_a_model_that_breaks_off_leaves_no_task_and_nothing_is_said_after_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def breaks_off(model: ScriptedModel, request: ModelRequest, emit: Emit = ignore) -> ModelReply:
        await emit(text("Hello"))
        await wait_until("the first piece is heard", heard)
        await emit(text(" there"))
        raise ModelError("llm_error", "broke off")

    async def heard() -> bool:
        return bool(await output_of(bench, run))

    monkeypatch.setattr(ScriptedModel, "answer", breaks_off)
    agent = await bench.agent()
    run = await bench.script(agent, output="tokens")
    await bench.carry(agent)
    assert voices() == []
    events = await output_of(bench, run)
    assert [event.piece.text if event.piece else event.kind for event in events] == ["Hello", "end"]
    ended = await bench.service.runs.read(WS, run.id)
    assert ended.error is not None
    assert (ended.status, ended.error.type) == ("failed", "llm_error")


async def test_a_worker_that_stops_in_mid_answer_leaves_no_task(bench: Bench) -> None:
    agent = await bench.agent()
    run = await bench.script(agent, slowly(says(LONG * 100)), output="tokens")
    carrying = asyncio.create_task(bench.carry(agent))

    async def heard() -> bool:
        return bool(await output_of(bench, run))

    await wait_until("the first pieces are heard", heard)
    carrying.cancel()
    with pytest.raises(asyncio.CancelledError):
        await carrying
    assert voices() == []
