"""Api: what a client of Blockwire does in these scenarios, over HTTP and nothing else."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

import httpx

Found = dict[str, Any]

ENDED = ("completed", "failed", "cancelled")


def turn(tool: str, sleep_ms: int = 0, **arguments: Any) -> Found:
    """One answer of the scripted model: a tool call, after a while."""
    return {"calls": [{"name": tool, "arguments": arguments}], "sleep_ms": sleep_ms}


async def wait_until(fact: str, holds: Callable[[], Awaitable[bool]], deadline_s: float = 20) -> None:
    """Until it holds; after the deadline the failure names what was waited for."""
    end = time.monotonic() + deadline_s
    while not await holds():
        assert time.monotonic() < end, f"waited {deadline_s} s in vain until {fact}"
        await asyncio.sleep(0.02)


class Api:
    """A client of one running Blockwire."""

    def __init__(self, url: str) -> None:
        self.http = httpx.AsyncClient(base_url=url, timeout=30, trust_env=False)

    async def get(self, path: str, **query: Any) -> Any:
        return self._checked(await self.http.get(path, params=query))

    async def post(self, path: str, body: Found) -> Any:
        return self._checked(await self.http.post(path, json=body))

    @staticmethod
    def _checked(answer: httpx.Response) -> Any:
        assert answer.status_code == 200, f"{answer.request.url}: {answer.status_code} {answer.text}"
        return answer.json()

    async def block(self, label: str, value: str = "") -> str:
        """A new block's id."""
        return str((await self.post("/v1/blocks/", {"label": label, "value": value}))["id"])

    async def agent(self, *block_ids: str, **fields: Any) -> str:
        """A new scripted agent's id, with these blocks attached."""
        body = {"model": "offline/scripted", "block_ids": block_ids} | fields
        return str((await self.post("/v1/agents/", body))["id"])

    async def send(self, agent_id: str, *turns: Found) -> str:
        """A message that makes the agent answer so, turn by turn; the id of its run, begun or not."""
        message = {"role": "user", "content": json.dumps({"script": turns})}
        run = await self.post(f"/v1/agents/{agent_id}/messages/async", {"messages": [message]})
        return str(run["id"])

    async def append(self, block_id: str, text: str) -> int:
        """The version that this made."""
        edited = await self.post(f"/v1/blocks/{block_id}/edits", {"operation": "append", "text": text})
        return int(edited["version"])

    async def watch(self, agent_id: str, block_id: str, **fields: Any) -> None:
        await self.post(f"/v1/agents/{agent_id}/subscriptions", {"block_id": block_id, **fields})

    async def text(self, block_id: str) -> str:
        return str((await self.get(f"/v1/blocks/{block_id}"))["value"])

    async def lines(self, block_id: str) -> list[str]:
        return [line for line in (await self.text(block_id)).split("\n") if line]

    async def run(self, run_id: str) -> Found:
        found: Found = await self.get(f"/v1/runs/{run_id}")
        return found

    async def status(self, run_id: str) -> str:
        return str((await self.run(run_id))["status"])

    async def ended(self, run_id: str, deadline_s: float = 20) -> Found:
        """The run, once it has ended."""

        async def has_ended() -> bool:
            return await self.status(run_id) in ENDED

        await wait_until(f"run {run_id} ended", has_ended, deadline_s)
        return await self.run(run_id)

    async def tool_statuses(self, run_id: str) -> list[str]:
        """How the run's tool calls went, oldest first."""
        said = await self.get(f"/v1/runs/{run_id}/messages", limit=0)
        return [one["status"] for one in said if one["message_type"] == "tool_return_message"]
