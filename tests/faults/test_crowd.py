"""Agents by the dozen on shared blocks, workers killed all the while: nothing lost, nothing twice."""

import os
import random

import pytest

from tests.faults.crowd import crowd
from tests.faults.scene import Scene

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

SEED = int(os.environ.get("CHAOS_SEED", "1"))


async def test_sixteen_agents_make_twenty_edits_each(scene: Scene) -> None:
    """The history of each of the nine blocks replays to exactly its value."""
    tally = await crowd(scene, random.Random(SEED), agents=16, edits=20, kill_every_s=1.5, lease_ms=800)
    assert tally.holds, tally
    assert (tally.acknowledged, tally.kept, tally.doubled, tally.lost) == (320, 320, 0, 0)


@pytest.mark.chaos
async def test_sixty_four_agents_make_a_hundred_edits_each(scene: Scene) -> None:
    """With the default lease: dozens of full contexts leave a busy machine no time for a shorter one."""
    rng = random.Random(SEED)
    tally = await crowd(scene, rng, agents=64, edits=100, kill_every_s=4, lease_ms=3000)
    assert tally.holds, tally
    assert (tally.acknowledged, tally.kept, tally.doubled, tally.lost) == (6400, 6400, 0, 0)
