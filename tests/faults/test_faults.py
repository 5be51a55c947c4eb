"""Each fault of table.py once, with a small load; `make chaos` brings them in any order, with larger ones."""

import random

import pytest

from tests.faults.fault import Fault, suffer
from tests.faults.scene import Scene
from tests.faults.table import FAULTS

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

SEED = 1


def test_the_faults_are_named_and_told() -> None:
    names = [fault.name for fault in FAULTS]
    assert len(set(names)) == len(names) >= 25
    assert all(fault.injected and fault.expected for fault in FAULTS)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
async def test_nothing_acknowledged_is_lost_or_done_twice(fault: Fault, scene: Scene) -> None:
    tally = await suffer(fault, scene, random.Random(SEED))
    assert tally.holds, f"{fault.name}: {tally}"
    assert tally.acknowledged > 10
