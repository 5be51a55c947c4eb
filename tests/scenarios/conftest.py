"""Fixtures of the scenarios: one whole Blockwire that they share, and teams whose members may be killed."""

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.running import Running, running_blockwire
from tests.scenarios.api import Api
from tests.scenarios.team import Team


@pytest.fixture(scope="session")
def blockwire() -> Iterator[Running]:
    """`blockwire up` with two workers and no provider's key."""
    with running_blockwire(workers=2) as running:
        yield running


@pytest.fixture
async def api(blockwire: Running) -> AsyncIterator[Api]:
    client = Api(blockwire.url)
    yield client
    await client.http.aclose()


@pytest.fixture
def team() -> Iterator[Team]:
    """Nothing runs yet; whatever the test starts is ended with it."""
    folder = Path(tempfile.mkdtemp(prefix="bw-"))
    members = Team(folder)
    try:
        yield members
    finally:
        members.end()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
async def team_api(team: Team) -> AsyncIterator[Api]:
    """A client of the team's web process, once that is started."""
    client = Api(team.url)
    yield client
    await client.http.aclose()
