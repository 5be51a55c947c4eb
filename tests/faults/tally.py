"""Tally: what became of the writes of one load, counted in the block's own history.

Every write carries a mark of its own, `<who.number>`; an edit makes a mark when it stands in
the block after it and did not before. A mark is kept if some version made it, doubled if two did,
lost if its write was acknowledged and none did.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from service.records.base import DEFAULT_WORKSPACE
from service.store.keys import key
from tests.faults.linear import Splice

MARK = re.compile(rb"<[^<>]+>")
_LONGEST = 64


@dataclass
class Tally:
    """The numbers of one fault, and what did not hold, in words."""

    acknowledged: int = 0
    kept: int = 0
    doubled: int = 0
    recovered_s: float = 0.0
    broken: list[str] = field(default_factory=list)

    @property
    def lost(self) -> int:
        return self.acknowledged - self.kept

    @property
    def holds(self) -> bool:
        return not (self.broken or self.lost or self.doubled)

    def count(self, acknowledged: Iterable[str], made: Mapping[str, int]) -> None:
        marks = set(acknowledged)
        self.acknowledged += len(marks)
        self.kept += len([mark for mark in marks if made.get(mark, 0) > 0])
        self.doubled += sum(times - 1 for times in made.values() if times > 1)


@dataclass(frozen=True)
class Kept:
    """A block's whole history, and the block itself, as the store has them."""

    first: str
    splices: dict[int, Splice]
    value: str
    version: int

    def replayed(self) -> tuple[str, Counter[str]]:
        """The value at the end of the history, and how often each mark was made. Raises AssertionError."""
        value, made = self.first.encode(), Counter[str](_marks(self.first.encode()))
        assert set(self.splices) == set(range(2, self.version + 1)), "the history has not each version once"
        for version in range(2, self.version + 1):
            splice = self.splices[version]
            low, end = max(0, splice.position - _LONGEST), splice.position + len(splice.removed)
            before = value[low : end + _LONGEST]
            after_splice = splice.applied(value)
            assert after_splice is not None, f"version {version} of the history does not fit"
            value = after_splice
            after = value[low : splice.position + len(splice.added) + _LONGEST]
            made += Counter(_marks(after)) - Counter(_marks(before))
        return value.decode(), made


def kept_of(store: Any, block_id: str) -> Kept:
    """What the store has of a block, read beside everything else."""
    entries = store.xrange(key(DEFAULT_WORKSPACE, "block_history", block_id))
    value, version = store.hmget(key(DEFAULT_WORKSPACE, "block", block_id), "value", "version")
    assert entries, "the history is empty"
    (_, oldest), *rest = entries
    assert "value" in oldest, "the history does not begin with the block's first value"
    splices = {
        int(id.partition("-")[0]): Splice(
            int(fields["position"]), fields["removed"].encode(), fields["added"].encode()
        )
        for id, fields in rest
    }
    return Kept(oldest["value"], splices, str(value), int(str(version)))


def _marks(text: bytes) -> list[str]:
    return [mark.decode() for mark in MARK.findall(text)]
