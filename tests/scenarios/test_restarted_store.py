"""A reader of the feed has every change exactly once, though it is cut off and the store restarted."""

import asyncio
import json
import random

import httpx
import pytest

from tests.scenarios.api import Api, wait_until
from tests.scenarios.team import Team

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

SEED = 11
WRITERS = 4


async def write(api: Api, block: str, writer: int, count: int) -> None:
    """Each edit until it is acknowledged; the id says that it is one and the same."""
    for n in range(count):
        edit = {"operation": "append", "text": f"{writer}.{n} ", "edit_id": f"{writer}.{n}"}
        while True:
            try:
                answer = await api.http.post(f"/v1/blocks/{block}/edits", json=edit)
            except httpx.TransportError:
                continue
            if answer.status_code == 200:
                break
            assert answer.status_code == 503, answer.text
            await asyncio.sleep(0.05)


class Reader:
    """One client that comes back with the last id whenever it was cut off."""

    def __init__(self, api: Api, last: str) -> None:
        self.api = api
        self.last = last
        self.texts: list[str] = []

    async def read(self, most: int, whole: int) -> None:
        """One connection, until so many changes have come, or the server ends it."""
        headers = {"Last-Event-ID": self.last}
        try:
            async with self.api.http.stream("GET", "/v1/changes", headers=headers) as feed:
                event, id = "", self.last
                async for line in feed.aiter_lines():
                    name, _, value = line.partition(": ")
                    if name == "id":
                        id = value
                    elif name == "event":
                        event = value
                    elif name == "data":
                        assert event == "change", value
                        self.texts.append(json.loads(value)["added"])
                        most -= 1
                    elif not line:
                        event, self.last = "", id
                        if most <= 0 or len(self.texts) == whole:
                            return
        except httpx.TransportError:
            return


@pytest.mark.parametrize(
    ("edits", "cuts", "restarts"),
    [(400, 10, 1), pytest.param(10_000, 200, 5, marks=pytest.mark.chaos)],
    ids=["short", "long"],
)
async def test_every_change_exactly_once_though_the_store_is_restarted(
    team: Team, team_api: Api, edits: int, cuts: int, restarts: int
) -> None:
    team.appendfsync = "always"
    team.start()
    block = await team_api.block("board")
    chance = random.Random(SEED)
    async with team_api.http.stream("GET", "/v1/changes") as feed:
        begin = ""
        async for line in feed.aiter_lines():
            if line.startswith("id: "):
                begin = line.removeprefix("id: ")
                break
    reader = Reader(team_api, begin)

    async def restart() -> None:
        for number in range(1, restarts + 1):

            async def is_due(number: int = number) -> bool:
                return len(reader.texts) >= number * edits // (restarts + 1)

            await wait_until("enough was written for the next restart", is_due, 60 + edits / 10)
            team.kill("store")
            await asyncio.to_thread(team.start_store)

    writing = [
        asyncio.create_task(write(team_api, block, writer, edits // WRITERS)) for writer in range(WRITERS)
    ]
    restarting = asyncio.create_task(restart())
    async with asyncio.timeout(60 + edits / 10):
        while len(reader.texts) < edits:
            await reader.read(chance.randint(1, 2 * edits // cuts), edits)
        await asyncio.gather(*writing, restarting)
    wanted = {writer: [f"{writer}.{n} " for n in range(edits // WRITERS)] for writer in range(WRITERS)}
    for writer, texts in wanted.items():
        assert [text for text in reader.texts if text.startswith(f"{writer}.")] == texts
