from typing import Any

import pytest

from service.tools.rules import (
    allowed_tools,
    continues,
    forces_call,
    is_terminal,
    misfits,
    missing_before_exit,
    needs_approval,
    prefilled,
    texts,
)

Rules = list[dict[str, Any]]
TOOLS = ["a", "b", "c", "d"]


def rule(type: str, tool: str = "a", **more: Any) -> dict[str, Any]:
    return {"type": type, "tool_name": tool, "prompt_template": None, **more}


def test_only_a_tool_with_an_exit_rule_ends_the_turn() -> None:
    rules = [rule("exit_loop", "a"), rule("continue_loop", "b")]
    assert is_terminal(rules, "a")
    assert not is_terminal(rules, "b")
    assert not is_terminal([], "a")


@pytest.mark.parametrize(
    "type", ["continue_loop", "constrain_child_tools", "conditional", "max_count_per_step"]
)
def test_a_rule_about_what_follows_keeps_the_turn_going(type: str) -> None:
    assert continues([rule(type, "a")], "a")
    assert not continues([rule(type, "a")], "b")


@pytest.mark.parametrize("type", ["exit_loop", "run_first", "parent_last_tool", "requires_approval"])
def test_other_rules_do_not_keep_the_turn_going(type: str) -> None:
    assert not continues([rule(type, "a")], "a")


def test_a_tool_may_need_its_callers_approval() -> None:
    assert needs_approval([rule("requires_approval", "a")], "a")
    assert not needs_approval([rule("requires_approval", "a")], "b")


def test_without_rules_every_attached_tool_is_allowed_in_its_order() -> None:
    assert allowed_tools([], ["c", "a"], [], None) == ["c", "a"]
    assert allowed_tools([], TOOLS, ["a"], "x") == TOOLS


def test_what_runs_first_is_all_that_is_allowed_until_something_was_called() -> None:
    rules = [
        rule("run_first", "c"),
        rule("run_first", "b"),
        rule("max_count_per_step", "b", max_count_limit=0),
    ]
    assert allowed_tools(rules, TOOLS, []) == ["b", "c"]
    assert allowed_tools(rules, TOOLS, ["c"]) == ["a", "c", "d"]


def test_a_first_tool_that_is_not_attached_is_no_obstacle() -> None:
    assert allowed_tools([rule("run_first", "z")], TOOLS, []) == TOOLS


def test_straight_after_a_parent_only_its_children_are_allowed() -> None:
    rules = [rule("constrain_child_tools", "a", children=["b", "c", "z"])]
    assert allowed_tools(rules, TOOLS, []) == TOOLS
    assert allowed_tools(rules, TOOLS, ["a"]) == ["b", "c"]
    assert allowed_tools(rules, TOOLS, ["a", "b"]) == TOOLS


def test_several_restrictions_hold_together() -> None:
    rules = [
        rule("constrain_child_tools", "a", children=["b", "c", "d"]),
        rule("constrain_child_tools", "a", children=["c", "d"]),
        rule("max_count_per_step", "d", max_count_limit=1),
    ]
    assert allowed_tools(rules, TOOLS, ["d", "a"]) == ["c"]


def test_children_of_a_parent_rule_are_hidden_except_straight_after_it() -> None:
    rules = [rule("parent_last_tool", "a", children=["b"])]
    assert allowed_tools(rules, TOOLS, []) == ["a", "c", "d"]
    assert allowed_tools(rules, TOOLS, ["a"]) == ["b"]
    assert allowed_tools(rules, TOOLS, ["a", "b"]) == ["a", "c", "d"]


def test_a_child_of_two_parents_is_allowed_after_either() -> None:
    rules = [rule("parent_last_tool", "a", children=["d"]), rule("parent_last_tool", "b", children=["d"])]
    assert allowed_tools(rules, TOOLS, ["a"]) == ["d"]
    assert allowed_tools(rules, TOOLS, ["b"]) == ["d"]
    assert allowed_tools(rules, TOOLS, ["c"]) == ["a", "b", "c"]


def test_a_tool_is_hidden_after_its_number_of_calls_in_the_run() -> None:
    rules = [rule("max_count_per_step", "a", max_count_limit=2)]
    assert "a" in allowed_tools(rules, TOOLS, ["a", "b"])
    assert "a" not in allowed_tools(rules, TOOLS, ["a", "b", "a"])


@pytest.mark.parametrize(
    ("output", "result"),
    [
        ("yes", "yes"),
        ("true", "True"),
        ("false", "False"),
        ("null", "None"),
        ("", ""),
        (True, "true"),
        (False, "False"),
        (5, "5"),
        (5, "5.0"),
        (0.5, "0.50"),
        ("5", "5"),
    ],
)
def test_a_condition_compares_the_output_by_its_kind(output: object, result: str) -> None:
    rules = [rule("conditional", "a", child_output_mapping={output: "b"}, default_child="c")]
    assert allowed_tools(rules, TOOLS, ["a"], result) == ["b"]


