"""Fixtures of the workers' tests: a bench with a loop on it, and a workspace that posts to a receiver."""

from collections.abc import AsyncIterator

import pytest

from service.bootstrap import Service
from tests.receiver import Receiver, receiving
from tests.workers.bench import Bench
from tests.workers.posting import Post
from workers.posts import Poster


@pytest.fixture
def bench(service: Service) -> Bench:
    return Bench(service)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as found:
        yield found


@pytest.fixture
async def poster() -> AsyncIterator[Poster]:
    found = Poster()
    yield found
    await found.aclose()


@pytest.fixture
def post(service: Service, poster: Poster, receiver: Receiver) -> Post:
    return Post(service, poster, receiver)
