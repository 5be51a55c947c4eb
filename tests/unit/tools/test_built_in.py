import copy
import json
import re
from typing import Any

import pytest

from service.errors import NotFound
from service.records.tools import Tool
from service.tools.arguments import MemoryArguments
from service.tools.built_in import BUILT_IN, NOT_YET, by_id, by_name, with_heartbeat
from service.tools.calls import ToolArgumentsWrong, argument_model, parse_arguments

LABELLED = {"label": "string"}
# name -> type, arguments with their JSON types, the required ones
TABLE: dict[str, tuple[str, dict[str, str], list[str]]] = {
    "core_memory_append": (
        "letta_memory_core",
        LABELLED | {"content": "string"},
        ["label", "content"],
    ),
    "core_memory_replace": (
        "letta_memory_core",
        LABELLED | {"old_content": "string", "new_content": "string"},
        ["label", "old_content", "new_content"],
    ),
    "memory_insert": (
        "letta_sleeptime_core",
        LABELLED | {"new_string": "string", "insert_line": "integer"},
        ["label", "new_string"],
    ),
    "memory_replace": (
        "letta_sleeptime_core",
        LABELLED | {"old_string": "string", "new_string": "string"},
        ["label", "old_string", "new_string"],
    ),
    "memory_rethink": ("letta_sleeptime_core", LABELLED | {"new_memory": "string"}, ["label", "new_memory"]),
    "memory_finish_edits": ("letta_sleeptime_core", {}, []),
    "memory_apply_patch": ("letta_memory_core", LABELLED | {"patch": "string"}, ["label", "patch"]),
    "memory": (
        "letta_memory_core",
        {
            "command": "string",
            "path": "string",
            "file_text": "string",
            "description": "string",
            "old_string": "string",
            "new_string": "string",
            "insert_line": "integer",
            "insert_text": "string",
            "old_path": "string",
            "new_path": "string",
        },
        ["command"],
    ),
    "send_message": ("letta_core", {"message": "string"}, ["message"]),
    "conversation_search": (
        "letta_core",
        {
            "query": "string",
            "roles": "array",
            "limit": "integer",
            "start_date": "string",
            "end_date": "string",
        },
        [],
    ),
    "archival_memory_insert": ("letta_core", {"content": "string", "tags": "array"}, ["content"]),
    "archival_memory_search": (
        "letta_core",
        {
            "query": "string",
            "tags": "array",
            "tag_match_mode": "string",
            "top_k": "integer",
            "start_datetime": "string",
            "end_datetime": "string",
        },
        ["query"],
    ),
    "send_message_to_agent_and_wait_for_reply": (
        "letta_multi_agent_core",
        {"message": "string", "other_agent_id": "string"},
        ["message", "other_agent_id"],
    ),
    "send_message_to_agent_async": (
        "letta_multi_agent_core",
        {"message": "string", "other_agent_id": "string"},
        ["message", "other_agent_id"],
    ),
    "send_message_to_agents_matching_tags": (
        "letta_multi_agent_core",
        {"message": "string", "match_all": "array", "match_some": "array"},
        ["message", "match_all", "match_some"],
    ),
}


def parameters(name: str) -> dict[str, Any]:
    schema = by_name(name).tool.json_schema
    assert schema is not None
    part: dict[str, Any] = schema["parameters"]
    return part


@pytest.mark.parametrize("name", TABLE)
def test_a_tool_takes_exactly_v1s_arguments(name: str) -> None:
    tool_type, types, required = TABLE[name]
    given = parameters(name)
    assert {key: field["type"] for key, field in given["properties"].items()} == types
    assert given["required"] == required
    assert given["type"] == "object"
    assert by_name(name).tool.tool_type == tool_type


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_schema_is_plain_and_described(name: str) -> None:
    schema = by_name(name).tool.json_schema
    assert schema is not None
    assert list(schema) == ["name", "description", "parameters"]
    assert schema["name"] == name
    said = str(by_name(name).tool.description)
    assert said == schema["description"] + ("" if by_name(name).available else f" {NOT_YET}")
    assert set(schema["parameters"]) == {"type", "properties", "required"}
    for field in schema["parameters"]["properties"].values():
        assert field["description"]
        assert set(field) <= {"type", "description", "items", "enum"}
        assert set(field.get("items", {})) <= {"type", "enum"}
        assert ("items" in field) == (field["type"] == "array")


