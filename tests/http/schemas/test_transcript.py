"""Stored messages as V1's API messages: pieces, their order, ids and what is left out."""

import json
from typing import Any

import pytest

from service.http.schemas.transcript import (
    View,
    api_messages,
    approval_request,
    has_inner_monologue,
    piece_otid,
)
from service.records.messages import Answer, CallAnswer, Message, Reasoning, ToolCall, ToolReturn

ID = "message-123e4567-e89b-42d3-8456-4266141740ff"
COMMON = {"id", "date", "message_type", "name", "otid", "sender_id", "step_id", "is_err", "seq_id", "run_id"}
SPEAK = ToolCall(id="c1", name="send_message", arguments='{"message": "Hello"}')
SEARCH = ToolCall(id="c2", name="search", arguments='{"q": 1}')


def shown(message: dict[str, Any], **view: Any) -> list[dict[str, Any]]:
    stored = Message(
        **{"id": ID, "agent_id": "agent-1", "created_at": 1_769_839_410_999_999, "run_id": "run-1", **message}
    )
    return [piece.model_dump() for piece in api_messages([stored], View(**view))]


def kinds(pieces: list[dict[str, Any]]) -> list[str]:
    return [piece["message_type"].removesuffix("_message") for piece in pieces]


def test_every_piece_has_all_common_keys_and_a_date_in_whole_seconds() -> None:
    (piece,) = shown({"role": "user", "content": "hi", "sender_id": "s", "name": "n", "step_id": "step-1"})
    assert set(piece) > COMMON
    assert piece["date"] == "2026-01-31T06:03:30+00:00"
    assert (piece["id"], piece["run_id"], piece["step_id"]) == (ID, "run-1", "step-1")
    assert (piece["sender_id"], piece["name"], piece["is_err"], piece["seq_id"]) == ("s", "n", None, None)


def test_user_input_is_shown_as_sent() -> None:
    parts = [{"type": "text", "text": "hi"}, {"type": "image", "source": {"type": "url", "url": "u"}}]
    assert shown({"role": "user", "content": parts})[0]["content"] == parts
    assert shown({"role": "user", "content": "hi", "otid": "mine"})[0]["otid"] == "mine"


def test_a_system_message_is_plain_text() -> None:
    (piece,) = shown({"role": "system", "content": [{"type": "text", "text": "You are"}]})
    assert (piece["message_type"], piece["content"]) == ("system_message", "You are")


def test_a_turn_becomes_reasoning_then_text_then_one_tool_call() -> None:
    pieces = shown(
        {
            "role": "assistant",
            "reasoning": [Reasoning(text="hm", signature="sig"), Reasoning(redacted="xyz"), Reasoning()],
            "content": "Let me look.",
            "tool_calls": [SEARCH, SEARCH.model_copy(update={"id": "c3"})],
        }
    )
    assert kinds(pieces) == ["reasoning", "hidden_reasoning", "hidden_reasoning", "assistant", "tool_call"]
    assert (pieces[0]["reasoning"], pieces[0]["source"], pieces[0]["signature"]) == (
        "hm",
        "reasoner_model",
        "sig",
    )
    assert (pieces[1]["state"], pieces[1]["hidden_reasoning"]) == ("redacted", "xyz")
    assert (pieces[2]["state"], pieces[2]["hidden_reasoning"]) == ("omitted", None)
    call = {"name": "search", "arguments": '{"q": 1}', "tool_call_id": "c2"}
    assert pieces[4]["tool_call"] == call
    assert pieces[4]["tool_calls"] == [call, {**call, "tool_call_id": "c3"}]


def test_pieces_share_the_id_and_differ_in_the_last_seven_bits_of_otid() -> None:
    pieces = shown({"role": "assistant", "content": "x", "tool_calls": [SEARCH]})
    assert {piece["id"] for piece in pieces} == {ID}
    assert [piece["otid"] for piece in pieces] == [
        "123e4567-e89b-42d3-8456-426614174080",
        "123e4567-e89b-42d3-8456-426614174081",
    ]
    assert piece_otid("message-123e4567-e89b-42d3-8456-42661417407f", 5).endswith("4005")


