"""A stand-in for Anthropic and OpenAI: a real HTTP server that speaks both wire protocols.

Tests queue answers (`will`) and look at what was asked (`asked`); the adapters and
libraries under test do everything they do in earnest, over a socket, except reach
a provider. An answer may be text, reasoning, tool calls, an error with a status, a
stream that is cut, or a slow one. Streams come in fragments, as the real ones do.

    with Standin() as standin:
        standin.will(Answer(text="Hello."), fails(529))
        Settings(anthropic_base_url=standin.url, openai_base_url=standin.url + "/v1", ...)
"""

import asyncio
import json
import socket
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

Event = tuple[str, dict[str, Any]]

HELD_AFTER = 5
"""By then some of the text is said, in either protocol."""


@dataclass(frozen=True)
class Call:
    """A tool call as a provider makes it; `arguments` may be text that is not JSON."""

    name: str
    arguments: dict[str, Any] | str = field(default_factory=dict)
    id: str | None = None

    def text(self) -> str:
        return self.arguments if isinstance(self.arguments, str) else json.dumps(self.arguments)


@dataclass(frozen=True)
class Answer:
    """What the stand-in says next.

    `finish` is the provider's own word, None the usual one, "" none at all. `cut` is
    the number of events after which the connection breaks off; `gap_s` is waited
    before each event. A stream with a `gate` says its first HELD_AFTER events and waits
    until it is opened. `events` replaces a stream by what the test wrote itself, `raw` by
    text that need not be a stream at all.
    """

    text: str = ""
    reasoning: str = ""
    calls: tuple[Call, ...] = ()
    finish: str | None = None
    usage: dict[str, Any] | None = None
    status: int = 200
    error: dict[str, Any] | None = None
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None
    delay_s: float = 0.0
    gap_s: float = 0.0
    gate: threading.Event | None = None
    events: tuple[Event, ...] | None = None
    raw: str | None = None


def fails(status: int, message: str = "no", *, retry_after: str | None = None, **error: Any) -> Answer:
    """An error answer; `error` are more fields of the error object, such as `type` and `code`."""
    headers = {} if retry_after is None else {"retry-after": retry_after}
    return Answer(status=status, error={"message": message, **error}, headers=headers)


@dataclass(frozen=True)
class Asked:
    """One request as it arrived."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]


class Standin:
    """The server; entered, it listens on a port of its own until left."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.otherwise: Callable[[Asked], Answer] = lambda asked: Answer(text="ok")
        """What is said when nothing is queued; may look at the request."""
        self._answers: deque[Answer] = deque()
        self._socket = socket.socket()
        routes = [
            Route("/v1/messages", self._messages, methods=["POST"]),
            Route("/v1/chat/completions", self._completions, methods=["POST"]),
            Route("/v1/models", self._models, methods=["GET"]),
        ]
        config = uvicorn.Config(
            Starlette(routes=routes), log_level="critical", lifespan="off", loop="asyncio", ws="none"
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._socket]}, daemon=True
        )

    @property
    def url(self) -> str:
        """Without /v1, as Anthropic's library wants it; OpenAI's wants `url + "/v1"`."""
        host, port = self._socket.getsockname()
        return f"http://{host}:{port}"

    @property
    def bodies(self) -> list[dict[str, Any]]:
        """The bodies of all requests so far."""
        return [asked.body for asked in self.asked]

    def will(self, *answers: Answer) -> None:
        """Queue answers, first come first served, whichever protocol asks."""
        self._answers.extend(answers)

    def forget(self) -> None:
        """As new: nothing queued, nothing asked; for one server that serves several tests."""
        self.asked.clear()
        self._answers.clear()
        self.otherwise = lambda asked: Answer(text="ok")

    def __enter__(self) -> Self:
        self._socket.bind(("127.0.0.1", 0))
        self._socket.listen()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.should_exit = True
        self._server.force_exit = True
        self._thread.join(timeout=10)
        self._socket.close()

    async def _next(self, request: Request) -> tuple[Asked, Answer]:
        asked = Asked(request.url.path, dict(request.headers), json.loads(await request.body() or b"{}"))
        self.asked.append(asked)
        answer = self._answers.popleft() if self._answers else self.otherwise(asked)
        await asyncio.sleep(answer.delay_s)
        return asked, answer

    async def _messages(self, request: Request) -> Response:
        asked, answer = await self._next(request)
        if answer.error is not None:
            error = {"type": "api_error", **answer.error}
            return JSONResponse({"type": "error", "error": error}, answer.status, answer.headers)
        if not asked.body.get("stream"):
            return JSONResponse(_anthropic_message(answer, asked.body["model"]))
        events = (
            answer.events if answer.events is not None else _anthropic_events(answer, asked.body["model"])
        )
        lines = [f"event: {name}\ndata: {json.dumps(data)}\n\n" for name, data in events]
        return StreamingResponse(_sent(lines, answer), media_type="text/event-stream")

    async def _completions(self, request: Request) -> Response:
        asked, answer = await self._next(request)
        if answer.error is not None:
            error = {"type": "server_error", "code": None, "param": None, **answer.error}
            return JSONResponse({"error": error}, answer.status, answer.headers)
        if not asked.body.get("stream"):
            return JSONResponse(_openai_completion(answer, asked.body["model"]))
        events = answer.events if answer.events is not None else _openai_events(answer, asked.body)
        lines = [f"data: {json.dumps(data)}\n\n" for _, data in events]
        return StreamingResponse(_sent([*lines, "data: [DONE]\n\n"], answer), media_type="text/event-stream")

    async def _models(self, request: Request) -> Response:
        _, answer = await self._next(request)
        if answer.error is not None:
            return JSONResponse({"error": answer.error}, answer.status, answer.headers)
        listed = [{"id": name, "object": "model", "type": "model"} for name in ("stand-in-1", "stand-in-2")]
        return JSONResponse({"object": "list", "data": listed, "has_more": False})


