"""Own tools in the store: one per name, changed field by field; calls of tools: taken once, started once."""

import asyncio
from typing import Any

import pytest

from service.errors import LeaseLost
from service.records.ids import new_id
from service.records.tools import Tool, ToolOutcome, ToolRequest
from service.store.tool_runs import ToolRunStore
from service.store.toolbox import ToolStore
from tests.store.team import WS, Team

pytestmark = pytest.mark.anyio


@pytest.fixture
def tools(team: Team) -> ToolStore:
    return ToolStore(team.store)


def tool(name: str = "roll", **fields: object) -> Tool:
    return Tool.model_validate({"id": new_id("tool"), "name": name, **fields})


async def test_many_who_create_one_name_have_one_tool(tools: ToolStore) -> None:
    made = await asyncio.gather(*(tools.put(WS, tool(), {"tags": [f"t{i}"]}) for i in range(10)))
    assert len({one.id for one in made}) == 1
    assert await tools.named(WS, ["roll", "other"]) == [made[0].id, None]


async def test_of_many_who_take_one_new_name_one_has_it(tools: ToolStore) -> None:
    made = [await tools.put(WS, tool(f"own_{i}"), {}) for i in range(5)]
    renaming = [tools.update(WS, one.id, {"name": "best"}, "best") for one in made]
    ends = await asyncio.gather(*renaming, return_exceptions=True)
    assert len([one for one in ends if isinstance(one, Tool)]) == 1
    names = [one.name for one in await tools.read_many(WS, [one.id for one in made])]
    assert names.count("best") == 1
    assert len(set(names)) == 5


async def test_changes_of_different_fields_at_the_same_time_all_stay(tools: ToolStore) -> None:
    made = await tools.put(WS, tool(), {})
    changes: list[dict[str, Any]] = [
        {"tags": ["x"]},
        {"description": "Ünï"},
        {"metadata": {}},
        {"return_char_limit": 5},
    ]
    await asyncio.gather(*(tools.update(WS, made.id, change, "roll") for change in changes))
    [found] = await tools.read_many(WS, [made.id])
    assert (found.tags, found.description, found.metadata, found.return_char_limit) == (["x"], "Ünï", {}, 5)


async def test_empty_lists_and_objects_stay_what_they_are(tools: ToolStore) -> None:
    schema = {"name": "roll", "parameters": {"properties": {}, "required": []}}
    made = await tools.put(WS, tool(json_schema=schema, pip_requirements=[]), {})
    assert (made.json_schema, made.pip_requirements, made.tags) == (schema, [], [])


async def test_a_name_is_free_again_after_a_rename_or_a_deletion(tools: ToolStore, team: Team) -> None:
    made = await tools.put(WS, tool(), {})
    await tools.update(WS, made.id, {"name": "throw"}, "throw")
    assert await tools.named(WS, ["roll", "throw"]) == [None, made.id]
    await tools.delete(WS, made.id)
    assert await tools.named(WS, ["roll", "throw"]) == [None, None]
    assert not {name for name in await team.names() if name.startswith("tool")}


async def test_a_call_is_taken_once_and_its_answer_kept_for_a_while(team: Team) -> None:
    runs = ToolRunStore(team.store)
    request = ToolRequest(id="toolrun-1", tool=tool(), arguments={"a": [1]}, environ={"K": "v"})
    await runs.ask(WS, request, 60)
    takers = await asyncio.gather(*(runs.take(WS, request.id, 60) for _ in range(8)))
    assert [one for one in takers if one] == [request]
    assert await runs.outcome(WS, request.id) is None
    outcome = ToolOutcome(text="x", value={"a": [1]}, stdout=["y"])
    await runs.answer(WS, request.id, outcome, 60)
    assert await runs.outcome(WS, request.id) == outcome
    assert 0 < await team.redis.ttl(f"bw:{{{WS}}}:toolrun:{request.id}") <= 60
    assert await runs.take(WS, "toolrun-unknown", 60) is None


async def test_a_call_is_started_once_and_what_it_gave_is_known(team: Team) -> None:
    lease, open_run = await team.working(await team.agent())
    run = open_run.run.id
    assert await team.leases.start_call(lease, run, "c1") is None
    assert await team.leases.start_call(lease, run, "c1") == ""
    await team.leases.end_call(lease, run, "c1", "{}")
    assert await team.leases.start_call(lease, run, "c1") == "{}"
    assert await team.leases.start_call(lease, run, "c2") is None
    old = lease.model_copy(update={"generation": lease.generation - 1})
    with pytest.raises(LeaseLost):
        await team.leases.start_call(old, run, "c3")
    with pytest.raises(LeaseLost):
        await team.leases.end_call(old, run, "c2", "{}")