def test_text_beside_a_call_is_a_thought_where_the_agent_speaks_through_a_tool() -> None:
    turn = {"role": "assistant", "content": "I should greet.", "tool_calls": [SPEAK]}
    thought, said = shown(turn, inner_monologue=True)
    assert (thought["message_type"], thought["source"]) == ("reasoning_message", "non_reasoner_model")
    assert thought["reasoning"] == "I should greet."
    assert (said["message_type"], said["content"]) == ("assistant_message", "Hello")
    assert kinds(shown({**turn, "tool_calls": []}, inner_monologue=True)) == ["assistant"]


@pytest.mark.parametrize(
    ("agent_type", "expected"),
    [("memgpt_agent", True), ("letta_v1_agent", False), ("sleeptime_agent", False), ("gone", False)],
)
def test_the_type_of_the_agent_says_whether_it_speaks_through_a_tool(agent_type: str, expected: bool) -> None:
    assert has_inner_monologue(agent_type) is expected


def test_what_was_said_goes_before_the_other_calls_of_the_turn() -> None:
    pieces = shown({"role": "assistant", "tool_calls": [SEARCH, SPEAK]})
    assert kinds(pieces) == ["assistant", "tool_call"]
    assert [call["name"] for call in pieces[1]["tool_calls"]] == ["search"]


def test_without_use_assistant_message_the_call_and_its_result_both_show() -> None:
    (call,) = shown({"role": "assistant", "tool_calls": [SPEAK]}, use_assistant_message=False)
    assert call["tool_call"]["name"] == "send_message"
    result = ToolReturn(tool_call_id="c1", name="send_message", text="sent")
    (back,) = shown({"role": "tool", "tool_returns": [result]}, use_assistant_message=False)
    assert back["tool_return"] == "sent"


def test_the_voice_may_have_another_name_and_argument() -> None:
    call = ToolCall(id="c1", name="say", arguments='{"words": "Hi"}')
    view = {"assistant_message_tool_name": "say", "assistant_message_tool_kwarg": "words"}
    assert shown({"role": "assistant", "tool_calls": [call]}, **view)[0]["content"] == "Hi"


@pytest.mark.parametrize("arguments", ["{", "[]", "{}", '{"message": 7}', '{"message": "\\ud83d"}', ""])
def test_a_call_of_the_voice_that_says_nothing_readable_is_shown_as_a_call(arguments: str) -> None:
    call = SPEAK.model_copy(update={"arguments": arguments})
    (piece,) = shown({"role": "assistant", "tool_calls": [call]})
    assert piece["tool_call"]["arguments"] == arguments


def test_the_result_of_speaking_is_left_out_unless_it_failed() -> None:
    sent = ToolReturn(tool_call_id="c1", name="send_message", text="sent")
    failed = sent.model_copy(update={"status": "error", "text": "no"})
    assert shown({"role": "tool", "tool_returns": [sent]}) == []
    assert shown({"role": "tool", "tool_returns": [failed]})[0]["status"] == "error"


def test_tool_results_of_one_turn_are_one_message_that_leads_with_the_first() -> None:
    first = ToolReturn(tool_call_id="c2", name="search", text="3 found", stdout=["a"], stderr=[])
    second = ToolReturn(tool_call_id="c3", name="other", text="no", status="error")
    spoken = ToolReturn(tool_call_id="c1", name="send_message", text="sent")
    (piece,) = shown({"role": "tool", "tool_returns": [spoken, first, second]})
    assert (piece["message_type"], piece["name"]) == ("tool_return_message", "search")
    assert (piece["tool_return"], piece["status"], piece["tool_call_id"]) == ("3 found", "success", "c2")
    assert (piece["stdout"], piece["stderr"]) == (["a"], [])
    assert [one["tool_call_id"] for one in piece["tool_returns"]] == ["c2", "c3"]
    assert piece["tool_returns"][1] == {
        "type": "tool",
        "tool_call_id": "c3",
        "tool_return": "no",
        "status": "error",
        "stdout": None,
        "stderr": None,
    }


