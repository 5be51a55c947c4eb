"""Messages on the wire: what a send carries, and V1's rules of what goes together in it."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag

from service.errors import Invalid
from service.http.errors import Misused
from service.http.paging import CEILING, PageQuery
from service.http.schemas.bounds import Description, Handle, JsonObject, Name
from service.records.messages import Answer, CallAnswer, NewMessage, ToolReturn
from service.records.runs import HIGHEST_PRIORITY, RunOptions, When

MOST_MESSAGES = 1000
LATEST_S = 366 * 86_400
"""So far ahead a message may be due."""
_NOT_HERE = "not available yet in this version; {}"
_WITHOUT = "send without it"
_REFUSED = {
    "return_logprobs": _WITHOUT,
    "top_logprobs": _WITHOUT,
    "return_token_ids": _WITHOUT,
}
"""What a send may carry in V1 and would be ignored here, and what to do instead."""

MessageType = Literal[
    "system_message",
    "user_message",
    "assistant_message",
    "reasoning_message",
    "hidden_reasoning_message",
    "tool_call_message",
    "tool_return_message",
    "approval_request_message",
    "approval_response_message",
    "summary_message",
    "event_message",
]


class TextPart(BaseModel):
    type: Literal["text"]
    text: str
    signature: str | None = None


class UrlImage(BaseModel):
    type: Literal["url"]
    url: str = Field(max_length=100_000, pattern="^https?://", description="the provider loads it")
    detail: str | None = Field(default=None, max_length=20)


class Base64Image(BaseModel):
    type: Literal["base64"]
    media_type: str = Field(pattern="^image/[a-z0-9.+-]{1,50}$")
    data: str = Field(min_length=1)
    detail: str | None = Field(default=None, max_length=20)


class FileImage(BaseModel):
    """A file that was uploaded before. Not served: there are no files here."""

    model_config = ConfigDict(extra="allow")

    type: Literal["letta"]


class ImagePart(BaseModel):
    type: Literal["image"]
    source: UrlImage | Base64Image | FileImage = Field(discriminator="type")


class OtherPart(BaseModel):
    """The kinds of parts that stored messages have; kept as given."""

    model_config = ConfigDict(extra="allow")

    type: Literal[
        "tool_call",
        "tool_return",
        "reasoning",
        "redacted_reasoning",
        "omitted_reasoning",
        "summarized_reasoning",
    ]


Part = Annotated[TextPart | ImagePart | OtherPart, Field(discriminator="type")]
Parts = Annotated[list[Part], Field(min_length=1, max_length=MOST_MESSAGES)]
Content = Annotated[
    Annotated[str, Tag("<text>")] | Annotated[Parts, Tag("<parts>")],
    Discriminator(lambda content: "<parts>" if isinstance(content, list) else "<text>"),
]


class MessageCreate(BaseModel):
    type: Literal["message"] | None = "message"
    otid: Name | None = Field(default=None, description="the sender's own id for the message")
    group_id: Name | None = None
    role: Literal["user", "system", "assistant"]
    content: Content
    name: Name | None = None
    sender_id: Name | None = None
    batch_item_id: Name | None = None


class ApprovalReturn(BaseModel):
    """Whether one call may be run."""

    type: Literal["approval"] = "approval"
    tool_call_id: Name
    approve: bool
    reason: str | None = None


class ResultPart(BaseModel):
    """A part of a result; of an image the agent is told only that there was one."""

    model_config = ConfigDict(extra="allow")

    type: Literal["text", "image"]
    text: str = ""


class ToolReturnGiven(BaseModel):
    """What one call gave back, run by the caller."""

    type: Literal["tool"] = "tool"
    tool_call_id: Name
    tool_return: str | list[ResultPart]
    status: Literal["success", "error"]
    stdout: list[str] | None = None
    stderr: list[str] | None = None


def _answer_kind(answer: Any) -> str:
    said = answer if isinstance(answer, dict) else vars(answer) if isinstance(answer, BaseModel) else {}
    is_result = said.get("type") == "tool" or ("type" not in said and "tool_return" in said)
    return "<tool>" if is_result else "<approval>"


CallAnswered = Annotated[
    Annotated[ApprovalReturn, Tag("<approval>")] | Annotated[ToolReturnGiven, Tag("<tool>")],
    Discriminator(_answer_kind),
]


class ApprovalCreate(BaseModel):
    """An answer to an approval request, only as the first entry: one word for each call that is asked for.

    `approve`, with `approval_request_id` (the message's id) and `reason`, is the old form: one word for all.
    """

    type: Literal["approval"] = "approval"
    otid: Name | None = None
    group_id: Name | None = None
    approvals: list[CallAnswered] | None = Field(default=None, max_length=MOST_MESSAGES)
    approve: bool | None = None
    approval_request_id: Name | None = None
    reason: str | None = None


class ToolReturnCreate(BaseModel):
    """Results of the calls that are asked for, run by the caller; only as the first entry."""

    type: Literal["tool_return"]
    otid: Name | None = None
    group_id: Name | None = None
    tool_returns: list[ToolReturnGiven] = Field(max_length=MOST_MESSAGES)


def _entry_kind(entry: Any) -> str:
    said = entry.get if isinstance(entry, dict) else lambda name, default=None: getattr(entry, name, default)
    kind = said("type")
    if kind is None and (said("approve") is not None or said("approval_request_id") is not None):
        kind = "approval"
    return f"<{kind}>" if kind in ("approval", "tool_return") else "<message>"


Entry = Annotated[
    Annotated[MessageCreate, Tag("<message>")]
    | Annotated[ApprovalCreate, Tag("<approval>")]
    | Annotated[ToolReturnCreate, Tag("<tool_return>")],
    Discriminator(_entry_kind),
]


class ClientToolSchema(BaseModel):
    """A tool that the sender runs: a call of it ends the run, whose answer brings its result."""

    name: Name
    description: str | None = None
    parameters: JsonObject | None = None


class ClientSkill(BaseModel):
    name: Name
    description: Description
    location: Description


class SendBase(BaseModel):
    """What every send carries: `messages` or `input`, exactly one, and how to run."""

    messages: list[Entry] | None = Field(default=None, max_length=MOST_MESSAGES)
    input: Content | None = Field(default=None, description="a user message's content, instead of `messages`")
    max_steps: int | None = Field(default=None, ge=1, le=10_000, description="50 if absent")
    use_assistant_message: bool | None = None
    assistant_message_tool_name: Name | None = None
    assistant_message_tool_kwarg: Name | None = None
    include_return_message_types: list[MessageType] | None = Field(default=None, max_length=100)
    enable_thinking: str | bool | None = Field(
        default=None, description="`false`: the model is not asked to think first"
    )
    client_tools: list[ClientToolSchema] | None = Field(
        default=None, max_length=500, description="offered to the model beside the agent's tools, in this run"
    )
    client_skills: list[ClientSkill] | None = Field(
        default=None, max_length=500, description="shown in the system prompt of this run alone"
    )
    override_model: Handle | None = None
    include_compaction_messages: bool | None = Field(
        default=None, description="summaries made on the way show as such; else as a user's message"
    )
    priority: int = Field(
        default=0,
        ge=0,
        le=HIGHEST_PRIORITY,
        description="Blockwire's: goes in front of what waits in the inbox with a lower one",
    )
    return_logprobs: bool | None = Field(default=None, description=_NOT_HERE.format(_WITHOUT))
    top_logprobs: int | None = Field(default=None, ge=0, le=100, description=_NOT_HERE.format(_WITHOUT))
    return_token_ids: bool | None = Field(default=None, description=_NOT_HERE.format(_WITHOUT))
    override_system: str | None = Field(default=None, max_length=1_000_000)
    system: str | None = Field(
        default=None, max_length=1_000_000, description="the same as `override_system`"
    )


_ASYNC_ONLY = "a message for later is sent to POST …/messages/async, which does not wait for it"


def _refuse_later(sent: Any) -> None:
    """Nobody waits for what is not due, and sent at once it would be too early."""
    if sent is not None:
        raise ValueError(_ASYNC_ONLY)


_NotHere = Annotated[None, BeforeValidator(_refuse_later)]


class AsyncSendRequest(SendBase):
    delay_s: float | None = Field(
        default=None, ge=0, le=LATEST_S, description="seconds from now at which it enters the agent's inbox"
    )
    not_before: AwareDatetime | None = Field(
        default=None, description="the time at which it does, with its zone; at once if that is past"
    )
    callback_url: str | None = Field(
        default=None,
        max_length=2000,
        pattern="^https?://",
        description="is sent `{run_id, status, completed_at, metadata}` once when the run has ended",
    )


class SendRequest(SendBase):
    streaming: bool | None = None
    stream_tokens: bool | None = None
    include_pings: bool | None = None
    background: bool | None = None
    delay_s: _NotHere = Field(default=None, description=f"not here: {_ASYNC_ONLY}")
    not_before: _NotHere = Field(default=None, description=f"not here: {_ASYNC_ONLY}")


class CancelRequest(BaseModel):
    """A misspelt `run_ids` is refused, or it would cancel them all."""

    model_config = ConfigDict(extra="forbid")

    run_ids: list[Name] | None = Field(
        default=None, max_length=MOST_MESSAGES, description="only these; without it all that have not ended"
    )


class MessageListQuery(PageQuery):
    limit: int = Field(
        default=100, ge=0, description=f"stored messages, which may show as several; {CEILING}"
    )
    order: Literal["asc", "desc"] = Field(
        default="desc", description="`desc` takes the newest; either way they are listed oldest first"
    )
    order_by: Literal["created_at"] = "created_at"
    group_id: Name | None = Field(default=None, description="only messages that were sent with it")
    conversation_id: Name | None = Field(
        default=None, description="`default`; there are no other conversations yet"
    )
    use_assistant_message: bool = True
    assistant_message_tool_name: Name = "send_message"
    assistant_message_tool_kwarg: Name = "message"
    include_err: bool | None = Field(
        default=None, description="accepted; of a step that fails nothing enters the history"
    )
    include_return_message_types: list[MessageType] | None = Field(default=None, max_length=100)


def refuse_group(group_id: str | None) -> None:
    """Raises Invalid where messages of all agents are asked for."""
    if group_id is not None:
        raise Invalid("group_id", "goes with one agent's messages; use GET /v1/agents/{id}/messages")


def only_default(conversation_id: str | None) -> None:
    """Raises Invalid for a conversation beside an agent's own."""
    if conversation_id not in (None, "default"):
        raise Invalid("conversation_id", "not available yet in this version; use default, or leave it out")


def new_message(entry: MessageCreate) -> NewMessage:
    return NewMessage(**entry.model_dump(exclude={"type", "content"}), content=_content(entry.content))


def new_messages(body: SendBase) -> list[NewMessage]:
    """The messages of a send; Misused unless there is exactly one source of them."""
    if body.messages is not None and body.input is not None:
        raise Misused("messages, input: send one of them, not both")
    if body.input is not None:
        return [NewMessage(role="user", content=_content(body.input))]
    if not body.messages:
        raise Misused("messages: at least one message is needed, or `input`")
    return [_new_entry(entry, first=index == 0) for index, entry in enumerate(body.messages)]


def run_options(body: SendBase) -> RunOptions:
    """How the sender wants it run; Invalid if that is not here yet. `override_system` wins over `system`."""
    for field, remedy in _REFUSED.items():
        if getattr(body, field):
            raise Invalid(field, _NOT_HERE.format(remedy))
    names = [tool.name for tool in body.client_tools or []]
    if len(set(names)) < len(names):
        raise Invalid("client_tools", "must not name a tool twice")
    sent = body.model_dump(include=set(RunOptions.model_fields))
    given = {name: value for name, value in sent.items() if value is not None}
    if body.enable_thinking is not None:
        given["enable_thinking"] = str(body.enable_thinking).lower() not in ("false", "0", "no", "off", "")
    if body.client_skills is not None:
        given["client_skills"] = [skill.model_dump() for skill in body.client_skills] or None
    if body.system is not None:
        given.setdefault("override_system", body.system)
    return RunOptions(**given)


def when_due(body: AsyncSendRequest) -> When:
    """When the message enters its inbox. Misused for two times, Invalid for one too far away."""
    if body.delay_s is not None and body.not_before is not None:
        raise Misused("delay_s, not_before: send one of them, not both")
    if body.not_before is None:
        return When(delay_ms=round(1000 * (body.delay_s or 0)))
    if body.not_before - datetime.now(UTC) > timedelta(seconds=LATEST_S):
        raise Invalid("not_before", f"must lie within the next {LATEST_S // 86_400} days")
    return When(at=max(0, round(body.not_before.timestamp() * 1_000_000)))


def check_streaming(body: SendRequest, legacy: bool) -> None:
    """V1's rules for the four streaming fields."""
    if body.streaming and legacy:
        raise Misused("streaming: needs an SDK of 1.x; use POST …/messages/stream or send without it")
    if body.streaming:
        return
    for field, asked in (
        ("stream_tokens", body.stream_tokens),
        ("background", body.background),
        ("include_pings", body.include_pings is False),
    ):
        if asked:
            raise Misused(f"{field}: goes with streaming only; leave it out or set streaming to true")


def _new_entry(entry: MessageCreate | ApprovalCreate | ToolReturnCreate, *, first: bool) -> NewMessage:
    if isinstance(entry, MessageCreate):
        return new_message(entry)
    if not first:
        raise Invalid("messages", f"an entry of type {entry.type} can only be the first one")
    if isinstance(entry, ToolReturnCreate):
        answer = Answer(calls=[_call_answer(given) for given in entry.tool_returns])
    elif entry.approvals is None and entry.approve is None:
        raise Invalid("messages.0.approvals", "is missing; say for each call whether it may be run")
    else:
        answer = Answer(
            request_id=entry.approval_request_id,
            approve=entry.approve if entry.approvals is None else None,
            reason=entry.reason,
            calls=[_call_answer(given) for given in entry.approvals or []],
        )
    return NewMessage(role="approval", content="", answer=answer, otid=entry.otid, group_id=entry.group_id)


def _call_answer(given: ApprovalReturn | ToolReturnGiven) -> CallAnswer:
    if isinstance(given, ApprovalReturn):
        return CallAnswer(**given.model_dump(exclude={"type"}))
    parts = given.tool_return
    text = parts if isinstance(parts, str) else "\n".join(_result_text(part) for part in parts)
    result = ToolReturn(
        tool_call_id=given.tool_call_id,
        name="",
        text=text,
        status=given.status,
        stdout=given.stdout,
        stderr=given.stderr,
    )
    return CallAnswer(tool_call_id=given.tool_call_id, result=result)


def _result_text(part: ResultPart) -> str:
    return part.text if part.type == "text" else "(An image was given back here; it cannot be shown.)"


def _content(content: str | list[Part]) -> str | list[dict[str, Any]]:
    if isinstance(content, str):
        return content
    return [_stored(part) for part in content]


def _stored(part: Part) -> dict[str, Any]:
    if isinstance(part, ImagePart) and isinstance(part.source, FileImage):
        raise Invalid(
            "content", "an image of type letta names a file, and there are none here; send it as base64"
        )
    return part.model_dump(exclude_none=True)
