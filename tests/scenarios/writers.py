"""Writers: clients that append numbered lines while something goes wrong, and what they were told."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tests.scenarios.api import Api, wait_until

WRITERS = 4


@dataclass
class Tally:
    """What writers were told."""

    acknowledged: dict[str, float] = field(default_factory=dict)
    """Line -> when."""
    refused: Counter[str] = field(default_factory=Counter)
    ending: bool = False
    abandoned: bool = False


@asynccontextmanager
async def client(url: str) -> AsyncIterator[Api]:
    api = Api(url)
    try:
        yield api
    finally:
        await api.http.aclose()


@asynccontextmanager
async def writing(api: Api, block: str) -> AsyncIterator[Tally]:
    """Writers that append numbered lines one by one, each until it is acknowledged."""
    tally = Tally()

    async def put(line: str) -> None:
        body = {"operation": "append", "text": f"{line}\n", "edit_id": f"{block}:{line}"}
        while True:
            answer = await api.http.post(f"/v1/blocks/{block}/edits", json=body)
            if answer.status_code == 200:
                tally.acknowledged[line] = time.monotonic()
                return
            assert (answer.status_code, "retry-after" in answer.headers) == (503, True), answer.text
            tally.refused[answer.json()["detail"]] += 1
            assert not tally.abandoned, f"{line} was refused to the end: {tally.refused}"
            await asyncio.sleep(0.05)

    async def write(name: str) -> None:
        number = 0
        while not tally.ending:
            await put(f"{name}-{number}")
            number += 1

    writers = [asyncio.create_task(write(f"w{number}")) for number in range(WRITERS)]
    try:
        yield tally
    except BaseException:
        tally.abandoned = True
        raise
    finally:
        tally.ending = True
        await asyncio.gather(*writers)


async def until_acknowledged(tally: Tally, more: int) -> None:
    most = len(tally.acknowledged) + more

    async def so_many() -> bool:
        return len(tally.acknowledged) >= most

    await wait_until(f"{more} more edits were acknowledged", so_many, 60)
