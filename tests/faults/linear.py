"""Linear: whether what callers of one block were told can have happened in one order, one thing at a time.

The order is the versions'. Four things must be so:

- no two acknowledged edits made the same version;
- whoever began after another was answered made, or saw, no older version;
- each answer's value is what the operations give when they are done in that order;
- the history says the same, byte for byte, and alone tells of edits nobody was answered for.

`Done` is what a caller knows of one operation; `Splice` is what the store kept of one edit.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Done:
    """An acknowledged operation: when it was asked and answered, and the answer.

    `version` is the one it made or, if `changed` is false, the one it found. `value` is the value
    of that version where the answer told it; an answer to a repeated edit tells a later one.
    """

    began: float
    ended: float
    operation: str
    version: int
    value: str | None = None
    changed: bool = True
    text: str = ""
    old: str = ""
    line: int = -1


@dataclass(frozen=True)
class Splice:
    """What one edit did: at this byte these bytes went, and those came."""

    position: int
    removed: bytes
    added: bytes

    def applied(self, value: bytes) -> bytes | None:
        """The value after it; None if what it removed was not there."""
        if value[self.position : self.position + len(self.removed)] != self.removed:
            return None
        return value[: self.position] + self.added + value[self.position + len(self.removed) :]


def violations(first: str, done: Sequence[Done], kept: Mapping[int, Splice]) -> list[str]:
    """Why these answers cannot be, given version 1 and the history; empty if they can."""
    return [*_made_twice(done), *_out_of_time(done), *_other_values(first, done, kept)]


def _made_twice(done: Iterable[Done]) -> list[str]:
    made = Counter(one.version for one in done if one.changed)
    return [f"version {v} was made by {times} acknowledged edits" for v, times in made.items() if times > 1]


def _out_of_time(done: Sequence[Done]) -> list[str]:
    """Each operation against the newest version that was told before it began."""
    found: list[str] = []
    answered = sorted(done, key=lambda one: one.ended)
    newest, at = 0, 0
    for one in sorted(done, key=lambda one: one.began):
        while at < len(answered) and answered[at].ended < one.began:
            newest = max(newest, answered[at].version)
            at += 1
        if one.version < newest + (1 if one.changed else 0):
            did = "made" if one.changed else "saw"
            found.append(f"{one.operation} {did} version {one.version} after {newest} had been told")
    return found


def _other_values(first: str, done: Sequence[Done], kept: Mapping[int, Splice]) -> list[str]:
    """Answers and history against a replay, version by version."""
    told: dict[int, list[Done]] = {}
    for one in done:
        told.setdefault(one.version, []).append(one)
    found: list[str] = []
    value = first.encode()
    for version in range(1, max([1, *told, *kept]) + 1):
        if version > 1:
            makers = [one for one in told.get(version, ()) if one.changed]
            after, why = _next(value, version, makers, kept.get(version))
            if after is None:
                return [*found, why]
            value = after
        for one in told.get(version, ()):
            if one.value is not None and one.value.encode() != value:
                found.append(f"{one.operation} was told another value of version {version}")
    return found


def _next(
    value: bytes, version: int, makers: Sequence[Done], splice: Splice | None
) -> tuple[bytes | None, str]:
    """The value at a version, from the one before it, or why there is none."""
    by_history = splice.applied(value) if splice is not None else None
    if splice is not None and by_history is None:
        return None, f"the history's entry of version {version} does not fit the version before it"
    if not makers:
        why = f"version {version} was neither acknowledged nor kept"
        return by_history, why
    by_caller = applied(value.decode(), makers[0])
    if by_caller is None:
        return None, f"{makers[0].operation} of version {version} does not fit the version before it"
    if by_history is not None and by_history != by_caller.encode():
        return None, f"the history tells version {version} otherwise than its {makers[0].operation}"
    return by_caller.encode(), ""


def applied(value: str, one: Done) -> str | None:
    """What the operation makes of a value, by a plain model of the five; None if it does not fit."""
    if one.operation == "append":
        return value + one.text
    if one.operation == "set":
        return one.text
    if one.operation in ("replace", "undo"):
        return value.replace(one.old, one.text) if value.count(one.old) == 1 else None
    lines = value.split("\n")
    if one.line > len(lines):
        return None
    at = len(lines) if one.line == -1 else one.line
    return "\n".join([*lines[:at], one.text, *lines[at:]])
