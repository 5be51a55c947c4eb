"""Figures: what was measured, beside its floor; as a table, as JSON and as a picture."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from html import escape
from statistics import median

from rich import box
from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Figure:
    """One thing, measured as often as its floor. `rate`: more is better; else it is a time, in seconds."""

    group: str
    name: str
    ours: Sequence[float]
    floor: Sequence[float]
    floor_is: str
    rate: bool
    target: float | None = None
    """The ratio that is asked for: at least, of a rate; at most, of a time."""

    @property
    def ratio(self) -> float:
        """Ours to the floor, round by round, in the middle."""
        return median(ours / floor for ours, floor in zip(self.ours, self.floor, strict=True))

    @property
    def good(self) -> bool | None:
        if self.target is None:
            return None
        return self.ratio >= self.target if self.rate else self.ratio <= self.target


def show(console: Console, figures: Sequence[Figure]) -> None:
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    table.add_column("")
    table.add_column("what", no_wrap=True)
    for name in ("Blockwire", "floor", "ratio", "asked for"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("the floor is", style="dim")
    for place, figure in enumerate(figures):
        if place and figure.group != figures[place - 1].group:
            table.add_section()
        mark = {True: "[green]✓[/]", False: "[bold red]✗[/]", None: " "}[figure.good]
        table.add_row(
            mark,
            f"[dim]{figure.group}[/] {figure.name}",
            said(median(figure.ours), figure.rate),
            said(median(figure.floor), figure.rate),
            f"[bold]{figure.ratio:.2f}[/]",
            asked(figure),
            figure.floor_is,
        )
    console.print(table)


def said(value: float, rate: bool) -> str:
    if rate:
        return f"{value:,.0f}/s"
    return f"{value * 1000:.2f} ms" if value < 1 else f"{value:.2f} s"


def asked(figure: Figure) -> str:
    if figure.target is None:
        return ""
    return f"{'≥' if figure.rate else '≤'} {figure.target:g}"


def as_json(figures: Sequence[Figure]) -> str:
    rows = [asdict(one) | {"ratio": round(one.ratio, 3), "good": one.good} for one in figures]
    return json.dumps(rows, indent=1)


ROW, LEFT, WIDE, RIGHT = 24, 330, 420, 170


def as_svg(figures: Sequence[Figure]) -> str:
    """A bar per figure: the share of what the floor allows, the whole width being all of it."""
    height = ROW * (len(figures) + 2)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDE + RIGHT}" height="{height}" '
        'font-family="system-ui, sans-serif" font-size="13">',
        '<rect width="100%" height="100%" fill="#fff"/>',
        f'<text x="{LEFT}" y="17" fill="#555">share of what this machine allows (same run)</text>',
    ]
    for place, figure in enumerate(figures):
        y = ROW * (place + 1) + 8
        share = min(1.0, figure.ratio if figure.rate else 1 / figure.ratio)
        colour = {True: "#2f9e67", False: "#d1495b", None: "#5b7db1"}[figure.good]
        parts += [
            f'<text x="{LEFT - 10}" y="{y + 12}" text-anchor="end">{escape(figure.name)}</text>',
            f'<rect x="{LEFT}" y="{y}" width="{WIDE}" height="16" fill="#eef1f5" rx="3"/>',
            f'<rect x="{LEFT}" y="{y}" width="{WIDE * share:.1f}" height="16" fill="{colour}" rx="3"/>',
            f'<text x="{LEFT + WIDE + 8}" y="{y + 12}">{share:.0%}  '
            f'<tspan fill="#777">{escape(said(median(figure.ours), figure.rate))}</tspan></text>',
        ]
        if figure.target is not None:
            at = LEFT + WIDE * (figure.target if figure.rate else 1 / figure.target)
            parts.append(f'<path d="M{at:.1f} {y - 2}v20" stroke="#222" stroke-width="1.5"/>')
    return "\n".join([*parts, "</svg>"]) + "\n"