def test_a_choice_shows_its_values() -> None:
    command = parameters("memory")["properties"]["command"]
    assert command["enum"] == ["create", "str_replace", "insert", "delete", "rename"]
    roles = parameters("conversation_search")["properties"]["roles"]
    assert roles["items"] == {"type": "string", "enum": ["assistant", "user", "tool"]}
    assert parameters("archival_memory_search")["properties"]["tag_match_mode"]["enum"] == ["any", "all"]


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_built_in_tool_has_the_record_v1_shows(name: str) -> None:
    tool = by_name(name).tool
    assert tool.name == name
    assert len(name) <= 48
    assert tool.tags == [tool.tool_type]
    assert (tool.source_type, tool.source_code, tool.return_char_limit) == ("python", None, 50_000)


def test_searches_alone_may_run_beside_others() -> None:
    parallel = {name for name, definition in BUILT_IN.items() if definition.tool.enable_parallel_execution}
    assert parallel == {"conversation_search", "archival_memory_search"}


def test_tools_that_nothing_answers_yet_say_so() -> None:
    waiting = {name for name, definition in BUILT_IN.items() if not definition.available}
    assert waiting == {
        "archival_memory_insert",
        "archival_memory_search",
        "search_memory",
        "store_memories",
        "rethink_user_memory",
        "finish_rethinking_memory",
    }


def test_ids_look_random_and_are_the_same_everywhere() -> None:
    ids = [definition.tool.id for definition in BUILT_IN.values()]
    shape = re.compile(r"^tool-[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$")
    assert all(shape.match(id) for id in ids)
    assert len(set(ids)) == len(ids)
    assert by_name("memory_insert").tool.id == "tool-13bd9c99-2373-4bbd-9022-e6c5da5c8c6c"


def test_a_tool_is_found_by_name_and_by_id() -> None:
    for name, definition in BUILT_IN.items():
        assert by_name(name) is by_id(definition.tool.id) is definition


def test_an_unknown_tool_is_not_found() -> None:
    with pytest.raises(NotFound, match="tool nothing"):
        by_name("nothing")
    with pytest.raises(NotFound, match="tool tool-1"):
        by_id("tool-1")
    with pytest.raises(NotFound):
        argument_model("nothing")


def test_a_tools_limit_stays_within_v1s_bounds() -> None:
    with pytest.raises(ValueError, match="return_char_limit"):
        Tool(id="tool-1", name="x", return_char_limit=0)


def test_arguments_are_parsed_with_their_defaults() -> None:
    parsed = parse_arguments("memory_insert", '{"label": "notes", "new_string": "ü\\n\\ud83d\\ude00"}')
    assert parsed.model_dump() == {"label": "notes", "new_string": "ü\n\U0001f600", "insert_line": -1}
    assert parse_arguments("conversation_search", "{}").model_dump() == {
        "query": None,
        "roles": None,
        "limit": 5,
        "start_date": None,
        "end_date": None,
    }


def test_empty_texts_are_arguments() -> None:
    arguments = '{"label": "", "old_content": "a", "new_content": ""}'
    assert parse_arguments("core_memory_replace", arguments).model_dump()["new_content"] == ""


@pytest.mark.parametrize("written", ["", "  \n", "{}"])
def test_a_tool_without_arguments_takes_an_empty_call(written: str) -> None:
    assert parse_arguments("memory_finish_edits", written).model_dump() == {}


def test_arguments_of_the_loop_are_passed_over() -> None:
    written = '{"thinking": "hm", "message": "hi", "request_heartbeat": "maybe"}'
    assert parse_arguments("send_message", written).model_dump() == {"message": "hi"}


def test_null_is_the_same_as_left_out() -> None:
    written = '{"label": "a", "new_string": "b", "insert_line": null}'
    assert parse_arguments("memory_insert", written).model_dump()["insert_line"] == -1


def test_a_number_written_as_text_is_understood() -> None:
    written = '{"label": "a", "new_string": "b", "insert_line": "3"}'
    assert parse_arguments("memory_insert", written).model_dump()["insert_line"] == 3


