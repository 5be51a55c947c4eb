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
from service.records.messages import NewMessage
from service.records.runs import RunOptions


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


@pytest.mark.parametrize(
    ("entry", "kind"),
    [
        ({"type": "approval", "approvals": []}, "approval"),
        ({"approve": True, "approval_request_id": "message-1"}, "approval"),
        ({"approve": False}, "approval"),
        ({"type": "tool_return", "tool_returns": []}, "tool_return"),
    ],
)
def test_approvals_and_tool_returns_are_told_apart_and_not_here_yet(entry: dict[str, Any], kind: str) -> None:
    with pytest.raises(Invalid, match=f"messages: entries of type {kind} are not available yet"):
        new_messages(body(messages=[entry]))


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


def test_client_tools_are_not_here_yet() -> None:
    assert run_options(body(client_tools=[])) == RunOptions()
    with pytest.raises(Invalid, match="client_tools: not available yet"):
        run_options(body(client_tools=[{"name": "ls"}]))


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


def test_streaming_by_a_field_is_for_the_new_generation() -> None:
    check_streaming(body(streaming=False, include_pings=True), legacy=True)
    with pytest.raises(Misused, match=r"^streaming: needs an SDK of 1\.x"):
        check_streaming(body(streaming=True), legacy=True)
    check_streaming(body(streaming=True, background=True, stream_tokens=True), legacy=False)


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
