"""Shown: an answer made of a record is what validating would have made."""

import pytest
from pydantic_core import to_json

from service.http.schemas.blocks import BlockResponse, block_response, shown_block
from service.records.blocks import Block

BLOCK = Block(id="block-1", label="notes", value="ä", version=3, chars=1, created_at=1, updated_at=2)


def test_an_answer_is_the_same_as_a_validated_one() -> None:
    made = block_response(BLOCK)
    validated = BlockResponse(**shown_block(BLOCK))
    assert made == validated
    assert made.model_dump() == validated.model_dump()
    assert to_json(made) == to_json(validated)


def test_a_value_that_is_missing_is_told_at_once() -> None:
    with pytest.raises(KeyError, match="version"):
        BlockResponse.of({name: None for name in BlockResponse.model_fields if name != "version"})
