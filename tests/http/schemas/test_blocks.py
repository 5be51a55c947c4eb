"""Blocks on the wire: bounds of the bodies, what an edit needs, and V1's fields in the answer."""

from typing import Any

import pytest
from pydantic import ValidationError

from service.http.calls import parse_query
from service.http.errors import Malformed
from service.http.schemas.blocks import (
    BlockEdit,
    BlockListQuery,
    BlockUpdate,
    CreateBlock,
    block_response,
    edit_of,
    edited_block,
    fields_of,
    update_of,
)
from service.records.blocks import Block, BlockFields, BlockQuery, Edit, EditOutcome

V1_FIELDS = (
    "value limit project_id template_name is_template template_id base_template_id deployment_id "
    "entity_id preserve_on_migration label read_only description metadata hidden id created_by_id "
    "last_updated_by_id tags"
).split()
BLOCK = Block(
    id="block-1",
    label="notes",
    value="x",
    version=3,
    chars=1,
    tags=["a"],
    metadata={"k": 1},
    created_at=1,
    updated_at=1_769_839_410_000_001,
    created_by="ann",
    updated_by="bob",
)


def test_an_answer_has_every_field_of_v1_and_then_ours() -> None:
    shown = block_response(BLOCK).model_dump()
    assert set(shown) == {*V1_FIELDS, "version", "updated_at"}
    assert (shown["version"], shown["updated_at"]) == (3, "2026-01-31T06:03:30.000001Z")
    assert (shown["created_by_id"], shown["last_updated_by_id"]) == ("ann", "bob")
    assert (shown["tags"], shown["metadata"], shown["limit"]) == (["a"], {"k": 1}, 100_000)


def test_the_answer_to_an_edit_also_says_what_it_did() -> None:
    shown = edited_block(EditOutcome(block=BLOCK, version=2, changed=False, repeated=True)).model_dump()
    assert shown["version"] == 3
    assert shown["edit"] == {"version": 2, "changed": False, "repeated": True}


def test_a_new_block_needs_a_label_only_and_null_is_the_same_as_absent() -> None:
    body = CreateBlock.model_validate(
        {"label": "a b/ü", "value": None, "limit": None, "tags": None, "name": "x"}
    )
    assert fields_of(body) == BlockFields(label="a b/ü")


def test_nul_characters_are_dropped_from_values() -> None:
    assert CreateBlock(label="a", value="x\0y").value == "xy"
    assert BlockEdit(operation="append", text="\0z").text == "z"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("label", None),
        ("label", ""),
        ("label", "x" * 501),
        ("value", 7),
        ("limit", -1),
        ("limit", 2**31),
        ("description", "x" * 10_001),
        ("tags", ["x"] * 501),
        ("tags", [""]),
        ("tags", "a"),
        ("metadata", {"k": "x" * 100_001}),
        ("metadata", []),
        ("read_only", "perhaps"),
    ],
)
def test_what_is_out_of_bounds_is_named(field: str, value: Any) -> None:
    with pytest.raises(ValidationError) as caught:
        CreateBlock.model_validate({"label": "a", field: value})
    assert {error["loc"][0] for error in caught.value.errors()} == {field}


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"operation": "set"}, "text: "),
        ({"operation": "append"}, "text: "),
        ({"operation": "insert", "line": 3}, "text: "),
        ({"operation": "replace", "old": "x"}, "text: "),
        ({"operation": "replace", "text": "x"}, "old: "),
        ({"operation": "replace", "text": "x", "old": ""}, "old"),
        ({"operation": "configure"}, "operation: configure needs at least one field"),
        ({"operation": "delete"}, "operation"),
        ({"operation": "append", "text": "x", "expected_version": -1}, "expected_version"),
        ({"operation": "append", "text": "x", "edit_id": ""}, "edit_id"),
        ({"operation": "insert", "text": "x", "line": -2}, "line"),
    ],
)
def test_an_operation_without_what_it_needs_is_refused_by_name(body: dict[str, Any], named: str) -> None:
    with pytest.raises(ValidationError, match=named):
        BlockEdit.model_validate(body)


