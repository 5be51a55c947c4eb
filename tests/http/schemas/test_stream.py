"""A run's output as stream objects: whole messages, pieces, what is said by tool, and what is left out."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from service.http.schemas.stream import Renderer
from service.http.schemas.transcript import View, api_messages, piece_otid
from service.records.messages import Message, Reasoning, ToolCall, ToolReturn
from service.records.runs import OutputEvent, Piece

ID = "message-11111111-1111-4111-8111-111111111100"
NEXT_ID = "message-22222222-2222-4222-8222-222222222200"
AT = 1_790_000_000_500_000

Shown = list[dict[str, Any]]


def answer(text: str = "", *calls: ToolCall, id: str = ID, **fields: Any) -> Message:
    return Message(
        id=id,
        agent_id="agent-1",
        role="assistant",
        content=text,
        tool_calls=list(calls),
        created_at=AT,
        step_id="step-1",
        run_id="run-1",
        **fields,
    )


def call(name: str, arguments: dict[str, Any] | str, id: str = "c1") -> ToolCall:
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    return ToolCall(id=id, name=name, arguments=text)


def whole(message: Message) -> OutputEvent:
    return OutputEvent(kind="message", message=message)


def piece(kind: str, text: str, index: int = 0, id: str = ID, **fields: Any) -> OutputEvent:
    made = Piece.model_validate({"kind": kind, "text": text, "index": index, **fields})
    return OutputEvent(kind="piece", message=answer(id=id), piece=made)


def called(text: str, name: str = "look", index: int = 0, id: str = "c1") -> OutputEvent:
    return piece("tool_call", text, index, tool_call_id=id, tool_name=name)


def cut(call: ToolCall, size: int, index: int = 0) -> Iterator[OutputEvent]:
    for at in range(0, len(call.arguments), size):
        yield called(call.arguments[at : at + size], call.name, index, call.id)


def shown(events: Sequence[OutputEvent], *, tokens: bool = True, **view: Any) -> Shown:
    renderer = Renderer(View(**view), tokens=tokens)
    return [one for event in events for one in renderer.objects(event)]


def types(objects: Shown) -> list[str]:
    return [one["message_type"] for one in objects]


def said(objects: Shown) -> str:
    return "".join(one["content"] for one in objects if one["message_type"] == "assistant_message")


def test_in_step_mode_each_message_comes_whole_and_as_it_is_listed() -> None:
    message = answer("Let me see.", call("look", {"at": 1}), reasoning=[Reasoning(text="Hm.")])
    events = [piece("text", "Let me"), piece("text", " see."), whole(message)]
    listed = [one.model_dump() for one in api_messages([message], View())]
    assert shown(events, tokens=False) == listed
    assert types(listed) == ["reasoning_message", "assistant_message", "tool_call_message"]


def test_the_end_of_a_run_shows_as_nothing() -> None:
    assert shown([OutputEvent(kind="end")]) == []


def test_pieces_carry_the_new_text_only_under_the_id_and_otid_of_their_message() -> None:
    events = [
        piece("reasoning", "H"),
        piece("reasoning", "m."),
        piece("text", "Let me"),
        piece("text", " see."),
    ]
    objects = shown(events)
    assert [one.get("reasoning") or one.get("content") for one in objects] == ["H", "m.", "Let me", " see."]
    listed = api_messages([answer("Let me see.", reasoning=[Reasoning(text="Hm.")])], View())
    assert {one["id"] for one in objects} == {ID}
    assert [one["otid"] for one in objects] == [listed[0].otid] * 2 + [listed[1].otid] * 2
    assert objects[0]["source"] == "reasoner_model"
    assert objects[2] == {
        "id": ID,
        "date": "2026-09-21T14:13:20+00:00",
        "name": None,
        "otid": piece_otid(ID, 1),
        "sender_id": None,
        "step_id": "step-1",
        "is_err": None,
        "seq_id": None,
        "run_id": "run-1",
        "message_type": "assistant_message",
        "content": "Let me",
    }


def test_the_whole_message_says_nothing_again_that_its_pieces_said() -> None:
    message = answer("Hello.", call("look", {}), reasoning=[Reasoning(text="Hm.", signature="s")])
    events = [piece("reasoning", "Hm."), piece("text", "Hello."), called(""), called("{}")]
    assert types(shown([*events, whole(message)])) == types(shown(events))


def test_an_answer_that_nobody_handed_out_in_pieces_comes_whole() -> None:
    message = answer("Hello.", call("look", {}))
    assert shown([whole(message)]) == [one.model_dump() for one in api_messages([message], View())]


def test_an_empty_piece_shows_as_nothing_and_takes_no_otid() -> None:
    [only] = shown([piece("reasoning", ""), piece("text", "Hi")])
    assert only["otid"] == piece_otid(ID, 0)


def test_a_tool_call_begins_with_its_name_and_id_and_goes_on_with_its_arguments() -> None:
    first, second = shown([called(""), called('{"at": 1}')])
    assert first["tool_call"] == {"name": "look", "arguments": "", "tool_call_id": "c1"}
    assert second["tool_call"] == {"name": "look", "arguments": '{"at": 1}', "tool_call_id": "c1"}
    assert second["tool_calls"] == second["tool_call"]  # V1 has the same object here, no list
    whole_call = api_messages([answer("", call("look", {}))], View())[0].model_dump()
    assert first.keys() == whole_call.keys()


def test_a_piece_of_a_call_leaves_out_what_it_does_not_have() -> None:
    [only] = shown([piece("tool_call", "{", tool_call_id="c1")])
    assert only["tool_call"] == {"arguments": "{", "tool_call_id": "c1"}


def test_parallel_calls_are_parts_of_one_message_told_apart_by_their_ids() -> None:
    calls = [call("look", {"at": 1}, "c1"), call("look", {"at": 2}, "c2")]
    events = [event for index, one in enumerate(calls) for event in cut(one, 4, index)]
    objects = shown([piece("text", "Both."), *events, whole(answer("Both.", *calls))])
    arguments = {"c1": "", "c2": ""}
    for one in objects[1:]:
        arguments[one["tool_call"]["tool_call_id"]] += one["tool_call"]["arguments"]
    assert arguments == {"c1": '{"at": 1}', "c2": '{"at": 2}'}
    assert {one["otid"] for one in objects[1:]} == {piece_otid(ID, 1)}


def test_a_call_that_no_piece_told_comes_when_the_answer_is_stored() -> None:
    """One whose arguments a rule fixes: the model's own would have been another call."""
    message = answer("Well.", call("look", {"at": 1}), call("find", {}, "c2"))
    first, second, third = shown([piece("text", "Well."), called("{}", "find", 1, "c2"), whole(message)])
    assert (first["content"], second["tool_call"]["name"]) == ("Well.", "find")
    assert third["tool_call"] == {"name": "look", "arguments": '{"at": 1}', "tool_call_id": "c1"}
    assert third["tool_calls"] == third["tool_call"]


