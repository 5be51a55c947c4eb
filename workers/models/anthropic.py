"""Anthropic: a ModelRequest in the Messages protocol, and its stream back as one reply.

The system prompt is one block with a cache breakpoint: tools and prompt, which
stay the same between the steps of a run, are paid for once. So is what was said
up to the last call: where it ended and where this one ends is marked too. Messages alternate
between user and assistant there, so neighbours of one role become one message,
results of tools are a user's, and a later note is user text. Thinking goes back
with its signature, unchanged; thinking of other providers has none and is left out.

What a model takes depends on its version, read from its name. Up to 4.5 thinking
has a budget and forbids a forced tool; from 4.6 on the model sets its own measure.
From 4.7 on a temperature is refused; it is left out there, as is the 1.0 that
everybody starts from.

Elsewhere: retries and the deadline (attempts.py); pairs of call and result (turns.py).
"""

import json
import re
from dataclasses import dataclass, field
from typing import Any

import anthropic
import httpx2
from anthropic.types import RawContentBlockDelta, RawContentBlockStartEvent, RawMessageStreamEvent

from service.records.messages import Message, Reasoning, ToolCall
from service.records.runs import ModelReply, Piece, Usage
from workers.models.attempts import gather, no_long_pause, persist
from workers.models.base import Emit, ModelError, ModelRequest, ignore
from workers.models.failures import Provider
from workers.models.turns import arguments_of, settle

ANTHROPIC = Provider("Anthropic", "ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL")
BASE_URL = "https://api.anthropic.com"
LEAST_THINKING = 1024

_FAILURES = (httpx2.HTTPError, anthropic.AnthropicError, ValueError)
_FINISH = {
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "refusal",
}
_VERSION = re.compile(r"-(\d{1,2})(?:-(\d{1,2}))?(?=-|$)")
_NEWEST = (99, 0)
_NOT_CLAUDE = (0, 0)
_CONTINUES = "(The conversation goes on from here.)"
_KEPT = {"type": "ephemeral"}
_NEVER_MARKED = ("thinking", "redacted_thinking")


class AnthropicModel:
    """Every model behind one key and base URL."""

    def __init__(self, api_key: str, base_url: str | None, timeout_s: float, retries: int) -> None:
        self._timeout_s = timeout_s
        self._retries = retries
        self._client = anthropic.AsyncAnthropic(
            api_key=api_key,
            base_url=base_url or BASE_URL,
            timeout=anthropic.Timeout(timeout_s, connect=min(10.0, timeout_s)),
            max_retries=retries,
            http_client=anthropic.DefaultAsyncHttpxClient(event_hooks={"response": [no_long_pause]}),
        )

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.close()

    def payload(self, request: ModelRequest) -> dict[str, Any]:
        """The body of the request that `answer` sends."""
        body = _body(request)
        beside: dict[str, Any] = body.pop("extra_body", {})
        return body | beside | {"stream": True}

    async def answer(self, request: ModelRequest, emit: Emit = ignore) -> ModelReply:
        """The complete answer. Raises ModelError."""
        asked = _body(request)

        async def attempt(emit: Emit) -> ModelReply:
            try:
                stream = await self._client.messages.create(**asked, stream=True)
            except _FAILURES as failure:
                raise _explain(failure) from failure
            async with stream:
                events = aiter(stream)
                return await gather(ANTHROPIC, events, _Gathering(emit, request.model), _FAILURES, _explain)

        return await persist(ANTHROPIC, attempt, emit, self._timeout_s, self._retries)


def _explain(failure: Exception) -> ModelError:
    if isinstance(failure, anthropic.APITimeoutError | httpx2.TimeoutException):
        return ANTHROPIC.failed("llm_timeout", "did not answer in time; send the message again")
    if isinstance(failure, anthropic.APIStatusError):
        words = failure.api_message or failure.message
        return ANTHROPIC.refused(failure.status_code, None, failure.type, words)
    if isinstance(failure, anthropic.APIConnectionError):
        return ANTHROPIC.failed("llm_error", "could not be reached; is the network up, the base URL right?")
    return ANTHROPIC.failed("llm_error", "broke off in the middle of an answer; send the message again")


def _version(name: str) -> tuple[int, int]:
    """4.5 of claude-haiku-4-5-20251001, 3.5 of claude-3-5-sonnet; a Claude without one counts as new."""
    if not name.startswith("claude-"):
        return _NOT_CLAUDE
    found = _VERSION.search(name)
    return (int(found[1]), int(found[2] or 0)) if found else _NEWEST


