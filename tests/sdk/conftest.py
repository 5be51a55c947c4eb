"""Fixtures for SDK tests: one running Blockwire, and what each SDK's driver told of it."""

from collections.abc import Iterator, Sequence

import httpx
import pytest

from tests.running import Running, running_blockwire
from tests.sdk.calling import CalledSdk, calling
from tests.sdk.drivers import EVERYTHING_ON, Told, run_driver
from tests.sdk.environments import SDKS, EnvironmentNotBuilt, NodeMissing, Sdk, driver_command


@pytest.fixture(scope="session")
def blockwire() -> Iterator[Running]:
    with running_blockwire(environ=EVERYTHING_ON) as running:
        yield running


@pytest.fixture(scope="session", params=SDKS, ids=lambda sdk: sdk.name)
def sdk(request: pytest.FixtureRequest) -> Sdk:
    found = request.param
    assert isinstance(found, Sdk)
    return found


@pytest.fixture(scope="session")
def command(sdk: Sdk) -> list[str]:
    """The command that runs an SDK's driver, in an environment that is built for it."""
    missing = broken = ""
    try:
        return driver_command(sdk)
    except NodeMissing as reason:
        missing = f"THE TYPESCRIPT SDKS ARE NOT TESTED: {reason}"
    except EnvironmentNotBuilt as failure:
        broken = str(failure)
    if broken:
        pytest.fail(broken, pytrace=False)
    pytest.skip(missing)


@pytest.fixture(scope="session")
def http(blockwire: Running) -> Iterator[httpx.Client]:
    """A plain client of that Blockwire."""
    with httpx.Client(base_url=blockwire.url, trust_env=False, timeout=30) as client:
        yield client


@pytest.fixture(scope="session")
def called(sdk: Sdk, command: Sequence[str], blockwire: Running) -> Iterator[CalledSdk]:
    """An SDK that waits for calls to that Blockwire."""
    with calling(sdk, command, blockwire.url) as ready:
        yield ready


@pytest.fixture(scope="session")
def told(sdk: Sdk, command: list[str], blockwire: Running) -> Told:
    return run_driver(sdk, command, blockwire)