@pytest.mark.parametrize(
    ("operation", "field", "value"),
    [
        ("set", "line", 0),
        ("set", "old", "x"),
        ("set", "description", ""),
        ("append", "line", 0),
        ("append", "all", False),
        ("append", "description", "x"),
        ("append", "value", "x"),
        ("insert", "old", "x"),
        ("insert", "label", "x"),
        ("replace", "line", 0),
        ("replace", "tags", []),
        ("configure", "text", ""),
        ("configure", "line", 0),
        ("configure", "old", "x"),
        ("configure", "all", True),
    ],
)
def test_a_field_that_the_operation_does_not_take_is_refused_by_name(
    operation: str, field: str, value: Any
) -> None:
    needs: dict[str, dict[str, Any]] = {
        "replace": {"text": "t", "old": "o"},
        "configure": {"hidden": True},
    }
    needed = needs.get(operation, {"text": "t"})
    BlockEdit.model_validate({"operation": operation, **needed, field: None})
    with pytest.raises(ValidationError, match=f"{field}: not taken by the operation {operation}"):
        BlockEdit.model_validate({"operation": operation, **needed, field: value})


def test_every_operation_says_what_it_takes_and_all_such_fields_are_told_at_once() -> None:
    with pytest.raises(ValidationError, match="old, label, hidden: not taken by the operation insert"):
        BlockEdit(operation="insert", text="x", hidden=True, label="y", old="z")


def test_an_edits_body_becomes_the_edit_it_means() -> None:
    body = BlockEdit(operation="insert", text="x", line=0, edit_id="e")
    assert edit_of(body, 4) == Edit(operation="insert", text="x", line=0, expected_version=4, edit_id="e")
    assert edit_of(BlockEdit(operation="insert", text="x"), None).line == -1
    body = BlockEdit(operation="replace", text="", old="x", all=True, label=None)
    assert edit_of(body, None) == Edit(operation="replace", text="", old="x", all=True)
    body = BlockEdit(operation="configure", description="", tags=[])
    assert edit_of(body, None).fields == BlockFields(description="", tags=[])


def test_a_patch_of_the_value_alone_is_a_set_and_of_more_a_configure() -> None:
    assert update_of(BlockUpdate(value=""), 2) == Edit(operation="set", text="", expected_version=2)
    both = update_of(BlockUpdate(value="x", label="y"), None)
    assert (both.operation, both.fields) == ("configure", BlockFields(value="x", label="y"))
    assert update_of(BlockUpdate(), None).fields == BlockFields()


def test_the_filters_of_a_list_become_its_query() -> None:
    query = parse_query(
        BlockListQuery,
        b"label=a&tags=x&tags=y&match_all_tags=true&label_search=b&value_search=c&description_search=d&name=t"
        b"&connected_to_agents_count_gt=1&connected_to_agents_count_lt=9&connected_to_agents_count_eq=0"
        b"&connected_to_agents_count_eq=2&show_hidden_blocks=true&templates_only=true&project_id=p",
    )
    assert query.block_query() == BlockQuery(
        label="a",
        tags=["x", "y"],
        match_all_tags=True,
        label_search="b",
        value_search="c",
        description_search="d",
        name="t",
        agents_gt=1,
        agents_lt=9,
        agents_in=[0, 2],
        show_hidden=True,
        templates_only=True,
        project_id="p",
    )
    assert (query.page().limit, query.page().descending) == (50, False)


@pytest.mark.parametrize(
    "raw", [b"label=a%20b", b"label=", b"label_search=%25", b"order=up", b"value_search=", b"identity_id=7"]
)
def test_a_filter_that_v1_does_not_take_is_malformed(raw: bytes) -> None:
    with pytest.raises(Malformed):
        parse_query(BlockListQuery, raw)
