"""A web process is asked to stop under load: no request is cut, streams end with a place to go on from."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from tests.scenarios.api import Api, wait_until
from tests.scenarios.team import Team

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

WRITERS = 8
ENOUGH = 40


@asynccontextmanager
async def api_of(url: str) -> AsyncIterator[Api]:
    api = Api(url)
    async with api.http:
        yield api


async def write(api: Api, block: str, name: str, acknowledged: list[str]) -> None:
    """Lines one after another, until nobody listens any more."""
    for number in range(100_000):
        line = f"{name}.{number}"
        body = {"operation": "append", "text": f"{line}\n"}
        try:
            answer = await api.http.post(f"/v1/blocks/{block}/edits", json=body)
        except httpx.TransportError:
            return  # it was not taken: the test finds it if it was
        assert answer.status_code == 200, answer.text
        acknowledged.append(line)


async def test_no_request_is_cut_and_what_was_sent_is_there_once(team: Team) -> None:
    """Writers write until the web is gone, a blocking send waits for its agent. All are answered; what was
    acknowledged is what is there, and the send's run ends once."""
    team.start("worker")
    other = team.start_web("web 2")
    async with api_of(team.url) as api, api_of(other) as after:
        board, agent = await api.block("board"), await api.agent()
        script = json.dumps({"script": [{"text": "At last.", "sleep_ms": 1500}]})
        body = {"messages": [{"role": "user", "content": script, "otid": "once"}]}
        waiting = asyncio.create_task(api.http.post(f"/v1/agents/{agent}/messages", json=body))
        acknowledged: list[str] = []
        writers = [
            asyncio.create_task(write(api, board, f"w{number}", acknowledged)) for number in range(WRITERS)
        ]

        async def under_way() -> bool:
            return len(acknowledged) >= ENOUGH and bool(await after.get("/v1/runs/", agent_id=agent))

        await wait_until("everybody was at it", under_way)
        process = team.terminate("web")
        await asyncio.gather(*writers)
        answer = await waiting
        assert await asyncio.to_thread(process.wait, 20) == 0
        assert sorted(await after.lines(board)) == sorted(acknowledged)
        assert answer.status_code in (200, 503), answer.text
        assert answer.status_code == 200 or "retry-after" in answer.headers
        again = await after.post(f"/v1/agents/{agent}/messages", body)
        assert [one["content"] for one in again["messages"]] == ["At last."]
        [run] = await after.get("/v1/runs/", agent_id=agent)
        assert run["status"] == "completed"


async def test_a_feed_that_was_ended_goes_on_elsewhere_behind_the_last_it_told(team: Team) -> None:
    team.start()
    other = team.start_web("web 2")
    async with api_of(team.url) as api, api_of(other) as after:
        board = await api.block("board")
        path = f"/v1/blocks/{board}/changes"
        last, seen = "", list[int]()
        async with api.http.stream("GET", path) as feed:
            await after.append(board, "a\n")
            stopping = None
            async for line in feed.aiter_lines():  # to its end, which is no broken connection
                if line.startswith("id:"):
                    last = line[3:].strip()
                if line.startswith("data:"):
                    seen.append(json.loads(line[5:])["version"])
                    stopping = stopping or team.terminate("web")
        assert stopping is not None
        assert await asyncio.to_thread(stopping.wait, 20) == 0
        for text in ("b\n", "c\n"):
            await after.append(board, text)
        async with after.http.stream("GET", path, headers={"Last-Event-ID": last}) as feed:
            async for line in feed.aiter_lines():
                if line.startswith("data:"):
                    seen.append(json.loads(line[5:])["version"])
                    if seen[-1] == 4:
                        break
        assert seen == [2, 3, 4]
