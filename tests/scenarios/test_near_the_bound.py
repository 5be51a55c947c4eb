"""A store that fills: the past is given up, then messages are refused, edits last; it ends by itself."""

import json
import subprocess
import sys
from collections.abc import Iterator

import httpx
import pytest

from tests.fleet import Server, server
from tests.running import ROOT, Running, bare_environ, running_blockwire
from tests.scenarios.api import Api, Found, turn, wait_until
from tests.scenarios.filled import Filled
from tests.scenarios.writers import client

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

EDITS = 300
TEXT = 10_000


@pytest.fixture(scope="module")
def store() -> Iterator[Server]:
    with server("--appendonly", "yes", "--maxmemory", "40mb") as found:
        yield found


@pytest.fixture(scope="module")
def blockwire(store: Server) -> Iterator[Running]:
    with running_blockwire(environ={"REDIS_URL": store.url}) as running:
        yield running


async def test_history_goes_first_then_messages_and_edits_last(store: Server, blockwire: Running) -> None:
    filled = Filled(store)
    async with client(blockwire.url) as api:
        block, by_agent = await api.block("people"), await api.block("agents")
        agent = await api.agent(by_agent)
        await a_long_past(api, block)
        named = {"Idempotency-Key": "once"}
        first = await send(api, agent, named)
        assert first.status_code == 200
        assert (await past(api, block))["dropped"] == 0

        filled.to(0.84)

        async def has_room_again() -> bool:
            return (await past(api, block))["dropped"] > 0 and filled.share() < 0.80

        await wait_until("history was given up and there is room", has_room_again)
        assert await answers(api, agent, "agents")

        async def has_no_past() -> bool:
            filled.to(0.84)
            return bool((await past(api, block))["dropped"] == EDITS)

        await wait_until("only the newest edit is kept", has_no_past)
        assert len((await api.get(f"/v1/blocks/{block}"))["value"]) == TEXT
        filled.to(0.93)

        async def is_refused() -> bool:
            return (await send(api, agent)).status_code == 503

        await wait_until("new messages are refused", is_refused)
        refusal = await send(api, agent)
        assert refusal.headers["retry-after"] == "5"
        assert "the store's memory is nearly full (" in refusal.json()["detail"]
        assert "of 42 MB): new messages and agents are refused, edits are not" in refusal.json()["detail"]
        assert (await api.http.post("/v1/agents/", json={"model": "offline/scripted"})).status_code == 503
        assert (await send(api, agent, named)).json()["id"] == first.json()["id"]
        for number in range(20):
            await api.append(block, f"{number}")
        told = doctor(store)
        assert "histories shrink, new messages and agents are refused" in told["memory"]["found"]
        assert told["memory"]["good"] is False

        before = await as_it_is(api, block)
        refused = 0
        for _ in range(40):
            filled.to_the_brim()
            edit = {"operation": "append", "text": "x" * 1000}
            answer = await api.http.post(f"/v1/blocks/{block}/edits", json=edit)
            if answer.status_code == 200:
                before = await as_it_is(api, block)
                continue
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
            assert answer.json()["detail"] == "the store refuses writes: its memory is full"
            refused += 1
            now = await as_it_is(api, block)
            assert now[:2] == before[:2]
            assert now[2] == now[0], "the newest entry of the history is of the block's version"
        assert refused > 0

        filled.empty()

        async def is_let_in() -> bool:
            return (await send(api, agent)).status_code == 200

        await wait_until("messages are let in", is_let_in)
        assert await answers(api, agent, "agents")
        assert (await api.http.post("/v1/agents/", json={"model": "offline/scripted"})).status_code == 200
        await api.append(block, "end")
        assert doctor(store)["memory"]["good"] is True
    for word in ("child.exited", "child.restarted", "Traceback"):
        assert word not in blockwire.log_file.read_text()


async def a_long_past(api: Api, block: str) -> None:
    for number in range(EDITS):
        text = (f"{number:03} " * TEXT)[:TEXT]
        await api.post(f"/v1/blocks/{block}/edits", {"operation": "set", "text": text})


async def past(api: Api, block: str) -> Found:
    """The newest of a block's past, and how much of it was dropped."""
    found: Found = await api.get(f"/v1/blocks/{block}/versions", limit=1, order="desc")
    return found


async def as_it_is(api: Api, block: str) -> tuple[int, str, int]:
    """Version, value, and the newest version in the history."""
    found = await api.get(f"/v1/blocks/{block}")
    return found["version"], found["value"], (await past(api, block))["newest"]


async def send(api: Api, agent: str, headers: dict[str, str] | None = None) -> httpx.Response:
    body = {"messages": [{"role": "user", "content": json.dumps({"script": [{"text": "Yes."}]})}]}
    return await api.http.post(f"/v1/agents/{agent}/messages/async", json=body, headers=headers)


async def answers(api: Api, agent: str, label: str) -> bool:
    """Whether the agent does what it is told, up to the end."""
    run = await api.send(agent, turn("memory_insert", label=label, new_string="seen"))
    return bool((await api.ended(run))["status"] == "completed")


def doctor(store: Server) -> dict[str, Found]:
    """What `blockwire doctor` finds, by what it is about."""
    command = [sys.executable, "-m", "service.cli", "doctor", "--json"]
    environ = bare_environ() | {"REDIS_URL": store.url}
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=60)
    return {finding["what"]: finding for finding in json.loads(done.stdout)["findings"]}
