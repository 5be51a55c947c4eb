"""Batching: commands that come while others are on their way go to the store together.

A command that is alone goes at once, as long as one of a few lines is free. Those that come while none is
share the next write and the next reading, which halves what each of them costs; and where the last to go
had company the next wait for the rest of this turn of the event loop, so that those who are about to come
go with them. Nothing else about a command changes: it has its own answer or its own error. What
breaks a connection is the error of all that were on it, and whoever stops waiting for a command
before it is sent takes it back. A line that is slow, or silent, holds nobody up for longer than
PATIENCE_S: then it does not count any more.
"""

import asyncio
from collections.abc import Sequence
from copy import copy
from time import monotonic
from typing import Any, NamedTuple

from redis.asyncio.connection import ConnectionPool

from service.store.connections import Words, ask


class Lines(NamedTuple):
    """How many batches may be under way, and how many commands are in one at the most."""

    at_once: int
    most: int


READING = Lines(1, 32)
"""Reading costs the store next to nothing, and this process the less the fewer writes there are."""
WRITING = Lines(4, 8)
"""Writing costs the store more than this process, so that both should have something to do; and the
answers of a batch come when the store has carried out the last of it."""
PATIENCE_S = 0.1
AHEAD: Words = ("PING",)
"""Goes ahead of a command that rings. The store writes last to whom it had something to say first: to us
then, when those who are rung have been told. A write that wakes a process takes longer than the command."""

_Waiting = tuple[Words, asyncio.Future[Any]]


class Batches:
    """The commands of one client, which may be used in one event loop."""

    def __init__(self, pool: "ConnectionPool", lines: Lines) -> None:
        self._pool = pool
        self._lines = lines
        self._began: dict[int, float] = {}
        """Of each line that is taken: since when, on the monotonic clock."""
        self._taken = 0
        self._waiting: list[_Waiting] = []
        self._setting_out = 0
        """Batches that begin with the next turn of the loop, and take whatever waits by then."""
        self._in_company = False
        """Whether those that went last from among the waiting were several."""
        self._look: asyncio.TimerHandle | None = None
        self._sending: set[asyncio.Task[None]] = set()

    async def send(self, *words: str | bytes | int | float, rings: bool = False) -> Any:
        """The command's answer; raises what it is refused with, or what broke its connection.

        `rings`: others wait for what it publishes, and are to have it before its answer is here.
        """
        if self._waiting or (self._in_company and not rings) or not self._is_one_free():
            answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
            self._waiting.append((words, answer))
            self._send_waiting()
            return await answer
        line = self._take()
        try:
            *_, found = await ask(self._pool, [AHEAD, words] if rings else [words])
        finally:
            del self._began[line]
            self._send_waiting()
        if isinstance(found, Exception):
            raise found
        return found

    def _is_one_free(self) -> bool:
        """Those that have been taken for too long do not count."""
        if len(self._began) < self._lines.at_once:
            return True
        late = monotonic() - PATIENCE_S
        return sum(began > late for began in self._began.values()) < self._lines.at_once

    def _take(self) -> int:
        self._taken += 1
        self._began[self._taken] = monotonic()
        return self._taken

    def _send_waiting(self) -> None:
        if not self._waiting:
            return
        if len(self._waiting) > self._setting_out * self._lines.most and self._is_one_free():
            self._setting_out += 1
            sending = asyncio.create_task(self._send_batch(self._take()))
            self._sending.add(sending)
            sending.add_done_callback(self._sending.discard)
        if self._look is None:
            self._look = asyncio.get_running_loop().call_later(PATIENCE_S, self._look_again)

    def _look_again(self) -> None:
        self._look = None
        self._send_waiting()

    async def _send_batch(self, line: int) -> None:
        self._setting_out -= 1
        try:
            if self._waiting:
                await self._go_on_sending(line)
        except asyncio.CancelledError:  # the event loop ends
            for _, answer in self._waiting:
                answer.cancel()
            self._waiting.clear()
            raise
        finally:
            del self._began[line]
            self._send_waiting()

    async def _go_on_sending(self, line: int) -> None:
        """One after the other while somebody waits: a connection that has just answered is a good one."""
        # The connection first, as it may take a while: whoever stops waiting meanwhile has sent nothing.
        try:
            connection: Any = await self._pool.get_connection()
        except Exception as error:  # noqa: BLE001, everybody who waits is told
            _tell(self._next(), error)
            return
        try:
            while batch := self._next():
                self._in_company = len(batch) > 1
                self._began[line] = monotonic()
                await _answer(batch, connection)
                if self._in_company:  # who was answered goes on first, and may come back
                    await asyncio.sleep(0)
                if len(self._began) > self._lines.at_once:  # others took its place while it was silent
                    break
                if not connection.is_connected or await connection.can_read_destructive():
                    break
        finally:
            await self._pool.release(connection)

    def _next(self) -> list[_Waiting]:
        """Those that go together now; whoever does not wait any more is none of them."""
        waiting = [one for one in self._waiting if not one[1].done()]
        self._waiting = waiting[self._lines.most :]
        return waiting[: self._lines.most]


async def _answer(batch: Sequence[_Waiting], connection: Any) -> None:
    try:
        found = await connection.ask([words for words, _ in batch])
    except Exception as error:  # noqa: BLE001, everybody who waits is told
        _tell(batch, error)
        return
    except BaseException:  # the event loop ends
        for _, answer in batch:
            answer.cancel()
        raise
    for (_, answer), reply in zip(batch, found, strict=True):
        if answer.done():  # nobody waits for it any more
            continue
        if isinstance(reply, Exception):
            answer.set_exception(reply)
        else:
            answer.set_result(reply)


def _tell(batch: Sequence[_Waiting], error: Exception) -> None:
    for _, answer in batch:
        if not answer.done():
            answer.set_exception(copy(error))
