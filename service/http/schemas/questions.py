"""Questions on the wire: a prompt, and what a model makes of it."""

from typing import Annotated

from pydantic import BaseModel, Field, StringConstraints

from service.http.schemas.bounds import Handle, JsonObject
from service.http.schemas.runs import UsageTold

Prompt = Annotated[
    str, StringConstraints(strip_whitespace=False, min_length=1, max_length=1_000_000, pattern=r"\S")
]


class GenerateRequest(BaseModel):
    prompt: Prompt
    system_prompt: str | None = Field(default=None, max_length=1_000_000)
    override_model: Handle | None = Field(default=None, description="another model than the agent's")
    response_schema: JsonObject | None = Field(
        default=None, description="a JSON schema of type object; the content is then JSON that follows it"
    )


class GenerateResponse(BaseModel):
    content: str
    model: str
    usage: UsageTold
