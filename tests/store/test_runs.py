"""A run from its beginning to its end: what each script stores, and how long it is kept."""

from typing import Any

import pytest

from service.errors import LeaseLost, NotFound
from service.records.base import Page
from service.records.messages import Message
from service.records.open_runs import Following, Opening
from service.records.runs import ModelReply, RunError, RunOptions, Step, StopReason, Usage
from service.store.bell import Bell
from service.store.keys import key
from service.store.runs import RunStore, to_run
from tests.store.team import WS, Team

pytestmark = pytest.mark.anyio


@pytest.fixture
def runs(team: Team) -> RunStore:
    return RunStore(team.store)


def a_step(run_id: str, agent_id: str, id: str = "step-1") -> Step:
    reply = ModelReply(text="Hi ñ.", usage=Usage(prompt_tokens=3), model="m")
    return Step(id=id, run_id=run_id, agent_id=agent_id, index=0, created_at=0, reply=reply)


def a_message(agent_id: str, id: str, role: str = "assistant") -> Message:
    return Message.model_validate(
        {"id": id, "agent_id": agent_id, "role": role, "created_at": 0, "content": "ñ"}
    )


async def test_opening_a_run_stores_what_its_calls_start_from(team: Team) -> None:
    agent = await team.agent(await team.block())
    lease, open_run = await team.working(agent)
    assert (open_run.prompt, open_run.seen, open_run.step_id, open_run.causes) == (None, {}, None, [])
    message_0 = (await team.service.messages.context(WS, agent.id))[0]
    compiled = message_0.model_copy(update={"content": "the prompt ñ"})
    run = open_run.run.model_copy(update={"depth": 3})
    await team.leases.open_run(lease, Opening(run, "the prompt ñ", {"block-1": 7}, compiled))
    again = await team.leases.next_run(lease)
    assert again is not None
    assert (again.prompt, again.seen, again.run.depth) == ("the prompt ñ", {"block-1": 7}, 3)
    assert again.run.messages == open_run.run.messages
    assert (await team.service.messages.context(WS, agent.id))[0] == compiled


async def test_opening_a_run_brings_back_no_message_that_is_gone(team: Team) -> None:
    agent = await team.agent()
    lease, open_run = await team.working(agent)
    await team.leases.open_run(
        lease, Opening(open_run.run, "p", {}, a_message(agent.id, "message-x", "system"))
    )
    assert await team.service.messages.read_many(WS, agent.id, ["message-x"]) == []


async def test_notes_are_the_runs_own_and_move_what_it_has_seen(team: Team) -> None:
    agent = await team.agent()
    lease, open_run = await team.working(agent)
    first, second = [
        Message(id=id, agent_id=agent.id, role="system", created_at=7, content=text)
        for id, text in (("n1", "ñ"), ("n2", "second"))
    ]
    await team.leases.add_note(lease, open_run.run.id, first.model_dump(), {"block-1": 2})
    await team.leases.add_note(lease, open_run.run.id, second.model_dump(), {"block-1": 3})
    again = await team.leases.next_run(lease)
    assert again is not None
    assert again.material.notes == [first, second]
    assert again.seen == {"block-1": 3}
    assert len(await team.service.messages.find(WS, agent.id, Page())) == 1


async def test_an_answer_is_there_for_whoever_takes_over(team: Team, runs: RunStore) -> None:
    agent = await team.agent()
    lease, open_run = await team.working(agent)
    step = a_step(open_run.run.id, agent.id)
    await team.leases.store_answer(lease, step)
    await team.leases.store_answer(lease, step)
    again = await team.leases.next_run(lease)
    assert again is not None
    assert again.step_id == step.id
    stored = await team.leases.step(WS, step.id)
    assert stored is not None
    assert stored.created_at > 0
    assert stored == step.model_copy(update={"created_at": stored.created_at})
    assert await runs.steps(WS, open_run.run.id) == [stored]
    assert await team.leases.step(WS, "step-x") is None


