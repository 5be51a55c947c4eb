"""Tool rules: which tools a model may call next, and whether its turn goes on.

Rules are kept as V1 writes them, so they are read here from plain dictionaries:
`type` and `tool_name`, with a few more fields per type. They look at one run only:
the names of the tools called so far, in order, and the text of the last result.

A rule that could never be met is no rule: one that asks for a tool which is not
attached neither holds the run up nor leaves the model without tools.

Elsewhere: rules an agent gets without asking (service/agent_types); asking the
caller for approval (workers/request).
"""

from collections.abc import Mapping, Sequence
from typing import Any

Rule = Mapping[str, Any]

_KEEP_GOING = ("continue_loop", "constrain_child_tools", "conditional", "max_count_per_step")
_STEER_NEXT = ("constrain_child_tools", "parent_last_tool", "conditional")


def is_terminal(rules: Sequence[Rule], tool: str) -> bool:
    """Whether the turn ends after this tool."""
    return _has(rules, ("exit_loop",), tool)


def continues(rules: Sequence[Rule], tool: str) -> bool:
    """Whether the turn goes on after this tool without the model asking for it."""
    return _has(rules, _KEEP_GOING, tool)


def needs_approval(rules: Sequence[Rule], tool: str) -> bool:
    """Whether the caller is asked before this tool is run."""
    return _has(rules, ("requires_approval",), tool)


def forces_call(rules: Sequence[Rule], called: Sequence[str]) -> bool:
    """Whether the model has to call a tool now: a rule says what comes first, or next."""
    if not called:
        return any(rule["type"] == "run_first" for rule in rules)
    return _has(rules, _STEER_NEXT, called[-1])


def missing_before_exit(rules: Sequence[Rule], attached: Sequence[str], called: Sequence[str]) -> list[str]:
    """Attached tools that must be called before the turn may end and have not been."""
    required = {rule["tool_name"] for rule in rules if rule["type"] == "required_before_exit"}
    return [tool for tool in attached if tool in required and tool not in called]


def prefilled(rules: Sequence[Rule], tool: str, called: Sequence[str]) -> dict[str, Any]:
    """Arguments that overwrite the model's, should it call this tool now."""
    arguments: dict[str, Any] = {}
    for rule in rules:
        if rule["type"] == "run_first" and rule["tool_name"] == tool and not called:
            arguments |= rule.get("args") or {}
        elif rule["type"] == "constrain_child_tools" and list(called[-1:]) == [rule["tool_name"]]:
            for node in rule.get("child_arg_nodes") or []:
                if node["name"] == tool:
                    arguments |= node.get("args") or {}
    return arguments


def misfits(parameters: Mapping[str, Any], fixed: Mapping[str, Any]) -> str:
    """What of the arguments that a rule fixes such a tool does not take; empty if all fits."""
    taken = parameters.get("properties") or {}
    unknown = [f"{name} is no argument of it" for name in fixed if name not in taken]
    wrong = [
        f"{name} must be of type {taken[name]['type']}"
        for name, value in fixed.items()
        if name in taken and not _is_of(value, taken[name].get("type"))
    ]
    return "; ".join([*unknown, *wrong])


_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
}


def _is_of(value: object, type_name: object) -> bool:
    """Whether a value is of a JSON schema's type; of several, or one that is not known, it is."""
    known = _TYPES.get(type_name) if isinstance(type_name, str) else None
    return known is None or (isinstance(value, known) and (isinstance(value, bool) <= (bool in known)))


def allowed_tools(
    rules: Sequence[Rule], attached: Sequence[str], called: Sequence[str], last_result: str | None = None
) -> list[str]:
    """The attached tools that may be called now, in the order given."""
    if not called:
        first = {rule["tool_name"] for rule in rules if rule["type"] == "run_first"}
        if opening := [tool for tool in attached if tool in first]:
            return opening
    last = called[-1] if called else None
    hidden = _hidden_children(rules, last) | _used_up(rules, called)
    allowed = [tool for tool in attached if tool not in hidden]
    for rule in rules:
        if rule["tool_name"] == last and rule["type"] in _STEER_NEXT:
            following = _following(rule, last_result)
            allowed = [tool for tool in allowed if following is None or tool in following]
    return allowed


def texts(rules: Sequence[Rule]) -> list[str]:
    """What the prompt tells the model about its rules; some rules go without words."""
    return [text for rule in rules if (text := _text(rule))]


def _has(rules: Sequence[Rule], types: Sequence[str], tool: str) -> bool:
    return any(rule["type"] in types and rule["tool_name"] == tool for rule in rules)


def _hidden_children(rules: Sequence[Rule], last: str | None) -> set[str]:
    """Children of `parent_last_tool` rules none of whose parents was called just now."""
    parents = [rule for rule in rules if rule["type"] == "parent_last_tool"]
    every = {child for rule in parents for child in rule["children"]}
    return every - {child for rule in parents if rule["tool_name"] == last for child in rule["children"]}


def _used_up(rules: Sequence[Rule], called: Sequence[str]) -> set[str]:
    return {
        rule["tool_name"]
        for rule in rules
        if rule["type"] == "max_count_per_step" and called.count(rule["tool_name"]) >= rule["max_count_limit"]
    }


def _following(rule: Rule, last_result: str | None) -> list[str] | None:
    """The tools that may follow the rule's own; None sets no bounds."""
    if rule["type"] != "conditional":
        return list(rule["children"])
    for output, child in rule["child_output_mapping"].items():
        if last_result is not None and _same(output, last_result):
            return [child]
    if default := rule.get("default_child"):
        return [default]
    return [] if rule.get("require_output_mapping") else None


def _same(output: object, result: str) -> bool:
    """Whether a result's text is the mapped output. JSON spells True, False and None otherwise."""
    if isinstance(output, bool):
        return result.lower() == str(output).lower()
    if isinstance(output, int | float):
        try:
            return float(result) == output
        except ValueError:
            return False
    spelled = {"True": "true", "False": "false", "None": "null"}
    return output in (result, spelled.get(result, result))


def _text(rule: Rule) -> str | None:
    tool = rule["tool_name"]
    match rule["type"]:
        case "exit_loop":
            return f"Calling `{tool}` ends your turn."
        case "continue_loop":
            return f"Your turn goes on after `{tool}`: you receive its result and decide what to do next."
        case "constrain_child_tools":
            return f"Straight after `{tool}`, call one of: {_names(rule['children'])}."
        case "parent_last_tool":
            return f"Only straight after `{tool}` may you call: {_names(rule['children'])}."
        case "max_count_per_step":
            return f"`{tool}` may be called at most {rule['max_count_limit']} times in one turn."
        case "conditional":
            return _conditional_text(rule)
    return None


def _conditional_text(rule: Rule) -> str:
    cases = [f"{output!s} leads to `{child}`" for output, child in rule["child_output_mapping"].items()]
    if default := rule.get("default_child"):
        cases.append(f"anything else leads to `{default}`")
    return f"The result of `{rule['tool_name']}` decides what to call next: {'; '.join(cases)}."


def _names(tools: Sequence[str]) -> str:
    return ", ".join(f"`{tool}`" for tool in tools)
