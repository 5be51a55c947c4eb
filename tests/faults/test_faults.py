"""Each fault of table.py once, with a small load; `make chaos` brings them in any order, with larger ones."""

import random

import pytest

from service.records.base import DEFAULT_WORKSPACE
from service.store.keys import key
from tests.faults.fault import Fault, Inject, suffer
from tests.faults.load import Load
from tests.faults.scene import Scene
from tests.faults.table import FAULTS

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

SEED = 1
SLOW = 5
"""A machine that runs tests may have other things to do: so many times the time to recover is allowed."""


def test_the_faults_are_named_and_told() -> None:
    names = [fault.name for fault in FAULTS]
    assert len(set(names)) == len(names) >= 25
    assert all(fault.injected and fault.expected for fault in FAULTS)


async def _an_old_copy_comes_back(scene: Scene, load: Load) -> None:
    """As from a store that acknowledged what it then forgot."""
    name = key(DEFAULT_WORKSPACE, "block", load.board)
    old = scene.redis.hmget(name, "value", "version")
    await load.write_some()
    scene.redis.hset(name, mapping={"value": old[0], "version": old[1]})
    scene.redis.xtrim(key(DEFAULT_WORKSPACE, "block_history", load.board), maxlen=0)


async def _an_edit_is_made_twice(scene: Scene, load: Load) -> None:
    for _ in range(2):
        await load.api.append(load.board, "<twice>")


async def _history_has_a_hole(scene: Scene, load: Load) -> None:
    name = key(DEFAULT_WORKSPACE, "block_history", load.board)
    await load.write_some()
    scene.redis.xdel(name, "4-0")


async def _the_value_is_changed_beside_everything(scene: Scene, load: Load) -> None:
    await load.write_some()
    scene.redis.hset(key(DEFAULT_WORKSPACE, "block", load.board), "value", "something else")


@pytest.mark.parametrize(
    "inject",
    [
        _an_old_copy_comes_back,
        _an_edit_is_made_twice,
        _history_has_a_hole,
        _the_value_is_changed_beside_everything,
    ],
)
async def test_what_must_not_happen_would_be_noticed(inject: Inject, scene: Scene) -> None:
    """The harness itself: damage done by hand does not pass."""

    async def planted(scene: Scene, load: Load) -> None:
        load.is_whole = False  # listeners that wait for what never comes would only take time
        await inject(scene, load)

    tally = await suffer(Fault("planted", "", "", 60, planted), scene, random.Random(SEED))
    assert not tally.holds


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
async def test_nothing_acknowledged_is_lost_or_done_twice(fault: Fault, scene: Scene) -> None:
    tally = await suffer(fault, scene, random.Random(SEED), slow=SLOW)
    assert tally.holds, f"{fault.name}: {tally}"
    assert tally.acknowledged > 10
