"""Figures: what was measured, beside its floor; as a table and as JSON. The picture: picture.py."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any, Literal

from rich import box
from rich.console import Console
from rich.table import Table

Unit = Literal["/s", "s", "MB", "bytes", "packages", "round trips"]


@dataclass(frozen=True)
class Figure:
    """One thing, measured as often as what it is held against. Of "/s" more is better, of all else less."""

    group: str
    name: str
    ours: Sequence[float]
    floor: Sequence[float]
    """Round by round; one value for a bound that is the same in each."""
    floor_is: str
    unit: Unit
    target: float | None = None
    """The ratio that is asked for: at least, of a rate; at most, of all else."""
    beside: Mapping[str, float] = field(default_factory=dict)
    """What else was seen: round trips, CPU."""

    @property
    def more_is_better(self) -> bool:
        return self.unit == "/s"

    @property
    def ratio(self) -> float:
        """Ours to the floor, round by round, in the middle."""
        floor = self.floor if len(self.floor) == len(self.ours) else [self.floor[0]] * len(self.ours)
        return median(ours / floor for ours, floor in zip(self.ours, floor, strict=True))

    @property
    def cost(self) -> float:
        """How many times what the floor costs: 1 is as good as the floor, less is better."""
        return 1 / self.ratio if self.more_is_better else self.ratio

    @property
    def reached(self) -> bool | None:
        if self.target is None:
            return None
        return self.ratio >= self.target if self.more_is_better else self.ratio <= self.target

    def asked(self) -> str:
        if self.target is None:
            return ""
        return f"{'≥' if self.more_is_better else '≤'} {self.target:g}"

    def seen_beside(self) -> str:
        return ", ".join(
            f"{name} {value:,.{0 if value >= 100 else 1}f}" for name, value in self.beside.items()
        )


@dataclass(frozen=True)
class Missing:
    """A row that could not be measured here, and why."""

    group: str
    name: str
    reason: str


Outcome = Figure | Missing


def bound(
    group: str,
    name: str,
    ours: Sequence[float],
    most: float,
    unit: Unit,
    beside: Mapping[str, float] | None = None,
) -> Figure:
    """A figure that is held against a number which was asked for, and not against another figure."""
    return Figure(group, name, ours, [most], "what is asked for", unit, target=1, beside=beside or {})


def said(value: float, unit: Unit) -> str:
    match unit:
        case "/s":
            return f"{value:,.0f}/s"
        case "s" if value < 1e-6:
            return f"{value * 1e9:.0f} ns"
        case "s" if value < 0.001:
            return f"{value * 1e6:.0f} µs"
        case "s" if value < 1:
            return f"{value * 1e3:.2f} ms"
        case "s":
            return f"{value:.2f} s"
        case "MB":
            return f"{value:.0f} MB"
        case "round trips":
            return f"{value:.1f}"
        case "bytes":
            return f"{value:,.0f} B"
    return f"{value:,.0f}"


def show(console: Console, outcomes: Sequence[Outcome]) -> None:
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    table.add_column("")
    table.add_column("what")
    for name in ("Blockwire", "floor", "ratio", "asked"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("the floor is", style="dim")
    table.add_column("seen beside", style="dim")
    for place, one in enumerate(outcomes):
        if place and one.group != outcomes[place - 1].group:
            table.add_section()
        if isinstance(one, Missing):
            table.add_row("", f"[dim]{one.group}[/] {one.name}", "", "", "", "", one.reason, "")
            continue
        mark = {True: "[green]✓[/]", False: "[bold red]✗[/]", None: " "}[one.reached]
        table.add_row(
            mark,
            f"[dim]{one.group}[/] {one.name}",
            said(median(one.ours), one.unit),
            said(median(one.floor), one.unit),
            f"[bold]{one.ratio:.2f}[/]",
            one.asked(),
            one.floor_is,
            one.seen_beside(),
        )
    console.print(table)
    held = [one for one in outcomes if isinstance(one, Figure) and one.reached is not None]
    console.print(f"{sum(one.reached is True for one in held)} of {len(held)} targets reached")


def as_json(outcomes: Sequence[Outcome], about: Mapping[str, Any]) -> str:
    rows = [asdict(one) | _judged(one) for one in outcomes]
    return json.dumps({"about": dict(about), "rows": rows}, indent=1, ensure_ascii=False)


def _judged(one: Outcome) -> dict[str, Any]:
    if isinstance(one, Missing):
        return {}
    return {"ratio": round(one.ratio, 3), "reached": one.reached}
