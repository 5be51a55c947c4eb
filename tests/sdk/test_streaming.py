"""Streams, through each SDK: events in its types, texts that add up, coming back, and how a failure shows."""

from typing import Any

import pytest

from tests.sdk.drivers import Told

pytestmark = pytest.mark.slow

WORDS = "I noted it down, and I shall not forget it again."
THOUGHTS = "What was that about the cat, I wonder?"
BYE = 'I said "goodbye" to the café, and I meant it.'
END = ["stop_reason", "usage_statistics"]
MESSAGES = ["reasoning_message", "tool_call_message", "tool_return_message", "assistant_message"]


def check_whole(heard: dict[str, Any], listed: dict[str, Any]) -> None:
    assert heard["words"] == listed["listed_words"] == WORDS
    assert heard["thoughts"] == THOUGHTS
    assert heard["arguments"] == listed["listed_arguments"]
    assert (heard["stop_reason"], heard["steps"]) == (["end_turn"], [2])


def test_a_stream_of_steps_has_each_message_whole(told: Told) -> None:
    facts = told.scene("streams")
    assert facts["steps"]["types"] == ["ping", *MESSAGES, *END]
    assert facts["steps"]["pieces"] == 1
    check_whole(facts["steps"], facts)


def test_the_pieces_of_a_stream_of_tokens_add_up_to_what_is_listed(told: Told) -> None:
    facts = told.scene("streams")
    assert facts["tokens"]["types"] == ["ping", *MESSAGES, *END]
    assert facts["tokens"]["pieces"] > 1
    check_whole(facts["tokens"], facts)


def test_a_stream_may_do_without_pings(told: Told) -> None:
    facts = told.scene("streams")
    assert facts["quiet"]["types"] == [*MESSAGES, *END]
    check_whole(facts["quiet"], facts)


def test_an_older_kind_of_agent_is_heard_as_it_speaks(told: Told) -> None:
    facts = told.scene("streams")
    assert facts["voice"]["types"] == ["ping", "assistant_message", *END]
    assert facts["voice"]["words"] == facts["listed_voice"] == BYE
    assert facts["voice"]["pieces"] > 1


def test_who_left_a_background_run_comes_back_and_misses_nothing(told: Told) -> None:
    facts = told.scene("background")
    seqs = facts["seqs"]
    assert seqs[0] == 1
    assert seqs == sorted(set(seqs))
    assert facts["rest"]["types"] == ["ping", "assistant_message", *END]
    assert facts["words"] + facts["rest"]["words"] == WORDS
    assert facts["again"]["types"] == ["ping", *MESSAGES, *END]
    assert facts["again"]["words"] == WORDS


def test_a_failing_model_shows_as_it_does_with_v1(told: Told) -> None:
    """The old generation knows no error event: Python's takes it for a message, TypeScript's ends there."""
    facts = told.scene("failing_stream")
    error, before = facts["error"], ["ping", "stop_reason"]
    if told.sdk.generation == "new":
        assert error["class"] == {"python": "APIStatusError", "typescript": "APIError"}[told.sdk.language]
        assert "slow down" in f"{error['body']} {error['message']}"
        assert facts["types"] == before
    elif told.sdk.language == "python":
        assert error["class"] is None
        assert facts["types"] == [*before, "error_message"]
    else:
        assert error["class"] == "ParseError"
        assert facts["types"] == before
