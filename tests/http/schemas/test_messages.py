"""Messages on the wire: what a send may carry and how it becomes a run's input."""

from typing import Any

import pytest
from pydantic import ValidationError

from service.errors import Invalid
from service.http.errors import Misused
from service.http.schemas.messages import (
    AsyncSendRequest,
    SendRequest,
    check_streaming,
    new_messages,
    run_options,
)
from service.records.messages import Answer, CallAnswer, NewMessage, ToolReturn
from service.records.runs import ClientTool, RunOptions


def body(**fields: Any) -> SendRequest:
    return SendRequest.model_validate(fields)


def test_messages_are_taken_as_sent() -> None:
    sent = body(
        messages=[
            {"role": "user", "content": "hi", "otid": "o", "name": "ann", "sender_id": "s", "odd": 1},
            {"type": "message", "role": "system", "content": [{"type": "text", "text": "note"}]},
        ]
    )
    assert new_messages(sent) == [
        NewMessage(role="user", content="hi", otid="o", name="ann", sender_id="s"),
        NewMessage(role="system", content=[{"type": "text", "text": "note"}]),
    ]


def test_input_is_one_user_message() -> None:
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}}
    assert new_messages(body(input="hi")) == [NewMessage(content="hi")]
    assert new_messages(body(input=[image])) == [NewMessage(content=[image])]


@pytest.mark.parametrize("fields", [{}, {"messages": []}, {"messages": None, "input": None}])
def test_a_send_without_a_message_is_misused(fields: dict[str, Any]) -> None:
    with pytest.raises(Misused, match="messages: at least one"):
        new_messages(body(**fields))


def test_messages_and_input_together_are_misused() -> None:
    with pytest.raises(Misused, match="not both"):
        new_messages(body(messages=[{"role": "user", "content": "hi"}], input="hi"))


RESULT = ToolReturn(tool_call_id="c2", name="", text="a\nb", status="error", stdout=["o"], stderr=[])
GIVEN = {"tool_call_id": "c2", "tool_return": "a\nb", "status": "error", "stdout": ["o"], "stderr": []}
YES = {"type": "approval", "tool_call_id": "c1", "approve": True}


@pytest.mark.parametrize(
    ("entry", "answer"),
    [
        (
            {"type": "approval", "approvals": [YES, {"type": "tool", **GIVEN}]},
            Answer(
                calls=[CallAnswer(tool_call_id="c1"), CallAnswer(tool_call_id="c2", result=RESULT)],
            ),
        ),
        (
            {"type": "approval", "approvals": [{"tool_call_id": "c1", "approve": False, "reason": "no"}]},
            Answer(calls=[CallAnswer(tool_call_id="c1", approve=False, reason="no")]),
        ),
        ({"type": "approval", "approvals": []}, Answer()),
        (
            {"type": "approval", "approvals": [GIVEN]},
            Answer(calls=[CallAnswer(tool_call_id="c2", result=RESULT)]),
        ),
        (
            {"approve": True, "approval_request_id": "message-1"},
            Answer(request_id="message-1", approve=True),
        ),
        (
            {"approve": False, "reason": "no", "approvals": None},
            Answer(approve=False, reason="no"),
        ),
        (
            {"approve": True, "approval_request_id": "message-1", "approvals": [YES]},
            Answer(request_id="message-1", calls=[CallAnswer(tool_call_id="c1")]),
        ),
        (
            {"type": "tool_return", "tool_returns": [GIVEN]},
            Answer(calls=[CallAnswer(tool_call_id="c2", result=RESULT)]),
        ),
    ],
)
def test_an_answer_says_something_of_each_call_or_one_word_for_all(
    entry: dict[str, Any], answer: Answer
) -> None:
    sent = body(messages=[entry | {"otid": "o", "group_id": "g"}, {"role": "user", "content": "hi"}])
    assert new_messages(sent) == [
        NewMessage(role="approval", content="", answer=answer, otid="o", group_id="g"),
        NewMessage(content="hi"),
    ]
    assert new_messages(body(messages=sent.messages)) == new_messages(sent)


def test_of_a_result_in_parts_the_text_is_kept_and_an_image_is_mentioned() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "image", "source": {"type": "url", "url": "http://i"}}]
    given = {"type": "tool_return", "tool_returns": [GIVEN | {"tool_return": parts}]}
    [message] = new_messages(body(messages=[given]))
    assert message.answer is not None
    [call] = message.answer.calls
    assert call.result is not None
    assert call.result.text == "a\n(An image was given back here; it cannot be shown.)"


@pytest.mark.parametrize(
    ("entries", "told"),
    [
        ([{"type": "approval"}], "messages.0.approvals: is missing"),
        (
            [{"role": "user", "content": "x"}, {"approve": True}],
            "messages: an entry of type approval can only",
        ),
        (
            [{"approve": True}, {"type": "tool_return", "tool_returns": []}],
            "messages: an entry of type tool_return can only be the first one",
        ),
    ],
)
def test_an_answer_that_says_nothing_or_comes_late_is_refused(
    entries: list[dict[str, Any]], told: str
) -> None:
    with pytest.raises(Invalid, match=f"^{told}"):
        new_messages(body(messages=entries))