@pytest.mark.parametrize(
    ("output", "result"),
    [("yes", "Yes"), ("yes", "yes "), (True, "1"), (5, "five"), (1, ""), ("5", "5.0"), ("yes", None)],
)
def test_a_condition_that_is_not_met_leads_to_the_default(output: object, result: str | None) -> None:
    rules = [rule("conditional", "a", child_output_mapping={output: "b"}, default_child="c")]
    assert allowed_tools(rules, TOOLS, ["a"], result) == ["c"]


def test_without_a_default_an_unmapped_output_allows_anything_or_nothing() -> None:
    mapping = {"yes": "b"}
    assert allowed_tools([rule("conditional", child_output_mapping=mapping)], TOOLS, ["a"], "no") == TOOLS
    strict = [rule("conditional", child_output_mapping=mapping, require_output_mapping=True)]
    assert allowed_tools(strict, TOOLS, ["a"], "no") == []
    assert allowed_tools(strict, TOOLS, ["b"], "no") == TOOLS


def test_a_call_is_forced_at_the_start_only_by_what_runs_first() -> None:
    assert forces_call([rule("run_first")], [])
    assert not forces_call([rule("run_first")], ["a"])
    assert not forces_call([rule("constrain_child_tools", children=["b"])], [])


@pytest.mark.parametrize("type", ["constrain_child_tools", "parent_last_tool", "conditional"])
def test_a_call_is_forced_straight_after_a_tool_that_decides_the_next(type: str) -> None:
    assert forces_call([rule(type, "a")], ["b", "a"])
    assert not forces_call([rule(type, "a")], ["a", "b"])


def test_required_tools_are_missing_until_they_were_called() -> None:
    rules = [rule("required_before_exit", "c"), rule("required_before_exit", "b"), rule("exit_loop", "d")]
    assert missing_before_exit(rules, TOOLS, []) == ["b", "c"]
    assert missing_before_exit(rules, TOOLS, ["b"]) == ["c"]
    assert missing_before_exit(rules, TOOLS, ["b", "c"]) == []


def test_a_required_tool_that_is_not_attached_does_not_hold_up_the_turn() -> None:
    assert missing_before_exit([rule("required_before_exit", "z")], TOOLS, []) == []


def test_arguments_of_a_first_tool_are_given_for_its_first_call_only() -> None:
    rules = [rule("run_first", "a", args={"x": 1}), rule("run_first", "b", args=None), rule("run_first", "c")]
    assert prefilled(rules, "a", []) == {"x": 1}
    assert prefilled(rules, "b", []) == {}
    assert prefilled(rules, "c", []) == {}
    assert prefilled(rules, "a", ["b"]) == {}


def test_arguments_of_a_child_are_given_straight_after_its_parent() -> None:
    nodes = [{"name": "b", "args": {"y": 2}}, {"name": "c"}]
    rules = [
        rule("constrain_child_tools", "a", children=["b", "c"], child_arg_nodes=nodes),
        rule("constrain_child_tools", "d", children=["b"]),
    ]
    assert prefilled(rules, "b", ["a"]) == {"y": 2}
    assert prefilled(rules, "c", ["a"]) == {}
    assert prefilled(rules, "b", ["a", "c"]) == {}
    assert prefilled(rules, "b", ["d"]) == {}
    assert prefilled(rules, "b", []) == {}


def test_the_prompt_gets_a_text_naming_what_each_rule_is_about() -> None:
    rules: Rules = [
        rule("exit_loop"),
        rule("continue_loop"),
        rule("constrain_child_tools", children=["b", "c"]),
        rule("parent_last_tool", children=["d"]),
        rule("max_count_per_step", max_count_limit=3),
        rule("conditional", child_output_mapping={"yes": "b", "no": "c"}, default_child="d"),
        rule("conditional", child_output_mapping={"yes": "b"}),
    ]
    written = texts(rules)
    assert len(written) == len(rules)
    assert all("`a`" in text for text in written)
    assert "`b`, `c`" in written[2]
    assert "`d`" in written[3]
    assert "3 times" in written[4]
    assert "yes leads to `b`; no leads to `c`; anything else leads to `d`" in written[5]
    assert "anything else" not in written[6]
    assert len(set(written)) == len(rules)


def test_rules_that_speak_to_the_loop_alone_have_no_text() -> None:
    assert texts([rule("run_first"), rule("required_before_exit"), rule("requires_approval")]) == []


@pytest.mark.parametrize(
    ("kind", "value", "fits"),
    [
        ("string", "x", True),
        ("string", 1, False),
        ("integer", 1, True),
        ("integer", True, False),
        ("number", 1, True),
        ("number", 0.5, True),
        ("boolean", False, True),
        ("boolean", 0, False),
        ("array", [], True),
        ("object", [], False),
        (None, object(), True),
        (["string", "null"], 1, True),
    ],
)
def test_what_a_rule_fixes_must_be_of_the_arguments_type(kind: object, value: object, fits: bool) -> None:
    assert (misfits({"properties": {"x": {"type": kind}}}, {"x": value}) == "") is fits
