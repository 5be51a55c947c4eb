"""The toolbox: own tools beside the built-in ones, made from sources, found page by page."""

from typing import Any

import pytest

from service.errors import Invalid, NotFound
from service.records.base import Page
from service.records.tools import Tool, ToolFields
from service.toolbox import Toolbox, callable_alone, offered, schema_from
from service.tools.built_in import BUILT_IN, by_name
from tests.store.team import ALICE, WS, Team

pytestmark = pytest.mark.anyio

SOURCE = (
    'def {name}(sides: int) -> int:\n    """Roll a die.\n\n    Args:\n        sides: How many.\n    """\n'
)


def roll(name: str = "roll", **fields: Any) -> ToolFields:
    return ToolFields(source_code=SOURCE.format(name=name), **fields)


def every(tool: Tool) -> bool:
    return True


@pytest.fixture
def tools(team: Team) -> Toolbox:
    return team.service.tools


async def test_a_tool_is_made_from_its_source(tools: Toolbox) -> None:
    made = await tools.create(WS, roll(tags=["games"]), ALICE)
    assert (made.name, made.description, made.tool_type) == ("roll", "Roll a die.", "custom")
    assert (made.source_type, made.return_char_limit, made.tags) == ("json", 50_000, ["games"])
    assert (made.created_by_id, made.last_updated_by_id) == ("alice", "alice")
    assert made.json_schema is not None
    assert made.json_schema["parameters"]["required"] == ["sides"]
    assert await tools.read(WS, made.id) == made


async def test_a_tool_of_the_same_name_is_changed_and_keeps_its_id_and_what_was_not_said(
    tools: Toolbox,
) -> None:
    first = await tools.create(WS, roll(tags=["games"], return_char_limit=7), ALICE)
    given = roll(source_type="python").source_code
    assert given is not None
    changed = await tools.create(WS, ToolFields(source_code=given.replace("die", "dice")), ALICE)
    assert changed.id == first.id
    assert (changed.description, changed.tags, changed.return_char_limit) == ("Roll a dice.", ["games"], 7)
    assert await tools.count(WS, lambda tool: tool.tool_type == "custom") == 1


async def test_a_given_schema_goes_before_the_source(tools: Toolbox) -> None:
    schema = {"name": "fetch", "description": "Fetches.", "parameters": {"type": "object", "properties": {}}}
    made = await tools.create(WS, ToolFields(source_code="not python", json_schema=schema), ALICE)
    assert (made.name, made.description, made.json_schema) == ("fetch", "Fetches.", schema)
    bare = await tools.create(WS, ToolFields(json_schema={"name": "bare"}, source_code=""), ALICE)
    assert bare.description is None
    arguments = {"properties": {"sides": {"type": "integer"}}}
    given = await tools.create(WS, roll("other", args_json_schema=arguments), ALICE)
    assert given.json_schema is not None
    assert given.json_schema["parameters"]["properties"] == arguments["properties"]


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({}, "name: of a tool must be"),
        ({"name": 5}, "name: of a tool must be"),
        ({"name": "a b"}, "name: of a tool must be"),
        ({"name": "x" * 49}, "1 to 48"),
        ({"name": "tool-123e4567-e89b-42d3-8456-426614174000"}, "name: of a tool must be"),
        ({"name": "memory_insert"}, "is a built-in tool"),
        ({"name": "x", "parameters": []}, "json_schema: `parameters` must be an object"),
    ],
)
async def test_a_name_that_cannot_be_had_is_refused(
    tools: Toolbox, schema: dict[str, Any], said: str
) -> None:
    with pytest.raises(Invalid, match=said):
        await tools.create(WS, ToolFields(json_schema=schema), ALICE)


async def test_what_is_given_is_changed_and_a_new_source_renames(tools: Toolbox) -> None:
    made = await tools.create(WS, roll(tags=["games"]), ALICE)
    changed = await tools.update(WS, made.id, ToolFields(metadata={"idempotent": True}), ALICE)
    assert (changed.name, changed.tags, changed.repeatable) == ("roll", ["games"], True)
    renamed = await tools.update(WS, made.id, roll("throw"), ALICE)
    assert (renamed.id, renamed.name) == (made.id, "throw")
    assert renamed.json_schema is not None
    assert renamed.json_schema["name"] == "throw"
    again = await tools.create(WS, roll(), ALICE)
    assert again.id != made.id
    described = await tools.update(WS, made.id, roll("throw", description="Mine."), ALICE)
    assert described.description == "Mine."


async def test_a_name_that_another_tool_has_is_refused_and_nothing_is_changed(tools: Toolbox) -> None:
    made, other = await tools.create(WS, roll(), ALICE), await tools.create(WS, roll("other"), ALICE)
    with pytest.raises(Invalid, match=r"name: tool .* is called 'other' already"):
        await tools.update(WS, made.id, roll("other", tags=["x"]), ALICE)
    assert await tools.read(WS, made.id) == made
    assert await tools.read(WS, other.id) == other


async def test_a_typescript_tool_keeps_its_schema_when_its_source_changes(tools: Toolbox) -> None:
    schema = {"name": "fetch"}
    made = await tools.create(WS, ToolFields(source_type="typescript", json_schema=schema), ALICE)
    changed = await tools.update(WS, made.id, ToolFields(source_code="export {}"), ALICE)
    assert (changed.name, changed.source_code) == ("fetch", "export {}")
    assert not offered(changed)


async def test_a_deleted_tool_is_gone_and_its_name_free(tools: Toolbox) -> None:
    made = await tools.create(WS, roll(), ALICE)
    await tools.delete(WS, made.id)
    for act in (tools.read(WS, made.id), tools.delete(WS, made.id), tools.update(WS, made.id, roll(), ALICE)):
        with pytest.raises(NotFound):
            await act
    assert (await tools.create(WS, roll(), ALICE)).id != made.id


