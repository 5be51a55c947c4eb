"""Faults of callers: they ask twice, leave in the middle, or take away what others are working on."""

import asyncio
import contextlib
import json

import httpx

from tests.faults.fault import Faults
from tests.faults.load import Load
from tests.faults.scene import Scene
from tests.scenarios.api import turn, wait_until

faults = Faults()
TIMES = 16


@faults("the same edit_id at once", "one edit is made, the others are told of it")
async def _(scene: Scene, load: Load) -> None:
    """Sixteen requests with the same edit_id arrive together."""
    mark = f"<same.{load.board}>"
    body = {"operation": "append", "text": mark, "edit_id": f"same {load.board}"}
    path = f"/v1/blocks/{load.board}/edits"
    told = [one["edit"] for one in await asyncio.gather(*(load.api.post(path, body) for _ in range(TIMES)))]
    assert len({one["version"] for one in told}) == 1
    assert sum(not one["repeated"] for one in told) == 1
    load.marks.append(mark)


@faults("the same edit_id for another edit", "it is refused")
async def _(scene: Scene, load: Load) -> None:
    """One edit_id names two different edits."""
    path = f"/v1/blocks/{load.board}/edits"
    codes = []
    for text in (f"<one.{load.board}>", "<two>"):
        body = {"operation": "append", "text": text, "edit_id": f"other {load.board}"}
        codes.append((await load.once.http.post(path, json=body)).status_code)
    assert codes == [200, 409], codes


@faults("the same Idempotency-Key at once", "one run is begun, all are told of it")
async def _(scene: Scene, load: Load) -> None:
    """Sixteen sends with the same key arrive together."""
    agent = await load.api.agent(load.board)
    mark = f"<keyed.{agent}>"
    script = [turn("memory_insert", label="board", new_string=mark), {"text": "Done."}]
    body = {"messages": [{"role": "user", "content": json.dumps({"script": script})}]}
    path, headers = f"/v1/agents/{agent}/messages/async", {"Idempotency-Key": f"key-{agent}"}
    posts = [load.api.http.post(path, json=body, headers=headers) for _ in range(TIMES)]
    runs = {answer.json()["id"] for answer in await asyncio.gather(*posts)}
    assert len(runs) == 1, runs
    load.runs[runs.pop()] = [mark]


@faults("followers cut at random", "each goes on behind the last id it saw")
async def _(scene: Scene, load: Load) -> None:
    """A further follower of the feed hangs up after every few lines and comes back."""
    seen: list[int] = []
    last, path = "", f"/v1/blocks/{load.board}/changes"
    for _ in range(12):
        headers = {"Last-Event-ID": last} if last else {}
        async with load.once.http.stream("GET", path, headers=headers) as feed:
            left = load.rng.randint(1, 12)
            async for line in feed.aiter_lines():
                left -= 1
                if line.startswith("id:"):
                    last = line[3:].strip()
                if line.startswith("data:") and json.loads(line[5:])["kind"] == "edited":
                    seen.append(json.loads(line[5:])["version"])
                if left <= 0 and not line:
                    break
    assert seen == list(range(seen[0], seen[-1] + 1)), seen


@faults("callers that hang up in mid request", "what was done is kept, what was not is not half done")
async def _(scene: Scene, load: Load) -> None:
    """Requests are given up after a few milliseconds, edits and sends."""
    for n in range(TIMES):
        body = {"operation": "append", "text": f"<gone.{n}>"}
        with contextlib.suppress(httpx.TransportError):
            await load.once.http.post(
                f"/v1/blocks/{load.board}/edits", json=body, timeout=load.rng.random() / 100 + 0.0005
            )


@faults("agent deleted in mid run", "its run ends, its block and everybody else stay")
async def _(scene: Scene, load: Load) -> None:
    """DELETE of an agent whose model is being asked."""
    agent = await load.api.agent(load.board)
    run = await load.api.send(agent, turn("memory_insert", 500, label="board", new_string="<never>"))

    async def running() -> bool:
        return await load.api.status(run) == "running"

    await wait_until("the run was begun", running)
    await load.api.http.delete(f"/v1/agents/{agent}")
    assert (await load.api.http.get(f"/v1/agents/{agent}")).status_code == 404
    ended = await load.api.http.get(f"/v1/runs/{run}")
    assert ended.status_code == 404 or ended.json()["status"] in ("cancelled", "failed"), ended.text


