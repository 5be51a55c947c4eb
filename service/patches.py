"""Patches: simplified unified diffs, for edits that are no single operation of the store's script.

A model may write several changes to a block as one diff. It is applied here, to a
value that was read; the result goes to the store as a `set` that names the version
it was made from, so a block that moved meanwhile refuses it instead of losing text.

A hunk holds no line numbers that count: its context and removed lines together must
occur at exactly one place. Hunks are applied in order, each to what the one before
left. Lines end with a newline and nothing else: other separators belong to the text.

Elsewhere: who the blocks of several operations belong to, and writing them (workers/tools).
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from service.errors import BlockwireError
from service.records.base import Record

MOST_WORK = 500_000_000
"""Hunks times characters; a patch past it is refused before it holds up everybody else."""

_MOST_PLACES = 20
_QUOTED = 80
_FILE_HEADER = re.compile(r"(---|\+\+\+)(\s|$)")
_HEADER = re.compile(r"^\*\*\* (Add Block|Update Block|Delete Block|Move to):(.*)$", re.MULTILINE)
_ASIDES = ("*** Begin Patch", "*** End Patch", "*** End of File", "\\ No newline")
_KINDS: dict[str, Literal["add", "update", "delete"]] = {
    "Add Block": "add",
    "Update Block": "update",
    "Delete Block": "delete",
}


class PatchFailed(BlockwireError):
    """The patch cannot be read, or does not fit the value; the text says which and where."""

    def __init__(self, problem: str) -> None:
        super().__init__(f"patch: {problem}")


class PatchOperation(Record):
    """What a patch over several blocks does to one of them.

    `text` is the value of an added block, or the diff of an updated one; empty for
    one that is only given a new label. An added block's `description` may be None.
    """

    kind: Literal["add", "update", "delete"]
    label: str
    text: str = ""
    description: str | None = None
    new_label: str | None = None


class _Row(NamedTuple):
    """A line of a hunk. `sign` is ` `, `-` or `+`, and empty for a line that was blank."""

    sign: str
    text: str


@dataclass
class _Section:
    """A header of a patch over several blocks, and the lines below it."""

    kind: Literal["add", "update", "delete"]
    label: str
    new_label: str | None = None
    lines: list[str] = field(default_factory=list)


def is_multi(patch: str) -> bool:
    """Whether the patch names its blocks by headers, instead of being a diff of one."""
    return _HEADER.search(patch) is not None


def apply_patch(value: str, patch: str) -> str:
    """The value after a diff of one block. The value's own line ends are kept."""
    crlf = value.count("\r\n")
    if not crlf:
        return _patched(value, _lines(patch))
    if crlf == value.count("\n"):
        return _patched(value.replace("\r\n", "\n"), _lines(patch)).replace("\n", "\r\n")
    return _patched(value, patch.removesuffix("\n").split("\n"))  # mixed: only an exact match is safe


def parse_operations(patch: str) -> list[PatchOperation]:
    """The operations of a patch over several blocks, all of them readable, in its order."""
    operations = [_operation(section) for section in _sections(patch)]
    if not operations:
        raise PatchFailed(
            "no operations; start each with a line '*** Add Block: <label>', "
            "'*** Update Block: <label>' or '*** Delete Block: <label>'"
        )
    return operations


def _lines(patch: str) -> list[str]:
    return [line.removesuffix("\r") for line in patch.removesuffix("\n").split("\n")]


def _patched(value: str, lines: Sequence[str]) -> str:
    hunks = _hunks(lines)
    length = len(value) + sum(map(len, lines))
    if len(hunks) * length > MOST_WORK:
        raise PatchFailed(
            f"too many hunks ({len(hunks)}) for a value this long; send them in several patches"
        )
    ended = value.endswith("\n")
    # A newline before and after each line makes finding whole lines a plain text search.
    text = "\n" + (value if ended or not value else value + "\n")
    for number, rows in enumerate(hunks, 1):
        text = _apply(text, rows, number)
    return text[1:] if ended else text[1:].removesuffix("\n")


def _hunks(lines: Sequence[str]) -> list[list[_Row]]:
    hunks: list[list[_Row]] = [[]]
    begun = False  # past the place where a diff names its files
    for number, line in enumerate(lines, 1):
        if line.startswith("@@"):
            hunks.append([])
            begun = True
        elif not line.startswith(_ASIDES) and (begun or not _FILE_HEADER.match(line)):
            hunks[-1].append(_row(line, number))
            begun = begun or bool(line.strip())
    kept = [rows for rows in hunks if any(row.sign for row in rows)]
    if not kept:
        raise PatchFailed("no hunks; write context lines with ' ', removed ones with '-', new ones with '+'")
    return kept


