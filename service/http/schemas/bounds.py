"""Bounds: how long a string or a list of a request may be, and what an id looks like."""

from typing import Annotated, Any

from pydantic import AfterValidator, Field, StringConstraints
from pydantic_core import to_json

from service.http.routing import UUID4

INT4 = 2_147_483_647
JSON_BYTES = 100_000

AgentId = Annotated[str, StringConstraints(pattern=f"^agent-{UUID4}$")]
BlockId = Annotated[str, StringConstraints(pattern=f"^block-{UUID4}$")]
MessageId = Annotated[str, StringConstraints(pattern=f"^message-{UUID4}$")]
ToolId = Annotated[str, StringConstraints(pattern=f"^tool-{UUID4}$")]
SourceId = Annotated[str, StringConstraints(pattern=f"^source-{UUID4}$")]
IdentityId = Annotated[str, StringConstraints(pattern=f"^identity-{UUID4}$")]

Name = Annotated[str, StringConstraints(min_length=1, max_length=200)]
"""Any short word: a tag, a key, a foreign id."""
Label = Annotated[str, StringConstraints(min_length=1, max_length=500)]
Handle = Annotated[str, StringConstraints(min_length=1, max_length=500)]
Description = Annotated[str, StringConstraints(max_length=10_000)]
Names = Annotated[list[Name], Field(max_length=500)]
Count = Annotated[int, Field(ge=0, le=INT4)]


def _bounded(value: dict[str, Any]) -> dict[str, Any]:
    if len(to_json(value)) > JSON_BYTES:
        raise ValueError(f"must not be larger than {JSON_BYTES} bytes as JSON")
    return value


EditId = Annotated[
    Name | None,
    Field(description="the same id again, within 24 hours, is answered and not applied again"),
]

JsonObject = Annotated[dict[str, Any], AfterValidator(_bounded)]

Text = Annotated[str, AfterValidator(lambda text: text.replace("\x00", ""))]
"""A block's text. NUL characters are dropped, as V1 does; the length is bounded by the body."""
