"""Errands on the wire: summaries on demand, and what a provider would be sent."""

from typing import Any

from pydantic import BaseModel, Field

from service.http.schemas.models import CompactionSettings


class CompactQuery(BaseModel):
    max_message_length: int | None = Field(
        default=None, ge=0, le=10_000, description="old SDKs: messages that may stay besides the summary"
    )


class CompactRequest(BaseModel):
    compaction_settings: CompactionSettings | None = Field(
        default=None, description="what is given goes before the agent's own settings, this once"
    )

    def asked(self, query: CompactQuery) -> dict[str, Any]:
        """The errand: only what was said."""
        said = self.compaction_settings
        asked = {} if said is None else said.model_dump(exclude_unset=True)
        return asked if query.max_message_length is None else asked | {"keep": query.max_message_length}


class CompactionResponse(BaseModel):
    """The summary, and how many messages were in context before and are after it."""

    summary: str
    num_messages_before: int
    num_messages_after: int
