"""A run's output: every event once, in order, from any point on, whatever becomes of rings and listeners."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any, cast

import anyio
import pytest

from service import output
from service.bootstrap import Service
from service.errors import Expired, Invalid, NotFound, StoreUnreachable
from service.output import piece_of
from service.records.agents import Agent, NewAgent
from service.records.base import DEFAULT_WORKSPACE as WS
from service.records.blocks import Author
from service.records.ids import new_id
from service.records.messages import Message, NewMessage
from service.records.runs import STREAMED, Lease, OutputEvent, Piece, Run, RunOptions, Step, Usage
from service.settings import Settings
from service.store.client import StoreClient
from service.store.keys import key
from tests.store.team import taken

pytestmark = pytest.mark.anyio

DEADLINE_S = 10


@pytest.fixture
def settings() -> Settings:
    """Nobody renews leases here, and a machine may be slow."""
    return Settings(lease_ms=60_000)


class Teller:
    """A worker that holds one agent's run and says what it is told to."""

    def __init__(self, service: Service, lease: Lease, run: Run) -> None:
        self.run = run
        self._service = service
        self._lease = lease
        self._message_id = new_id("message")

    async def say(self, *texts: str) -> None:
        message = piece_of(self._message_id, "step-1", self.run.id, self.run.agent_id, 7)
        pieces = [Piece(kind="text", text=text) for text in texts]
        events = [OutputEvent(kind="piece", message=message, piece=piece) for piece in pieces]
        await self._service.leases.tell(self._lease, self.run.id, events)

    async def store_step(self, *messages: Message, last: bool = False) -> None:
        step = Step(id=new_id("step"), run_id=self.run.id, agent_id=self.run.agent_id, index=0, created_at=0)
        await self._service.leases.store_step(
            self._lease,
            self.run,
            step,
            messages,
            usage=Usage(),
            context_tokens=0,
            seen={},
            stop_reason="end_turn" if last else None,
        )

    async def end(self) -> None:
        await self._service.leases.finish(self._lease, self.run.id, "end_turn")

    def message(self, role: str, content: str) -> Message:
        return Message.model_validate(
            {
                "id": new_id("message"),
                "agent_id": self.run.agent_id,
                "run_id": self.run.id,
                "role": role,
                "content": content,
                "created_at": 0,
            }
        )


async def new_agent(service: Service) -> Agent:
    return await service.agents.create(WS, NewAgent(model="offline/scripted"), Author())


async def begin(
    service: Service, output: str = "tokens", background: bool = True, kind: str = "send_message"
) -> Teller:
    """A run that a worker has begun."""
    agent = await new_agent(service)
    options = RunOptions.model_validate({"output": output})
    sent = [NewMessage(content="go")]
    run = await service.messages.send(WS, agent.id, sent, options, background=background, kind=kind)
    lease = await taken(service, agent.id, 1)
    assert lease is not None
    assert await service.leases.next_run(lease) is not None
    return Teller(service, lease, run)


class Ear:
    """A listener; what it heard is there to look at."""

    def __init__(self, service: Service, run_id: str, after: int = 0) -> None:
        self.heard: list[OutputEvent] = []
        self.pauses = 0
        self.task = asyncio.create_task(self._listen(service, run_id, after))

    async def _listen(self, service: Service, run_id: str, after: int) -> None:
        async for found in service.output.follow(WS, run_id, after):
            self.pauses += not found
            self.heard += found

    def told(self) -> list[str]:
        """Texts of pieces and messages in the order they came, `end` at the end."""
        return [_text(event) for event in self.heard]

    async def until(self, what: str, holds: Callable[["Ear"], bool]) -> None:
        with anyio.fail_after(DEADLINE_S):
            while not holds(self):
                assert not self.task.done(), f"listening ended before {what}: {self.told()}"
                await asyncio.sleep(0.005)

    async def end(self) -> list[str]:
        """All that was told, once the listening has ended by itself."""
        await asyncio.wait_for(asyncio.shield(self.task), DEADLINE_S)
        return self.told()


