"""Faults of the web process: it dies between what it did and saying so, in waits and in streams."""

import asyncio
import json

import httpx

from tests.faults.fault import Faults
from tests.faults.load import Load
from tests.faults.scene import Scene
from tests.scenarios.api import Found, turn, wait_until

faults = Faults()
HELD_MS = 600


@faults("web killed under edits", "edits sent again are made once")
async def _(scene: Scene, load: Load) -> None:
    """SIGKILL to the web process in the middle of everybody's requests."""
    scene.kill("web")
    scene.revive("web")


@faults("web killed between an edit and its answer", "the same edit_id is answered with the first outcome")
async def _(scene: Scene, load: Load) -> None:
    """SIGKILL to the web process at `edit.applied`: the block is changed and nobody was told."""
    await scene.crash_and_revive("edit.applied")


@faults("web killed between a message and its answer", "the agent is at work; the message is there once")
async def _(scene: Scene, load: Load) -> None:
    """SIGKILL to the web process at `send.recorded`: the run is in the inbox, and its sender not told."""
    agent = await load.api.agent()
    sending = asyncio.create_task(load.api.send(agent, {"text": "Here."}))
    await scene.crash_and_revive("send.recorded")
    await load.api.ended(await sending)
    await _once(load, agent)


@faults("web killed during a blocking send", "the same Idempotency-Key gives the same run's answer")
async def _(scene: Scene, load: Load) -> None:
    """SIGKILL to the web process while a caller waits for an agent's answer; the caller asks again."""
    agent = await load.api.agent()
    script = json.dumps({"script": [{"text": "Here.", "sleep_ms": HELD_MS}]})
    body = {"messages": [{"role": "user", "content": script}]}
    sending = asyncio.create_task(load.api.post(f"/v1/agents/{agent}/messages", body))
    await _running(load, agent)
    scene.kill("web")
    scene.revive("web")
    answer = await sending
    assert [one["content"] for one in answer["messages"]] == ["Here."], answer
    await _once(load, agent)


@faults("web killed during a stream", "the run goes on to its end")
async def _(scene: Scene, load: Load) -> None:
    """SIGKILL to the web process while a caller reads an agent's answer as it is written."""
    agent = await load.api.agent(load.board)
    mark = f"<streamed.{agent}>"
    writes = turn("memory_insert", HELD_MS, label="board", new_string=mark)
    script = json.dumps({"script": [writes, {"text": "Done."}]})
    body: Found = {"messages": [{"role": "user", "content": script}], "stream_tokens": True}

    async def listen() -> None:
        path = f"/v1/agents/{agent}/messages/stream"
        async with load.once.http.stream("POST", path, json=body) as stream:
            async for _ in stream.aiter_lines():
                pass

    listening = asyncio.create_task(listen())
    await _running(load, agent)
    scene.kill("web")
    scene.revive("web")
    [failure] = await asyncio.gather(listening, return_exceptions=True)
    assert isinstance(failure, httpx.TransportError), failure
    [run] = await load.api.get("/v1/runs/", agent_id=agent)
    assert (await load.api.ended(run["id"]))["status"] == "completed"
    load.marks.append(mark)


async def _running(load: Load, agent: str) -> None:
    async def begun() -> bool:
        return [run["status"] for run in await load.api.get("/v1/runs/", agent_id=agent)] == ["running"]

    await wait_until("the run was begun", begun)


async def _once(load: Load, agent: str) -> None:
    said = await load.api.get(f"/v1/agents/{agent}/messages", limit=0)
    kinds = [one["message_type"] for one in said if one["message_type"] != "system_message"]
    assert kinds == ["user_message", "assistant_message"], kinds
