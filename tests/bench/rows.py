"""Rows: what is measured, one function per group; each yields figures with their floor of the same rounds."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable

from redis.asyncio import Redis

from service.records.agents import NewAgent
from service.records.blocks import Author, Block, BlockFields, Edit
from service.records.ids import new_id
from service.records.messages import NewMessage
from service.store.keys import key
from tests.bench.figures import Figure
from tests.bench.load import Connection, rate, request
from tests.bench.machine import Machine

WS = "default"
BENCH = Author(name="bench")
WARM = 0.3
SHARE_S = 1.0
"""How long one measurement of a rate lasts."""

Row = Callable[[Machine, int], AsyncIterator[Figure]]


async def a_block(machine: Machine) -> Block:
    fields = BlockFields(label="bench", value="A line of a block that is not very long.\n" * 20)
    return await machine.service.blocks.create(WS, fields, BENCH)


def edit_arguments(machine: Machine, block: Block, text: str) -> list[str]:
    """What block_edit.lua is given for a `set`, ready made."""
    author = BENCH.model_dump_json(exclude_none=True, exclude_defaults=True)
    head = [block.id, "set", text, str(len(text)), "", "0", "", "-1", "", "{}", "", "", "", author, "bench"]
    settings = machine.settings
    return [*head, "", "", "", str(settings.change_count), settings.history_kept]


async def per_second(act: Callable[[], Awaitable[object]], at_once: int, seconds: float = SHARE_S) -> float:
    done, end = 0, time.perf_counter() + seconds

    async def run() -> None:
        nonlocal done
        while time.perf_counter() < end:
            await act()
            done += 1

    began = time.perf_counter()
    await asyncio.gather(*(run() for _ in range(at_once)))
    return done / (time.perf_counter() - began)


async def median_of(act: Callable[[], Awaitable[float]], times: int) -> float:
    found = sorted([await act() for _ in range(times)])
    return found[len(found) // 2]


async def edits(machine: Machine, rounds: int) -> AsyncIterator[Figure]:
    """`Blocks.edit` in this process, against its script through the same client."""
    block = await a_block(machine)
    texts = ["one value\n" * 30, "another one\n" * 30]
    ready = [edit_arguments(machine, block, text) for text in texts]
    count = 0

    async def bare() -> None:
        nonlocal count
        count += 1
        await machine.service.store.run("block_edit", WS, *ready[count % 2])

    async def ours() -> None:
        nonlocal count
        count += 1
        edit = Edit(operation="set", text=texts[count % 2])
        await machine.service.blocks.edit(WS, block.id, edit, BENCH)

    for at_once in (1, 50):
        await per_second(bare, at_once, WARM)
        await per_second(ours, at_once, WARM)
        mine, floor = [], []
        for _ in range(rounds):
            floor.append(await per_second(bare, at_once))
            mine.append(await per_second(ours, at_once))
        name = f"Blocks.edit, {at_once} at a time"
        yield Figure(
            "process", name, mine, floor, "block_edit.lua, arguments ready made", rate=True, target=0.8
        )


async def http(machine: Machine, rounds: int) -> AsyncIterator[Figure]:
    """A block read and changed over HTTP, against a bare app on the same server."""
    block = await a_block(machine)
    values = [b'{"value": "%s"}' % (letter * 600) for letter in (b"a", b"b")]
    path = f"/v1/blocks/{block.id}"
    async with contextlib.AsyncExitStack() as stack:
        web = await stack.enter_async_context(machine.web())
        one = await Connection.open(web)
        answer = (await one.ask(request("GET", path))).decode()
        told = {
            "block": key(WS, "block", block.id),
            "edit": edit_arguments(machine, block, "c" * 600),
            "body": answer,
        }
        bare = await stack.enter_async_context(machine.serving("tests.bench.bare", json.dumps(told)))
        for token in ("", "token"):
            if token:
                _, token = await machine.service.tokens.create(WS, "write", name="bench")
            what = " with a token" if token else ""
            kinds: dict[str, Callable[[int], bytes]] = {
                "get": lambda n, token=token: request("GET", path, token=token),  # type: ignore[misc]
                "update": lambda n, token=token: request("PATCH", path, values[n % 2], token),  # type: ignore[misc]
            }
            for kind, make in kinds.items():
                for clients in (1, 8, 64):
                    await rate(web, make, clients, WARM)
                    await rate(bare, make, clients, WARM)
                    mine, floor = [], []
                    for _ in range(rounds):
                        floor.append(await rate(bare, make, clients, SHARE_S))
                        mine.append(await rate(web, make, clients, SHARE_S))
                    name = f"block {kind}{what}, {clients} clients"
                    target = 0.5 if token else 0.6
                    yield Figure("http", name, mine, floor, "a bare ASGI function", rate=True, target=target)


async def feeds(machine: Machine, rounds: int) -> AsyncIterator[Figure]:
    """From just before an edit until an SSE client has it, against script, publication and one write."""
    block = await a_block(machine)
    channel = key(WS, "changed")
    texts = ["x" * 200, "y" * 200]
    count = 0
    async with contextlib.AsyncExitStack() as stack:
        web = await stack.enter_async_context(machine.web())
        reader, writer = await asyncio.open_connection("127.0.0.1", web)
        writer.write(request("GET", "/v1/changes"))
        await reader.readuntil(b"still here")
        redis = await stack.enter_async_context(Redis.from_url(machine.url))
        pubsub = redis.pubsub()
        await pubsub.subscribe(channel)
        while (await pubsub.get_message(timeout=1)) is not None:
            pass

        async def ours() -> float:
            nonlocal count
            count += 1
            began = time.perf_counter()
            edit = Edit(operation="set", text=texts[count % 2])
            _, seen = await asyncio.gather(
                machine.service.blocks.edit(WS, block.id, edit, BENCH), reader.readuntil(b"event: change")
            )
            assert seen
            took = time.perf_counter() - began
            await drained()
            return took

        async def drained() -> None:
            while (await pubsub.get_message(timeout=0)) is not None:
                pass

        async def bare() -> float:
            nonlocal count
            count += 1
            ready = edit_arguments(machine, block, texts[count % 2])
            began = time.perf_counter()
            run = asyncio.create_task(machine.service.store.run("block_edit", WS, *ready))
            while (await pubsub.get_message(timeout=5)) is None:
                pass
            sockets[1].write(b"data: x\n\n")
            await sockets[2].readuntil(b"\n\n")
            took = time.perf_counter() - began
            await run
            await reader.readuntil(b"event: change")
            return took

        sockets = await _a_pipe(stack)
        mine, floor = [], []
        for _ in range(rounds):
            floor.append(await median_of(bare, 100))
            mine.append(await median_of(ours, 100))
        writer.close()
        name = "edit until an SSE client has it"
        yield Figure(
            "feeds", name, mine, floor, "script, publication, one socket write", rate=False, target=2
        )


async def _a_pipe(
    stack: contextlib.AsyncExitStack,
) -> tuple[object, asyncio.StreamWriter, asyncio.StreamReader]:
    """Two ends of one TCP connection of this process."""
    arrived: asyncio.Future[asyncio.StreamWriter] = asyncio.get_running_loop().create_future()
    server = await asyncio.start_server(lambda _, writer: arrived.set_result(writer), "127.0.0.1", 0)
    await stack.enter_async_context(server)
    reader, own = await asyncio.open_connection("127.0.0.1", server.sockets[0].getsockname()[1])
    stack.callback(own.close)
    writer = await arrived
    stack.callback(writer.close)
    return own, writer, reader


async def messages(machine: Machine, rounds: int) -> AsyncIterator[Figure]:
    """A message and its answer by the offline model, against the round trips that it cannot do without."""
    new = NewAgent(
        model="offline/scripted", name="bench", include_base_tools=False, message_buffer_autoclear=True
    )
    agent = await machine.service.agents.create(WS, new, BENCH)
    said = json.dumps({"messages": [{"role": "user", "content": '{"script": [{"text": "ok"}]}'}]}).encode()
    block = await a_block(machine)
    redis: Redis = Redis.from_url(machine.url)
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(redis)
        web = await stack.enter_async_context(machine.web())
        stack.enter_context(machine.worker())
        connection = await Connection.open(web)
        path = f"/v1/agents/{agent.id}/messages"

        async def ours() -> float:
            began = time.perf_counter()
            await connection.ask(request("POST", path, said))
            return time.perf_counter() - began

        pubsub = redis.pubsub()
        await pubsub.subscribe("bench")
        await pubsub.get_message(timeout=1)

        async def bare() -> float:
            began = time.perf_counter()
            for _ in range(4):
                await machine.service.store.run("block_versions", WS, agent.id)
            await redis.publish("bench", "x")
            while (await pubsub.get_message(timeout=5)) is None:
                pass
            return time.perf_counter() - began

        for _ in range(20):
            await ours()
        mine, floor = [], []
        for _ in range(rounds):
            floor.append(await median_of(bare, 100))
            mine.append(await median_of(ours, 100))
        assert block
        name = "message until its answer, blocking"
        yield Figure("messages", name, mine, floor, "4 round trips and a doorbell", rate=False)
        run = await machine.service.messages.send(
            WS, agent.id, [NewMessage(content="x")], run_id=new_id("run")
        )
        await machine.service.runs.wait(WS, run.id)


ROWS: dict[str, Row] = {"edits": edits, "http": http, "feeds": feeds, "messages": messages}