async def test_a_stored_step_brings_its_messages_and_sums(team: Team, runs: RunStore) -> None:
    agent = await team.agent()
    lease, open_run = await team.working(agent)
    run_id = open_run.run.id
    await team.leases.store_answer(lease, a_step(run_id, agent.id))
    answered = await team.leases.step(WS, "step-1")
    assert answered is not None
    done = answered.model_copy(update={"status": "success"})
    said = [a_message(agent.id, "message-1", "user"), a_message(agent.id, "message-2")]
    await team.leases.store_step(
        lease,
        done,
        said,
        usage=Usage(prompt_tokens=3),
        context_tokens=9,
        step_count=1,
        seen={"block-1": 4},
        stop_reason=None,
    )
    run = await runs.read(WS, run_id)
    assert (run.status, run.usage.prompt_tokens, run.context_tokens, run.step_count) == ("running", 3, 9, 1)
    assert await runs.steps(WS, run_id) == [done]
    assert await runs.message_ids(WS, run_id) == ["message-1", "message-2"]
    history = await team.service.messages.find(WS, agent.id, Page())
    assert [message.id for message in history][1:] == ["message-1", "message-2"]
    assert [m.id for m in await team.service.messages.context(WS, agent.id)] == [m.id for m in history]
    assert all(message.created_at > 0 for message in history)
    again = await team.leases.next_run(lease)
    assert again is not None
    assert (again.step_id, again.seen) == (None, {"block-1": 4})


async def test_a_first_step_brings_what_its_run_started_from(team: Team, runs: RunStore) -> None:
    agent = await team.agent()
    lease, open_run = await team.working(agent)
    run = open_run.run.model_copy(update={"depth": 3, "agent_type": "react_agent"})
    old = a_message(agent.id, "message-old", "user")
    whole: dict[str, Any] = {"usage": Usage(), "context_tokens": 0, "seen": {"block-1": 4}}
    step = a_step(run.id, agent.id)
    message_0 = open_run.material.context[0].model_copy(update={"content": "compiled"})
    woken = await team.leases.store_step(
        lease,
        step,
        [old],
        step_count=1,
        stop_reason=None,
        opening=Opening(run, "compiled", {}, message_0),
        **whole,
    )
    assert woken == ([], None)
    again = await team.leases.next_run(lease)
    assert again is not None
    assert (again.prompt, again.seen, again.run.depth) == ("compiled", {"block-1": 4}, 3)
    assert (again.run.agent_type, again.run.messages) == ("react_agent", run.messages)
    assert [one.id for one in again.material.context] == [message_0.id, "message-old"]
    assert again.material.context[0].content == "compiled"
    opening = Opening(run, "later", {}, message_0, ["message-old"])
    await team.leases.store_step(lease, step, [], step_count=2, stop_reason=None, opening=opening, **whole)
    assert [one.id for one in await team.service.messages.context(WS, agent.id)] == [message_0.id]


async def test_what_its_agent_does_next_comes_with_the_end_of_a_run(team: Team, runs: RunStore) -> None:
    agent = await team.agent()
    lease, open_run = await team.working(agent)
    second = await team.send(agent, "second")
    whole: dict[str, Any] = {"usage": Usage(), "context_tokens": 0, "seen": {}, "step_count": 1}

    async def stored(run_id: str, stop_reason: StopReason | None, **how: Any) -> Following | None:
        step = a_step(run_id, agent.id, f"step-{run_id}")
        _, following = await team.leases.store_step(lease, step, [], stop_reason=stop_reason, **whole, **how)
        return following

    assert await stored(open_run.run.id, None, hand_on=True) is None
    assert await stored(open_run.run.id, "end_turn", hand_on=True, only_noted=True) is None
    following = await stored(open_run.run.id, "end_turn", hand_on=True)
    assert following is not None
    assert following.run is not None
    assert (following.run.run.id, following.run.run.tries) == (second, 1)
    assert [one.id for one in following.run.material.context] == [open_run.material.context[0].id]
    assert await stored(second, "end_turn", hand_on=True) == Following(None)
    with pytest.raises(LeaseLost):
        await team.leases.give_back(lease)
    assert (await runs.read(WS, second)).status == "completed"


async def test_the_end_of_a_run_leaves_its_lease_to_whoever_asks_for_nothing(team: Team) -> None:
    agent = await team.agent()
    lease, open_run = await team.working(agent)
    whole: dict[str, Any] = {"usage": Usage(), "context_tokens": 0, "seen": {}, "step_count": 1}
    step = a_step(open_run.run.id, agent.id)
    _, following = await team.leases.store_step(lease, step, [], stop_reason="end_turn", **whole)
    assert following is None
    assert await team.leases.next_run(lease) is None