def test_hidden_reasoning_comes_when_the_answer_is_stored() -> None:
    thoughts = [Reasoning(text="Hm."), Reasoning(redacted="xyz"), Reasoning()]
    events = [piece("reasoning", "Hm."), piece("text", "Hi"), whole(answer("Hi", reasoning=thoughts))]
    objects = shown(events)
    assert types(objects)[2:] == ["hidden_reasoning_message"] * 2
    assert [one["state"] for one in objects[2:]] == ["redacted", "omitted"]
    assert len({one["otid"] for one in objects}) == 4


def test_text_and_thoughts_that_no_piece_told_come_when_the_answer_is_stored() -> None:
    message = answer("Hi", call("look", {}), reasoning=[Reasoning(text="Hm.")])
    objects = shown([called("{}"), whole(message)])
    assert types(objects) == ["tool_call_message", "reasoning_message", "assistant_message"]


def test_what_comes_after_a_told_answer_comes_whole() -> None:
    result = ToolReturn(tool_call_id="c1", name="look", text="seen")
    returns = answer(id=NEXT_ID).model_copy(update={"role": "tool", "tool_returns": [result]})
    objects = shown([called("{}"), whole(answer("", call("look", {}))), whole(returns)])
    assert types(objects) == ["tool_call_message", "tool_return_message"]
    assert objects[1]["tool_returns"][0]["tool_return"] == "seen"


def test_a_step_asked_again_begins_anew_under_its_new_id() -> None:
    again = answer("Hello.", id=NEXT_ID)
    events = [
        piece("text", "Hel"),
        piece("text", "Hello", id=NEXT_ID),
        piece("text", ".", id=NEXT_ID),
        whole(again),
    ]
    objects = shown(events)
    assert [(one["id"], one["content"]) for one in objects] == [
        (ID, "Hel"),
        (NEXT_ID, "Hello"),
        (NEXT_ID, "."),
    ]


def test_a_stored_answer_of_a_step_asked_again_without_pieces_comes_whole() -> None:
    objects = shown([piece("text", "Hel"), whole(answer("Hello.", id=NEXT_ID))])
    assert [one["content"] for one in objects] == ["Hel", "Hello."]


SPEECH = 'He said "no"\\ \n\tto us — 😀 zoë \u2028'


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize("ascii", [True, False])
def test_what_is_said_is_read_out_of_half_written_arguments(size: int, ascii: bool) -> None:
    arguments = {"thinking": 'not "message": this', "deep": {"message": "nor this"}, "n": [1.5, None, True]}
    text = json.dumps({**arguments, "message": SPEECH, "request_heartbeat": True}, ensure_ascii=ascii)
    spoken = call("send_message", text)
    objects = shown([*cut(spoken, size), whole(answer("", spoken))], inner_monologue=True)
    assert said(objects) == SPEECH
    assert set(types(objects)) == {"assistant_message"}
    assert {one["otid"] for one in objects} == {piece_otid(ID, 0)}
    assert all(one["content"] for one in objects)
    assert len(objects) > (10 if size == 1 else 0)


