"""Batching: commands that come while others are on their way go to the store together.

Nobody waits for company: as long as one of a few lines is free, a command goes at once and alone.
Those that come while none is share the next write and the next reading, which halves what each
of them costs. Nothing else about a command changes: it has its own answer or its own error. What
breaks a connection is the error of all that were on it, and whoever stops waiting for a command
before it is sent takes it back. A line that is slow, or silent, holds nobody up for longer than
PATIENCE_S: then it does not count any more.
"""

import asyncio
from collections.abc import Callable, Sequence
from copy import copy
from time import monotonic
from typing import Any, NamedTuple

from redis.asyncio import Redis
from redis.exceptions import DataError

Command = Callable[[Any], Any]
"""Makes its call on what it is given: the client, or a pipeline of it."""


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

_Waiting = tuple[Command, asyncio.Future[Any]]


class Batches:
    """The commands of one client, which may be used in one event loop."""

    def __init__(self, redis: "Redis", lines: Lines) -> None:
        self._redis = redis
        self._lines = lines
        self._began: dict[int, float] = {}
        """Of each line that is taken: since when, on the monotonic clock."""
        self._taken = 0
        self._waiting: list[_Waiting] = []
        self._look: asyncio.TimerHandle | None = None
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
        if self._is_one_free():
            sending = asyncio.create_task(self._send_batch(self._take()))
            self._sending.add(sending)
            sending.add_done_callback(self._sending.discard)
        if self._look is None:
            self._look = asyncio.get_running_loop().call_later(PATIENCE_S, self._look_again)

    def _look_again(self) -> None:
        self._look = None
        self._send_waiting()

    async def _send_batch(self, line: int) -> None:
        try:
            most = self._lines.most
            batch, self._waiting = self._waiting[:most], self._waiting[most:]
            if batch:
                await self._send_together(batch)
        finally:
            del self._began[line]
            self._send_waiting()

    async def _send_together(self, batch: Sequence[_Waiting]) -> None:
        pipe = self._redis.pipeline(transaction=False)
        sent: Sequence[_Waiting] = batch
        try:
            # First, as it may take a while: whoever stops waiting meanwhile has sent nothing.
            pipe.connection = await self._redis.connection_pool.get_connection()
            sent = [one for one in batch if _is_made(one, pipe)]
            found = await pipe.execute(raise_on_error=False)
        except (DataError, UnicodeEncodeError) as error:  # one cannot be put on the wire: none was sent
            if len(sent) > 1:
                for one in sent:
                    await self._send_together([one])
                return
            found = [error]
        except Exception as error:  # noqa: BLE001, everybody who waits is told
            found = [copy(error) for _ in sent]
        except BaseException:  # the event loop ends
            for _, answer in batch:
                answer.cancel()
            raise
        finally:
            await pipe.reset()  # type: ignore[no-untyped-call]
        for (_, answer), reply in zip(sent, found, strict=True):
            _tell(answer, reply)


def _is_made(waiting: _Waiting, pipe: Any) -> bool:
    """Puts a command into the pipeline, if somebody waits for it, and if it is one."""
    command, answer = waiting
    if answer.done():
        return False
    try:
        command(pipe)
    except Exception as error:  # noqa: BLE001, whoever gave it is told
        answer.set_exception(error)
        return False
    return True


def _tell(answer: "asyncio.Future[Any]", reply: object) -> None:
    if answer.done():  # nobody waits for it any more
        return
    if isinstance(reply, Exception):
        answer.set_exception(reply)
    else:
        answer.set_result(reply)
