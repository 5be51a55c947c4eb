"""OpenAI: a ModelRequest in the chat completions protocol, and its stream back as one reply.

Chat completions, because that is what every compatible endpoint speaks. Those
differ in small things, all allowed for here: no usage, no index or the same index
for parallel calls, no ids, a finish of "stop" beside tool calls, reasoning under
two names. Tool settings go out only with tools, `max_completion_tokens` and no
temperature only for OpenAI's reasoning models.

From GPT-5.5 on OpenAI refuses function tools there unless the model is told not to
reason first, so with tools it is told that; the o series knows no parallel calls.
Reasoning is shown, never sent back.

Elsewhere: retries and the deadline (attempts.py); pairs of call and result (turns.py).
"""

import json
import re
from dataclasses import dataclass, field
from typing import Any

import httpx2
import openai
from openai.types import CompletionUsage
from openai.types.chat import ChatCompletionChunk
from openai.types.chat.chat_completion_chunk import ChoiceDelta, ChoiceDeltaToolCall

from service.records.messages import Message, Reasoning, ToolCall
from service.records.runs import ModelReply, Piece, Usage
from workers.models.attempts import gather, no_long_pause, persist
from workers.models.base import Emit, ModelError, ModelRequest, ignore
from workers.models.failures import Provider
from workers.models.turns import arguments_of, settle

OPENAI = Provider("OpenAI", "OPENAI_API_KEY", "OPENAI_BASE_URL")
BASE_URL = "https://api.openai.com/v1"
NO_KEY = "none"
"""Sent where no key is set: an endpoint of one's own may need none, the library wants one."""

_FAILURES = (httpx2.HTTPError, openai.OpenAIError, ValueError)
_FINISH = {"length": "length", "content_filter": "refusal"}
_REASONS = re.compile(r"(?:o\d|gpt-(\d+)(?:\.(\d+))?(?=-|$))(?!.*-chat)")
_O_SERIES = (0, 0)
_CONTINUES = "(The conversation goes on from here.)"


class OpenAIModel:
    """Every model behind one key and base URL."""

    def __init__(self, api_key: str | None, base_url: str | None, timeout_s: float, retries: int) -> None:
        self._timeout_s = timeout_s
        self._retries = retries
        self._client = openai.AsyncOpenAI(
            api_key=api_key or NO_KEY,
            base_url=base_url or BASE_URL,
            timeout=openai.Timeout(timeout_s, connect=min(10.0, timeout_s)),
            max_retries=retries,
            http_client=openai.DefaultAsyncHttpxClient(event_hooks={"response": [no_long_pause]}),
        )

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.close()

    def payload(self, request: ModelRequest) -> dict[str, Any]:
        """The body of the request that `answer` sends."""
        return _body(request) | {"stream": True}

    async def answer(self, request: ModelRequest, emit: Emit = ignore) -> ModelReply:
        """The complete answer. Raises ModelError."""
        asked = _body(request)

        async def attempt(emit: Emit) -> ModelReply:
            try:
                stream = await self._client.chat.completions.create(**asked, stream=True)
            except _FAILURES as failure:
                raise _explain(failure) from failure
            async with stream:
                chunks = aiter(stream)
                return await gather(OPENAI, chunks, _Gathering(emit, request.model), _FAILURES, _explain)

        return await persist(OPENAI, attempt, emit, self._timeout_s, self._retries)


def _explain(failure: Exception) -> ModelError:
    if isinstance(failure, openai.APITimeoutError | httpx2.TimeoutException):
        return OPENAI.failed("llm_timeout", "did not answer in time; send the message again")
    if isinstance(failure, openai.APIConnectionError):
        return OPENAI.failed("llm_error", "could not be reached or broke off; is the base URL right?")
    if isinstance(failure, openai.APIError):
        return OPENAI.refused(_status(failure), failure.code, failure.type, _words(failure))
    return OPENAI.failed("llm_error", "broke off in the middle of an answer; send the message again")


def _status(failure: openai.APIError) -> int:
    """The HTTP status; in mid-stream there is none, but some endpoints give one as the code."""
    if isinstance(failure, openai.APIStatusError):
        return failure.status_code
    return int(failure.code) if failure.code and failure.code.isdecimal() else 200


def _words(failure: openai.APIError) -> str:
    """The provider's own sentence; compatible endpoints put it in several places."""
    body = failure.body
    said = body.get("message") if isinstance(body, dict) else None
    return said if isinstance(said, str) else failure.message


def _reasons(name: str) -> tuple[int, int] | None:
    """The version of an OpenAI model that reasons, None of any other model."""
    found = _REASONS.match(name)
    if found is None:
        return None
    version = (int(found[1] or 0), int(found[2] or 0))
    return version if version == _O_SERIES or version >= (5, 0) else None


def _body(request: ModelRequest) -> dict[str, Any]:
    body: dict[str, Any] = {
        "model": request.model,
        "messages": _messages(request),
        "stream_options": {"include_usage": True},
    }
    reasons = _reasons(request.model)
    if request.max_tokens is not None:
        body["max_tokens" if reasons is None else "max_completion_tokens"] = request.max_tokens
    if request.temperature is not None and reasons is None:
        body["temperature"] = request.temperature
    if request.tools:
        body["tools"] = [
            {
                "type": "function",
                "function": {
                    "name": tool.name,
                    "description": tool.description,
                    "parameters": tool.parameters,
                },
            }
            for tool in request.tools
        ]
        body["tool_choice"] = request.tool_choice
        if reasons != _O_SERIES:
            body["parallel_tool_calls"] = request.parallel_tool_calls
        if reasons is not None and reasons >= (5, 5):
            body["reasoning_effort"] = "none"
    return body


