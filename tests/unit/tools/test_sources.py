"""A tool's schema from its source: what is read, and what is said when it cannot be."""

from typing import Any

import pytest

from service.errors import Invalid
from service.tools.sources import function_of, schema_of, schema_with


def source(signature: str, told: str = "", *, before: str = "", description: str = "Does it.") -> str:
    """A function `f` with such a signature, and what its docstring says of its arguments."""
    lines = "".join(f"        {line}\n" for line in told.splitlines())
    args = f"\n    Args:\n{lines}" if told else ""
    return f'{before}def f({signature}):\n    """{description}\n{args}    """\n    return 1\n'


def test_name_description_and_parameters_come_from_the_last_function() -> None:
    text = source(
        "sides: int, label: str = 'x', *, many: bool = False, kind: str",
        "sides (int): How many\n    it has.\nlabel: What: to call it.\n"
        "many (bool): Whether.\nkind (str): Which.",
        before="import os\n\ndef helper(a):\n    pass\n\n",
        description="Roll a die.\n\n    It is fair.",
    )
    assert schema_of(text) == {
        "name": "f",
        "description": "Roll a die.\n\nIt is fair.",
        "parameters": {
            "type": "object",
            "properties": {
                "sides": {"type": "integer", "description": "How many it has."},
                "label": {"type": "string", "description": "What: to call it."},
                "many": {"type": "boolean", "description": "Whether."},
                "kind": {"type": "string", "description": "Which."},
            },
            "required": ["sides", "kind"],
        },
    }


def test_what_follows_the_arguments_is_no_part_of_them() -> None:
    text = source("a: int", "a: One.\n\nmore of it") + "    "
    text = text.replace('    """\n    return', '\n    Returns:\n        b: two\n    """\n    return')
    assert schema_of(text)["parameters"]["properties"] == {
        "a": {"type": "integer", "description": "One. more of it"}
    }


def test_text_before_the_first_argument_of_a_section_is_passed_over() -> None:
    text = 'def f(a: int):\n    """Does it.\n\n    Args:\n        just words\n        a: One.\n    """\n'
    assert schema_of(text)["parameters"]["properties"]["a"]["description"] == "One."


def test_a_function_without_parameters_and_an_async_one_are_tools_too() -> None:
    assert schema_of('async def go():\n    """Go."""\n')["parameters"] == {
        "type": "object",
        "properties": {},
        "required": [],
    }


@pytest.mark.parametrize(
    ("hint", "schema"),
    [
        ("str", {"type": "string"}),
        ("float", {"type": "number"}),
        ("'int'", {"type": "integer"}),
        ("list", {"type": "array", "items": {}}),
        ("List[str]", {"type": "array", "items": {"type": "string"}}),
        ("typing.List[int]", {"type": "array", "items": {"type": "integer"}}),
        ("tuple[int, ...]", {"type": "array", "items": {"type": "integer"}}),
        (
            "tuple[int, str]",
            {"type": "array", "items": {"anyOf": [{"type": "integer"}, {"type": "string"}]}},
        ),
        ("dict", {"type": "object"}),
        ("Dict[str, float]", {"type": "object", "additionalProperties": {"type": "number"}}),
        ("Optional[str]", {"type": "string"}),
        ("str | None", {"type": "string"}),
        ("None", {"type": "null"}),
        ("Union[None]", {"type": "null"}),
        ("Union[int, str, None]", {"anyOf": [{"type": "integer"}, {"type": "string"}]}),
        ("int | str | bool", {"anyOf": [{"type": "integer"}, {"type": "string"}, {"type": "boolean"}]}),
        ("Annotated[int, 'words']", {"type": "integer"}),
        ("Literal['a', 'b']", {"type": "string", "enum": ["a", "b"]}),
        ("Literal['a', 1]", {"enum": ["a", 1]}),
        ("Any", {}),
    ],
)
def test_a_type_hint_becomes_a_json_schema(hint: str, schema: dict[str, Any]) -> None:
    found = schema_of(source(f"a: {hint}", "a: One."))["parameters"]["properties"]["a"]
    assert found == {**schema, "description": "One."}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("def f(:", "is not valid Python"),
        ("\x00", "is not valid Python"),
        ("x = '\ud800'", "is not valid Python"),
        ("x = 1", "must define the tool as a function"),
        ("class A:\n    def f(self): pass", "must define the tool as a function"),
        ("def f(): pass", "function f has no docstring"),
        (
            "def f(a: int):\n    '''\n    Args:\n        a: One.\n    '''",
            "a description in the docstring of f",
        ),
        (source("a", "a: One."), "a type annotation of parameter a"),
        (source("a: int"), "a description of parameter a under `Args:`"),
        (source("a: Path", "a: One."), "a plain type for parameter a (Path has no JSON schema)"),
        (source("a: 'x y'", "a: One."), "('x y' has no JSON schema)"),
        (source("a: Foo[int]", "a: One."), "(Foo[int] has no JSON schema)"),
        (source("a: Literal[b]", "a: One."), "(Literal[b] has no JSON schema)"),
        (source("a: dict[int]", "a: One."), "(dict[int] has no JSON schema)"),
        (source("a: x()", "a: One."), "(x() has no JSON schema)"),
        (source(f"a: {'|'.join(['int'] * 400)}", "a: One."), "(one so long has no JSON schema)"),
        (source(f"a: '{'|'.join(['int'] * 400)}'", "a: One."), "(one so long has no JSON schema)"),
        (source("a: int, /", "a: One."), "parameter a must not be positional only"),
        (source("*rest"), "*rest has no schema"),
        (source("**rest"), "**rest has no schema"),
        (source("agent_state: int", "agent_state: x"), "read the variable LETTA_AGENT_ID"),
    ],
)
def test_what_cannot_be_read_is_named(text: str, said: str) -> None:
    with pytest.raises(Invalid, match=r"^source_code: ") as caught:
        schema_of(text)
    assert said in str(caught.value)


def test_everything_that_is_missing_is_named_at_once() -> None:
    with pytest.raises(Invalid) as caught:
        schema_of(source("a, b: int"))
    for part in ("type annotation of parameter a", "parameter a under", "parameter b under", "json_schema"):
        assert part in str(caught.value)


def test_arguments_may_be_described_beside_the_source() -> None:
    given = {
        "properties": {"a": {"$ref": "#/$defs/A"}},
        "required": ["a"],
        "$defs": {"A": {"type": "string"}},
        "title": "x",
    }
    assert schema_with(source("a"), given, None) == {
        "name": "f",
        "description": "Does it.",
        "parameters": {
            "type": "object",
            "properties": given["properties"],
            "required": ["a"],
            "$defs": given["$defs"],
        },
    }
    assert schema_with("def f(a): pass", {}, "Given.")["description"] == "Given."


@pytest.mark.parametrize(
    ("text", "arguments", "said"),
    [
        ("def f(a): pass", {}, "source_code: function f has no docstring"),
        (source("a"), {"properties": []}, "args_json_schema: must hold `properties`"),
        (source("a"), {"required": "a"}, "args_json_schema: must hold `properties`"),
    ],
)
def test_descriptions_of_arguments_are_checked(text: str, arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(Invalid) as caught:
        schema_with(text, arguments, None)
    assert said in str(caught.value)


def test_nothing_of_a_source_is_executed(tmp_path: Any) -> None:
    mark = tmp_path / "mark"
    assert function_of(f"open({str(mark)!r}, 'w')\ndef f(): pass").name == "f"
    assert not mark.exists()