async def test_a_tool_deleted_at_the_same_time_is_not_brought_back(
    tools: Toolbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await tools.create(WS, roll(), ALICE)
    real = tools.read

    async def read_and_lose(ws: str, tool_id: str) -> Tool:
        found = await real(ws, tool_id)
        await tools._store.delete(ws, tool_id)
        return found

    monkeypatch.setattr(tools, "read", read_and_lose)
    with pytest.raises(NotFound):
        await tools.update(WS, made.id, ToolFields(tags=["x"]), ALICE)
    monkeypatch.undo()
    with pytest.raises(NotFound):
        await tools._store.delete(WS, made.id)


async def test_built_in_tools_can_be_read_and_nothing_else(tools: Toolbox) -> None:
    built_in = by_name("memory_insert").tool
    assert await tools.read(WS, built_in.id) == built_in
    with pytest.raises(Invalid, match="memory_insert is built in"):
        await tools.delete(WS, built_in.id)
    with pytest.raises(Invalid, match="memory_insert is built in"):
        await tools.update(WS, built_in.id, ToolFields(tags=["x"]), ALICE)


async def test_tools_are_found_by_name_and_by_id_for_an_agent(tools: Toolbox) -> None:
    made, built_in = await tools.create(WS, roll(), ALICE), by_name("memory").tool
    assert await tools.with_names(WS, ["roll", "memory", "roll"]) == [made, built_in]
    assert await tools.with_ids(WS, [built_in.id, made.id, made.id]) == [built_in, made]
    assert await tools.of(WS, ["memory", made.id, "tool-gone"]) == [built_in, made]
    assert (made.ref, built_in.ref) == (made.id, "memory")
    with pytest.raises(Invalid, match="tools: there is no tool named 'nonsense'"):
        await tools.with_names(WS, ["nonsense"])
    with pytest.raises(NotFound):
        await tools.with_ids(WS, ["tool-gone"])


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("limit", [1, 4, 50])
async def test_pages_run_through_built_in_and_own_tools_in_both_directions(
    tools: Toolbox, descending: bool, limit: int
) -> None:
    own = [(await tools.create(WS, roll(f"own_{i}"), ALICE)).id for i in range(5)]
    whole = [one.tool.id for one in BUILT_IN.values()] + own
    whole = whole[::-1] if descending else whole
    forward: list[str] = []
    page = Page(limit=limit, descending=descending)
    while found := await tools.find(WS, page, every):
        assert len(found) <= limit
        forward += [tool.id for tool in found]
        page = page.model_copy(update={"after": forward[-1]})
    assert forward == whole
    backward: list[str] = [whole[-1]]
    page = Page(limit=limit, descending=descending, before=whole[-1])
    while found := await tools.find(WS, page, every):
        backward = [*(tool.id for tool in found), *backward]
        page = page.model_copy(update={"before": backward[0]})
    assert backward == whole


async def test_a_page_may_lie_between_two_cursors(tools: Toolbox) -> None:
    own = [(await tools.create(WS, roll(f"own_{i}"), ALICE)).id for i in range(3)]
    last = [one.tool.id for one in BUILT_IN.values()][-1]
    for after, before, found in [
        (last, own[2], own[:2]),
        (own[0], own[2], [own[1]]),
        (own[0], last, []),
        ("tool-unknown", own[0], [last]),
    ]:
        page = Page(after=after, before=before, limit=2 if found != [last] else 1)
        assert [tool.id for tool in await tools.find(WS, page, every)] == found


async def test_a_filter_asks_each_tool_and_names_are_looked_up(tools: Toolbox) -> None:
    made = await tools.create(WS, roll(), ALICE)
    own = await tools.find(WS, Page(), lambda tool: tool.tool_type == "custom")
    assert own == [made]
    memory = await tools.find(WS, Page(limit=2), lambda tool: tool.name.startswith("memory"))
    assert [tool.name for tool in memory] == ["memory", "memory_apply_patch"]
    named = ["roll", "memory", "nonsense"]
    assert [tool.name for tool in await tools.find(WS, Page(), every, named)] == ["memory", "roll"]
    assert await tools.find(WS, Page(descending=True, limit=1), every, named) == [made]
    assert await tools.find(WS, Page(limit=1, before=made.id), every, named) == [by_name("memory").tool]
    assert await tools.find(WS, Page(), lambda tool: False, named) == []


async def test_a_search_puts_names_before_tags_before_descriptions(tools: Toolbox) -> None:
    by_text = await tools.create(WS, roll("one", description="Knows of dice."), ALICE)
    by_tag = await tools.create(WS, roll("two", description="", tags=["dice"]), ALICE)
    by_its_name = await tools.create(WS, roll("dice", description=""), ALICE)
    found = await tools.search(WS, "DICE", every, 10)
    assert [one.tool.id for one in found] == [by_its_name.id, by_tag.id, by_text.id]
    assert found[0].score == 1
    assert len(await tools.search(WS, "", every, 4)) == 4
    assert await tools.search(WS, "zebra", every, 10) == []


def test_a_tool_is_offered_if_something_runs_it() -> None:
    assert offered(Tool(id="", name="own"))
    assert offered(by_name("memory").tool)
    assert not offered(by_name("archival_memory_insert").tool)
    assert callable_alone(by_name("memory").tool)
    assert not callable_alone(by_name("archival_memory_insert").tool)


def test_a_schema_can_be_had_without_making_a_tool() -> None:
    assert schema_from(SOURCE.format(name="roll"))["name"] == "roll"
    with pytest.raises(Invalid, match="built-in"):
        schema_from(SOURCE.format(name="memory"))
