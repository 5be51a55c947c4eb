"""Answers: JSON from records and response models, serialised once."""

from collections.abc import Mapping

from pydantic_core import to_json
from starlette.responses import Response


def json_answer(content: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A response whose body is the content as JSON: a response model, a list of them, or plain values."""
    return Response(to_json(content), status, headers, "application/json")
