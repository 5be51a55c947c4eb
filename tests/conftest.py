"""Fixtures that every folder of tests shares: the async backend, a store of each kind, an open service."""

import pytest


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"