def _text(event: OutputEvent) -> str:
    if event.piece is not None:
        return event.piece.text
    return "end" if event.message is None else str(event.message.content)


@pytest.fixture
async def ear(service: Service) -> AsyncIterator[Callable[..., Ear]]:
    ears: list[Ear] = []

    def listen(run_id: str, after: int = 0) -> Ear:
        ears.append(Ear(service, run_id, after))
        return ears[-1]

    yield listen
    for one in ears:
        one.task.cancel()
    if ears:
        await asyncio.wait({one.task for one in ears})


Listen = Callable[..., Ear]


async def test_every_event_comes_once_and_in_order_and_the_end_is_the_last(
    service: Service, ear: Listen
) -> None:
    teller = await begin(service)
    listening = ear(teller.run.id)
    await teller.say("a", "b")
    await listening.until("the first pieces", lambda one: len(one.heard) == 2)
    await teller.say("c")
    await teller.store_step(teller.message("assistant", "abc"))
    await teller.end()
    assert await listening.end() == ["a", "b", "c", "abc", "end"]
    assert [event.seq for event in listening.heard] == [1, 2, 3, 4, 5]
    assert [event.kind for event in listening.heard] == ["piece"] * 3 + ["message", "end"]


async def test_a_run_that_ended_before_anybody_listened_is_told_whole(service: Service, ear: Listen) -> None:
    teller = await begin(service)
    await teller.say("a")
    await teller.store_step(teller.message("assistant", "a"), last=True)
    assert await ear(teller.run.id).end() == ["a", "a", "end"]


async def test_what_an_agent_was_given_is_not_told(service: Service, ear: Listen) -> None:
    teller = await begin(service)
    given = [teller.message("user", "go"), teller.message("system", "note")]
    made = [teller.message("assistant", "gone"), teller.message("tool", "result")]
    await teller.store_step(*given, *made, last=True)
    listening = ear(teller.run.id)
    assert await listening.end() == ["gone", "result", "end"]
    assert all(event.message.created_at > 0 for event in listening.heard if event.message)


async def test_who_comes_back_hears_what_follows_the_last_it_heard(service: Service, ear: Listen) -> None:
    teller = await begin(service)
    await teller.say("a", "b", "c")
    early = ear(teller.run.id, 2)
    await early.until("what was kept", lambda one: bool(one.heard))
    await teller.say("d")
    await teller.end()
    assert await early.end() == ["c", "d", "end"]
    assert await ear(teller.run.id, 4).end() == ["end"]
    assert [event.seq for event in early.heard] == [3, 4, 5]


async def test_who_comes_back_behind_the_end_hears_that_it_ended(
    service: Service, ear: Listen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "LOOK_AGAIN_S", 0.01)
    teller = await begin(service)
    await teller.end()
    assert await ear(teller.run.id, 1).end() == ["end"]


async def test_more_than_is_read_at_once_comes_without_waiting_for_a_ring(
    service: Service, ear: Listen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "READ_MOST", 3)
    teller = await begin(service)
    texts = [str(n) for n in range(10)]
    await teller.say(*texts)
    listening = ear(teller.run.id)
    await listening.until("all of it", lambda one: len(one.heard) == 10)
    await teller.end()
    assert await listening.end() == [*texts, "end"]


async def test_what_was_said_while_rings_were_lost_is_read_all_the_same(
    service: Service, ear: Listen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "LOOK_AGAIN_S", 0.02)
    teller = await begin(service)
    listening = ear(teller.run.id)
    await teller.say("a")
    await listening.until("the first piece", lambda one: bool(one.heard))
    monkeypatch.setattr(service.bell, "_ring", lambda *_: None)
    await teller.say("b", "c")
    await teller.end()
    assert await listening.end() == ["a", "b", "c", "end"]


async def test_a_listener_is_told_that_nothing_happens(
    service: Service, ear: Listen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "LOOK_AGAIN_S", 0.01)
    teller = await begin(service)
    listening = ear(teller.run.id)
    await listening.until("it was told three times", lambda one: one.pauses >= 3)
    await teller.end()
    assert await listening.end() == ["end"]


