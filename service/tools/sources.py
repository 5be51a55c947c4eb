"""Tool sources: what a model is shown of a tool that somebody wrote in Python, read from its source.

The source is parsed, never executed. Its last top-level function is the tool: its
name, its docstring (Google style: a description, then `Args:`) and its type hints
become name, description and parameters. Whatever is missing for that is named, all of it at once.

Elsewhere: who calls this (toolbox.py); running the function (workers/tools/sandbox.py).
"""

import ast
import re
from collections.abc import Mapping, Sequence
from typing import Any

from service.errors import Invalid

Schema = dict[str, Any]
Function = ast.FunctionDef | ast.AsyncFunctionDef

MOST_NODES = 300
"""Parts of one type hint."""
_PLAIN = {"str": "string", "int": "integer", "float": "number", "bool": "boolean"}
_LISTS = ("list", "List", "Sequence", "Iterable", "set", "Set", "tuple", "Tuple")
_MAPS = ("dict", "Dict", "Mapping")
_HELP = "give `json_schema` or `args_json_schema`, or write it into the source"
_SECTION = re.compile(r"^(\w[\w ]*):\s*$")
_ARGUMENT = re.compile(r"^\*{0,2}(\w+)\s*(?:\([^)]*\))?\s*:\s*(.*)$")
_ARGS = ("args", "arguments", "parameters")
_OTHERS = ("returns", "return", "raises", "yields", "example", "examples", "note", "notes")


class _Unknown(Exception):
    """An annotation that has no JSON schema."""


def schema_of(source_code: str) -> Schema:
    """The tool's schema, `{name, description, parameters}`. Raises Invalid naming all that is missing."""
    function = function_of(source_code)
    text = ast.get_docstring(function)
    if not text:
        raise Invalid("source_code", f"function {function.name} has no docstring; {_HELP}")
    description, told = _read_docstring(text)
    missing = [] if description else [f"a description in the docstring of {function.name}"]
    properties: Schema = {}
    required = []
    for argument, has_default in _parameters(function):
        properties[argument.arg] = _property(argument, told, missing)
        if not has_default:
            required.append(argument.arg)
    if missing:
        raise Invalid("source_code", f"missing: {'; '.join(missing)}. To do without, {_HELP}")
    return _schema(function.name, description, properties, required)


def schema_with(source_code: str, arguments: Mapping[str, Any], description: str | None) -> Schema:
    """The schema of a tool whose arguments are described beside its source."""
    function = function_of(source_code)
    text = description or _read_docstring(ast.get_docstring(function) or "")[0]
    if not text:
        remedy = f"function {function.name} has no docstring; write one or give `description`"
        raise Invalid("source_code", remedy)
    properties, required = arguments.get("properties", {}), arguments.get("required", [])
    if not isinstance(properties, dict) or not isinstance(required, list):
        raise Invalid(
            "args_json_schema", "must hold `properties` (an object) and may hold `required` (a list)"
        )
    schema = _schema(function.name, text, dict(properties), list(required))
    if "$defs" in arguments:
        schema["parameters"]["$defs"] = arguments["$defs"]
    return schema


def function_of(source_code: str) -> Function:
    """The last top-level function of a source, or Invalid."""
    try:
        tree = ast.parse(source_code)
    except SyntaxError as error:
        raise Invalid("source_code", f"is not valid Python: {error.msg} (line {error.lineno})") from None
    except (ValueError, RecursionError, MemoryError):
        raise Invalid("source_code", "is not valid Python, or nested too deeply") from None
    functions = [node for node in tree.body if isinstance(node, Function)]
    if not functions:
        raise Invalid("source_code", "must define the tool as a function at the top level")
    return functions[-1]


def _schema(name: str, description: str, properties: Schema, required: Sequence[str]) -> Schema:
    parameters = {"type": "object", "properties": properties, "required": list(required)}
    return {"name": name, "description": description, "parameters": parameters}


def _parameters(function: Function) -> list[tuple[ast.arg, bool]]:
    """Each parameter, and whether it has a default."""
    given = function.args
    for unnamed, stars in ((given.vararg, "*"), (given.kwarg, "**")):
        if unnamed is not None:
            raise Invalid("source_code", f"{stars}{unnamed.arg} has no schema; name each parameter")
    if given.posonlyargs:
        name = given.posonlyargs[0].arg
        raise Invalid(
            "source_code", f"parameter {name} must not be positional only: tools are called by name"
        )
    first_default = len(given.args) - len(given.defaults)
    found = [(argument, index >= first_default) for index, argument in enumerate(given.args)]
    found += [
        (argument, default is not None)
        for argument, default in zip(given.kwonlyargs, given.kw_defaults, strict=True)
    ]
    if any(argument.arg == "agent_state" for argument, _ in found):
        remedy = "a tool is not given `agent_state` here; read the variable LETTA_AGENT_ID and ask the API"
        raise Invalid("source_code", remedy)
    return found


