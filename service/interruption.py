"""Interruption: work that ends where it is as soon as something else happens.

    with interrupted_by(the_client_leaves(), the_server_stops()) as interruption:
        await work()
    if interruption.happened: …

As `asyncio.timeout` has it, with other things than a time: the work stays in the task that began it, and
what it raises is raised as ever.
"""

import asyncio
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, cast


class Interruption:
    """What may cut a block short: whatever of `events` returns first. One that raises does not."""

    def __init__(self, events: tuple[Coroutine[Any, Any, object], ...], after_s: float = 0) -> None:
        self._events = events
        self._after_s = after_s
        self._to_come: asyncio.TimerHandle | None = None
        self._watching: list[asyncio.Task[object]] = []
        self._is_over = False
        self.happened = False
        self.why: object = None
        """What the event gave that did it."""

    def __enter__(self) -> "Interruption":
        self._task = cast("asyncio.Task[Any]", asyncio.current_task())
        self._cancelling = self._task.cancelling()
        if self._after_s:
            self._to_come = asyncio.get_running_loop().call_later(self._after_s, self._watch)
        else:
            self._watch()
        return self

    def _watch(self) -> None:
        self._to_come = None
        for event in self._events:
            watching = asyncio.create_task(event)
            watching.add_done_callback(self._cut)
            self._watching.append(watching)

    def _cut(self, watching: "asyncio.Task[object]") -> None:
        if watching.cancelled() or watching.exception() is not None or self.happened or self._is_over:
            return
        self.happened, self.why = True, watching.result()
        self._task.cancel()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self._is_over = True  # one that is done has its `_cut` on the way already
        if self._to_come is not None:
            self._to_come.cancel()
            for event in self._events:
                event.close()
        for watching in self._watching:
            watching.cancel()
        if not self.happened:
            return False
        # Whoever else cancelled the task meanwhile still has to be obeyed.
        return self._task.uncancel() <= self._cancelling and isinstance(error, asyncio.CancelledError)


def interrupted_by(*events: Coroutine[Any, Any, object], after_s: float = 0) -> Interruption:
    """For a `with` around what is to end early; every event is a task for as long as that goes on.

    `after_s`: they are begun that much later, so that what is over by then has not paid for them.
    """
    return Interruption(events, after_s)