async def test_a_failed_step_without_an_answer_is_stored_too(team: Team, runs: RunStore) -> None:
    agent = await team.agent()
    lease, open_run = await team.working(agent)
    error = RunError(type="llm_timeout", message="too slow ñ")
    failed = Step(
        id="step-1",
        run_id=open_run.run.id,
        agent_id=agent.id,
        index=0,
        created_at=0,
        status="failed",
        error=error,
    )
    await team.leases.store_step(
        lease,
        failed,
        [],
        usage=Usage(),
        context_tokens=0,
        step_count=1,
        seen={},
        stop_reason="llm_api_error",
        error=error,
    )
    run = await runs.read(WS, open_run.run.id)
    assert (run.status, run.stop_reason, run.error) == ("failed", "llm_api_error", error)
    assert [step.error for step in await runs.steps(WS, run.id)] == [error]


@pytest.mark.parametrize(
    ("stop_reason", "status"),
    [("end_turn", "completed"), ("cancelled", "cancelled"), ("error", "failed"), ("max_steps", "completed")],
)
async def test_an_end_is_stored_with_the_run_and_its_agent(
    team: Team, runs: RunStore, stop_reason: str, status: str
) -> None:
    agent = await team.agent()
    lease, open_run = await team.working(agent)
    await team.leases.finish(lease, open_run.run.id, stop_reason, None)  # type: ignore[arg-type]
    run = await runs.read(WS, open_run.run.id)
    assert (run.status, run.stop_reason, run.error) == (status, stop_reason, None)
    assert run.completed_at is not None
    assert run.started_at is not None
    after = await team.service.agents.read(WS, agent.id)
    assert (after.last_stop_reason, after.last_run_completion) == (stop_reason, run.completed_at)
    assert after.last_run_duration_ms == (run.completed_at - run.started_at) // 1000
    assert "run_id" not in await team.state(agent)


async def test_a_run_ends_once(team: Team, runs: RunStore) -> None:
    agent = await team.agent()
    lease, open_run = await team.working(agent)
    await team.leases.finish(lease, open_run.run.id, "end_turn", None)
    before = await team.everything()
    await team.leases.finish(lease, open_run.run.id, "error", RunError(type="x", message="y"))
    assert await team.everything() == before


async def test_the_doorbell_tells_of_steps_and_of_the_end(team: Team) -> None:
    agent = await team.agent()
    await team.send(agent, background=True)
    lease, open_run = await team.working(agent)
    bell = Bell(team.store)
    async with bell.listen(key(WS, "output")) as rings:
        assert await rings.get() is None
        for stop_reason in (None, "end_turn"):
            await team.leases.store_step(
                lease,
                a_step(open_run.run.id, agent.id),
                [],
                usage=Usage(),
                context_tokens=0,
                step_count=1,
                seen={},
                stop_reason=stop_reason,
            )
        heard = [await rings.get() for _ in range(2)]
    await bell.close()
    assert heard == [f"{open_run.run.id} running", f"{open_run.run.id} completed"]


async def ring_of_the_end(team: Team, text: str, **sent: Any) -> tuple[str, str]:
    """The id of a run that said a text, and what rang at its end."""
    agent = await team.agent()
    await team.send(agent, **sent)
    lease, open_run = await team.working(agent)
    said = a_message(agent.id, "message-1").model_copy(update={"content": text})
    bell = Bell(team.store)
    async with bell.listen(key(WS, "output")) as rings:
        assert await rings.get() is None
        await team.leases.store_step(
            lease,
            a_step(open_run.run.id, agent.id),
            [said],
            usage=Usage(prompt_tokens=3),
            context_tokens=9,
            step_count=1,
            seen={"block-1": 4},
            stop_reason="end_turn",
        )
        ring = await rings.get()
    await bell.close()
    return open_run.run.id, ring or ""


async def test_the_end_of_a_run_is_told_with_its_ring_to_a_sender_who_waits(
    team: Team, runs: RunStore
) -> None:
    run_id, ring = await ring_of_the_end(team, "ñ 😀 \u2028 \\ / \n")
    told = runs.told_with(ring)
    assert told == await runs.told(WS, run_id)
    assert told is not None
    assert (told[0].status, told[0].usage.prompt_tokens) == ("completed", 3)
    assert [message.content for message in told[1]] == ["ñ 😀 \u2028 \\ / \n"]


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ("ñ", {"background": True}),
        ("ñ", {"options": RunOptions(output="steps")}),
        ("ñ" * 8_200, {}),
    ],
    ids=["nobody waits", "it is streamed", "more than a ring should bear"],
)
async def test_else_the_ring_says_no_more_than_that_it_ended(
    team: Team, runs: RunStore, text: str, sent: dict[str, Any]
) -> None:
    run_id, ring = await ring_of_the_end(team, text, **sent)
    assert ring == f"{run_id} completed"
    assert runs.told_with(ring) is None


