"""The tool `memory`: its commands on blocks by path, and what each of them refuses."""

from typing import Any

import pytest

from service.prompts import LINE_NUMBER_WARNING
from service.records.agents import Agent
from service.records.messages import ToolReturn
from tests.workers.bench import WS, Bench, call, calls, says

pytestmark = pytest.mark.anyio


@pytest.fixture
async def agent(bench: Bench) -> Agent:
    blocks = {"notes": "alpha\nbeta", "other": "", "deep/path": "x", "deep_path": "y"}
    return await bench.agent(blocks, tools=["memory"])


async def use(bench: Bench, agent: Agent, **arguments: Any) -> ToolReturn:
    run = await bench.tell(agent, calls(call("memory", **arguments)), says("Done."))
    return (await bench.results(run))[-1]


@pytest.mark.parametrize(
    ("path", "label"),
    [("fresh", "fresh"), ("/memories/fresh", "fresh"), ("/fresh", "fresh"), ("/memories/a/b", "a/b")],
)
async def test_create_makes_a_block_and_attaches_it(
    bench: Bench, agent: Agent, path: str, label: str
) -> None:
    result = await use(bench, agent, command="create", path=path, description="New.", file_text="a\tb")
    assert (result.status, result.text) == ("success", f"Created the memory block {label}.")
    block = await bench.service.blocks.labelled(WS, agent.id, label)
    assert (block.value, block.description, block.version) == ("a       b", "New.", 1)
    assert block.created_by == agent.id


async def test_create_without_a_text_makes_an_empty_block(bench: Bench, agent: Agent) -> None:
    await use(bench, agent, command="create", path="fresh", description="New.")
    assert (await bench.service.blocks.labelled(WS, agent.id, "fresh")).value == ""


@pytest.mark.parametrize("path", ["notes", "/memories/notes"])
async def test_str_replace_replaces_one_passage(bench: Bench, agent: Agent, path: str) -> None:
    result = await use(bench, agent, command="str_replace", path=path, old_string="beta", new_string="B\t.")
    assert (result.status, result.text) == ("success", "alpha\nB       .")


async def test_insert_puts_lines_where_it_is_told(bench: Bench, agent: Agent) -> None:
    first = await use(
        bench, agent, command="insert", path="/memories/notes", insert_text="top", insert_line=0
    )
    assert first.text == "top\nalpha\nbeta"
    last = await use(bench, agent, command="insert", path="notes", insert_text="end")
    assert last.text == "top\nalpha\nbeta\nend"


async def test_delete_takes_the_block_from_the_agent_alone(bench: Bench, agent: Agent) -> None:
    result = await use(bench, agent, command="delete", path="/memories/notes")
    assert (result.status, result.text) == ("success", "Detached the memory block notes.")
    assert "notes" not in await bench.labels(agent)
    assert await bench.text("notes") == "alpha\nbeta"


async def test_rename_changes_the_label_for_everybody(bench: Bench, agent: Agent) -> None:
    other = await bench.agent(share=[await bench.read("notes")])
    result = await use(bench, agent, command="rename", old_path="/memories/notes", new_path="/memories/log/1")
    assert (result.status, result.text) == ("success", "Renamed the memory block notes to log_1.")
    assert "log_1" in await bench.labels(agent)
    assert await bench.labels(other) == ["log_1"]


async def test_rename_with_a_path_and_a_description_describes(bench: Bench, agent: Agent) -> None:
    result = await use(bench, agent, command="rename", path="notes", description="What happened.")
    assert result.text == "Changed the description of the memory block notes."
    assert (await bench.read("notes")).description == "What happened."


@pytest.mark.parametrize(
    ("arguments", "changed"),
    [
        ({"command": "insert", "insert_text": "more"}, "deep_path"),
        ({"command": "rename", "description": "d"}, "deep_path"),
        ({"command": "str_replace", "old_string": "x", "new_string": "z"}, "deep/path"),
    ],
)
async def test_inner_slashes_of_a_path_are_underscores_in_some_commands(
    bench: Bench, agent: Agent, arguments: dict[str, Any], changed: str
) -> None:
    assert (await use(bench, agent, path="/memories/deep/path", **arguments)).status == "success"
    versions = {label: (await bench.read(label)).version for label in ("deep/path", "deep_path")}
    assert versions[changed] == 2
    assert sum(versions.values()) == 3