def _row(line: str, number: int) -> _Row:
    if line.startswith((" ", "-", "+")):
        return _Row(line[0], line[1:])
    if not line.strip():
        return _Row("", "")
    raise PatchFailed(
        f"line {number} starts with none of ' ', '-', '+', '@@': {_quote(line)}; "
        "put a space before a line that stays as it is"
    )


def _apply(text: str, rows: list[_Row], number: int) -> str:
    for attempt in _attempts(rows):
        before = "".join(row.text + "\n" for row in attempt if row.sign != "+")
        after = "".join(row.text + "\n" for row in attempt if row.sign != "-")
        if not before:
            return text + after
        needle = "\n" + before
        places = list(_places(text, needle))
        if len(places) > 1:
            raise PatchFailed(
                f"hunk {number} is ambiguous: its context and removed lines occur at lines "
                f"{_line_numbers(text, places)}; give more context around the change"
            )
        if places:
            return text[: places[0] + 1] + after + text[places[0] + len(needle) :]
    first = next(row.text for row in rows if row.sign != "+")
    raise PatchFailed(
        f"hunk {number}: context not found; its context and removed lines, from {_quote(first)} on, "
        "do not occur together in the block; copy them exactly as they stand"
    )


def _attempts(rows: list[_Row]) -> Iterator[list[_Row]]:
    """The hunk as written, then without blank lines at its end: models put those between hunks."""
    yield rows
    end = len(rows)
    while not rows[end - 1].sign:
        end -= 1
    if end < len(rows):
        yield rows[:end]


def _places(text: str, needle: str) -> Iterator[int]:
    place = text.find(needle)
    for _ in range(_MOST_PLACES):
        if place < 0:
            return
        yield place
        place = text.find(needle, place + 1)


def _line_numbers(text: str, places: Iterable[int]) -> str:
    return ", ".join(str(text.count("\n", 0, place + 1)) for place in places)


def _quote(line: str) -> str:
    return repr(line if len(line) <= _QUOTED else line[:_QUOTED] + "…")


def _sections(patch: str) -> list[_Section]:
    sections: list[_Section] = []
    for line in patch.split("\n"):
        header = _HEADER.match(line.removesuffix("\r"))
        if header and header[1] == "Move to":
            _move(sections, _label(header))
        elif header:
            sections.append(_Section(_KINDS[header[1]], _label(header)))
        elif line.startswith(_ASIDES):
            continue
        elif line.startswith("***"):
            raise PatchFailed(f"unknown header {_quote(line)}")
        elif sections:
            sections[-1].lines.append(line)
        elif line.strip():
            raise PatchFailed(
                f"no header before {_quote(line)}; start with one such as '*** Update Block: <label>'"
            )
    return sections


def _label(header: re.Match[str]) -> str:
    label = header[2].strip()
    if not label:
        raise PatchFailed(f"the header '*** {header[1]}:' lacks a label")
    return label


def _move(sections: list[_Section], label: str) -> None:
    if not sections or sections[-1].kind != "update" or sections[-1].new_label is not None:
        raise PatchFailed("'*** Move to:' may stand once below an '*** Update Block:' header, nowhere else")
    sections[-1].new_label = label


def _operation(section: _Section) -> PatchOperation:
    if section.kind == "add":
        return _addition(section)
    written = any(line.strip() for line in section.lines)
    if section.kind == "delete":
        if written:
            raise PatchFailed(
                f"lines below '*** Delete Block: {section.label}'; a block to delete takes none"
            )
        return PatchOperation(kind="delete", label=section.label)
    if not written and section.new_label is not None:
        return PatchOperation(kind="update", label=section.label, new_label=section.new_label)
    text = "\n".join(section.lines)
    try:
        _hunks(_lines(text))
    except PatchFailed as error:
        problem = str(error).removeprefix("patch: ")
        raise PatchFailed(f"below '*** Update Block: {section.label}': {problem}") from None
    return PatchOperation(kind="update", label=section.label, text=text, new_label=section.new_label)


def _addition(section: _Section) -> PatchOperation:
    lines = [line.removesuffix("\r") for line in section.lines]
    description = None
    if lines and lines[0].startswith("Description:"):
        description = lines.pop(0).removeprefix("Description:").strip()
    while lines and not lines[-1].strip():
        lines.pop()
    while lines and not lines[0].strip():
        lines.pop(0)
    for line in lines:
        if line.strip() and not line.startswith("+"):
            raise PatchFailed(
                f"below '*** Add Block: {section.label}' each line starts with '+': {_quote(line)}"
            )
    text = "\n".join(line.removeprefix("+") if line.strip() else "" for line in lines)
    return PatchOperation(kind="add", label=section.label, text=text, description=description)
