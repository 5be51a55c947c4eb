"""Examples: what an answer may look like, made from its JSON schema.

Nobody writes or keeps them: a field shows its own example, its default or the
least that its type allows, and an id looks like one of its kind.
"""

from collections.abc import Mapping
from typing import Any

from service.http.routing import EXAMPLE_UUID4, IDS, PLAIN_IDS

Schema = Mapping[str, Any]

_REF = "#/components/schemas/"
_TIME = "2026-01-31T05:59:26.811268Z"
_KINDS = {name.removesuffix("_id"): prefix for name, prefix in (IDS | PLAIN_IDS).items()} | {"step": "step"}
_LEAST = {"boolean": False, "integer": 1, "number": 1.0, "null": None}


def example_of(schema: Schema, components: Mapping[str, Schema]) -> Any:
    """A value that fits the schema, whose references lead to these components."""
    return _example(schema, components, ("", ""))


def _example(schema: Schema, components: Mapping[str, Schema], names: tuple[str, str]) -> Any:
    """`names`: the field that holds the value, and the model that has the field."""
    told = [schema[key] for key in ("const", "default") if key in schema]
    told += [schema[key][0] for key in ("examples", "enum") if schema.get(key)]
    if told:
        return told[0]
    if "$ref" in schema:
        model = schema["$ref"].removeprefix(_REF)
        return _example(components[model], components, (names[0], model))
    for key in ("anyOf", "oneOf"):
        if key in schema:
            return _example(schema[key][0], components, names)
    kind = schema.get("type")
    if kind == "object":
        fields = schema.get("properties", {})
        return {name: _example(one, components, (name, names[1])) for name, one in fields.items()}
    if kind == "array":
        return [_example(schema["items"], components, names)] if "items" in schema else []
    return _text(schema, *names) if kind == "string" else _LEAST.get(str(kind))


def _text(schema: Schema, field: str, model: str) -> str:
    if schema.get("format") == "date-time" or field.endswith("_at") or field == "date":
        return _TIME
    if field == "id":
        kinds = [prefix for name, prefix in _KINDS.items() if name in model.lower()]
        return f"{(kinds or ['message'])[0]}-{EXAMPLE_UUID4}"
    if field.endswith("_id"):
        return f"{_KINDS.get(field.removesuffix('_id'), field.removesuffix('_id'))}-{EXAMPLE_UUID4}"
    return field.replace("_", " ") or "text"