def _property(argument: ast.arg, told: Mapping[str, str], missing: list[str]) -> Schema:
    name = argument.arg
    schema: Schema = {}
    if argument.annotation is None:
        missing.append(f"a type annotation of parameter {name}")
    else:
        try:
            schema = _type_schema(_bounded(argument.annotation))
        except _Unknown as unknown:
            missing.append(f"a plain type for parameter {name} ({unknown} has no JSON schema)")
    if not told.get(name):
        missing.append(f"a description of parameter {name} under `Args:`")
    return {**schema, "description": told.get(name, "")}


def _type_schema(node: ast.expr) -> Schema:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return _quoted_schema(node.value)
    if isinstance(node, ast.Constant) and node.value is None:
        return {"type": "null"}
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return _either([node.left, node.right])
    if isinstance(node, ast.Subscript):
        return _generic_schema(node)
    name = _name(node)
    if name in _PLAIN:
        return {"type": _PLAIN[name]}
    if name in _LISTS:
        return {"type": "array", "items": {}}
    if name in _MAPS:
        return {"type": "object"}
    if name == "Any":
        return {}
    raise _Unknown(ast.unparse(node))


def _quoted_schema(text: str) -> Schema:
    try:
        hint = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise _Unknown(repr(text)) from None
    return _type_schema(_bounded(hint))


def _bounded(hint: ast.expr) -> ast.expr:
    """The hint, if it is of a size that can be walked through by recursion."""
    if sum(1 for _ in ast.walk(hint)) > MOST_NODES:
        raise _Unknown("one so long")
    return hint


def _generic_schema(node: ast.Subscript) -> Schema:
    name, inner = _name(node.value), node.slice
    parts = list(inner.elts) if isinstance(inner, ast.Tuple) else [inner]
    if name in _LISTS:
        return {"type": "array", "items": _either([part for part in parts if not _is_dots(part)])}
    if name in _MAPS and len(parts) == 2:
        return {"type": "object", "additionalProperties": _type_schema(parts[1])}
    if name == "Optional":
        return _type_schema(inner)
    if name == "Union":
        return _either(parts)
    if name == "Annotated":
        return _type_schema(parts[0])
    if name == "Literal":
        return _choices(parts, node)
    raise _Unknown(ast.unparse(node))


def _either(parts: Sequence[ast.expr]) -> Schema:
    """One of several types. That it may be None too is told by `required`."""
    schemas: list[Schema] = []
    for schema in (_type_schema(part) for part in parts):
        if schema != {"type": "null"} and schema not in schemas:
            schemas += schema.get("anyOf", [schema])
    if not schemas:
        return {"type": "null"}
    return schemas[0] if len(schemas) == 1 else {"anyOf": schemas}


def _choices(parts: Sequence[ast.expr], node: ast.expr) -> Schema:
    values = [part.value for part in parts if isinstance(part, ast.Constant)]
    if len(values) < len(parts) or not all(isinstance(value, str | int | float) for value in values):
        raise _Unknown(ast.unparse(node))
    kinds = {_PLAIN[type(value).__name__] for value in values}
    return {"type": kinds.pop(), "enum": values} if len(kinds) == 1 else {"enum": values}


def _name(node: ast.expr) -> str:
    """`List` of both `List` and `typing.List`."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _is_dots(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is ...


def _read_docstring(text: str) -> tuple[str, dict[str, str]]:
    """The description, and what is said of each argument."""
    described: list[str] = []
    told: dict[str, str] = {}
    section, indent, name = "", None, ""
    for line in text.splitlines():
        if (header := _SECTION.match(line)) and header[1].lower() in (*_ARGS, *_OTHERS):
            section, indent, name = header[1].lower(), None, ""
        elif not section:
            described.append(line)
        elif section in _ARGS and line.strip():
            depth = len(line) - len(line.lstrip())
            indent = depth if indent is None else indent
            if depth <= indent and (found := _ARGUMENT.match(line.strip())):
                name = found[1]
                told[name] = found[2].strip()
            elif name:
                told[name] = f"{told[name]} {line.strip()}".strip()
    return "\n".join(described).strip(), told
