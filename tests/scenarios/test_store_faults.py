"""What may befall the store of a Blockwire that runs: it says so while it lasts, and goes on by itself."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from redis import Redis

from service.processes import HEALTH_PATH
from tests.fleet import Server, server
from tests.running import Running, running_blockwire
from tests.scenarios.api import Api, turn, wait_until
from tests.scenarios.writers import client, until_acknowledged, writing

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

SLOW_LOADING = ("--key-load-delay", "300", "--loading-process-events-interval-bytes", "1024")
OFTEN = 20


@dataclass(frozen=True)
class Fault:
    """What is done to the store; `lasts`: whether the web must be seen to say so before it is undone."""

    do: Callable[[Server], None]
    undo: Callable[[Server], None] = lambda _: None
    lasts: bool = False
    edits_only: bool = False


def tell(*command: str) -> Callable[[Server], None]:
    def telling(one: Server) -> None:
        with one.redis() as client:
            client.execute_command(*command)

    return telling


def cut_all(one: Server) -> None:
    """Every connection ends, again and again, in the middle of whatever is asked."""
    with one.redis() as client:
        for _ in range(OFTEN):
            for kind in ("normal", "pubsub"):
                client.client_kill_filter(_type=kind, skipme=True)


def forget_scripts(one: Server) -> None:
    with one.redis() as client:
        for _ in range(OFTEN):
            client.script_flush()


def flush_queue(one: Server) -> None:
    with one.redis() as client:
        for _ in range(OFTEN):
            forget_jobs(client)


def forget_jobs(client: "Redis") -> None:
    for pattern in ("blockwire:jobs*", "arq:*"):
        for name in client.scan_iter(pattern, count=1000):
            client.delete(name)


def stop(one: Server) -> None:
    one.kill()


def start_slowly(one: Server) -> None:
    """It reads its file for a while and answers LOADING meanwhile."""
    one.options = (*one.options, *SLOW_LOADING)
    one.start(wait=False)


FAULTS = {
    "killed, then started": Fault(stop, Server.start, lasts=True),
    "killed, then started with a long file": Fault(stop, start_slowly, lasts=True),
    "stopped, then started": Fault(Server.stop, Server.start, lasts=True),
    "all connections cut": Fault(cut_all),
    "scripts forgotten": Fault(forget_scripts),
    "queue emptied": Fault(flush_queue),
    "a replica for a while": Fault(
        tell("REPLICAOF", "127.0.0.1", "1"), tell("REPLICAOF", "NO", "ONE"), lasts=True, edits_only=True
    ),
    "memory full": Fault(
        tell("CONFIG", "SET", "maxmemory", "1"),
        tell("CONFIG", "SET", "maxmemory", "0"),
        lasts=True,
        edits_only=True,
    ),
}


@pytest.fixture(scope="module")
def store() -> Iterator[Server]:
    with server("--appendonly", "yes", "--enable-debug-command", "yes") as found:
        yield found


@pytest.fixture(scope="module")
def blockwire(store: Server) -> Iterator[Running]:
    with running_blockwire(environ={"REDIS_URL": store.url}) as running:
        yield running


@pytest.mark.parametrize("name", FAULTS)
async def test_nothing_is_lost_or_doubled_and_nobody_is_started_again(
    name: str, store: Server, blockwire: Running
) -> None:
    fault = FAULTS[name]
    async with client(blockwire.url) as api:
        block, by_agent = await api.block("people"), await api.block("agents")
        agent = await api.agent(by_agent)
        script = [turn("memory_insert", label="agents", new_string=f"{n}", sleep_ms=300) for n in range(5)]
        async with writing(api, block) as tally:
            await until_acknowledged(tally, 10)
            run = await api.send(agent, *script)
            await asyncio.to_thread(fault.do, store)
            if fault.lasts:
                await until_said(api, block, edits_only=fault.edits_only)
            await asyncio.to_thread(fault.undo, store)
            await until_acknowledged(tally, 20)
        lines = Counter(await api.lines(block))
        assert set(lines) >= set(tally.acknowledged)
        assert set(lines.values()) == {1}
        assert (await api.ended(run, 30))["status"] == "completed"
        assert Counter(await api.lines(by_agent)) == {f"{number}": 1 for number in range(5)}
    for word in ("child.exited", "child.restarted"):
        assert word not in blockwire.log_file.read_text()


async def until_said(api: Api, block: str, *, edits_only: bool) -> None:
    """Until the web answers 503 and when to come again; that it is alive it says all the while."""

    async def is_said() -> bool:
        edit = {"operation": "append", "text": "said\n", "edit_id": f"{block}:said"}
        asked = [await api.http.post(f"/v1/blocks/{block}/edits", json=edit)]
        if not edits_only:
            asked += [await api.http.get("/v1/ready/"), await api.http.get(f"/v1/blocks/{block}")]
        return all(one.status_code == 503 and one.headers["retry-after"] == "1" for one in asked)

    await wait_until("the web answers 503", is_said)
    assert (await api.http.get(HEALTH_PATH)).status_code == 200


async def new_agent(api: Api) -> str:
    """An agent, once its server no longer holds the store for full."""

    async def has_room() -> bool:
        return (await api.http.post("/v1/agents/", json={"model": "offline/scripted"})).status_code == 200

    await wait_until("the server has heard that there is room again", has_room)
    return await api.agent()


async def test_a_send_that_waits_for_its_answer_gets_it_or_a_503(store: Server, blockwire: Running) -> None:
    async with client(blockwire.url) as api:
        agent = await new_agent(api)
        said = '{"script": [{"text": "All is well.", "sleep_ms": 2000}]}'
        body = {"messages": [{"role": "user", "content": said}]}
        sending = asyncio.create_task(api.http.post(f"/v1/agents/{agent}/messages", json=body))

        async def is_begun() -> bool:
            return any(run["status"] == "running" for run in await api.get("/v1/runs/", agent_ids=[agent]))

        await wait_until("its run has begun", is_begun)
        await asyncio.to_thread(store.kill)
        await asyncio.to_thread(store.start)
        answer = await sending
        if answer.status_code == 200:
            assert "All is well." in answer.text
        else:
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
