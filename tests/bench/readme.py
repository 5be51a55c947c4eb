"""The README's figures: the main rows of a run, put between their markers.

    python -m tests.bench.readme [bench.json]

By hand, after a run on a quiet machine: a bench changes no file that is committed. Of the rows
about growth the worst one stands for all.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from statistics import median
from typing import Any

from tests.bench.figures import Figure, said
from tests.running import ROOT

BEGIN, END = "<!-- speed: begin, made by `python -m tests.bench.readme` -->", "<!-- speed: end -->"
MAIN = (
    "Blocks.edit, 1 at a time",
    "Blocks.edit, 50 at a time",
    "block get, 8 clients",
    "block get, 64 clients",
    "block update, 8 clients",
    "block update, 64 clients",
    "block get, 8 clients, token",
    "block update, 8 clients, token",
    "agent create, 1 client",
    "blocking",
    "blocking, beside plain commands",
    "streamed, first event",
    "idle, beside a blocking pop",
    "idle, beside taskiq, streams",
    "60 jobs in flight, beside a blocking pop",
    "60 jobs in flight, beside taskiq, streams",
    "2 workers, 10 slots, stock arq",
    "2 workers, 100 slots, stock arq",
    "2 workers, 10 slots, the best of them",
    "SSE client, idle, median",
    "SSE client, idle, p99",
    "supervisor's step, idle, median",
    "web and worker, idle",
    "web healthy after",
    "worker takes jobs after",
    "packages of the runtime",
    "installed runtime, as du -m",
)
_NAMES = {field.name for field in fields(Figure)}


def figures_of(rows: Sequence[dict[str, Any]]) -> list[Figure]:
    """What bench.json holds, without what could not be measured."""
    kept = [{name: value for name, value in row.items() if name in _NAMES} for row in rows]
    return [Figure(**row) for row in kept if "ours" in row]


def markdown(about: dict[str, Any], figures: Sequence[Figure]) -> str:
    named = {figure.name: figure for figure in figures}
    shown = [(f"{named[name].group}: {name}", named[name]) for name in MAIN if name in named]
    growth = [figure for figure in figures if figure.group == "growth"]
    if growth:
        worst = max(growth, key=lambda one: one.cost / (one.target or 1))
        shown.append((f"growth, the worst of {len(growth)} rows: {worst.name}", worst))
    held = [figure for figure in figures if figure.reached is not None]
    busy = f", **busy with other work: load {about['load']}**" if about["busy"] else ""
    reached = sum(one.reached is True for one in held)
    lines = [
        f"Taken {about['taken']}, {about['cores']} cores{busy}; {reached} of {len(held)} targets reached.",
        "",
        "| what | Blockwire | floor | ratio | asked | |",
        "|---|---:|---:|---:|---:|---|",
        *(_row(name, figure) for name, figure in shown),
    ]
    return "\n".join(lines)


def _row(name: str, figure: Figure) -> str:
    ours, floor = said(median(figure.ours), figure.unit), said(median(figure.floor), figure.unit)
    verdict = {True: "reached", False: "missed", None: ""}[figure.reached]
    return f"| {name} | {ours} | {floor} | {figure.ratio:.2f} | {figure.asked()} | {verdict} |"


def put(text: str, table: str) -> str:
    """The text with the table between its markers."""
    before, _, rest = text.partition(BEGIN)
    _, found, after = rest.partition(END)
    if not found:
        raise SystemExit(f"the README has no place for the figures: {BEGIN} … {END}")
    return f"{before}{BEGIN}\n\n{table}\n\n{END}{after}"


def main() -> None:
    told = json.loads(Path(sys.argv[1] if len(sys.argv) > 1 else "bench.json").read_text())
    readme = ROOT / "README.md"
    readme.write_text(put(readme.read_text(), markdown(told["about"], figures_of(told["rows"]))))


if __name__ == "__main__":
    main()
