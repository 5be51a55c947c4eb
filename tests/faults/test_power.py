"""Whatever is acknowledged wakes its supervisor, though everything dies within a millisecond of it."""

import os
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.nursery import nursery
from tests.faults.power import LATEST_S, Powered, endure

pytestmark = pytest.mark.slow

SEED = int(os.environ.get("CHAOS_SEED", "1"))


@pytest.fixture
def powered() -> Iterator[Powered]:
    folder = Path(tempfile.mkdtemp(prefix="bw-"))
    with nursery() as cradle:
        processes = Powered(folder, cradle)
        try:
            yield processes
        finally:
            processes.end()
            shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize("rounds", [20, pytest.param(1000, marks=pytest.mark.chaos)])
def test_who_is_killed_at_the_acknowledgement_wakes_the_supervisor_once_started_again(
    powered: Powered, rounds: int, report: Callable[[str], None]
) -> None:
    found = endure(powered, rounds, random.Random(SEED))
    report(str(found))
    assert (found.missed, found.doubled) == ([], [])
    assert (found.rounds, found.with_store > 0) == (rounds, True)
    assert max(found.kill_us) <= LATEST_S * 1e6
