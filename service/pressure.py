"""Pressure: how near the store is to the bound of its memory, and what is given up for that, in order.

Past SHRINK_AT of the bound the workers shorten what is kept of the past (shrinking.py);
past REFUSE_AT new messages and agents are refused, so that edits and the runs under way
have what is left. At the bound itself the store refuses what would grow it, which is a
503 to everybody. Each level ends by itself as memory becomes free.

Every process measures for itself, once a second and only while somebody asks: there is
nothing to agree on. Where the store does not tell (an ACL without INFO and MEMORY STATS),
what it refuses is taken for the sign, for as long as MEANT_S.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from service.errors import StoreFilling, StoreUnreachable
from service.settings import Settings
from service.store.client import StoreClient

SHRINK_AT = 0.80
REFUSE_AT = 0.90
MEASURED_S = 1.0
"""So long a measurement is good for those who send."""
MEANT_S = 5.0


@dataclass(frozen=True)
class Filling:
    """Bytes in use and how many there may be; 0: no bound, or nobody tells."""

    used: int = 0
    bound: int = 0
    is_full: bool = False
    """The store refused a write just now."""

    @property
    def share(self) -> float:
        return self.used / self.bound if self.bound else 0.0

    @property
    def shrinks(self) -> bool:
        return self.is_full or self.share >= SHRINK_AT

    @property
    def refuses(self) -> bool:
        return self.is_full or self.share >= REFUSE_AT


def filling_of(used: int, own_bound: int, max_memory_mb: int) -> Filling:
    """By the smaller of the store's bound and the operator's, of those that there are."""
    bounds = [bound for bound in (own_bound, max_memory_mb * 1_000_000) if bound]
    return Filling(used, min(bounds, default=0))


class Pressure:
    """One process's view of it."""

    def __init__(
        self, store: StoreClient, settings: Settings, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._store = store
        self._max_mb = settings.max_memory_mb
        self._clock = clock
        self._last = Filling()
        self._measured_at: float | None = None

    async def measure(self) -> Filling:
        """As it is now. Raises StoreUnreachable."""
        self._measured_at = self._clock()  # at once, so that of a crowd one asks
        found = await self._store.memory()
        used, own_bound = found or (0, 0)
        told = filling_of(used, own_bound, self._max_mb)
        self._last = Filling(told.used, told.bound, self._was_full())
        return self._last

    async def refusal(self) -> StoreFilling | None:
        """What to answer to whoever wants to store something new; None while there is room.

        As it was a second ago at the most. A store that is away says so to the write itself.
        """
        last = self._last
        if self._measured_at is None or self._clock() - self._measured_at > MEASURED_S:
            try:
                last = await self.measure()
            except StoreUnreachable:
                return None
        if last.refuses or self._was_full():
            return StoreFilling(last.used, last.bound)
        return None

    def _was_full(self) -> bool:
        at = self._store.full_at
        return at is not None and self._clock() - at < MEANT_S
