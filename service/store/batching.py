"""Batching: commands that come while others are on their way go to the store together.

Nobody waits for company: as long as fewer than LINES commands are under way, one goes at once and
alone. Those that come then share the next write and the next reading, which halves what each
of them costs. Nothing else about a command changes: it has its own answer or its own error. What
breaks a connection is the error of all that were on it, and whoever stops waiting for a command
does not disturb the others.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from redis.asyncio import Redis

Command = Callable[[Any], Any]
"""Makes its call on what it is given: the client, or a pipeline of it."""

LINES = 4
"""Batches under way. With one alone the store and this process would wait for each other; a connection
that has gone silent must not hold up everybody; and more than two make batches shorter."""
BATCH_MOST = 8

_Waiting = tuple[Command, asyncio.Future[Any]]


class Batches:
    """The commands of one client, which may be used in one event loop."""

    def __init__(self, redis: "Redis") -> None:
        self._redis = redis
        self._under_way = 0
        self._waiting: list[_Waiting] = []
        self._sending: set[asyncio.Task[None]] = set()

    async def send(self, command: Command) -> Any:
        """The command's answer; raises what it raises alone."""
        if self._under_way >= LINES:
            answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
            self._waiting.append((command, answer))
            return await answer
        self._under_way += 1
        try:
            return await command(self._redis)
        finally:
            self._line_is_free()

    def _line_is_free(self) -> None:
        if not self._waiting:
            self._under_way -= 1
            return
        sending = asyncio.create_task(self._send_waiting())
        self._sending.add(sending)
        sending.add_done_callback(self._sending.discard)

    async def _send_waiting(self) -> None:
        try:
            batch, self._waiting = self._waiting[:BATCH_MOST], self._waiting[BATCH_MOST:]
            wanted = [one for one in batch if not one[1].done()]
            if wanted:
                await self._send_together(wanted)
        finally:
            self._line_is_free()

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
