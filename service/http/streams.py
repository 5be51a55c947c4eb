"""Streams over HTTP: a run's output as V1's server-sent events, for its sender or whoever comes back to it.

Order: a ping with the run's id, messages, the stop reason, the usage, `[DONE]`.
Pings repeat while nothing happens. A failure comes after status 200 as V1 has
it: its stop reason, an `error` event, `[DONE]`. A stream that ends before its run
(the store is away, this process stops, nothing happens for long) says so in the
same way, as `stream_incomplete`. A client that leaves does not stop the run.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from datetime import UTC, datetime
from time import monotonic
from typing import Any, cast
from uuid import uuid4

import structlog
from pydantic_core import to_json
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from service.errors import NotFound, PendingApproval, StoreUnreachable
from service.http.calls import Call, left
from service.http.endings import Ending
from service.http.schemas.runs import StopReasonTold, stop_told, usage_told
from service.http.schemas.stream import SEQS_PER_EVENT, ErrorTold, Ping, Renderer
from service.http.schemas.transcript import View
from service.interruption import interrupted_by
from service.records.runs import OutputEvent, Run, RunError

log = structlog.get_logger()

PING_S = 20.0
SILENT_S = 1800.0
"""A stream of a run from which nothing at all came for so long is ended."""
STUCK_S = 600.0
"""A client that takes nothing for so long is given up."""
DONE = b"data: [DONE]\n\n"
_HEADERS = [(b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no")]
_IS_STREAM = (b"content-type", b"text/event-stream; charset=utf-8")


class EventStream(Response):
    """Server-sent events; when the client leaves, what makes them is closed at once.

    When this process stops or the client's token ends (`ending`) it is closed too; `last_words` of the
    reason are sent.
    """

    def __init__(
        self,
        events: AsyncGenerator[bytes, None],
        ending: Ending,
        last_words: Callable[[str], bytes] = lambda _: b"",
    ) -> None:
        self.status_code = 200
        self.background = None
        self.raw_headers = [_IS_STREAM, *_HEADERS]
        self._events = events
        self._ending = ending
        self._last_words = last_words

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            async with aclosing(self._events), _InTime(send) as sending:
                await self._send(receive, sending)
        except TimeoutError:
            log.warning("stream.stuck", path=scope["path"])

    async def _send(self, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        with interrupted_by(left(receive), *self._ending.ways()) as interruption:
            async for event in self._events:
                await send(_body(event))
                await asyncio.sleep(0)  # an interruption is heard of though neither side ever pauses
        if interruption.happened and interruption.why is None:
            return
        if interruption.happened:
            await send(_body(self._last_words(str(interruption.why))))
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def _body(event: bytes) -> Message:
    return {"type": "http.response.body", "body": event, "more_body": True}


class _InTime:
    """Sends; TimeoutError for whoever is in the block when a client takes nothing for STUCK_S.

    It is looked at now and then: a timer of its own for each piece costs as much as sending it.
    """

    def __init__(self, send: Send) -> None:
        self._send = send
        self._limit = asyncio.timeout(None)
        self._since: float | None = None

    async def __call__(self, message: Message) -> None:
        self._since = asyncio.get_running_loop().time()
        await self._send(message)
        self._since = None

    async def __aenter__(self) -> "_InTime":
        await self._limit.__aenter__()
        self._look()
        return self

    async def __aexit__(self, *failure: Any) -> None:
        self._timer.cancel()
        await self._limit.__aexit__(*failure)

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        if self._since is not None and loop.time() - self._since >= STUCK_S:
            self._limit.reschedule(loop.time())
        else:
            self._timer = loop.call_later(STUCK_S / 4, self._look)


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
    feed = _Feed(call, run, view, tokens, pings, numbered, after)
    return EventStream(feed.events(), call.ending, feed.broken_off)


def refusal_of_stream(refusal: PendingApproval) -> Response:
    """What V1 says on a stream instead of a 409; the run it names is the one that asked."""
    stop = StopReasonTold(stop_reason="error")
    told = ErrorTold(run_id=refusal.run_id, error_type="internal_error", message=str(refusal))
    words = _data(stop.model_dump()) + b"event: error\n" + _data(told.model_dump()) + DONE
    answer = Response(words, media_type="text/event-stream")
    answer.raw_headers += _HEADERS
    return answer


class _Silent(Exception):
    """Nothing came from a run for too long."""


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
        self._heard_at = self._told_at = monotonic()

    async def events(self) -> AsyncGenerator[bytes, None]:
        # What came before `after` is read too, for answers that were half written there; it is not shown.
        following = self._call.service.output.follow(self._call.ws, self._run.id)
        try:
            if self._pings:
                yield self._ping()
            run: Run | None = None
            last: list[bytes] = []
            async with aclosing(cast(AsyncGenerator[list[OutputEvent], None], following)) as feed:
                async for found in feed:
                    told = self._told(found)
                    if found and found[-1].kind == "end":
                        run, last = found[-1].run, told
                    elif told:
                        yield b"".join(told)
            run = run or await self._call.service.runs.read(self._call.ws, self._run.id)
            yield b"".join([*last, self._ended(run)])
        except (StoreUnreachable, NotFound) as failure:
            log.warning("stream.ended", workspace=self._call.ws, run_id=self._run.id, error=str(failure))
            yield self.broken_off("the run cannot be read at the moment")
        except _Silent:
            log.warning("stream.silent", workspace=self._call.ws, run_id=self._run.id)
            yield self.broken_off("nothing has happened for too long")

    def broken_off(self, why: str) -> bytes:
        """The end of a stream whose run may go on."""
        text = (
            f"the stream ended before its run did: {why}; GET /v1/runs/{self._run.id} tells what became of it"
        )
        stop = StopReasonTold(stop_reason="error")
        return _data(stop.model_dump()) + self._error(RunError(type="stream_incomplete", message=text)) + DONE

    def _told(self, found: list[OutputEvent]) -> list[bytes]:
        """What events that were found together show as; a ping where it is time for one."""
        now = monotonic()
        if found:
            self._heard_at = now
        elif now - self._heard_at >= SILENT_S:
            raise _Silent
        told = [shown for event in found for shown in self._objects(event)]
        if not told and self._pings and now - self._told_at >= PING_S:
            told = [self._ping()]
        if told:
            self._told_at = now
        return told

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

    def _ended(self, run: Run) -> bytes:
        stop = _data(stop_told(run).model_dump())
        if run.error is not None:
            return stop + self._error(run.error) + DONE
        if run.stop_reason == "cancelled":
            return stop + DONE
        return stop + _data(usage_told(run).model_dump()) + DONE

    def _error(self, error: RunError) -> bytes:
        told = ErrorTold(
            run_id=self._run.id, error_type=error.type, message=error.message, detail=error.detail
        )
        return b"event: error\n" + _data(told.model_dump())

    def _ping(self) -> bytes:
        now = datetime.now(UTC).replace(microsecond=0).isoformat()
        seq = self._seq if self._numbered else None
        return _data(Ping(id=f"ping-{uuid4()}", date=now, run_id=self._run.id, seq_id=seq).model_dump())


def _data(shown: dict[str, Any]) -> bytes:
    return b"data: %s\n\n" % to_json(shown)
