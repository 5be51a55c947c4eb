"""Pace: how much is measured, so that the same rows serve a table, a million blocks and a test."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Pace:
    """How often, how long, and how large."""

    rounds: int = 3
    seconds: float = 0.5
    """One measurement of a rate."""
    samples: int = 60
    """Of a time, in one round."""
    jobs: int = 1000
    """Put into a queue and worked off, in one round."""
    in_flight: int = 60
    clients: tuple[int, ...] = (1, 8, 64)
    crews: tuple[tuple[int, int], ...] = ((1, 10), (1, 100), (2, 10), (2, 100))
    """Worker processes, and slots of each."""
    agents: tuple[int, ...] = (1, 10, 100, 1000)
    """Attached to one block."""
    blocks: tuple[int, ...] = (1_000, 100_000)
    history: tuple[int, ...] = (10, 1_000)
    subscriptions: tuple[int, ...] = (10, 10_000)
    kept: int = 1_000
    """Blocks, agents, messages and runs whose bytes are measured."""
    load: int = 500
    """Edits per second beside which feeds are measured once more."""
    neighbours: bool = True
    """Whether other queues are installed, if they are not yet."""


USUAL = Pace()
FULL = Pace(blocks=(1_000, 100_000, 1_000_000))
SMOKE = Pace(
    rounds=1,
    seconds=0.05,
    samples=3,
    jobs=20,
    in_flight=4,
    clients=(2,),
    crews=((2, 5),),
    agents=(1, 3),
    blocks=(20, 60),
    history=(2, 8),
    subscriptions=(2, 20),
    kept=10,
    load=100,
    neighbours=False,
)
"""Each row once, as little as it can: that it still runs, not what it shows."""
