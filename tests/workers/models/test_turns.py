"""Histories that no provider would take, and what becomes of them."""

from tests.workers.models.asking import calling, message, results, user
from workers.models.turns import arguments_of, settle


def test_a_plain_conversation_is_left_as_it_is() -> None:
    plain = [user("Hi."), message("assistant", "Hello."), message("system", "Note."), user("Bye.")]
    assert settle(plain) == plain


def test_results_stand_right_behind_their_calls_in_the_order_of_the_calls() -> None:
    settled = settle(
        [
            user("?"),
            calling(("a", "weather", "{}"), ("b", "weather", "{}")),
            user("Are you there?"),
            results(("b", "rain")),
            results(("a", "sunny")),
        ]
    )
    assert [one.role for one in settled] == ["user", "assistant", "tool", "user"]
    assert [one.text for one in settled[2].tool_returns] == ["sunny", "rain"]


def test_a_tools_message_without_results_is_left_out() -> None:
    assert settle([user("?"), message("tool")]) == [user("?")]


def test_two_calls_under_one_id_share_no_result() -> None:
    settled = settle(
        [calling(("a", "weather", "{}"), ("a", "weather", "{}")), results(("a", "sunny"), ("a", "rain"))]
    )
    assert [(one.tool_call_id, one.text) for one in settled[1].tool_returns] == [
        ("a", "sunny"),
        ("a_2", "rain"),
    ]


def test_settling_twice_changes_nothing_more() -> None:
    step = [calling(("call_0", "weather", "{}")), results(("call_0", "sunny"))]
    once = settle([user("?"), *step, *step])
    assert settle(once) == once


def test_arguments_that_are_an_object_are_that_object() -> None:
    (call,) = calling(("a", "weather", '{"city": "Rome"}')).tool_calls
    assert arguments_of(call) == {"city": "Rome"}
