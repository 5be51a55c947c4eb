"""Fault: something that goes wrong while a load is under way, by name, and what is to hold all the same.

    @fault("store killed", "nothing is lost", within_s=5)
    async def _(scene, load):
        \"\"\"What is injected.\"\"\"

For each fault are counted: acknowledged writes, those that were kept, done twice or lost, and the time
from the injection until every run begun before has ended and an edit begun after it was answered. Beside
that the answers must be possible in one order (linear.py), the history must end with the block's value,
and the feed and the supervisor must have been told of each version exactly once.

Elsewhere: the faults (workers.py, web.py, store.py, queue.py, clients.py); all of them (table.py).
"""

import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tests.faults.load import Load, loaded
from tests.faults.scene import Scene
from tests.faults.tally import Tally

Inject = Callable[[Scene, Load], Awaitable[None]]


@dataclass(frozen=True)
class Fault:
    """`expected` is what holds beside that; `within_s` how long recovery may take on a quiet machine."""

    name: str
    injected: str
    expected: str
    within_s: float
    inject: Inject


class Faults(list[Fault]):
    """The faults of one module; called, it registers another."""

    def __call__(self, name: str, expected: str, *, within_s: float = 6) -> Callable[[Inject], Inject]:
        def register(inject: Inject) -> Inject:
            self.append(Fault(name, " ".join((inject.__doc__ or "").split()), expected, within_s, inject))
            return inject

        return register


async def suffer(
    fault: Fault, scene: Scene, rng: random.Random, *, agents: int = 2, turns: int = 2, slow: float = 1
) -> Tally:
    """The numbers of one fault; it may take `slow` times its time. What fails is in Tally.broken."""
    async with loaded(scene, rng, agents=agents, turns=turns) as load:
        began = time.monotonic()
        try:
            await fault.inject(scene, load)
            await load.recovered()
            took_s = time.monotonic() - began
            assert not scene.missing(), f"{scene.missing()} did not come back"
            tally = await load.tally()
        except AssertionError as failure:
            return Tally(broken=[str(failure)])
    tally.recovered_s = took_s
    if took_s > slow * fault.within_s:
        tally.broken.append(f"recovered after {took_s:.1f} s, not within {slow * fault.within_s:.0f} s")
    return tally
