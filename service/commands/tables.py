"""Tables: rows as a terminal of any width shows them: ids whole, to be copied; the rest gives way.

First what may be shortened is, down to what is still of use; then columns are left out.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.cells import cell_len
from rich.table import Table
from rich.text import Text as Words

Row = dict[str, Any]
BETWEEN = 3
"""What stands between two columns."""


@dataclass(frozen=True)
class Column:
    """One column: how it is headed, and what of a row stands in it.

    `least` is what it may be shortened to; without it is shown whole. Where not even that fits, the columns
    with the greatest `spare` are left out first. `grows`: it takes what is left of the line.
    """

    name: str
    cell: Callable[[Row], str | Words]
    right: bool = False
    least: int | None = None
    spare: int = 0
    grows: bool = False


def table_of(columns: Sequence[Column], rows: Sequence[Row], width: int) -> Table:
    cells = {column.name: [column.cell(row) for row in rows] for column in columns}
    whole = {name: max(cell_len(str(cell)) for cell in [name, *found]) for name, found in cells.items()}
    shown = _fitting(columns, whole, width)
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False, padding=(0, 1))
    for column, own in zip(shown, _widths(shown, whole, width), strict=True):
        table.add_column(
            column.name,
            justify="right" if column.right else "left",
            no_wrap=True,
            overflow="ellipsis",
            width=own,
            style="dim" if column.name == "id" else "",
        )
    for n in range(len(rows)):
        table.add_row(*(cells[column.name][n] for column in shown))
    return table


def _fitting(columns: Sequence[Column], whole: dict[str, int], width: int) -> list[Column]:
    shown = list(columns)
    while sum(_least(one, whole) + BETWEEN for one in shown) > width + 1:
        spared = max(shown, key=lambda one: one.spare)
        if spared.spare == 0:
            break
        shown.remove(spared)
    return shown


def _widths(shown: Sequence[Column], whole: dict[str, int], width: int) -> list[int]:
    """The least of each, and what is left to those that are cut; last of all to one that grows."""
    widths = [_least(one, whole) for one in shown]
    left = max(0, width + 1 - sum(one + BETWEEN for one in widths))
    for n, one in sorted(enumerate(shown), key=lambda pair: pair[1].grows):
        more = min(left, whole[one.name] - widths[n])
        widths[n] += more
        left -= more
    return widths


def _least(column: Column, whole: dict[str, int]) -> int:
    natural = whole[column.name]
    return natural if column.least is None else min(natural, max(column.least, cell_len(column.name)))
