"""A worker remembers something in a shared block; the supervisor's very next prompt has it."""

import pytest

from tests.sdk.drivers import Told

pytestmark = pytest.mark.slow

CALLED_AND_SAID = ["tool_call_message", "tool_return_message", "assistant_message"]


def test_what_a_worker_remembers_is_in_the_supervisors_very_next_prompt(told: Told) -> None:
    facts = told.scene("scripted_worker")
    assert facts["answer"] == CALLED_AND_SAID
    assert facts["tool_status"] == ["success"]
    assert facts["value"] == "Nothing is known yet.\nThe office cat is called Miso."
    assert "Miso" not in facts["before"]
    assert "<organization>" in facts["after"]
    assert facts["value"] in facts["after"]


def test_a_supervisors_private_block_is_read_by_label(told: Told) -> None:
    facts = told.scene("scripted_worker")
    assert facts["private"] == "I lead the team"
    assert "I lead the team" in facts["after"]
    assert "I find things out" not in facts["after"]


def test_a_worker_of_an_older_kind_remembers_with_its_own_tool(told: Told) -> None:
    facts = told.scene("older_worker")
    assert facts["answer"] == CALLED_AND_SAID
    assert facts["words"] == "Noted."
    assert facts["value"] == "Nothing is known yet.\nThe lift is out of order."
    assert facts["value"] in facts["after"]


def test_a_worker_told_in_plain_words_remembers_without_any_key(told: Told) -> None:
    facts = told.scene("plain_words")
    assert facts["words"] == "I noted that in the block `organization`."
    assert facts["value"].strip() == "the release moves to Thursday"
    assert "the release moves to Thursday" in facts["after"]


def test_what_a_person_writes_is_in_the_supervisors_very_next_prompt(told: Told) -> None:
    after = told.scene("person")["after"]
    assert "The canteen closes at two." in after
    assert "Nothing is known yet." not in after
