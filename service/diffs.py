"""Diffs: two texts, line by line, as people and models read them. Pure.

What two texts share at their ends is set aside first, and where more than
MOST_LINES differ in between they are shown as one replacement: finding the
smallest difference of long texts would take minutes.
"""

import difflib
from collections.abc import Sequence

MOST_LINES = 5_000
"""Lines on either side that are compared one by one."""
CONTEXT_LINES = 3
_NO_NEWLINE = "\\ No newline at end of file"


def unified_diff(old: str, new: str, old_name: str, new_name: str) -> str:
    """A unified diff; empty for equal texts."""
    if old == new:
        return ""
    before, after = _lines(old), _lines(new)
    head = _shared(before, after)
    tail = _shared(before[head:][::-1], after[head:][::-1])
    start = max(0, head - CONTEXT_LINES)
    kept = max(0, tail - CONTEXT_LINES)
    left, right = before[start : len(before) - kept], after[start : len(after) - kept]
    if max(len(left), len(right)) > MOST_LINES:
        hunks = _one_hunk(left, right, head - start, tail - kept)
    else:
        hunks = list(difflib.unified_diff(left, right, n=CONTEXT_LINES, lineterm=""))[2:]
    told = [_moved(line, start) if line.startswith("@@") else line for line in hunks]
    return "\n".join([f"--- {old_name}", f"+++ {new_name}", *told]) + "\n"


def _lines(text: str) -> list[str]:
    """The lines of a text; a last one without a newline says so, as in the files people know."""
    lines = text.split("\n")
    if lines[-1] == "":
        return lines[:-1]
    return [*lines[:-1], f"{lines[-1]}\n{_NO_NEWLINE}"]


def _shared(a: Sequence[str], b: Sequence[str]) -> int:
    for place, (one, other) in enumerate(zip(a, b, strict=False)):
        if one != other:
            return place
    return min(len(a), len(b))


def _one_hunk(left: Sequence[str], right: Sequence[str], head: int, tail: int) -> list[str]:
    def side(lines: Sequence[str], sign: str) -> list[str]:
        return [sign + line for line in lines[head : len(lines) - tail]]

    opening = f"@@ -{1 if left else 0},{len(left)} +{1 if right else 0},{len(right)} @@"
    first = [f" {line}" for line in left[:head]]
    last = [f" {line}" for line in left[len(left) - tail :]]
    return [opening, *first, *side(left, "-"), *side(right, "+"), *last]


def _moved(opening: str, by: int) -> str:
    """A hunk's opening line, with the lines counted from the start of the whole text."""
    parts = []
    for part in opening.split()[1:3]:
        at, comma, length = part[1:].partition(",")
        line = int(at)
        parts.append(f"{part[0]}{line + by}{comma}{length}")
    return f"@@ {' '.join(parts)} @@"