def _body(request: ModelRequest) -> dict[str, Any]:
    version = _version(request.model)
    messages = settle(request.messages)
    thinking = _thinking(request, messages, version)
    max_tokens = request.max_tokens or (16_384 if version >= (4, 0) else 4096)
    if thinking and max_tokens <= thinking.get("budget_tokens", 0):
        max_tokens += thinking["budget_tokens"]
    body: dict[str, Any] = {
        "model": request.model,
        "max_tokens": max_tokens,
        "messages": _marked(_alternating(messages)),
    }
    if request.system.strip():
        body["system"] = [{"type": "text", "text": request.system, "cache_control": _KEPT}]
    if request.tools:
        body["tools"] = [
            {"name": tool.name, "description": tool.description, "input_schema": tool.parameters}
            for tool in request.tools
        ]
        body["tool_choice"] = _tool_choice(request)
    if thinking:
        body["thinking"] = thinking
    elif request.temperature not in (None, 1.0) and version < (4, 7):
        body["extra_body"] = {"temperature": request.temperature}
    return body


def _tool_choice(request: ModelRequest) -> dict[str, Any]:
    if request.tool_choice == "none":
        return {"type": "none"}
    kind = "any" if request.tool_choice == "required" else "auto"
    return {"type": kind, "disable_parallel_tool_use": not request.parallel_tool_calls}


def _thinking(
    request: ModelRequest, messages: list[Message], version: tuple[int, int]
) -> dict[str, Any] | None:
    """What to ask about thinking, None where it is not asked for or this request could not have it."""
    if request.thinking_tokens is None or version < (3, 7):
        return None
    if version >= (4, 6):
        return {"type": "adaptive", "display": "summarized"}
    if request.tool_choice == "required" or _began_without_thinking(messages):
        return None
    return {"type": "enabled", "budget_tokens": max(LEAST_THINKING, request.thinking_tokens)}


def _began_without_thinking(messages: list[Message]) -> bool:
    """In the middle of a turn whose calls were made without thinking; a budget would be refused there."""
    if len(messages) < 2 or messages[-1].role != "tool":
        return False
    return not _thoughts(messages[-2])


def _alternating(messages: list[Message]) -> list[dict[str, Any]]:
    """Messages that begin and end with the user, neighbours of one role joined."""
    turns: list[dict[str, Any]] = []
    for message in messages:
        role = "assistant" if message.role == "assistant" else "user"
        blocks = _assistant_blocks(message) if role == "assistant" else _user_blocks(message)
        if not blocks:
            continue
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"] += blocks
        else:
            turns.append({"role": role, "content": blocks})
    note = {"role": "user", "content": [{"type": "text", "text": _CONTINUES}]}
    if not turns or turns[0]["role"] == "assistant":
        turns.insert(0, note)
    if turns[-1]["role"] == "assistant":
        turns.append(note)
    return turns


