"""Fixtures of the workers' tests: a bench with a loop on it."""

import pytest

from service.bootstrap import Service
from tests.workers.bench import Bench


@pytest.fixture
def bench(service: Service) -> Bench:
    return Bench(service)