@pytest.mark.parametrize(
    ("name", "written", "text"),
    [
        ("send_message", "{", "send_message() arguments are not valid JSON: "),
        ("send_message", "[" * 200_000, "nested too deeply"),
        ("memory_insert", '{"insert_line": ' + "9" * 5000 + "}", "a number that is too long"),
        ("send_message", "[1]", "send_message() arguments must be a JSON object, not list"),
        ("send_message", '"hi"', "send_message() arguments must be a JSON object, not str"),
        ("send_message", '{"message": "\\ud800"}', "half of a surrogate pair"),
        ("send_message", '{"m\\udc00": "x"}', "half of a surrogate pair"),
        ("send_message", "{}", "send_message() missing 1 required argument: 'message'"),
        ("memory_insert", "", "memory_insert() missing 2 required arguments: 'label' and 'new_string'"),
        (
            "memory_replace",
            "{}",
            "missing 3 required arguments: 'label', 'old_string' and 'new_string'",
        ),
        ("send_message", '{"text": "x"}', "send_message() got an unexpected keyword argument 'text'"),
        ("send_message", '{"message": "x", "to": null}', "got an unexpected keyword argument 'to'"),
        ("memory_finish_edits", '{"label": "x"}', "got an unexpected keyword argument 'label'"),
        ("send_message", '{"message": 5}', "send_message() argument 'message' should be a valid string"),
        ("send_message", '{"message": null}', "send_message() argument 'message' should be a valid string"),
        (
            "memory_insert",
            '{"label": "a", "new_string": "b", "insert_line": "x"}',
            "memory_insert() argument 'insert_line' should be a valid integer",
        ),
        ("conversation_search", '{"limit": 0}', "argument 'limit' should be greater than"),
        (
            "conversation_search",
            '{"roles": ["bob"]}',
            "argument 'roles' should be 'assistant', 'user' or 'tool'",
        ),
        (
            "memory",
            '{"command": "drop"}',
            "memory() argument 'command' should be 'create', 'str_replace', 'insert', 'delete' or 'rename'",
        ),
    ],
)
def test_wrong_arguments_are_told_the_way_python_would(name: str, written: str, text: str) -> None:
    with pytest.raises(ToolArgumentsWrong) as caught:
        parse_arguments(name, written)
    assert text in str(caught.value)
    assert caught.value.tool == name


def test_a_wrong_argument_is_named_for_the_program_too() -> None:
    with pytest.raises(ToolArgumentsWrong) as caught:
        parse_arguments("memory_insert", '{"label": "a"}')
    assert caught.value.argument == "new_string"


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ({"command": "create", "path": "a"}, "'create' is missing 'description'"),
        ({"command": "str_replace", "path": "a"}, "'str_replace' is missing 'old_string' and 'new_string'"),
        ({"command": "insert", "path": "a", "insert_line": 0}, "'insert' is missing 'insert_text'"),
        ({"command": "delete"}, "'delete' is missing 'path'"),
        ({"command": "rename"}, "'rename' is missing 'old_path' and 'new_path'"),
        ({"command": "rename", "old_path": "a"}, "'rename' is missing 'new_path'"),
        ({"command": "rename", "path": "a"}, "'rename' is missing 'description'"),
    ],
)
def test_a_memory_command_names_what_it_lacks(given: dict[str, Any], missing: str) -> None:
    with pytest.raises(ToolArgumentsWrong) as caught:
        parse_arguments("memory", json.dumps(given))
    assert str(caught.value) == f"memory() command {missing}"


@pytest.mark.parametrize(
    "given",
    [
        {"command": "create", "path": "a", "description": ""},
        {"command": "create", "path": "a", "description": "b", "file_text": "c"},
        {"command": "str_replace", "path": "a", "old_string": "b", "new_string": ""},
        {"command": "insert", "path": "a", "insert_text": ""},
        {"command": "delete", "path": "a", "description": None},
        {"command": "rename", "old_path": "a", "new_path": "b"},
        {"command": "rename", "path": "x", "old_path": "a", "new_path": "b"},
        {"command": "rename", "path": "a", "description": "b"},
    ],
)
def test_a_complete_memory_command_is_accepted(given: dict[str, Any]) -> None:
    parsed = parse_arguments("memory", json.dumps(given))
    assert isinstance(parsed, MemoryArguments)
    assert parsed.insert_line == -1


def test_a_heartbeat_is_asked_for_beside_the_tools_own_arguments() -> None:
    schema = by_name("memory_insert").tool.json_schema
    assert schema is not None
    before = copy.deepcopy(schema)
    extended = with_heartbeat(schema)
    assert list(extended["parameters"]["properties"])[-1] == "request_heartbeat"
    assert extended["parameters"]["properties"]["request_heartbeat"]["type"] == "boolean"
    assert extended["parameters"]["required"] == ["label", "new_string", "request_heartbeat"]
    assert extended["name"] == "memory_insert"
    assert schema == before
