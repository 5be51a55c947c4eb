"""Searches on the wire: what is looked for in messages, and V1's form of a message as it is stored."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from service.http.paging import LOOKS
from service.http.schemas.bounds import Name
from service.records.base import Page, iso, micros_of
from service.records.messages import Message

MessageRole = Literal["assistant", "user", "tool", "function", "system", "approval"]
_HIT_KINDS: dict[str, Any] = {
    "system": "system_message",
    "user": "user_message",
    "assistant": "assistant_message",
}
_RANK_BASE = 60
"""The usual constant of reciprocal rank fusion."""


class MessageSearchRequest(BaseModel):
    query: str | None = Field(
        default=None, max_length=1000, description=f"words that occur in the text, in any case; {LOOKS}"
    )
    search_mode: Literal["vector", "fts", "hybrid"] = Field(
        default="hybrid", description="accepted; it is a full-text search whatever it says"
    )
    roles: list[MessageRole] | None = Field(default=None, max_length=10)
    agent_id: Name | None = None
    project_id: Name | None = Field(default=None, description="accepted; messages are of no project here")
    template_id: Name | None = Field(default=None, description="accepted; messages are of no template here")
    limit: int = Field(default=50, ge=1, le=100)
    start_date: datetime | None = Field(default=None, description="only messages made since then")
    end_date: datetime | None = Field(default=None, description="only messages made until then")
    after: Name | None = Field(default=None, description="only older ones than the message of this id")

    def page(self) -> Page:
        return Page(limit=self.limit, after=self.after, descending=True)

    def wants(self, message: Message) -> bool:
        """Whether a message is what is looked for."""
        text = searched_text(message).casefold()
        return (
            (self.roles is None or message.role in self.roles)
            and self.agent_id in (None, message.agent_id)
            and (self.start_date is None or message.created_at >= micros_of(self.start_date))
            and (self.end_date is None or message.created_at <= micros_of(self.end_date))
            and all(word in text for word in (self.query or "").casefold().split())
        )


class AllMessagesSearchRequest(BaseModel):
    query: Annotated[str, Field(min_length=1, max_length=1000)] = Field(
        description=f"words that occur in the text, in any case; {LOOKS}"
    )
    search_mode: Literal["vector", "fts", "hybrid"] = Field(
        default="hybrid", description="accepted; it is a full-text search whatever it says"
    )
    agent_id: Name | None = None
    conversation_id: Literal["default"] | None = Field(
        default=None, description="`default`; there are no other conversations"
    )
    limit: int = Field(default=50, ge=1, le=100)
    start_date: datetime | None = Field(default=None, description="only messages made since then")
    end_date: datetime | None = Field(default=None, description="only messages made until then")

    def page(self) -> Page:
        return Page(limit=self.limit, descending=True)

    def wants(self, message: Message) -> bool:
        """Whether a message is what is looked for: results of tools and requests are not shown so."""
        asked = self.model_dump(include={"query", "agent_id", "start_date", "end_date"})
        return message.role in _HIT_KINDS and MessageSearchRequest(**asked).wants(message)


class MessageSearchHit(BaseModel):
    """A message that was found, with the agent it belongs to."""

    message_type: Literal["system_message", "user_message", "assistant_message"]
    content: str
    message_id: str
    agent_id: str | None = None
    conversation_id: str | None = None
    created_at: str


class StoredMessage(BaseModel):
    """A message as it is stored (V1: `Message`)."""

    model_config = ConfigDict(protected_namespaces=())

    id: str
    agent_id: str
    role: MessageRole
    content: list[dict[str, Any]]
    created_at: str
    updated_at: str | None = None
    created_by_id: str | None = None
    last_updated_by_id: str | None = None
    model: str | None = None
    name: str | None = None
    tool_calls: list[dict[str, Any]] | None = None
    tool_call_id: str | None = None
    tool_returns: list[dict[str, Any]] = []
    step_id: str | None = None
    run_id: str | None = None
    otid: str | None = None
    group_id: str | None = None
    sender_id: str | None = None
    batch_item_id: str | None = None
    is_err: bool | None = None
    approval_request_id: str | None = None
    approve: bool | None = None
    denial_reason: str | None = None


class MessageSearchResult(BaseModel):
    """A message that was found. There are no vectors here, so `vector_rank` is null."""

    embedded_text: str
    message: StoredMessage
    fts_rank: int | None = Field(default=None, description="1 is the newest")
    vector_rank: int | None = None
    rrf_score: float


def searched_text(message: Message) -> str:
    """What of a message is looked through: its text, and what its tools gave."""
    return "\n".join([message.plain_text(), *(given.text for given in message.tool_returns)]).strip()


def search_results(found: list[Message]) -> list[MessageSearchResult]:
    return [
        MessageSearchResult(
            embedded_text=searched_text(message),
            message=_stored(message),
            fts_rank=rank,
            rrf_score=1 / (_RANK_BASE + rank),
        )
        for rank, message in enumerate(found, start=1)
    ]


def search_hits(found: list[Message]) -> list[MessageSearchHit]:
    return [
        MessageSearchHit(
            message_type=_HIT_KINDS[message.role],
            content=message.plain_text(),
            message_id=message.id,
            agent_id=message.agent_id,
            created_at=iso(message.created_at),
        )
        for message in found
    ]


def _stored(message: Message) -> StoredMessage:
    parts = message.content
    answer = message.answer
    calls = [
        {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
        for call in message.tool_calls
    ]
    returns = [
        {
            "tool_call_id": given.tool_call_id,
            "status": given.status,
            "stdout": given.stdout,
            "stderr": given.stderr,
            "func_response": given.text,
        }
        for given in message.tool_returns
    ]
    return StoredMessage(
        **message.model_dump(
            include={"id", "agent_id", "role", "name", "step_id", "run_id", "otid", "group_id", "sender_id"}
        ),
        batch_item_id=message.batch_item_id,
        content=[{"type": "text", "text": parts}] if isinstance(parts, str) else parts,
        created_at=iso(message.created_at),
        tool_calls=calls or None,
        tool_call_id=message.tool_returns[0].tool_call_id if returns else None,
        tool_returns=returns,
        approval_request_id=None if answer is None else answer.request_id,
        approve=None if answer is None else all(call.approve for call in answer.calls),
        denial_reason=None if answer is None else answer.reason,
    )
