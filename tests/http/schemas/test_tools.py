"""Tools on the wire: V1's fields and the filters of the list."""

import pytest

from service.errors import Invalid
from service.http.schemas.tools import ToolListQuery, tool_response
from service.records.tools import Tool

V1_FIELDS = (
    "id tool_type description source_type name tags source_code json_schema args_json_schema "
    "return_char_limit pip_requirements npm_requirements default_requires_approval "
    "enable_parallel_execution created_by_id last_updated_by_id metadata_ project_id"
).split()
TOOL = Tool(id="tool-1", name="memory_insert", tool_type="letta_core", metadata={"k": 1})


def test_an_answer_has_every_field_of_v1() -> None:
    shown = tool_response(TOOL).model_dump()
    assert set(shown) == set(V1_FIELDS)
    assert shown["metadata_"] == {"k": 1}


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        (ToolListQuery(), True),
        (ToolListQuery(name="memory_insert"), True),
        (ToolListQuery(name="memory"), False),
        (ToolListQuery(names=["x", "memory_insert"]), True),
        (ToolListQuery(names=["x"]), False),
        (ToolListQuery(tool_ids=["tool-2,tool-1"]), True),
        (ToolListQuery(tool_ids=["tool-2"]), False),
        (ToolListQuery(search="INSERT"), True),
        (ToolListQuery(search="rethink"), False),
        (ToolListQuery(tool_types=["custom, letta_core"]), True),
        (ToolListQuery(tool_types=["custom"]), False),
        (ToolListQuery(exclude_tool_types=["letta_core"]), False),
        (ToolListQuery(return_only_letta_tools=True), True),
    ],
)
def test_a_filter_keeps_what_it_says(query: ToolListQuery, wanted: bool) -> None:
    assert query.wants(TOOL) is wanted


def test_an_own_tool_is_not_one_of_lettas() -> None:
    own = TOOL.model_copy(update={"tool_type": "custom"})
    assert not ToolListQuery(return_only_letta_tools=True).wants(own)


def test_a_tool_type_that_does_not_exist_is_refused() -> None:
    with pytest.raises(Invalid, match="exclude_tool_types: 'wings'"):
        ToolListQuery(exclude_tool_types=["wings"]).wants(TOOL)