def asks(command: str, path: str | None = None, **more: Any) -> dict[str, Any]:
    return {"command": command, "path": path, **more}


def swaps(path: str, old: str) -> dict[str, Any]:
    return asks("str_replace", path, old_string=old, new_string="")


INCOMPLETE = [
    (asks("create", "x"), "command 'create' is missing 'description'"),
    (asks("create"), "command 'create' is missing 'path' and 'description'"),
    (asks("str_replace", "x"), "missing 'old_string' and 'new_string'"),
    (asks("insert", "x"), "command 'insert' is missing 'insert_text'"),
    (asks("delete"), "command 'delete' is missing 'path'"),
    (asks("rename"), "command 'rename' is missing 'old_path' and 'new_path'"),
    (asks("rename", "x"), "command 'rename' is missing 'description'"),
    (asks("view"), "'create', 'str_replace', 'insert', 'delete' or 'rename'"),
    ({}, "missing 1 required argument: 'command'"),
]
ABSENT = [
    (swaps("none", "a"), "Block field none"),
    (asks("insert", "none", insert_text="x"), "Block field none"),
    (asks("delete", "none"), "(available labels: deep/path, deep_path, notes, other)"),
    (asks("rename", old_path="none", new_path="x"), "Block field none"),
    (asks("rename", "none", description="d"), "Block field none"),
]
REFUSED = [
    (asks("create", "notes", description="d"), "another block labelled 'notes'"),
    (asks("create", "/", description="d"), "label: must have 1 to 500"),
    (asks("create", "x", description="d", file_text="1→ x"), "file_text contains line numbers"),
    (asks("create", "x", description="d", file_text="x" * 100_001), "Cut at least 1 "),
    (swaps("notes", "z"), "not found"),
    (swaps("notes", "a"), "more than once"),
    (asks("insert", "notes", insert_text="x", insert_line=9), "between 0 (the top) and 2 (the end)"),
    (asks("insert", "notes", insert_text=LINE_NUMBER_WARNING), "insert_text contains the note on"),
    (asks("rename", old_path="notes", new_path="other"), "another block labelled 'other'"),
]


@pytest.mark.parametrize(
    ("kind", "arguments", "said"),
    [
        *(("TypeError", *row) for row in INCOMPLETE),
        *(("KeyError", *row) for row in ABSENT),
        *(("ValueError", *row) for row in REFUSED),
    ],
)
async def test_what_cannot_be_done_is_said(
    bench: Bench, agent: Agent, kind: str, arguments: dict[str, Any], said: str
) -> None:
    result = await use(bench, agent, **arguments)
    assert result.status == "error"
    assert said in result.text
    assert (result.stderr or [""])[0].startswith(f"Error executing function memory: {kind}: ")
    assert await bench.labels(agent) == ["deep/path", "deep_path", "notes", "other"]


@pytest.mark.parametrize(
    ("arguments", "refused"),
    [
        ({"command": "str_replace", "old_string": "x", "new_string": ""}, True),
        ({"command": "insert", "insert_text": "x"}, True),
        ({"command": "rename", "description": "d"}, True),
        ({"command": "delete"}, False),
    ],
)
async def test_a_read_only_block_may_only_be_left(
    bench: Bench, agent: Agent, arguments: dict[str, Any], refused: bool
) -> None:
    await bench.edit("notes", "configure", fields={"read_only": True})
    result = await use(bench, agent, path="notes", **arguments)
    assert (result.status == "error") is refused
    assert result.text.startswith("Error: the block 'notes' is read-only") is refused


async def test_a_block_that_goes_away_in_the_middle_of_a_call_is_named(
    bench: Bench, agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between looking up the label and the edit somebody detaches the block."""
    edit = bench.service.blocks.edit

    async def detached_before(ws: str, block_id: str, *rest: Any) -> Any:
        await bench.service.blocks.detach(ws, agent.id, block_id, rest[1])
        return await edit(ws, block_id, *rest)

    monkeypatch.setattr(bench.service.blocks, "edit", detached_before)
    result = await use(bench, agent, command="insert", path="notes", insert_text="x")
    assert result.text == "'Block field notes does not exist for this agent any more'"
    assert await bench.text("notes") == "alpha\nbeta"
