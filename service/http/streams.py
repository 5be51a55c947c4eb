"""Streams over HTTP: a run's output as V1's server-sent events, for its sender or whoever comes back to it.

Order: a ping with the run's id, messages, the stop reason, the usage, `[DONE]`.
Pings repeat while nothing happens. A failure comes after status 200 as V1 has
it: its stop reason, an `error` event, `[DONE]`. A client that leaves does not
stop the run.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime
from time import monotonic
from typing import Any, cast
from uuid import uuid4

from pydantic_core import to_json
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from service.http.calls import Call
from service.http.schemas.runs import stop_told, usage_told
from service.http.schemas.stream import SEQS_PER_EVENT, Renderer
from service.http.schemas.transcript import View
from service.records.runs import OutputEvent, Run

PING_S = 20.0
DONE = b"data: [DONE]\n\n"
HEADERS = {"cache-control": "no-cache", "x-accel-buffering": "no"}


class EventStream(StreamingResponse):
    """Server-sent events; when the client leaves, or the server ends, what makes them is closed at once."""

    def __init__(self, events: AsyncGenerator[bytes, None]) -> None:
        super().__init__(events, headers=HEADERS, media_type="text/event-stream")
        self._events = events

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with aclosing(self._events):
            await super().__call__(scope, receive, send)


def stream_of(
    call: Call[Any, Any],
    run: Run,
    view: View,
    *,
    tokens: bool,
    pings: bool = True,
    numbered: bool = False,
    after: int = 0,
) -> EventStream:
    """Streams a run from behind the object with seq_id `after` on; `numbered`: objects carry seq_ids."""
    return EventStream(_Feed(call, run, view, tokens, pings, numbered, after).events())


class _Feed:
    def __init__(
        self,
        call: Call[Any, Any],
        run: Run,
        view: View,
        tokens: bool,
        pings: bool,
        numbered: bool,
        after: int,
    ) -> None:
        self._call = call
        self._run = run
        self._renderer = Renderer(view, tokens=tokens)
        self._pings = pings
        self._numbered = numbered
        self._after = after
        self._seq = max(after, 1)

    async def events(self) -> AsyncGenerator[bytes, None]:
        if self._pings:
            yield self._ping()
        told_at = monotonic()
        # What came before `after` is read too, for answers that were half written there; it is not shown.
        following = self._call.service.output.follow(self._call.ws, self._run.id)
        async with aclosing(cast(AsyncGenerator[OutputEvent | None, None], following)) as feed:
            async for event in feed:
                for shown in [] if event is None else self._objects(event):
                    yield shown
                    told_at = monotonic()
                if self._pings and monotonic() - told_at >= PING_S:
                    yield self._ping()
                    told_at = monotonic()
        async for last in self._end():
            yield last

    def _objects(self, event: OutputEvent) -> list[bytes]:
        told = []
        for place, shown in enumerate(self._renderer.objects(event)):
            seq = event.seq * SEQS_PER_EVENT + place
            if seq <= self._after:
                continue
            self._seq = seq
            if self._numbered:
                shown["seq_id"] = seq
            told.append(_data(shown))
        return told

    async def _end(self) -> AsyncIterator[bytes]:
        run = await self._call.service.runs.read(self._call.ws, self._run.id)
        yield _data(stop_told(run).model_dump())
        if run.error is not None:
            error = {
                "message_type": "error_message",
                "run_id": run.id,
                "error_type": run.error.type,
                "message": run.error.message,
                "detail": run.error.detail,
                "seq_id": None,
            }
            yield b"event: error\n" + _data(error)
        elif run.stop_reason != "cancelled":
            yield _data(usage_told(run).model_dump())
        yield DONE

    def _ping(self) -> bytes:
        shown = {
            "id": f"ping-{uuid4()}",
            "date": datetime.now(UTC).replace(microsecond=0).isoformat(),
            "name": None,
            "message_type": "ping",
            "otid": None,
            "sender_id": None,
            "step_id": None,
            "is_err": None,
            "seq_id": self._seq if self._numbered else None,
            "run_id": self._run.id,
        }
        return _data(shown)


def _data(shown: dict[str, Any]) -> bytes:
    return b"data: %s\n\n" % to_json(shown)
