"""Fakes: what a stand-in of the store needs so that it can be asked as our connections are."""

from collections.abc import Sequence
from typing import Any

from fakeredis.aioredis import FakeAsyncRedisConnection
from redis.exceptions import DataError, ResponseError

from service.store.connections import Words


async def _one_by_one(self: Any, commands: Sequence[Words]) -> list[Any]:
    answers: list[Any] = []
    for words in commands:
        try:
            await self.send_command(*words)
            answers.append(await self.read_response())
        except (ResponseError, DataError, UnicodeError) as refusal:
            answers.append(refusal)
    return answers


def let_fakes_be_asked() -> None:
    """From then on, in this process."""
    setattr(FakeAsyncRedisConnection, "ask", _one_by_one)  # noqa: B010, the type knows of none
