"""Lists of blocks, agents, runs, steps: indexes follow what they are of; what none answers is bounded."""

from typing import Any
from unittest.mock import patch

import pytest

from service.errors import TooWide
from service.records.agents import Agent, AgentQuery
from service.records.base import Page
from service.records.blocks import Block, BlockQuery
from service.records.runs import Step
from service.store import agent_lists, block_lists, pages
from service.store.keys import key
from service.store.pages import Budget
from tests.store.team import ALICE, WS, Team

pytestmark = pytest.mark.anyio


async def blocks_found(team: Team, page: Page | None = None, **query: Any) -> list[str]:
    found = await team.service.blocks.find(WS, BlockQuery(**query), page or Page())
    return [block.value for block in found]


async def agents_found(team: Team, page: Page | None = None, **query: Any) -> list[str]:
    found = await team.service.agents.find(WS, AgentQuery(**query), page or Page())
    return [agent.name for agent in found]


async def places_of(team: Team, kind: str, row: Block | Agent) -> set[str]:
    """The indexes that a row is in."""
    names = [name for name in await team.names() if name.startswith(f"{kind}:by:")]
    prefix = key(WS, f"{kind}_filed")
    return {
        name.removeprefix(f"{kind}:by:")
        for name in names
        if await team.store.score(prefix + name.removeprefix(f"{kind}:by:"), row.id) is not None
    }


async def test_a_block_is_filed_by_what_it_is_now_and_no_longer_by_what_it_was(team: Team) -> None:
    block = await team.block(tags=["a", "b"], project_id="p", template_name="f")
    common = {"all", "project:p", "template_name:f", "agents:0"}
    assert await places_of(team, "blocks", block) == common | {"label:notes", "tag:a", "tag:b"}
    await team.configure(block, tags=["b", "c"], label="other")
    assert await places_of(team, "blocks", block) == common | {"label:other", "tag:b", "tag:c"}
    await team.configure(block, hidden=True, is_template=True, tags=[])
    shelved = {f"hidden.template.{place}" for place in common | {"label:other"}}
    assert await places_of(team, "blocks", block) == shelved
    await team.agent(block)
    assert "hidden.template.agents:1" in await places_of(team, "blocks", block)
    assert [count for count, _ in await team.store.range(key(WS, "block_counts"))] == ["1"]
    await team.service.blocks.delete(WS, block.id, ALICE)
    assert await places_of(team, "blocks", block) == set()
    assert not {name for name in await team.names() if name.startswith(("blocks:", "tags"))}


async def test_an_edit_that_changes_no_field_of_an_index_leaves_them_alone(team: Team) -> None:
    block = await team.block("x", tags=["a"])
    before = await places_of(team, "blocks", block)
    await team.edit(block, "append", "y")
    await team.configure(block, description="d", value="z")
    assert await places_of(team, "blocks", block) == before


async def test_an_agent_is_filed_by_what_it_is_now_and_how_its_last_run_ended(team: Team) -> None:
    agent = await team.agent(name="Ada", tags=["a"], project_id="p", template_id="t", base_template_id="b")
    common = {"all", "project:p", "template:t", "base_template:b"}
    assert await places_of(team, "agents", agent) == common | {"name:Ada", "tag:a"}
    await team.update(agent, name="Bob", tags=["c"], hidden=True)
    shelved = {f"hidden.{place}" for place in (*common, "name:Bob", "tag:c")}
    assert await places_of(team, "agents", agent) == shelved
    for reason in ("max_steps", "end_turn"):
        lease, open_run = await team.working(agent)
        await team.leases.finish(lease, open_run.run.id, reason, None)
        assert await team.leases.next_run(lease) is None
        assert await places_of(team, "agents", agent) == shelved | {f"hidden.stop:{reason}"}
    await team.service.agents.delete(WS, agent.id, ALICE)
    assert await places_of(team, "agents", agent) == set()
    assert not {name for name in await team.names() if name.startswith("agents")}


