"""Attempts: one answer out of a provider's stream, begun again where that does no harm.

The provider's library retries what fails before the stream begins. What breaks
off in mid-stream is ours: while nothing has been handed out the call is made
again, as often as the library would; once a listener has pieces a second answer
would contradict them, so the run is told instead. Whoever listens to nothing
(`ignore`) has been handed nothing.

One deadline covers the whole call with all its retries. A provider that asks for
a longer pause than a worker should sit out is not waited for: the run fails with
its rate limit, at once, instead of with our deadline much later.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol, TypeVar

import httpx2

from service.records.runs import ModelReply, Piece
from workers.models.base import Emit, ModelError, ignore
from workers.models.failures import Provider

LONGEST_PAUSE_S = 30.0
ANSWER_CHARS = 8_000_000
"""Of one call, attempts that broke off included: several times what the longest answers have."""
_FIRST_PAUSE_S = 0.25

Event = TypeVar("Event")
EventIn = TypeVar("EventIn", contravariant=True)


class Dropped(Exception):
    """The stream broke off; `error` is what to say if it is not tried again."""

    def __init__(self, error: ModelError) -> None:
        super().__init__(error.message)
        self.error = error


class Gathering(Protocol[EventIn]):
    """Collects a stream's events into a reply."""

    @property
    def complete(self) -> bool:
        """The provider has said how the answer ended."""
        ...

    @property
    def empty(self) -> bool:
        """Nothing at all has come."""
        ...

    async def take(self, event: EventIn) -> None: ...

    def reply(self) -> ModelReply: ...


async def gather(
    provider: Provider,
    stream: AsyncIterator[Event],
    gathering: Gathering[Event],
    failures: tuple[type[Exception], ...],
    explain: Callable[[Exception], ModelError],
) -> ModelReply:
    """The reply at the end of a stream. Raises Dropped, or ModelError where trying again is no use.

    Only reading the stream is guarded: what a listener raises is not the provider's failure.
    """
    while True:
        try:
            event = await anext(stream, None)
        except failures as failure:
            if gathering.complete:
                break
            error = explain(failure)
            raise (Dropped(error) if error.type == "llm_error" else error) from failure
        if event is None:
            break
        await gathering.take(event)
    if gathering.complete:
        return gathering.reply()
    if gathering.empty:
        raise Dropped(
            provider.failed(
                "llm_empty_response",
                f"answered with nothing; if {provider.url_variable} is set, does it name the API?",
            )
        )
    raise Dropped(provider.failed("llm_error", "ended its answer before it was complete"))


async def persist(
    provider: Provider,
    attempt: Callable[[Emit], Awaitable[ModelReply]],
    emit: Emit,
    timeout_s: float,
    retries: int,
) -> ModelReply:
    """The first attempt's reply that is complete, within the deadline."""
    told = _Told(emit, provider)
    try:
        async with asyncio.timeout(timeout_s) as deadline:
            count = 0
            while True:
                try:
                    return await attempt(told)
                except Dropped as dropped:
                    if told.anything or count >= retries:
                        raise dropped.error from dropped
                await asyncio.sleep(_FIRST_PAUSE_S * 2**count)
                count += 1
    except TimeoutError as error:
        if not deadline.expired():
            raise
        raise provider.failed("llm_timeout", f"did not finish its answer within {timeout_s:g} s") from error


async def no_long_pause(response: httpx2.Response) -> None:
    """A response hook: where the provider asks for a long pause, the library is told not to retry."""
    try:
        pause = float(response.headers.get("retry-after", "0"))
    except ValueError:
        return
    if pause > LONGEST_PAUSE_S:
        response.headers["x-should-retry"] = "false"


class _Told:
    """An Emit that remembers whether anybody heard anything, and ends an answer without end."""

    def __init__(self, emit: Emit, provider: Provider) -> None:
        self._emit = emit
        self._provider = provider
        self._chars = 0
        self.anything = False

    async def __call__(self, piece: Piece) -> None:
        self._chars += len(piece.text)
        if self._chars > ANSWER_CHARS:
            words = f"answered with more than {ANSWER_CHARS:,} characters, which no model of its means to"
            raise self._provider.failed("llm_error", words)
        self.anything = self._emit is not ignore
        await self._emit(piece)
