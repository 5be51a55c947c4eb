"""What is too much: whoever sends, asks or listens too much is told so or waits alone; memory stays bounded.

Those that need no story across processes are told elsewhere:
a store that fills (test_near_the_bound.py); a client that does not read its run's stream
(tests/http/streams/test_clients.py); a run that says very much (tests/service/test_output.py);
a tool that gives back 50 MB (tests/workers/tools/test_sandbox.py), one of the caller's that
gives a lot (tests/workers/test_client_tools.py); a prompt over the context window
(tests/workers/test_compaction.py); an answer without end (tests/workers/models/test_openai.py);
years of work (tests/store/test_growth.py).
"""

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
import redis
from arq import create_pool
from arq.connections import RedisSettings
from arq.jobs import Job

from service.bootstrap import open_service
from service.queue import QUEUE, dumps, loads
from service.records.blocks import Author, Edit
from tests.scenarios.api import Api, Found, wait_until
from tests.scenarios.filled import most_held
from tests.scenarios.team import Team
from tests.standin import Answer, Standin

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

MB = 1_000_000
Report = Callable[[str], None]
MODEL = "anthropic/claude-3-5-sonnet-20241022"


def script(text: str) -> Found:
    return {"messages": [{"role": "user", "content": json.dumps({"script": [{"text": text}]})}]}


# --- a queue that grows -------------------------------------------------------------------------------------


async def test_an_inbox_has_a_bound_and_the_queue_one_job_for_each_agent(team: Team, team_api: Api) -> None:
    """Nobody works: senders are told after so many messages, a job waits; then all is answered in order."""
    team.settings = team.settings.model_copy(update={"inbox_count": 20})
    team.start()
    agent, other = await team_api.agent(), await team_api.agent()
    sent = [
        await team_api.post(f"/v1/agents/{agent}/messages/async", script(f"{number}")) for number in range(20)
    ]
    for path in ("messages/async", "messages", "messages/stream"):
        refusal = await team_api.http.post(f"/v1/agents/{agent}/{path}", json=script("too many"))
        assert (refusal.status_code, refusal.headers["retry-after"]) == (429, "5")
        assert f"the inbox of agent {agent} is full: 20 messages wait in it" in refusal.json()["detail"]
    await team_api.send(other)
    assert queued(team) == 2
    team.start_worker("worker 1")
    runs = [await team_api.ended(run["id"]) for run in sent]
    assert {run["status"] for run in runs} == {"completed"}
    ends = [run["completed_at"] for run in runs]
    assert ends == sorted(ends)
    assert (await team_api.http.post(f"/v1/agents/{agent}/messages", json=script("again"))).status_code == 200


async def test_a_job_waits_in_the_queue_until_the_inbox_has_room(team: Team, team_api: Api) -> None:
    team.settings = team.settings.model_copy(update={"inbox_count": 1})
    team.start("worker 1")
    agent = await team_api.agent()
    await team_api.post(f"/v1/agents/{agent}/pause", {})
    await team_api.send(agent)
    async with job(team, agent) as waiting:
        await until_said(team, "worker 1", "job.deferred")
        await team_api.post(f"/v1/agents/{agent}/resume", {})
        run_id = await waiting.result(timeout=20)
    assert (await team_api.ended(run_id))["status"] == "completed"


def queued(team: Team) -> int:
    with redis.Redis(unix_socket_path=f"{team.folder}/s") as client:
        return int(client.zcard(QUEUE))


@asynccontextmanager
async def job(team: Team, agent: str) -> AsyncIterator[Job]:
    """What another service puts into the queue."""
    settings = RedisSettings(unix_socket_path=f"{team.folder}/s")
    pool = await create_pool(settings, job_serializer=dumps, job_deserializer=loads, default_queue_name=QUEUE)
    try:
        found = await pool.enqueue_job("send_message", agent, "Hello.")
        assert found is not None
        yield found
    finally:
        await pool.aclose()


async def until_said(team: Team, name: str, event: str) -> None:
    async def is_said() -> bool:
        return bool(team.events(name, event))

    await wait_until(f"{name} says {event}", is_said)


# --- a slow subscriber --------------------------------------------------------------------------------------

FOLLOWERS, EDITS, LONG = 10, 6_000, 2_000


