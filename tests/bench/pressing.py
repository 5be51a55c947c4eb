"""Pressing: edits at an even pace, sent as they are found in a file, until this process is ended.

python -m tests.bench.pressing FILE PER_SECOND    (started by the bench; REDIS_URL in the environment)
"""

import asyncio
import json
import os
import sys
import time
from itertools import cycle
from pathlib import Path
from typing import Any

from redis.asyncio import Redis

_TICK_S = 0.01


async def press(commands: list[list[str]], per_second: int) -> None:
    redis: Any = Redis.from_url(os.environ["REDIS_URL"])
    ready = cycle(commands)
    began, sent = time.monotonic(), 0
    while True:
        due = int((time.monotonic() - began) * per_second)
        for _ in range(due - sent):
            await redis.execute_command(*next(ready))
        sent = due
        await asyncio.sleep(_TICK_S)


if __name__ == "__main__":
    asyncio.run(press(json.loads(Path(sys.argv[1]).read_text()), int(sys.argv[2])))
