"""Records: how they are made without being checked again, and how times are written."""

from typing import Any

import pytest
from pydantic import BaseModel
from pydantic_core import to_json

from service.http.schemas.blocks import BlockResponse, block_response, shown_block
from service.records.base import iso, unchecked
from service.records.blocks import Block
from service.store.blocks import to_block

HASH = {
    "id": "block-1",
    "label": "notes",
    "value": "ä",
    "version": "3",
    "chars": "1",
    "limit": "7",
    "read_only": "1",
    "hidden": "0",
    "tags": '["a"]',
    "metadata": '{"k":[1,null]}',
    "created_at": "1",
    "updated_at": "1769839410000001",
    "created_by": "ann",
    "places": "[]",
}
LEAST = {
    name: HASH[name] for name in ("id", "label", "value", "version", "chars", "created_at", "updated_at")
}


@pytest.mark.parametrize("hash", [HASH, LEAST], ids=["all", "least"])
def test_a_block_that_is_read_is_the_same_as_a_checked_one(hash: dict[str, str]) -> None:
    parsed: dict[str, Any] = {"tags": ["a"], "metadata": {"k": [1, None]}} if "tags" in hash else {}
    checked = Block.model_validate({**hash, **parsed})
    assert to_block(hash) == checked
    assert to_json(to_block(hash)) == to_json(checked)
    assert to_block(hash).identity_ids is not to_block(hash).identity_ids


def test_an_answer_is_the_same_as_a_checked_one() -> None:
    block = to_block(HASH)
    assert block_response(block) == BlockResponse(**shown_block(block))
    assert to_json(block_response(block)) == to_json(BlockResponse(**shown_block(block)))


def test_a_value_that_is_missing_is_told_at_once() -> None:
    with pytest.raises(KeyError, match="version"):
        unchecked(BlockResponse, {name: None for name in BlockResponse.model_fields if name != "version"})


def test_times_are_written_with_all_their_digits() -> None:
    assert iso(1_769_839_410_000_001) == "2026-01-31T06:03:30.000001Z"
    assert iso(1_769_839_410_000_000) == "2026-01-31T06:03:30.000000Z"


@pytest.mark.parametrize("update", [None, {}, {"version": 4, "description": "new"}])
def test_a_copy_is_as_the_library_makes_it(update: dict[str, Any] | None) -> None:
    block = Block(**{name: value for name, value in vars(to_block(LEAST)).items() if name in LEAST})
    ours, theirs = block.model_copy(update=update), BaseModel.model_copy(block, update=update)
    assert type(ours) is Block
    assert ours == theirs
    assert (vars(ours), ours.model_fields_set) == (vars(theirs), theirs.model_fields_set)
    assert ours.model_dump_json(exclude_unset=True) == theirs.model_dump_json(exclude_unset=True)
    assert (block.version, block.description) == (3, None)
    assert "description" not in block.model_fields_set
    assert ours.tags is block.tags


def test_a_deep_copy_shares_nothing() -> None:
    block = to_block(HASH)
    deep = block.model_copy(deep=True, update={"version": 4})
    assert (deep.tags, deep.version) == (block.tags, 4)
    assert deep.tags is not block.tags