async def test_followers_that_read_nothing_cost_neither_memory_nor_time(
    team: Team, team_api: Api, report: Report
) -> None:
    """Each could have 24 MB and takes none of it; another one next to them has everything, once, in order."""
    team.start()
    block = await team_api.block("long")
    before = most_held(team.processes["web"].pid)
    path = f"/v1/blocks/{block}/changes"
    async with AsyncExitStack() as stack:
        for _ in range(FOLLOWERS):
            _, writer = await stack.enter_async_context(raw(team))
            writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            await writer.drain()
        heard: list[int] = []
        following = asyncio.create_task(versions_of(team_api, path, heard, EDITS))
        await until_heard(heard, "a first word")
        began = time.monotonic()
        await edit_often(team, block)
        await asyncio.wait_for(team_api.text(block), 5)
        took = time.monotonic() - began
        await asyncio.wait_for(following, 60)
    assert heard[1:] == list(range(2, EDITS + 2))
    grown = (most_held(team.processes["web"].pid) - before) / MB
    report(f"{FOLLOWERS} followers that read nothing of 24 MB each: web grew by {grown:.0f} MB")
    report(f"{EDITS:,} edits meanwhile took {took:.1f} s")
    assert grown < FOLLOWERS * 24 / 2


async def edit_often(team: Team, block: str) -> None:
    """Edits by another process, as fast as the store takes them."""
    async with open_service(team.settings) as service:

        async def edit(first: int) -> None:
            for number in range(first, EDITS, 20):
                text = f"{number:05}" * (LONG // 5)
                await service.blocks.edit(
                    "default", block, Edit(operation="set", text=text), Author(name="writer")
                )

        await asyncio.gather(*(edit(first) for first in range(20)))


async def versions_of(api: Api, path: str, heard: list[int], most: int) -> None:
    """The versions that a feed tells; 0 stands for its first word."""
    async with api.http.stream("GET", path) as answer:
        async for line in answer.aiter_lines():
            if not heard:
                heard.append(0)
            if line.startswith("data: ") and (found := re.search(r'"version":(\d+)', line)):
                heard.append(int(found[1]))
            if len(heard) > most:
                return


async def until_heard(heard: list[int], what: str) -> None:
    async def is_heard() -> bool:
        return bool(heard)

    await wait_until(f"a follower hears {what}", is_heard)


# --- a body of 10 MB and more -------------------------------------------------------------------------------


async def test_a_body_that_is_too_large_is_refused_before_it_is_held(
    team: Team, team_api: Api, report: Report
) -> None:
    """Announced, it is not read at all; in chunks it is, up to the bound. Others are answered meanwhile."""
    team.start()
    block = await team_api.block("notes")
    before = most_held(team.processes["web"].pid)
    announced = asyncio.gather(*(refused(team, b"content-length: 50000000", 0) for _ in range(4)))
    in_chunks = asyncio.gather(*(refused(team, b"transfer-encoding: chunked", 60 * MB) for _ in range(4)))
    for number in range(20):
        await asyncio.wait_for(team_api.append(block, f"{number}\n"), 5)
    assert await announced == [0] * 4
    for taken in await in_chunks:
        assert 10 * MB <= taken < 30 * MB
    assert len(await team_api.lines(block)) == 20
    grown = (most_held(team.processes["web"].pid) - before) / MB
    report(f"four bodies of 60 MB in chunks, four of 50 MB announced: web grew by {grown:.0f} MB")
    assert grown < 4 * 2 * 10 + 30


async def refused(team: Team, length: bytes, most: int) -> int:
    """How many bytes were taken before the server said 413, and why."""
    async with raw(team) as (reader, writer):
        writer.write(
            b"POST /v1/blocks/ HTTP/1.1\r\nHost: localhost\r\ncontent-type: application/json\r\n%s\r\n\r\n"
            % length
        )
        answer = asyncio.create_task(reader.readuntil(b'"}'))
        chunk = b"10000\r\n" + b"x" * 65_536 + b"\r\n"
        taken = 0
        while taken < most and not answer.done():
            writer.write(chunk)
            try:
                await writer.drain()
            except ConnectionError:
                break
            taken += 65_536
            await asyncio.sleep(0)
        said = await asyncio.wait_for(answer, 10)
    assert b" 413 " in said.splitlines()[0]
    assert b"body: must not be larger than 10000000 bytes" in said
    return taken


@asynccontextmanager
async def raw(team: Team) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", team.settings.port)
    try:
        yield reader, writer
    finally:
        writer.close()


# --- very many blocks in one list ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("blocks", "chars", "most_mb"),
    [(500, 100, 30), (60, 900_000, 250), pytest.param(100_000, 100, 150, marks=pytest.mark.chaos)],
)
async def test_a_list_of_very_many_blocks_comes_in_pages_and_others_are_answered(
    team: Team, team_api: Api, report: Report, blocks: int, chars: int, most_mb: int
) -> None:
    """Whoever asks for as much as he may get at once holds neither the web's memory nor anybody up."""
    team.start()
    made: list[str] = []

    async def make(count: int) -> None:
        for _ in range(count):
            body = {"label": "one", "value": "x" * chars, "limit": max(chars, 1)}
            made.append(str((await team_api.post("/v1/blocks/", body))["id"]))

    await asyncio.gather(*(make(blocks // 20) for _ in range(20)))
    before = most_held(team.processes["web"].pid)
    listing = asyncio.create_task(all_of(team_api))
    slowest = 0.0
    while not listing.done():
        began = time.monotonic()
        await team_api.get(f"/v1/blocks/{made[0]}")
        slowest = max(slowest, time.monotonic() - began)
    found = await listing
    assert sorted(found) == sorted(made)
    grown = (most_held(team.processes["web"].pid) - before) / MB
    report(f"{blocks:,} blocks of {chars:,} characters listed: web grew by {grown:.0f} MB")
    report(f"others waited {slowest:.2f} s at the most")
    assert grown < most_mb
    assert slowest < 5


async def all_of(api: Api) -> list[str]:
    found: list[str] = []
    after: dict[str, str] = {}
    while page := await api.get("/v1/blocks/", limit=10_000, **after):
        found += [block["id"] for block in page]
        after = {"after": found[-1]}
    return found


# --- a model that streams for very long ---------------------------------------------------------------------


async def test_a_stream_that_outlasts_its_lease_is_one_call_and_can_be_cancelled(
    team: Team, team_api: Api
) -> None:
    """Ten minutes are two hundred leases of three seconds; here four of them tell the same."""
    said = "word " * 260  # 16 s of gaps
    with Standin() as standin:
        standin.will(Answer(text="Yes."), Answer(text="Yes."))
        standin.otherwise = lambda asked: Answer(text=said, gap_s=0.1)
        team.start()
        provider = {"anthropic_api_key": "secret", "anthropic_base_url": standin.url}
        for name in ("worker 1", "worker 2"):
            team.start_worker(name, **provider)
        agent, other = await team_api.agent(model=MODEL), await team_api.agent()
        for _ in range(2):  # the provider's library is loaded, which takes a while
            run = await team_api.post(f"/v1/agents/{agent}/messages/async", {"messages": [HELLO]})
            await team_api.ended(run["id"], 60)
        standin.asked.clear()
        began = time.monotonic()
        run = await team_api.post(f"/v1/agents/{agent}/messages/async", {"messages": [HELLO]})
        await until_running(team_api, run["id"])
        answered = await team_api.http.post(f"/v1/agents/{other}/messages", json=script("Meanwhile."))
        assert answered.status_code == 200
        assert (await team_api.ended(run["id"], 90))["status"] == "completed"
        assert time.monotonic() - began > 4 * 3
        assert len(standin.bodies) == 1
        assert said.strip() in json.dumps(await team_api.get(f"/v1/runs/{run['id']}/messages"))
        run = await team_api.post(f"/v1/agents/{agent}/messages/async", {"messages": [HELLO]})
        await until_asked(standin, 2)
        began = time.monotonic()
        await team_api.post(f"/v1/agents/{agent}/messages/cancel", {"run_ids": [run["id"]]})
        assert (await team_api.ended(run["id"]))["status"] == "cancelled"
        assert time.monotonic() - began < 3
        assert len(standin.bodies) == 2
    assert team.events("worker 1", "lease.lost") == team.events("worker 2", "lease.lost") == []


HELLO = {"role": "user", "content": "Talk."}


async def until_running(api: Api, run_id: str) -> None:
    async def is_running() -> bool:
        return await api.status(run_id) == "running"

    await wait_until(f"run {run_id} is under way", is_running)


async def until_asked(standin: Standin, times: int) -> None:
    async def is_asked() -> bool:
        return len(standin.bodies) == times

    await wait_until(f"the provider was asked {times} times", is_asked)