@faults("block deleted in the middle of edits", "edits are made or refused; agents are told, and go on")
async def _(scene: Scene, load: Load) -> None:
    """DELETE of a block that a caller and an agent are editing."""
    doomed = await load.api.block("doomed")
    agent = await load.api.agent(doomed)
    writes = [turn("memory_insert", 60, label="doomed", new_string=f"<d.{n}>") for n in range(6)]
    run = await load.api.send(agent, *writes, {"text": "Done."})
    codes: list[int] = []

    async def edit() -> None:
        for _ in range(40):
            body = {"operation": "append", "text": "x"}
            codes.append((await load.once.http.post(f"/v1/blocks/{doomed}/edits", json=body)).status_code)

    editing = asyncio.create_task(edit())
    await asyncio.sleep(0.1)
    await load.api.http.delete(f"/v1/blocks/{doomed}")
    await editing
    assert sorted(set(codes)) in ([200, 404], [200], [404]), codes
    assert codes == sorted(codes), "an edit was made after one was told that the block is gone"
    assert (await load.api.ended(run))["status"] == "completed"


@faults("block detached from an agent in mid run", "its tools are refused from then on; it goes on")
async def _(scene: Scene, load: Load) -> None:
    """The board is taken from an agent that writes to it."""
    agent = await load.api.agent(load.board)
    writes = [turn("memory_insert", 60, label="board", new_string=f"<e.{n}>") for n in range(5)]
    run = await load.api.send(agent, *writes, {"text": "Done."})
    await asyncio.sleep(0.15)
    await load.api.http.patch(f"/v1/agents/{agent}/core-memory/blocks/detach/{load.board}")
    assert (await load.api.ended(run))["status"] == "completed"
    statuses = await load.api.tool_statuses(run)
    assert statuses == sorted(statuses, reverse=True), statuses
    made = statuses.count("success")
    load.marks += [f"<e.{n}>" for n in range(made)]


@faults("run cancelled in the middle", "what it has written stays, and it ends")
async def _(scene: Scene, load: Load) -> None:
    """A run is cancelled while its model is asked."""
    run = await load.send_agent("late", turns=10)
    load.runs.pop(run)
    agent = (await load.api.run(run))["agent_id"]
    await asyncio.sleep(0.2)
    await load.api.post(f"/v1/agents/{agent}/messages/cancel", {"run_ids": [run]})
    assert (await load.api.ended(run))["status"] in ("cancelled", "completed")


@faults("token revoked under a stream", "the stream ends, nobody else's does")
async def _(scene: Scene, load: Load) -> None:
    """The token of a follower is revoked while it follows."""
    made = await load.api.post("/v1/tokens/", {"scope": "read", "name": "soon gone"})
    async with scene.client(patient=False, secret=made["token"]) as follower:
        async with asyncio.timeout(10), follower.http.stream("GET", "/v1/changes") as feed:
            revoked = False
            with contextlib.suppress(httpx.RemoteProtocolError):
                async for _ in feed.aiter_lines():
                    if not revoked:
                        await load.api.http.delete(f"/v1/tokens/{made['id']}")
                        revoked = True
        assert (await follower.http.get("/v1/changes")).status_code == 401


@faults("a burst of messages to one agent", "each is answered, first in first out", within_s=8)
async def _(scene: Scene, load: Load) -> None:
    """Twelve messages are sent to one agent at once: its inbox is long, and it writes for each."""
    agent = await load.api.agent(load.board)
    marks = [f"<burst.{n}>" for n in range(12)]
    for mark in marks:
        script = (turn("memory_insert", label="board", new_string=mark), {"text": "Done."})
        load.runs[await load.api.send(agent, *script)] = [mark]
    last = [*load.runs][-1]
    await load.api.ended(last)
    text = await load.api.text(load.board)
    at = [text.index(mark) for mark in marks]
    assert at == sorted(at), "messages were answered out of their order"