def test_the_voice_has_the_name_and_argument_that_the_caller_gave() -> None:
    spoken = call("tell", {"words": "Hello there."})
    named: dict[str, Any] = {"assistant_message_tool_name": "tell", "assistant_message_tool_kwarg": "words"}
    assert said(shown(list(cut(spoken, 5)), **named)) == "Hello there."
    assert set(types(shown(list(cut(spoken, 5))))) == {"tool_call_message"}


def test_who_wants_no_assistant_messages_sees_the_call_itself() -> None:
    spoken = call("send_message", {"message": "Hi"})
    objects = shown([*cut(spoken, 5), whole(answer("", spoken))], use_assistant_message=False)
    assert set(types(objects)) == {"tool_call_message"}
    assert "".join(one["tool_call"]["arguments"] for one in objects) == spoken.arguments


@pytest.mark.parametrize("arguments", ['{"message": 5}', '{"text": "Hi"}', "[]", "", "nonsense"])
def test_a_voice_that_says_nothing_is_shown_as_the_call_it_was(arguments: str) -> None:
    """Its failed result is shown, which without the call would belong to nothing."""
    spoken = call("send_message", arguments)
    [only] = shown([called("", "send_message"), *cut(spoken, 3), whole(answer("", spoken))])
    assert only["tool_call"] == {"name": "send_message", "arguments": arguments, "tool_call_id": "c1"}


def test_a_voice_that_breaks_off_is_shown_as_the_call_it_was_too() -> None:
    spoken = call("send_message", '{"message": "Hello and')
    objects = shown([*cut(spoken, 8), whole(answer("", spoken))])
    assert said(objects) == "Hello and"
    assert types(objects)[-1] == "tool_call_message"
    assert objects[-1]["tool_call"]["arguments"] == spoken.arguments


def test_half_a_character_is_never_said() -> None:
    spoken = call("send_message", '{"message": "ab\\ud83d"}')
    objects = shown([*cut(spoken, 1), whole(answer("", spoken))])
    assert said(objects) == "ab"
    assert types(objects)[-1] == "tool_call_message"


def test_text_beside_the_call_of_an_agent_that_speaks_by_tool_is_a_thought() -> None:
    [only] = shown([piece("text", "I should greet.")], inner_monologue=True)
    assert (only["message_type"], only["reasoning"]) == ("reasoning_message", "I should greet.")
    assert only["source"] == "non_reasoner_model"


@pytest.mark.parametrize("tokens", [False, True])
def test_types_that_were_not_asked_for_are_left_out(tokens: bool) -> None:
    message = answer("Hi", call("look", {}), reasoning=[Reasoning(text="Hm.")])
    events = [piece("reasoning", "Hm."), piece("text", "Hi"), called("{}"), whole(message)]
    objects = shown(events, tokens=tokens, include_return_message_types=["assistant_message"])
    assert [one["content"] for one in objects] == ["Hi"]
    assert objects[0]["otid"] == piece_otid(ID, 1)


def asking(*calls: ToolCall, asked: list[str]) -> Message:
    return answer("", *calls).model_copy(update={"role": "approval", "asked": asked})


def test_a_call_that_waits_for_a_word_comes_as_pieces_of_a_request() -> None:
    """Beside one that does not; in lists they are two messages too."""
    look, find = call("look", {"at": 1}), call("find", {}, "c2")
    pieces = [
        piece("tool_call", part, 1, tool_call_id="c2", tool_name="find", asks=True) for part in ("", "{}")
    ]
    message = asking(look, find, asked=["c2"])
    objects = shown([*cut(look, 100), *pieces, whole(message)])
    assert types(objects) == ["tool_call_message", "approval_request_message", "approval_request_message"]
    assert objects[1]["tool_call"] == {"name": "find", "arguments": "", "tool_call_id": "c2"}
    assert objects[2]["tool_calls"] == {"name": "find", "arguments": "{}", "tool_call_id": "c2"}
    listed = api_messages([message], View())
    assert [one["otid"] for one in objects] == [listed[0].otid, listed[1].otid, listed[1].otid]


def test_a_request_that_no_piece_told_comes_when_it_is_stored() -> None:
    message = asking(call("look", {}), call("look", {}, "c2"), asked=["c1", "c2"])
    objects = shown([piece("reasoning", "Hm."), whole(message)])
    assert types(objects) == ["reasoning_message", *["approval_request_message"] * 2]
    assert [one["tool_call"]["tool_call_id"] for one in objects[1:]] == ["c1", "c2"]
    assert objects[1].keys() == api_messages([message], View())[0].model_dump().keys()


def test_what_the_voice_may_not_say_without_a_word_is_not_said() -> None:
    spoken = call("send_message", {"message": "Hi"})
    asks: dict[str, Any] = {"tool_call_id": "c1", "tool_name": "send_message", "asks": True}
    objects = shown([piece("tool_call", spoken.arguments, **asks), whole(asking(spoken, asked=["c1"]))])
    assert types(objects) == ["approval_request_message"]