@pytest.mark.parametrize(
    ("entry", "named"),
    [
        ({"content": "hi"}, "role"),
        ({"role": "tool", "content": "hi"}, "role"),
        ({"role": "user"}, "content"),
        ({"role": "user", "content": 7}, "content"),
        ({"role": "user", "content": []}, "content"),
        ({"role": "user", "content": [{"type": "text"}]}, "content"),
        ({"role": "user", "content": [{"type": "video"}]}, "content"),
        ({"role": "user", "content": "hi", "otid": "x" * 201}, "otid"),
        ({"type": "approval", "approvals": [{"tool_call_id": "c1"}]}, "approvals"),
        ({"type": "approval", "approvals": [GIVEN | {"type": "tool", "status": "odd"}]}, "approvals"),
        ({"type": "approval", "approvals": ["yes"]}, "approvals"),
        ({"type": "tool_return"}, "tool_returns"),
    ],
)
def test_a_malformed_message_names_its_field(entry: dict[str, Any], named: str) -> None:
    with pytest.raises(ValidationError) as caught:
        body(messages=[entry])
    places = [
        [part for part in error["loc"] if not str(part).startswith("<")] for error in caught.value.errors()
    ]
    assert [place[:3] for place in places] == [["messages", 0, named]]


def test_a_message_that_is_no_object_is_named_too() -> None:
    with pytest.raises(ValidationError):
        body(messages=["hi"])


def test_options_keep_their_defaults_unless_given() -> None:
    assert run_options(body(max_steps=None)) == RunOptions()
    asked = body(
        max_steps=3,
        use_assistant_message=False,
        include_return_message_types=["assistant_message"],
        override_model="a/b",
        enable_thinking="true",
    )
    assert run_options(asked) == RunOptions(
        max_steps=3,
        use_assistant_message=False,
        include_return_message_types=["assistant_message"],
        override_model="a/b",
    )


def test_system_is_another_name_of_override_system_which_goes_first() -> None:
    assert run_options(body(system="be brief")).override_system == "be brief"
    assert run_options(body(system="be brief", override_system="be kind")).override_system == "be kind"


@pytest.mark.parametrize(
    ("field", "empty", "asked"),
    [
        ("return_logprobs", False, True),
        ("return_token_ids", False, True),
        ("top_logprobs", None, 3),
    ],
)
def test_what_would_be_ignored_is_refused_unless_it_asks_for_nothing(
    field: str, empty: Any, asked: Any
) -> None:
    assert run_options(body(**{field: None})) == RunOptions()
    assert run_options(body(**{field: empty})) == RunOptions()
    with pytest.raises(Invalid, match=f"^{field}: not available yet in this version; "):
        run_options(body(**{field: asked}))


def test_tools_of_the_caller_are_kept_with_the_run() -> None:
    given = [{"name": "ls", "description": "List.", "parameters": {"type": "object"}}, {"name": "cat"}]
    assert run_options(body(client_tools=given)).client_tools == [
        ClientTool(name="ls", description="List.", parameters={"type": "object"}),
        ClientTool(name="cat"),
    ]
    with pytest.raises(Invalid, match="client_tools: must not name a tool twice"):
        run_options(body(client_tools=[*given, given[0]]))


def test_skills_thinking_and_summaries_are_options_of_the_run() -> None:
    skill = {"name": "ls", "description": "list", "location": "/"}
    asked = run_options(
        body(client_skills=[skill], include_compaction_messages=True, enable_thinking="false")
    )
    assert asked == RunOptions(client_skills=[skill], include_compaction_messages=True, enable_thinking=False)
    assert run_options(body(client_skills=[], enable_thinking=True)) == RunOptions()


IMAGE = {"type": "base64", "media_type": "image/png", "data": "aGk="}


@pytest.mark.parametrize("source", [IMAGE, {"type": "url", "url": "https://example.com/a.png"}])
def test_images_are_kept_as_they_were_sent(source: dict[str, Any]) -> None:
    content = [{"type": "text", "text": "look"}, {"type": "image", "source": source}]
    [message] = new_messages(body(messages=[{"role": "user", "content": content}]))
    assert message.content == content


def test_an_image_that_is_a_file_here_is_refused_with_the_remedy() -> None:
    content = [{"type": "image", "source": {"type": "letta", "file_id": "file-1"}}]
    with pytest.raises(Invalid, match=r"^content: an image of type letta .* send it as base64$"):
        new_messages(body(messages=[{"role": "user", "content": content}]))


@pytest.mark.parametrize(
    "source",
    [
        {"type": "url"},
        {"type": "url", "url": "file:///etc/passwd"},
        {"type": "base64", "data": "aGk="},
        {"type": "base64", "media_type": "text/plain", "data": "aGk="},
        {"type": "base64", "media_type": "image/png", "data": ""},
    ],
)
def test_an_image_that_no_provider_could_read_is_refused(source: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        body(messages=[{"role": "user", "content": [{"type": "image", "source": source}]}])


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"stream_tokens": True}, "stream_tokens"),
        ({"background": True}, "background"),
        ({"include_pings": False}, "include_pings"),
    ],
)
def test_streaming_fields_without_streaming_are_misused(fields: dict[str, Any], named: str) -> None:
    with pytest.raises(Misused, match=f"^{named}: "):
        check_streaming(body(**fields), legacy=False)


def test_streaming_is_for_callers_of_the_new_generation() -> None:
    check_streaming(body(streaming=False, include_pings=True), legacy=True)
    with pytest.raises(Misused, match=r"^streaming: needs an SDK of 1\.x"):
        check_streaming(body(streaming=True), legacy=True)
    check_streaming(body(streaming=True, stream_tokens=True, background=True, include_pings=False), False)


@pytest.mark.parametrize(
    "fields",
    [
        {"max_steps": 0},
        {"include_return_message_types": ["gossip"]},
        {"callback_url": "file:///etc/passwd"},
        {"messages": [{"role": "user", "content": "x"}] * 1001},
    ],
)
def test_what_is_out_of_bounds_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        AsyncSendRequest.model_validate(fields)