async def test_what_a_list_does_not_show_costs_it_nothing(
    team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(30):
        await team.block(f"hidden {number}", label="x", tags=["t"], hidden=True)
        await team.agent(name=f"h{number}", tags=["t"], hidden=True)
    await team.block("shown", label="x", tags=["t", "u"])
    await team.agent(name="shown", tags=["t", "u"])
    monkeypatch.setattr(pages, "IDS_AT_MOST", 5)
    tags: dict[str, Any] = {"tags": ["t", "u"], "match_all_tags": True}
    asked: list[dict[str, Any]] = [{}, {"tags": ["t"]}, {"tags": ["t", "u"]}, tags]
    for query in asked:
        assert await blocks_found(team, **query) == ["shown"]
        assert await agents_found(team, **query) == ["shown"]
        assert await team.service.blocks.count(WS, BlockQuery(**query)) == 1
        assert await team.service.agents.count(WS, AgentQuery(**query)) == 1
    assert await blocks_found(team, label="x") == ["shown"]
    assert await agents_found(team, order_by="updated_at") == ["shown"]


async def test_a_search_reads_long_values_a_few_at_a_time_and_counts_them_as_several(
    team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(block_lists, "CHARS_AT_ONCE", 25)
    monkeypatch.setattr(block_lists, "CHARS_PER_ROW", 10)
    values = [f"{number:020}" for number in range(9)] + [""]
    for value in values:
        await team.block(value)
    read: list[int] = []
    having = block_lists.BlockLists._having

    async def watched(self: Any, ws: str, ids: Any, name: str, word: str) -> list[str]:
        read.append(len(ids))
        return await having(self, ws, ids, name, word)

    monkeypatch.setattr(block_lists.BlockLists, "_having", watched)
    assert await blocks_found(team, value_search="7", label_search="NOTES") == [values[7]]
    assert read == [10, *[1] * 8, 2]
    monkeypatch.setattr(block_lists, "Budget", lambda rows=5: Budget(rows))
    with pytest.raises(TooWide):
        await blocks_found(team, Page(limit=1), value_search="nowhere")
    with pytest.raises(TooWide):
        await team.service.blocks.count(WS, BlockQuery(value_search="nowhere"))
    assert await blocks_found(team, Page(limit=None), value_search="8") == [values[8]]


async def test_a_count_that_must_look_at_rows_looks_at_them(team: Team) -> None:
    for number in range(3):
        await team.block(f"v{number}", label=f"l{number % 2}")
        await team.agent(name=f"n{number}")
    assert await team.service.blocks.count(WS, BlockQuery(label_search="L0")) == 2
    assert await team.service.agents.count(WS, AgentQuery(query_text="N2")) == 1


@pytest.fixture(params=["sorted", "walked"])
def few(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same lists, both as few agents that are sorted and along the order of all."""
    if request.param == "walked":
        monkeypatch.setattr(agent_lists, "FEW", -1)


async def test_agents_are_listed_by_times_that_move(team: Team, few: None) -> None:
    made = [await team.agent(name=f"n{number}", tags=["even"][number % 2 :]) for number in range(6)]
    await team.update(made[1], description="x")
    order: dict[str, Any] = {"order_by": "updated_at"}
    names = ["n0", "n2", "n3", "n4", "n5", "n1"]
    assert await agents_found(team, **order) == names
    assert await agents_found(team, Page(descending=True), **order) == names[::-1]
    assert await agents_found(team, **order, tags=["even"]) == ["n0", "n2", "n4"]
    assert await agents_found(team, **order, tags=["even", "odd"], match_all_tags=True) == []
    assert await agents_found(team, **order, query_text="N5") == ["n5"]
    assert await agents_found(team, Page(limit=2, after=made[3].id), **order) == ["n4", "n5"]
    assert await agents_found(team, Page(limit=2, before=made[5].id), **order) == ["n3", "n4"]
    down = Page(limit=2, before=made[2].id, descending=True)
    assert await agents_found(team, down, **order) == ["n4", "n3"]
    assert await agents_found(team, Page(before=made[2].id, limit=None), **order) == ["n0"]
    assert await agents_found(team, Page(limit=1, after="agent-x"), **order) == ["n0"]
    await team.update(made[0], hidden=True)
    assert await agents_found(team, **order) == names[1:]
    assert await agents_found(team, **order, show_hidden=True) == [*names[1:], "n0"]


async def test_agents_of_one_moment_have_an_order_too(team: Team, few: None) -> None:
    """None of them ran, so all stand at the same time: by id."""
    made = sorted([await team.agent() for _ in range(7)], key=lambda agent: agent.id)
    query = AgentQuery(order_by="last_run_completion")
    seen: list[str] = []
    page = Page(limit=3)
    while found := await team.service.agents.find(WS, query, page):
        seen += [agent.id for agent in found]
        page = page.model_copy(update={"after": seen[-1]})
    assert seen == [agent.id for agent in made]


async def test_the_end_of_a_run_moves_its_agent(team: Team, few: None) -> None:
    first, second = await team.agent(name="first"), await team.agent(name="second")
    for agent in (second, first):
        lease, open_run = await team.working(agent)
        await team.leases.finish(lease, open_run.run.id, "end_turn", None)
    assert await agents_found(team, order_by="last_run_completion") == ["second", "first"]
    await team.service.agents.delete(WS, second.id, ALICE)
    assert await agents_found(team, order_by="last_run_completion") == ["first"]


async def test_a_page_goes_on_from_where_its_last_agent_stood_though_that_moved_or_went(
    team: Team, few: None
) -> None:
    made = [await team.agent(name=f"n{number}") for number in range(6)]
    order: dict[str, Any] = {"order_by": "updated_at"}
    assert await agents_found(team, Page(limit=2, descending=True), **order) == ["n5", "n4"]
    await team.update(made[4], description="x")
    down = Page(limit=2, descending=True, after=made[4].id)
    assert await agents_found(team, down, **order) == ["n3", "n2"]
    await team.service.agents.delete(WS, made[2].id, ALICE)
    assert await agents_found(team, down.model_copy(update={"after": made[2].id}), **order) == ["n1", "n0"]


async def test_runs_are_found_by_agent_and_status_from_indexes(
    team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = await team.agent(), await team.agent()
    lease, open_run = await team.working(one)
    done = open_run.run.id
    await team.leases.finish(lease, done, "error", None)
    _, begun = await team.working(other)
    waiting = [await team.send(one) for _ in range(3)]
    running = begun.run.id

    async def found(agent_id: str | None = None, **asked: Any) -> list[str]:
        runs = await team.service.runs.find(WS, agent_id, Page(), **asked)
        return [run.id for run in runs]

    assert await found(statuses=["failed"]) == [done]
    assert await found(statuses=["running", "created"]) == [running, *waiting]
    assert await found(one.id, statuses=["running", "created"]) == waiting
    assert await found(agent_ids=[other.id, one.id, one.id]) == [done, running, *waiting]
    assert await found(other.id, agent_ids=[one.id]) == await found(statuses=[]) == []
    assert await found(None, keep=lambda run: run.stop_reason == "error") == [done]
    await team.service.runs.cancel(WS, waiting[0])
    assert await found(statuses=["cancelled"]) == [waiting[0]]
    assert await found(statuses=["created"]) == waiting[1:]
    await team.service.runs.delete(WS, waiting[0])
    assert await found(statuses=["cancelled"]) == []
    await team.service.agents.delete(WS, one.id, ALICE)
    assert await found(statuses=["created", "failed", "cancelled"]) == []


async def test_runs_that_ran_out_leave_their_lists_when_a_reader_misses_them(team: Team) -> None:
    agent = await team.agent()
    runs = [await team.send(agent) for _ in range(3)]
    for run_id in runs:
        await team.service.runs.cancel(WS, run_id)
    await team.redis.delete(key(WS, "run", runs[0]))
    left = [run.id for run in await team.service.runs.find(WS, agent.id, Page())]
    assert left == runs[1:]
    for index in (key(WS, "runs"), key(WS, "agent_runs", agent.id), key(WS, "runs_in", "cancelled")):
        assert [id for id, _ in await team.store.range(index)] == runs[1:]
    after = await team.service.runs.find(WS, None, Page(after=runs[0]))
    assert [run.id for run in after] == runs[1:]


async def test_runs_that_ran_out_leave_their_lists_at_the_agents_next_end(team: Team) -> None:
    agent = await team.agent()
    old = await team.send(agent)
    await team.service.runs.cancel(WS, old)
    await team.redis.delete(key(WS, "run", old))
    new = await team.send(agent)
    await team.service.runs.cancel(WS, new)
    assert [id for id, _ in await team.store.range(key(WS, "runs"))] == [new]
    assert [id for id, _ in await team.store.range(key(WS, "runs_in", "cancelled"))] == [new]


async def test_steps_between_two_moments_are_found_without_looking_at_others(
    team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = await team.agent()
    lease, open_run = await team.working(agent)
    for number in range(12):
        step = Step(id=f"step-{number}", run_id=open_run.run.id, agent_id=agent.id, index=0, created_at=0)
        await team.leases.store_answer(lease, step)
    kept = await team.service.runs.find_steps(WS, agent.id, Page())
    monkeypatch.setattr(pages, "IDS_AT_MOST", 4)
    since, until = kept[5].created_at, kept[8].created_at
    found = await team.service.runs.find_steps(WS, None, Page(), since=since, until=until)
    assert found == [step for step in kept if since <= step.created_at <= until]
    assert found
    newest = Page(descending=True)
    late = await team.service.runs.find_steps(WS, agent.id, newest, since=kept[-1].created_at + 1)
    assert (
        late == await team.service.runs.find_steps(WS, agent.id, newest, until=kept[0].created_at - 1) == []
    )
    first = await team.service.runs.find_steps(WS, agent.id, Page(limit=1), since=kept[0].created_at - 1)
    assert first == kept[:1]


async def test_steps_that_ran_out_leave_their_lists_when_a_reader_misses_them(team: Team) -> None:
    agent = await team.agent()
    lease, open_run = await team.working(agent)
    for number in range(3):
        step = Step(id=f"step-{number}", run_id=open_run.run.id, agent_id=agent.id, index=0, created_at=0)
        await team.leases.store_answer(lease, step)
    await team.redis.delete(key(WS, "step", "step-1"))
    found = await team.service.runs.find_steps(WS, None, Page(), lambda step: step.id != "step-0")
    assert [step.id for step in found] == ["step-2"]
    assert [id for id, _ in await team.store.range(key(WS, "steps"))] == ["step-0", "step-2"]


async def test_the_places_of_so_many_deleted_rows_are_kept(team: Team) -> None:
    """The script's bound, reached by filling up what it counts."""
    block, later = await team.block(), await team.block()
    await team.service.blocks.delete(WS, block.id, ALICE)
    order = key(WS, "gone_order", "blocks")
    await team.redis.rpush(order, *[f"block-{number}" for number in range(9_999)])  # type: ignore[misc]
    await team.service.blocks.delete(WS, later.id, ALICE)
    gone = await team.store.hash(key(WS, "gone", "blocks"))
    assert set(gone) == {later.id}
    assert await team.redis.ttl(order) > 0


async def test_a_page_of_long_blocks_ends_early_and_the_next_goes_on_behind_it(team: Team) -> None:
    """So that a list of a hundred thousand long blocks is never held as a whole."""
    blocks = [await team.block(f"{number}" * 500_000, limit=500_000) for number in range(1, 10)]
    blocks += [await team.block("short") for _ in range(3)]
    seen: list[str] = []
    sizes: list[int] = []
    with patch.object(block_lists, "SHOWN_AT_ONCE", 2), patch.object(block_lists, "CHARS_SHOWN", 1_900_000):
        while page := await team.service.blocks.find(
            WS, BlockQuery(), Page(limit=10_000, after=seen[-1] if seen else None)
        ):
            seen += [block.id for block in page]
            sizes.append(len(page))
    assert seen == [block.id for block in blocks]
    assert sizes == [4, 4, 4]