def test_only_the_types_that_were_asked_for_are_shown_with_their_own_otids() -> None:
    turn = {"role": "assistant", "content": "x", "reasoning": [Reasoning(text="hm")]}
    (piece,) = shown(turn, include_return_message_types=["assistant_message"])
    assert piece["otid"] == piece_otid(ID, 1)
    assert shown(turn, include_return_message_types=[]) == []


def test_an_empty_turn_shows_nothing() -> None:
    assert shown({"role": "assistant", "content": ""}) == []


def test_arguments_stay_the_json_text_they_are() -> None:
    call = ToolCall(id="c", name="search", arguments=json.dumps({"text": "ü\n"}))
    assert shown({"role": "assistant", "tool_calls": [call]})[0]["tool_call"]["arguments"] == call.arguments


def test_calls_that_wait_for_a_word_are_shown_as_a_request_behind_the_others() -> None:
    turn = {
        "role": "approval",
        "content": "May I?",
        "reasoning": [Reasoning(text="hm")],
        "tool_calls": [SPEAK, SEARCH, SEARCH.model_copy(update={"id": "c3"})],
        "asked": ["c1", "c3"],
    }
    pieces = shown(turn)
    assert kinds(pieces) == ["reasoning", "assistant", "tool_call", "approval_request"]
    assert len({piece["otid"] for piece in pieces}) == 4
    assert [call["tool_call_id"] for call in pieces[2]["tool_calls"]] == ["c2"]
    request = pieces[3]
    assert set(request) == COMMON | {"tool_call", "tool_calls"}
    speak = {"name": "send_message", "arguments": SPEAK.arguments, "tool_call_id": "c1"}
    assert request["tool_call"] == speak
    assert [call["tool_call_id"] for call in request["tool_calls"]] == ["c1", "c3"]


def test_the_request_alone_can_be_shown() -> None:
    common: dict[str, Any] = {"id": ID, "agent_id": "agent-1", "created_at": 0}
    stored = Message(
        **common, role="approval", content="May I?", tool_calls=[SPEAK, SEARCH], asked=["c1", "c2"]
    )
    found = approval_request(stored)
    assert found is not None
    assert found.otid == piece_otid(ID, 1)
    assert [call.tool_call_id for call in found.tool_calls or []] == ["c1", "c2"]
    assert approval_request(Message(**common, role="user")) is None


@pytest.mark.parametrize(
    ("calls", "said", "old"),
    [
        ([{"approve": True}], {}, (True, None)),
        ([{"approve": True}, {"approve": False, "reason": "no"}], {}, (False, "no")),
        ([{"approve": False}], {"approve": False, "reason": "not now"}, (False, "not now")),
        ([{"result": ToolReturn(tool_call_id="c0", name="ls", text="a")}], {}, (True, None)),
    ],
)
def test_an_answer_shows_a_word_for_each_call_and_one_for_all(
    calls: list[dict[str, Any]], said: dict[str, Any], old: tuple[bool, str | None]
) -> None:
    words = [CallAnswer(tool_call_id=f"c{index}", **call) for index, call in enumerate(calls)]
    answer = Answer(request_id="message-1", calls=words, **said)
    (piece,) = shown({"role": "approval", "answer": answer, "otid": "mine"})
    assert set(piece) == COMMON | {"approvals", "approve", "approval_request_id", "reason"}
    assert (piece["message_type"], piece["otid"]) == ("approval_response_message", "mine")
    assert (piece["approve"], piece["reason"]) == old
    assert piece["approval_request_id"] == "message-1"
    for shown_call, word in zip(piece["approvals"], words, strict=True):
        assert shown_call["tool_call_id"] == word.tool_call_id
        if word.result is None:
            assert (shown_call["type"], shown_call["approve"]) == ("approval", word.approve)
        else:
            assert (shown_call["type"], shown_call["tool_return"]) == ("tool", "a")


def test_requests_and_answers_can_be_asked_for_by_type() -> None:
    turn = {"role": "approval", "content": "May I?", "tool_calls": [SEARCH], "asked": ["c2"]}
    wanted = {"include_return_message_types": ["approval_request_message"]}
    assert kinds(shown(turn, **wanted)) == ["approval_request"]
    assert shown({"role": "approval", "answer": Answer()}, **wanted) == []