async def test_output_that_goes_while_somebody_listens_ends_the_listening(
    service: Service, ear: Listen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "LOOK_AGAIN_S", 0.02)
    teller = await begin(service)
    listening = ear(teller.run.id)
    await teller.say("a")
    await listening.until("the first piece", lambda one: bool(one.heard))
    monkeypatch.setattr(service.bell, "_ring", lambda *_: None)
    await teller.end()
    await service.store._redis.delete(key(WS, "run_output", teller.run.id))
    assert await listening.end() == ["a", "end"]


async def test_a_run_whose_record_goes_while_somebody_listens_is_not_found(
    service: Service, ear: Listen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "LOOK_AGAIN_S", 0.01)
    teller = await begin(service)
    listening = ear(teller.run.id)
    await service.store._redis.delete(key(WS, "run", teller.run.id))
    with pytest.raises(NotFound):
        await listening.end()


async def test_a_store_that_goes_is_said_to_the_listener(
    service: Service, ear: Listen, monkeypatch: pytest.MonkeyPatch
) -> None:
    teller = await begin(service)

    async def away(*_: object, **__: object) -> None:
        raise StoreUnreachable("the store does not answer")

    monkeypatch.setattr(service.store, "entries", away)
    with pytest.raises(StoreUnreachable):
        await ear(teller.run.id).end()


async def test_many_may_listen_to_one_run_from_anywhere(service: Service, ear: Listen) -> None:
    teller = await begin(service)
    await teller.say("a", "b")
    ears = [ear(teller.run.id, n % 3) for n in range(30)]
    for one in ears[:2]:
        await one.until("it has caught up", lambda one: one.told()[-1:] == ["b"])
    await teller.say("c")
    await teller.end()
    told = ["a", "b", "c", "end"]
    assert [await one.end() for one in ears] == [told[n % 3 :] for n in range(30)]


@pytest.mark.parametrize("heard_before", [True, False])
async def test_a_sender_who_listens_is_rung_with_the_last_of_it(
    service: Service, monkeypatch: pytest.MonkeyPatch, heard_before: bool
) -> None:
    """If he has heard all before; what else he missed he reads, and it comes out the same."""
    teller = await begin(service, kind=STREAMED)
    read = service.runs.output
    reads: list[int] = []

    async def counted(ws: str, run_id: str, after: int, limit: int, *, ended: bool) -> Any:
        reads.append(after)
        return await read(ws, run_id, after, limit, ended=ended)

    monkeypatch.setattr(service.runs, "output", counted)
    ear = Ear(service, teller.run.id)
    await teller.say("a")
    await ear.until("it has caught up", lambda one: one.told() == ["a"])
    before = len(reads)
    if not heard_before:
        ring = service.bell._ring

        def of_the_end(channel: str, message: str | None) -> None:
            if message and "{" in message:
                ring(channel, message)

        monkeypatch.setattr(service.bell, "_ring", of_the_end)
        await teller.say("b")
    await teller.store_step(teller.message("assistant", "c"), last=True)
    texts = ["a", "c", "end"] if heard_before else ["a", "b", "c", "end"]
    assert await ear.end() == texts
    assert (len(reads) == before) is heard_before
    assert ear.heard[-1].run == await service.runs.read(WS, teller.run.id)
    assert [event.seq for event in ear.heard] == list(range(1, len(texts) + 1))


async def test_the_ring_of_a_run_that_nobody_listens_to_brings_nothing(service: Service) -> None:
    for kind, stored in (("send_message_async", None), (STREAMED, "1")):
        teller = await begin(service, kind=kind)
        hash = await service.store.hash(key(WS, "run", teller.run.id))
        assert (hash["output"], hash.get("listens")) == ("1", stored)
        async with service.bell.listen(key(WS, "output"), teller.run.id) as rings:
            await teller.store_step(teller.message("assistant", "x" * 20_000), last=True)
            heard = await rings.get() or await rings.get()
        assert heard == f"{teller.run.id} completed"