def _marked(turns: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The turns with a breakpoint where this request ends, and one where the one before it ended.

    The next call of the run sends all of this again and adds to it, notes of others' edits too, so it is paid
    for once. The earlier mark is found again even if the turn since then was a very long one. The words that
    stand in where nobody spoke will not be there again, so they are behind the last mark.
    """
    lasting = [turn for turn in turns if not _stands_in(turn)]
    earlier = [turn for turn in lasting[:-1] if turn["role"] == "user"]
    for turn in lasting[-1:] + earlier[-1:]:
        for at in range(len(turn["content"]) - 1, -1, -1):
            if turn["content"][at]["type"] not in _NEVER_MARKED:
                turn["content"][at] = turn["content"][at] | {"cache_control": _KEPT}
                break
    return turns


def _stands_in(turn: dict[str, Any]) -> bool:
    return bool(turn["content"] == [{"type": "text", "text": _CONTINUES}])


def _thoughts(message: Message) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = []
    for thought in message.reasoning:
        if thought.redacted is not None:
            blocks.append({"type": "redacted_thinking", "data": thought.redacted})
        elif thought.signature:
            blocks.append({"type": "thinking", "thinking": thought.text, "signature": thought.signature})
    return blocks


def _assistant_blocks(message: Message) -> list[dict[str, Any]]:
    text = message.plain_text()
    blocks: list[dict[str, Any]] = [{"type": "text", "text": text}] if text.strip() else []
    blocks += [
        {"type": "tool_use", "id": call.id, "name": call.name, "input": arguments_of(call)}
        for call in message.tool_calls
    ]
    return _thoughts(message) + blocks if blocks else []


def _user_blocks(message: Message) -> list[dict[str, Any]]:
    if message.role == "tool":
        return [
            {
                "type": "tool_result",
                "tool_use_id": one.tool_call_id,
                "content": one.text,
                "is_error": one.status == "error",
            }
            for one in message.tool_returns
        ]
    content = message.content
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
    return [block for block in map(_part, parts) if block is not None]


def _part(part: dict[str, Any]) -> dict[str, Any] | None:
    if part.get("type") == "text":
        text = str(part.get("text", ""))
        return {"type": "text", "text": text} if text.strip() else None
    source = part.get("source") or {}
    if part.get("type") == "image" and source.get("data"):
        media_type = source.get("media_type") or "image/png"
        kept = {"type": "base64", "media_type": media_type, "data": source["data"]}
        return {"type": "image", "source": kept}
    if part.get("type") == "image" and source.get("url"):
        return {"type": "image", "source": {"type": "url", "url": source["url"]}}
    return {"type": "text", "text": f"(A part of type {part.get('type')} was left out.)"}


@dataclass
class _Block:
    """One content block as it grows."""

    kind: str
    text: str = ""
    signature: str | None = None
    redacted: str | None = None
    id: str = ""
    name: str = ""
    given: object = None
    call: int = 0

    def as_call(self) -> ToolCall:
        given = json.dumps(self.given) if self.given else "{}"
        return ToolCall(id=self.id, name=self.name, arguments=self.text or given)


@dataclass
class _Gathering:
    """Events of one message -> a reply, its pieces handed out on the way."""

    emit: Emit
    model: str
    blocks: dict[int, _Block] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    stop_reason: str | None = None
    stopped: bool = False
    empty: bool = True

    @property
    def complete(self) -> bool:
        return self.stopped or self.stop_reason is not None

    async def take(self, event: RawMessageStreamEvent) -> None:
        self.empty = False
        if event.type == "message_start":
            self.model = event.message.model or self.model
            self._count(event.message.usage)
        elif event.type == "content_block_start":
            await self._begin(event)
        elif event.type == "content_block_delta" and event.index in self.blocks:
            await self._grow(self.blocks[event.index], event.delta)
        elif event.type == "message_delta":
            self.stop_reason = event.delta.stop_reason or self.stop_reason
            self._count(event.usage)
        elif event.type == "message_stop":
            self.stopped = True

    def reply(self) -> ModelReply:
        blocks = list(self.blocks.values())
        read, written = self._counted("cache_read_input_tokens"), self._counted("cache_creation_input_tokens")
        return ModelReply.model_validate(
            {
                "text": "".join(block.text for block in blocks if block.kind == "text"),
                "reasoning": [
                    Reasoning(text=block.text, signature=block.signature, redacted=block.redacted)
                    for block in blocks
                    if block.kind in ("thinking", "redacted_thinking")
                ],
                "tool_calls": [block.as_call() for block in blocks if block.kind == "tool_use"],
                "finish": _FINISH.get(self.stop_reason or "", "stop"),
                "usage": Usage(
                    prompt_tokens=self._counted("input_tokens") + read + written,
                    completion_tokens=self._counted("output_tokens"),
                    cached_input_tokens=read,
                    cache_write_tokens=written,
                    reasoning_tokens=self._counted("thinking_tokens"),
                ),
                "model": self.model,
            }
        )

    async def _begin(self, event: RawContentBlockStartEvent) -> None:
        begun = event.content_block
        block = _Block(begun.type)
        self.blocks[event.index] = block
        if begun.type == "tool_use":
            block.id, block.name, block.given = begun.id, begun.name, begun.input
            block.call = sum(1 for other in self.blocks.values() if other.kind == "tool_use") - 1
            await self._tell(block, "")
        elif begun.type == "redacted_thinking":
            block.redacted = begun.data
        elif begun.type == "thinking":
            block.signature = begun.signature or None
            await self._add(block, begun.thinking)
        elif begun.type == "text":
            earlier = any(other.kind == "text" and other.text for other in self.blocks.values())
            await self._add(block, ("\n\n" if earlier else "") + begun.text)

    async def _grow(self, block: _Block, delta: RawContentBlockDelta) -> None:
        if delta.type == "text_delta":
            await self._add(block, delta.text)
        elif delta.type == "thinking_delta":
            await self._add(block, delta.thinking)
        elif delta.type == "input_json_delta":
            await self._add(block, delta.partial_json)
        elif delta.type == "signature_delta":
            block.signature = (block.signature or "") + delta.signature

    async def _add(self, block: _Block, text: str) -> None:
        if text:
            block.text += text
            await self._tell(block, text)

    async def _tell(self, block: _Block, text: str) -> None:
        if block.kind == "tool_use":
            await self.emit(
                Piece(
                    kind="tool_call",
                    text=text,
                    index=block.call,
                    tool_call_id=block.id,
                    tool_name=block.name,
                )
            )
        else:
            await self.emit(Piece(kind="text" if block.kind == "text" else "reasoning", text=text))

    def _count(self, usage: object) -> None:
        """Counts only grow within a message; some endpoints send zeros first, some last."""
        details = getattr(usage, "output_tokens_details", None)
        for source in (usage, details):
            for name, count in vars(source).items() if source is not None else ():
                if isinstance(count, int):
                    self.counts[name] = max(count, self._counted(name))

    def _counted(self, name: str) -> int:
        return self.counts.get(name, 0)