async def test_a_run_that_ends_with_nothing_said_is_told_too(team: Team, runs: RunStore) -> None:
    agent = await team.agent()
    lease, open_run = await team.working(agent)
    bell = Bell(team.store)
    async with bell.listen(key(WS, "output")) as rings:
        assert await rings.get() is None
        await team.leases.finish(lease, open_run.run.id, "cancelled", None)
        told = runs.told_with(await rings.get() or "")
    await bell.close()
    assert told == await runs.told(WS, open_run.run.id)
    assert told is not None
    assert told[1] == []


async def test_opening_a_run_takes_messages_out_of_context_and_none_out_of_the_history(team: Team) -> None:
    agent = await team.agent()
    lease, open_run = await team.working(agent)
    message_0 = (await team.service.messages.context(WS, agent.id))[0]
    for id in ("message-1", "message-2"):
        await team.leases.store_step(
            lease,
            a_step(open_run.run.id, agent.id, f"step-of-{id}"),
            [a_message(agent.id, id)],
            usage=Usage(),
            context_tokens=0,
            step_count=1,
            seen={},
            stop_reason=None,
        )
    leaving = ["message-1", "message-gone"]
    await team.leases.open_run(lease, Opening(open_run.run, "p", {}, message_0, leaving))
    context = await team.service.messages.context(WS, agent.id)
    assert [one.id for one in context] == [message_0.id, "message-2"]
    history = await team.service.messages.find(WS, agent.id, Page())
    assert [one.id for one in history] == [message_0.id, "message-1", "message-2"]


async def test_a_thousand_runs_of_an_agent_are_kept(team: Team, runs: RunStore) -> None:
    agent = await team.agent()
    lease, open_run = await team.working(agent)
    oldest = open_run.run.id
    await team.leases.store_answer(lease, a_step(oldest, agent.id))
    later = {f"run-{number}": 1e6 + number for number in range(1000)}
    await team.redis.zadd(key(WS, "agent_runs", agent.id), later)
    for run_id in later:
        await team.redis.set(key(WS, "run", run_id), "not looked into")
    await team.leases.finish(lease, oldest, "end_turn", None)
    assert await team.store.count(key(WS, "agent_runs", agent.id)) == 1000
    assert await team.store.score(key(WS, "runs"), oldest) is None
    assert {name for name in await team.names() if oldest in name or name == "step:step-1"} == set()
    with pytest.raises(NotFound):
        await runs.read(WS, oldest)


async def test_an_open_run_is_kept_however_many_there_are(team: Team, runs: RunStore) -> None:
    agent = await team.agent()
    lease, open_run = await team.working(agent)
    waiting = await team.send(agent)
    index = key(WS, "agent_runs", agent.id)
    await team.redis.zadd(index, {waiting: 0})
    await team.redis.zadd(index, {f"run-{number}": 1e6 + number for number in range(1000)})
    await team.leases.finish(lease, open_run.run.id, "end_turn", None)
    assert (await runs.read(WS, waiting)).status == "created"
    assert await team.store.score(index, waiting) is not None


async def test_runs_whose_time_is_over_are_left_out_of_lists(team: Team, runs: RunStore) -> None:
    agent = await team.agent()
    ids = [await team.send(agent, str(number)) for number in range(3)]
    await team.redis.delete(key(WS, "run", ids[1]))
    assert [run.id for run in await team.service.runs.find(WS, agent.id, Page())] == [ids[0], ids[2]]
    assert [run.id for run in await team.service.runs.find(WS, None, Page(descending=True))] == [
        ids[2],
        ids[0],
    ]


def test_what_a_hash_does_not_say_of_a_run_is_as_in_its_record() -> None:
    run = to_run(
        {"record": '{"id": "run-1", "agent_id": "a", "depth": 2}', "created_at": "5", "status": "created"}
    )
    assert (run.depth, run.created_at, run.usage, run.error) == (2, 5, Usage(), None)