async def test_a_listener_that_leaves_is_forgotten(service: Service) -> None:
    teller = await begin(service)
    await teller.say("a")
    feed = cast(Any, service.output.follow(WS, teller.run.id))
    async with aclosing(feed):
        assert [event.seq for event in await anext(feed)] == [1]
        assert service.bell._waiters[key(WS, "output")]
    assert service.bell._waiters[key(WS, "output")] == {}


async def test_a_run_whose_sender_did_not_ask_keeps_nothing(service: Service) -> None:
    teller = await begin(service, "none")
    await teller.say("a")
    await teller.store_step(teller.message("assistant", "a"), last=True)
    assert await service.store.newest(key(WS, "run_output", teller.run.id)) is None
    with pytest.raises(Invalid, match="not a background run"):
        await service.output.check(WS, teller.run.id)


async def test_only_to_a_background_run_can_one_come_back(service: Service) -> None:
    teller = await begin(service, background=False)
    with pytest.raises(Invalid, match="not a background run"):
        await service.output.check(WS, teller.run.id)
    with pytest.raises(NotFound):
        await service.output.check(WS, new_id("run"))
    there = await begin(service)
    await service.output.check(WS, there.run.id)
    await there.end()
    await service.output.check(WS, there.run.id)


async def test_output_is_kept_for_three_hours_after_the_end_and_then_has_expired(service: Service) -> None:
    teller = await begin(service)
    name = key(WS, "run_output", teller.run.id)
    await teller.say("a")
    assert await service.store._redis.ttl(name) == -1
    await teller.end()
    assert 3 * 3600 - 60 < await service.store._redis.ttl(name) <= 3 * 3600
    await service.store._redis.delete(name)
    with pytest.raises(Expired, match=teller.run.id):
        await service.output.check(WS, teller.run.id)


async def test_the_runs_of_a_deleted_agent_end_for_their_listeners(service: Service, ear: Listen) -> None:
    teller = await begin(service)
    listening = ear(teller.run.id)
    await teller.say("a")
    await listening.until("the first piece", lambda one: bool(one.heard))
    await service.agents.delete(WS, teller.run.agent_id, Author())
    assert await listening.end() == ["a", "end"]


# --- what only a real server can show ---------------------------------------------------------------------


class TestOnARealServer:
    @pytest.fixture
    def store(self, real_store: StoreClient) -> StoreClient:
        return real_store

    async def test_fifty_runs_are_heard_over_one_connection(self, service: Service, ear: Listen) -> None:
        tellers = [await begin(service) for _ in range(50)]
        ears = [ear(teller.run.id) for teller in tellers for _ in range(2)]
        for _ in range(3):
            await asyncio.gather(*(teller.say(teller.run.id) for teller in tellers))
        for one in ears:
            await one.until("all pieces", lambda one: len(one.heard) == 3)
        subscribed = await service.store._redis.client_list(_type="pubsub")
        assert len(subscribed) == 1
        await asyncio.gather(*(teller.end() for teller in tellers))
        for n, one in enumerate(ears):
            assert await one.end() == [tellers[n // 2].run.id] * 3 + ["end"]

    async def test_a_lost_connection_loses_nothing(self, service: Service, ear: Listen) -> None:
        teller = await begin(service)
        listening = ear(teller.run.id)
        await teller.say("a")
        await listening.until("the first piece", lambda one: bool(one.heard))
        for n in range(3):
            await service.store._redis.client_kill_filter(_type="pubsub")
            await teller.say(f"b{n}")
            await listening.until("it was heard", lambda one: len(one.heard) == n + 2)  # noqa: B023
        await teller.end()
        assert await listening.end() == ["a", "b0", "b1", "b2", "end"]

    async def test_of_a_run_that_says_very_much_the_newest_ten_thousand_events_are_kept(
        self, service: Service, ear: Listen
    ) -> None:
        teller = await begin(service)
        for _ in range(24):
            await teller.say(*["x"] * 500)
        length = await service.store._redis.xlen(key(WS, "run_output", teller.run.id))
        assert 10_000 <= length <= 10_200
        await teller.end()
        listening = ear(teller.run.id)
        assert len(await listening.end()) <= 10_201
        assert listening.heard[-1].seq == 12_001