def _messages(request: ModelRequest) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    if request.system.strip():
        messages.append({"role": "system", "content": request.system})
    for message in settle(request.messages):
        messages += _turn(message)
    if all(message["role"] == "system" for message in messages):
        messages.append({"role": "user", "content": _CONTINUES})
    return messages


def _turn(message: Message) -> list[dict[str, Any]]:
    if message.role == "tool":
        return [
            {"role": "tool", "tool_call_id": one.tool_call_id, "content": one.text}
            for one in message.tool_returns
        ]
    if message.role == "assistant":
        return _assistant(message)
    if isinstance(message.content, str) or message.role == "system":
        return [{"role": message.role, "content": message.plain_text()}]
    return [{"role": "user", "content": [_part(part) for part in message.content]}]


def _assistant(message: Message) -> list[dict[str, Any]]:
    text = message.plain_text()
    if not message.tool_calls:
        return [{"role": "assistant", "content": text}] if text else []
    calls = [
        {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": _arguments(call)}}
        for call in message.tool_calls
    ]
    return [{"role": "assistant", "content": text or None, "tool_calls": calls}]


def _arguments(call: ToolCall) -> str:
    """As the model wrote them, unless an endpoint that parses them would fail on them."""
    arguments = arguments_of(call)
    return json.dumps(arguments) if "invalid_arguments" in arguments else call.arguments


def _part(part: dict[str, Any]) -> dict[str, Any]:
    if part.get("type") == "text":
        return {"type": "text", "text": str(part.get("text", ""))}
    source = part.get("source") or {}
    if part.get("type") == "image" and source.get("data"):
        url = f"data:{source.get('media_type') or 'image/png'};base64,{source['data']}"
        return {"type": "image_url", "image_url": {"url": url} | _detail(source)}
    if part.get("type") == "image" and source.get("url"):
        return {"type": "image_url", "image_url": {"url": source["url"]} | _detail(source)}
    return {"type": "text", "text": f"(A part of type {part.get('type')} was left out.)"}


def _detail(source: dict[str, Any]) -> dict[str, Any]:
    """How closely the model is to look, where the sender said so."""
    return {"detail": source["detail"]} if source.get("detail") else {}


@dataclass
class _Call:
    """One tool call as it grows; `slot` is the provider's index, `position` ours."""

    slot: int
    position: int
    id: str = ""
    name: str = ""
    arguments: str = ""

    def as_call(self) -> ToolCall:
        return ToolCall(id=self.id, name=self.name, arguments=self.arguments or "{}")


@dataclass
class _Gathering:
    """Chunks of one completion -> a reply, its pieces handed out on the way."""

    emit: Emit
    model: str
    text: str = ""
    reasoning: str = ""
    calls: list[_Call] = field(default_factory=list)
    usage: Usage = field(default_factory=Usage)
    finish_reason: str | None = None
    empty: bool = True

    @property
    def complete(self) -> bool:
        return self.finish_reason is not None

    async def take(self, event: ChatCompletionChunk) -> None:
        self.empty = False
        self.model = event.model or self.model
        if event.usage is not None:
            self.usage = _usage(event.usage)
        for choice in event.choices or ():
            if choice.delta is not None:
                await self._grow(choice.delta)
            self.finish_reason = choice.finish_reason or self.finish_reason

    def reply(self) -> ModelReply:
        finish = _FINISH.get(self.finish_reason or "", "tool_calls" if self.calls else "stop")
        return ModelReply.model_validate(
            {
                "text": self.text,
                "reasoning": [Reasoning(text=self.reasoning)] if self.reasoning else [],
                "tool_calls": [call.as_call() for call in self.calls],
                "finish": finish,
                "usage": self.usage,
                "model": self.model,
            }
        )

    async def _grow(self, delta: ChoiceDelta) -> None:
        extra = delta.model_extra or {}
        thought = extra.get("reasoning_content") or extra.get("reasoning")
        if isinstance(thought, str):
            self.reasoning += thought
            await self.emit(Piece(kind="reasoning", text=thought))
        for text in (delta.content, delta.refusal):
            if text:
                self.text += text
                await self.emit(Piece(kind="text", text=text))
        for part in delta.tool_calls or ():
            await self._call(part)

    async def _call(self, part: ChoiceDeltaToolCall) -> None:
        function = part.function
        name = (function.name if function else None) or ""
        fragment = (function.arguments if function else None) or ""
        call = self._slot(part.index or 0, part.id, name)
        call.arguments += fragment
        await self.emit(
            Piece(
                kind="tool_call",
                text=fragment,
                index=call.position,
                tool_call_id=call.id,
                tool_name=call.name,
            )
        )

    def _slot(self, index: int, id: str | None, name: str) -> _Call:
        """The call a fragment belongs to: the last at its index, unless it brings a name and another id."""
        call = next((one for one in reversed(self.calls) if one.slot == index), None)
        if call is None or (name and id and id != call.id):
            position = len(self.calls)
            call = _Call(index, position, id or f"call_{position}", name)
            self.calls.append(call)
        call.name = call.name or name
        return call


def _usage(usage: CompletionUsage) -> Usage:
    prompt, completion = usage.prompt_tokens_details, usage.completion_tokens_details
    return Usage(
        prompt_tokens=usage.prompt_tokens or 0,
        completion_tokens=usage.completion_tokens or 0,
        cached_input_tokens=(prompt.cached_tokens if prompt else None) or 0,
        cache_write_tokens=(prompt.cache_write_tokens if prompt else None) or 0,
        reasoning_tokens=(completion.reasoning_tokens if completion else None) or 0,
    )
