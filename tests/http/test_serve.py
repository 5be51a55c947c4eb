"""The web process: serves until told to stop, and says in one line why it cannot start."""

import asyncio
import json
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from service.entry import FAILED, WONT_WORK, python_module
from service.processes import open_listener
from service.settings import Settings, environment_for

STAND_IN = """
import sys
from contextlib import asynccontextmanager
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from service.errors import StoreUnreachable
from service.http import serve

def create_app(settings, ending):
    @asynccontextmanager
    async def lifespan(app):
        if sys.argv[1] == "refuses":
            raise StoreUnreachable("the store at " + settings.redis_url + " does not answer")
        if sys.argv[1] == "breaks":
            raise LookupError("a mistake of ours")
        yield
        if sys.argv[1] == "breaks late":
            raise LookupError("a mistake of ours")

    async def store(request):
        return PlainTextResponse(settings.redis_url)

    return Starlette(routes=[Route("/store", store)], lifespan=lifespan)

serve.create_app = create_app
serve.main()
"""


@asynccontextmanager
async def web(data_dir: Path, app: str = "works", **settings: object) -> AsyncIterator[Process]:
    told = Settings.model_validate({"data_dir": data_dir, "port": 0, "json_logs": True} | settings)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", STAND_IN, app, env=environment_for(told), stdout=PIPE, stderr=PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def event(process: Process, name: str) -> dict[str, object]:
    """The next event of that name."""
    assert process.stderr is not None
    while line := await asyncio.wait_for(process.stderr.readline(), 30):
        said: dict[str, object] = json.loads(line)
        if said["event"] == name:
            return said
    raise AssertionError(f"it ended without {name}")


async def get(port: object, path: str) -> str:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(str(port)))
    writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    answer = await asyncio.wait_for(reader.read(), 30)
    writer.close()
    return answer.decode()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_serves_until_told_to_stop_and_then_closes_the_store(tmp_path: Path, number: int) -> None:
    async with web(tmp_path) as process:
        started = await event(process, "web.started")
        answer = await get(started["port"], "/store")
        assert answer.startswith("HTTP/1.1 200")
        assert answer.endswith(f"unix://{tmp_path}/store.sock")
        process.send_signal(number)
        output, errors = await asyncio.wait_for(process.communicate(), 30)
        assert process.returncode == 0
    assert output == b""
    assert [json.loads(line)["event"] for line in errors.splitlines()] == ["web.stopped", "store.stopped"]


async def test_it_uses_the_store_it_was_told(tmp_path: Path, redis_server: str) -> None:
    async with web(tmp_path / "data", redis_url=redis_server) as process:
        started = await event(process, "web.started")
        assert (await get(started["port"], "/store")).endswith(redis_server)
    assert not (tmp_path / "data").exists()


async def test_a_refusal_at_the_start_is_one_line_and_nothing_was_started(
    tmp_path: Path, redis_server: str
) -> None:
    async with web(tmp_path, "refuses", redis_url=redis_server) as process:
        _, errors = await asyncio.wait_for(process.communicate(), 30)
        assert process.returncode == FAILED
    lines = errors.decode().splitlines()
    assert lines.pop() == f"blockwire: the store at {redis_server} does not answer"
    assert [json.loads(line)["event"] for line in lines] == ["store.risky", "store.opened"]


async def test_a_host_that_others_reach_is_refused_in_one_line(tmp_path: Path) -> None:
    async with web(tmp_path / "data", host="0.0.0.0") as process:
        _, errors = await asyncio.wait_for(process.communicate(), 30)
        assert process.returncode == WONT_WORK
    [line] = errors.decode().splitlines()
    assert line.startswith("blockwire: host: '0.0.0.0' can be reached from other machines")
    assert not (tmp_path / "data").exists()


async def test_an_insecure_web_says_that_it_is_exposed(tmp_path: Path) -> None:
    async with web(tmp_path, host="0.0.0.0", insecure=True) as process:
        exposed = await event(process, "web.exposed")
        assert exposed["host"] == "0.0.0.0"
        assert "as long as there are no tokens" in str(exposed["risk"])
        assert (await get(exposed["port"], "/store")).startswith("HTTP/1.1 200")
        process.terminate()
        await asyncio.wait_for(process.communicate(), 30)
        assert process.returncode == 0


@pytest.mark.parametrize("app", ["breaks", "breaks late"])
async def test_a_mistake_of_ours_shows_its_traceback(tmp_path: Path, app: str) -> None:
    async with web(tmp_path, app) as process:
        if app == "breaks late":
            await get((await event(process, "web.started"))["port"], "/store")
            process.terminate()
        _, errors = await asyncio.wait_for(process.communicate(), 30)
    assert "LookupError: a mistake of ours" in errors.decode()


async def test_a_taken_port_is_one_line(tmp_path: Path) -> None:
    with open_listener("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        process = await asyncio.create_subprocess_exec(
            *python_module("service.http.serve"),
            env=environment_for(Settings(data_dir=tmp_path / "data", port=port)),
            stdout=PIPE,
            stderr=PIPE,
        )
        _, errors = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == WONT_WORK
    [line] = errors.decode().splitlines()
    assert line.startswith(f"blockwire: port: {port} on 127.0.0.1 cannot be used")


async def test_streams_that_are_open_when_it_stops_are_ended_in_order(tmp_path: Path) -> None:
    told = Settings.model_validate({"data_dir": tmp_path, "port": 0, "json_logs": True})
    process = await asyncio.create_subprocess_exec(
        *python_module("service.http.serve"), env=environment_for(told), stdout=PIPE, stderr=PIPE
    )
    try:
        url = f"http://127.0.0.1:{(await event(process, 'web.started'))['port']}/v1"
        async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
            agent = (await client.post(f"{url}/agents/", json={"model": "offline/scripted"})).json()
            path = f"{url}/agents/{agent['id']}/messages/stream"
            async with (
                client.stream("POST", path, json={"input": "Hello."}) as stream,
                client.stream("GET", f"{url}/changes") as feed,
            ):
                lines, changes = stream.aiter_lines(), feed.aiter_lines()
                assert '"ping"' in await anext(lines)
                assert "still here" in await anext(changes)
                process.terminate()
                rest = [line async for line in lines if line]
                assert [line async for line in changes][-1:] in ([""], [])
        assert "stop_reason" in rest[0]
        assert rest[1] == "event: error"
        assert "stream_incomplete" in rest[2]
        assert rest[3:] == ["data: [DONE]"]
        _, errors = await asyncio.wait_for(process.communicate(), 30)
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()
    assert process.returncode == 0
    said = [json.loads(line) for line in errors.splitlines()]
    assert [one["event"] for one in said if one["level"] in ("error", "critical")] == []