async def _sent(lines: list[str], answer: Answer) -> AsyncIterator[str]:
    for count, line in enumerate(lines if answer.raw is None else [answer.raw]):
        if count == answer.cut:
            raise ConnectionError("the stand-in breaks off, as it was told to")
        await asyncio.sleep(answer.gap_s)
        if count == HELD_AFTER and answer.gate is not None:
            for _ in iter(answer.gate.is_set, True):  # whoever opens it is in another thread
                await asyncio.sleep(0.05)
        yield line


def _fragments(text: str, size: int) -> Iterator[str]:
    for at in range(0, len(text), size):
        yield text[at : at + size]


def _anthropic_usage(answer: Answer) -> dict[str, Any]:
    return {"input_tokens": 10, "output_tokens": 5} if answer.usage is None else answer.usage


def _anthropic_finish(answer: Answer) -> str | None:
    if answer.finish is not None:
        return answer.finish or None
    return "tool_use" if answer.calls else "end_turn"


def _anthropic_blocks(answer: Answer) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = []
    if answer.reasoning:
        blocks.append({"type": "thinking", "thinking": answer.reasoning, "signature": "signed"})
    if answer.text:
        blocks.append({"type": "text", "text": answer.text})
    for index, call in enumerate(answer.calls):
        blocks.append(
            {"type": "tool_use", "id": call.id or f"toolu_{index}", "name": call.name, "input": call.text()}
        )
    return blocks


def _anthropic_message(answer: Answer, model: str) -> dict[str, Any]:
    blocks = [
        block | {"input": json.loads(block["input"])} if block["type"] == "tool_use" else block
        for block in _anthropic_blocks(answer)
    ]
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": blocks,
        "stop_reason": _anthropic_finish(answer),
        "stop_sequence": None,
        "usage": _anthropic_usage(answer),
    }


def _anthropic_events(answer: Answer, model: str) -> Iterator[Event]:
    usage = _anthropic_usage(answer)
    opening = _anthropic_message(Answer(finish="", usage=usage | {"output_tokens": 1}), model)
    yield "message_start", {"type": "message_start", "message": opening}
    yield "ping", {"type": "ping"}
    for index, block in enumerate(_anthropic_blocks(answer)):
        empty, deltas = _anthropic_deltas(block)
        yield "content_block_start", {"type": "content_block_start", "index": index, "content_block": empty}
        for delta in deltas:
            yield "content_block_delta", {"type": "content_block_delta", "index": index, "delta": delta}
        yield "content_block_stop", {"type": "content_block_stop", "index": index}
    if finish := _anthropic_finish(answer):
        delta = {"stop_reason": finish, "stop_sequence": None}
        yield "message_delta", {"type": "message_delta", "delta": delta, "usage": usage}
        yield "message_stop", {"type": "message_stop"}


def _anthropic_deltas(block: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    if block["type"] == "tool_use":
        pieces = [
            {"type": "input_json_delta", "partial_json": text} for text in _fragments(block["input"], 7)
        ]
        return block | {"input": {}}, pieces
    if block["type"] == "thinking":
        thoughts = [{"type": "thinking_delta", "thinking": text} for text in _fragments(block["thinking"], 9)]
        sign = {"type": "signature_delta", "signature": block["signature"]}
        return block | {"thinking": "", "signature": ""}, [*thoughts, sign]
    return block | {"text": ""}, [
        {"type": "text_delta", "text": text} for text in _fragments(block["text"], 9)
    ]


def _openai_usage(answer: Answer) -> dict[str, Any]:
    if answer.usage is not None:
        return answer.usage
    return {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}


def _openai_finish(answer: Answer) -> str | None:
    if answer.finish is not None:
        return answer.finish or None
    return "tool_calls" if answer.calls else "stop"


def _openai_calls(answer: Answer) -> list[dict[str, Any]]:
    return [
        {
            "id": call.id or f"call_{index}",
            "type": "function",
            "function": {"name": call.name, "arguments": call.text()},
        }
        for index, call in enumerate(answer.calls)
    ]


def _openai_completion(answer: Answer, model: str) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": answer.text or None}
    if answer.calls:
        message["tool_calls"] = _openai_calls(answer)
    choice = {"index": 0, "message": message, "finish_reason": _openai_finish(answer)}
    return _openai_frame("chat.completion", model, [choice]) | {"usage": _openai_usage(answer)}


def _openai_frame(kind: str, model: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
    return {"id": "chatcmpl-1", "object": kind, "created": 1, "model": model, "choices": choices}


def _openai_events(answer: Answer, body: dict[str, Any]) -> Iterator[Event]:
    def chunk(delta: dict[str, Any], finish: str | None = None) -> Event:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return "", _openai_frame("chat.completion.chunk", body["model"], [choice])

    yield chunk({"role": "assistant", "content": ""})
    for text in _fragments(answer.reasoning, 9):
        yield chunk({"reasoning_content": text})
    for text in _fragments(answer.text, 9):
        yield chunk({"content": text})
    for index, call in enumerate(_openai_calls(answer)):
        arguments = call["function"]["arguments"]
        opening = call | {"index": index, "function": call["function"] | {"arguments": ""}}
        yield chunk({"tool_calls": [opening]})
        for text in _fragments(arguments, 7):
            yield chunk({"tool_calls": [{"index": index, "function": {"arguments": text}}]})
    if finish := _openai_finish(answer):
        yield chunk({}, finish)
    if (body.get("stream_options") or {}).get("include_usage") and answer.usage != {}:
        yield "", _openai_frame("chat.completion.chunk", body["model"], []) | {"usage": _openai_usage(answer)}
