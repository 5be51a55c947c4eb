"""Batching: commands that come while others are on their way go to the store together.

Nobody waits for company: as long as one of a few lines is free, a command goes at once and alone.
Those that come while none is share the next write and the next reading, which halves what each
of them costs. Nothing else about a command changes: it has its own answer or its own error. What
breaks a connection is the error of all that were on it, and whoever stops waiting for a command
does not disturb the others. A line that is slow, or silent, holds nobody up for longer than
PATIENCE_S: the next command takes another, and those that wait along.
"""

import asyncio
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any

from redis.asyncio import Redis

Command = Callable[[Any], Any]
"""Makes its call on what it is given: the client, or a pipeline of it."""

READ_LINES = 1
"""Reading costs the store next to nothing, and this process the less the fewer writes there are."""
WRITE_LINES = 4
"""Writing costs the store more than this process, so that both should have something to do."""
BATCH_MOST = 8
"""The answers of a batch come when the store has carried out the last of it."""
PATIENCE_S = 0.1

_Waiting = tuple[Command, asyncio.Future[Any]]


class Batches:
    """The commands of one client, which may be used in one event loop."""

    def __init__(self, redis: "Redis", lines: int) -> None:
        self._redis = redis
        self._lines = lines
        self._began: dict[int, float] = {}
        """Of each line that is taken: since when, on the monotonic clock."""
        self._taken = 0
        self._waiting: list[_Waiting] = []
        self._sending: set[asyncio.Task[None]] = set()

    async def send(self, command: Command) -> Any:
        """The command's answer; raises what it raises alone."""
        if self._waiting or not self._is_one_free():
            answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
            self._waiting.append((command, answer))
            self._send_waiting()
            return await answer
        line = self._take()
        try:
            return await command(self._redis)
        finally:
            del self._began[line]
            self._send_waiting()

    def _is_one_free(self) -> bool:
        """Those that have been taken for too long do not count."""
        if len(self._began) < self._lines:
            return True
        late = monotonic() - PATIENCE_S
        return sum(began > late for began in self._began.values()) < self._lines

    def _take(self) -> int:
        self._taken += 1
        self._began[self._taken] = monotonic()
        return self._taken

    def _send_waiting(self) -> None:
        if self._waiting and self._is_one_free():
            sending = asyncio.create_task(self._send_batch(self._take()))
            self._sending.add(sending)
            sending.add_done_callback(self._sending.discard)

    async def _send_batch(self, line: int) -> None:
        try:
            batch, self._waiting = self._waiting[:BATCH_MOST], self._waiting[BATCH_MOST:]
            wanted = [one for one in batch if not one[1].done()]
            if wanted:
                await self._send_together(wanted)
        finally:
            del self._began[line]
            self._send_waiting()

    async def _send_together(self, batch: Sequence[_Waiting]) -> None:
        pipe = self._redis.pipeline(transaction=False)
        for command, _ in batch:
            command(pipe)
        try:
            found = await pipe.execute(raise_on_error=False)
        except UnicodeError as error:  # one of them holds half a character, and nothing was sent
            if len(batch) > 1:
                for one in batch:
                    await self._send_together([one])
                return
            found = [error]
        except Exception as error:  # noqa: BLE001, everybody who waits is told
            found = [error] * len(batch)
        except BaseException:  # the event loop ends
            for _, answer in batch:
                answer.cancel()
            raise
        for (_, answer), reply in zip(batch, found, strict=True):
            _tell(answer, reply)


def _tell(answer: "asyncio.Future[Any]", reply: object) -> None:
    if answer.done():  # nobody waits for it any more
        return
    if isinstance(reply, Exception):
        answer.set_exception(reply)
    else:
        answer.set_result(reply)
