"""Filling: many things at once into a store, by the store's own scripts and encoders, in pipelines.

One is made by its room, and what that sent to the store is seen; the others are the same
with other ids. So a million blocks are as real as one, and take no million round trips.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any

from tests.bench.machine import Machine
from tests.bench.watching import commands

_AT_ONCE = 2000
Words = list[bytes]


async def seen(machine: Machine, make: Callable[[], Awaitable[object]]) -> Words:
    """The command by which something is made: the longest of the scripts that are run for it."""
    async with commands(machine.socket) as heard:
        await make()
    return max(heard.scripts, key=lambda words: sum(map(len, words)))


async def send_all(machine: Machine, made: Iterator[Words]) -> None:
    redis: Any = machine.redis
    pipe = redis.pipeline(transaction=False)
    for count, words in enumerate(made, 1):
        pipe.execute_command(*words)
        if count % _AT_ONCE == 0:
            await pipe.execute()
    await pipe.execute()


def others(words: Words, count: int, names: Mapping[str, Callable[[int], str]]) -> Iterator[Words]:
    """The same command `count` times; each text in `names` becomes what its function says of the number."""
    for number in range(count):
        changed = words
        for old, new in names.items():
            before, after = old.encode(), new(number).encode()
            changed = [word.replace(before, after) for word in changed]
        yield changed
