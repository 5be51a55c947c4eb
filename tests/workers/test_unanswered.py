"""Requests for the caller's word that nobody answers in time, and words that come too late."""

import asyncio
from typing import Any

import pytest

from service.approvals import NOBODY
from service.errors import Invalid
from service.records.agents import Agent
from service.records.base import Page
from service.records.messages import CallAnswer, NewMessage
from service.records.runs import Run
from service.store.keys import key
from tests.store.team import raw
from tests.workers.answering import (
    CLIENT,
    LS,
    NOTE,
    REPLACE,
    careful,
    no,
    pending,
    send_answer,
    yes,
)
from tests.workers.bench import WS, Bench, calls, says, unpacked
from workers.keeper import Keeper

pytestmark = pytest.mark.anyio


async def times_out(bench: Bench, agent: Agent) -> Run | None:
    """Nobody answers in time, and a sweeper notices; what goes on with that, carried to its end."""
    before = {run.id for run in await bench.service.runs.find(WS, agent.id, Page())}
    await bench.service.store.run("sweep", WS, 0)
    await raw(bench.service.store).zadd(key(WS, "approvals"), {agent.id: 1}, xx=True)
    await Keeper(bench.service).sweep()
    new = [run for run in await bench.service.runs.find(WS, agent.id, Page()) if run.id not in before]
    if not new:
        return None
    assert [run.kind for run in new] == ["approval_timeout"]
    await bench.carry(agent)
    return await bench.service.runs.read(WS, new[0].id)


@pytest.mark.parametrize("client", [False, True])
async def test_where_nobody_answers_in_time_the_model_is_told_and_goes_on(bench: Bench, client: bool) -> None:
    agent = await (bench.agent({"notes": "top"}) if client else careful(bench))
    options: dict[str, Any] = {"client_tools": CLIENT} if client else {}
    await bench.tell(agent, calls(LS if client else NOTE), says("Then without."), **options)
    run = await times_out(bench, agent)
    assert run is not None
    assert (run.status, run.stop_reason, run.step_count) == ("completed", "end_turn", 2)
    [result] = await bench.results(run)
    assert (result.text, result.status) == (NOBODY, "error")
    assert "Nobody answered in time" in unpacked(bench.requests[-1])[-1]["message"]
    assert (await bench.messages(run))[-1].plain_text() == "Then without."
    assert await bench.text("notes") == "top"
    assert await pending(bench, agent) is None


@pytest.mark.parametrize("word", [yes(), no()])
async def test_a_late_word_is_told_that_it_is_late(bench: Bench, word: CallAnswer) -> None:
    agent = await careful(bench)
    await bench.tell(agent, calls(NOTE), says("Then without."))
    run = await times_out(bench, agent)
    assert run is not None
    with pytest.raises(Invalid, match=f"nobody answered in time, .* has gone on \\(run {run.id}\\)"):
        await send_answer(bench, agent, word)
    assert await bench.text("notes") == "top"


async def test_a_model_that_asks_again_and_again_is_not_asked_for_ever(bench: Bench) -> None:
    """With a short time-out it would otherwise be a loop that nobody looks at."""
    agent = await careful(bench)
    await bench.tell(agent, calls(NOTE), calls(REPLACE, NOTE), says("Never said."))
    first = await times_out(bench, agent)
    assert first is not None
    assert first.stop_reason == "requires_approval"
    assert await times_out(bench, agent) is None
    assert await pending(bench, agent) is None
    assert len(bench.requests) == 2
    assert [one.text for one in (await bench.results(first))[-2:]] == [NOBODY] * 2
    await bench.tell(agent, says("Here again."))
    assert await bench.text("notes") == "top"


async def test_what_waits_in_the_inbox_comes_after_the_turn_that_was_given_up(bench: Bench) -> None:
    agent = await careful(bench)
    await bench.tell(agent, calls(NOTE), says("Then without."))
    waiting = await bench.service.messages.send(WS, agent.id, [NewMessage(content="Next.")], waits=True)
    run = await times_out(bench, agent)
    assert run is not None
    assert (await bench.service.runs.read(WS, waiting.id)).status == "completed"
    order = [one.run_id for one in await bench.history(agent) if one.run_id in (run.id, waiting.id)]
    assert order == sorted(order, key=[run.id, waiting.id].index)


async def test_a_word_that_comes_as_the_time_ends_is_heard_or_not_but_never_both(bench: Bench) -> None:
    agent = await careful(bench)
    await bench.tell(agent, calls(NOTE), says("Done."))
    given = asyncio.gather(
        send_answer(bench, agent, yes()),
        *(bench.service.approvals.give_up(WS, agent.id) for _ in range(4)),
        return_exceptions=True,
    )
    first, *_ = await given
    await bench.carry(agent)
    heard = not isinstance(first, Invalid)
    assert await bench.text("notes") == ("top\nseen" if heard else "top")
    assert len(await bench.service.runs.find(WS, agent.id, Page())) == 2
