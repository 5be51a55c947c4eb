"""Questions as records: one model call that is no agent's turn, and what came of it."""

from typing import Any

from pydantic import Field

from service.records.base import Record
from service.records.runs import RunError, Usage


class Question(Record):
    """What a model is asked. With a schema the answer is a JSON object that fits it."""

    model: str
    """The handle."""
    prompt: str
    system: str = ""
    response_schema: dict[str, Any] | None = None
    max_tokens: int | None = None
    temperature: float | None = None


class Answer(Record):
    """What it said, or why it said nothing."""

    content: str = ""
    model: str = ""
    usage: Usage = Field(default_factory=Usage)
    error: RunError | None = None
