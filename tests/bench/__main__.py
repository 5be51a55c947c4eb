"""The command: measures, prints a table, writes bench.json and bench.svg."""

import argparse
import asyncio
import os
import platform
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import structlog
from rich.console import Console

from service.logs import set_up_logs
from service.settings import Settings
from tests.bench.figures import Figure, Outcome, as_json, said, show
from tests.bench.machine import machine
from tests.bench.pace import FULL, USUAL, Pace
from tests.bench.picture import as_svg
from tests.bench.rows import ROWS

WIDTH_ELSEWHERE = 190
BUSY = 0.5
"""Load per core before anything is measured from which on the machine is said to be busy."""


async def measure(console: Console, names: list[str], pace: Pace, outcomes: list[Outcome]) -> None:
    """Adds to the outcomes row by row, so that what was measured is there whatever comes later."""
    began = time.monotonic()
    for place, name in enumerate(names, 1):
        async with machine() as ours:
            with console.status(f"measuring {name} ({place} of {len(names)}) …"):
                async for one in ROWS[name](ours, pace):
                    outcomes.append(one)
                    console.print(f"[dim]{time.monotonic() - began:4.0f} s  {_line(one)}[/]")


def _line(one: Outcome) -> str:
    if not isinstance(one, Figure):
        return f"{one.group} {one.name}: {one.reason}"
    return f"{one.group} {one.name}: {said(sorted(one.ours)[len(one.ours) // 2], one.unit)}, {one.ratio:.2f}"


def about() -> dict[str, Any]:
    """Where and when, and how busy the machine was before anything was measured."""
    load = os.getloadavg()[0]
    return {
        "taken": time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime()),
        "cores": os.cpu_count(),
        "load": round(load, 2),
        "busy": load > BUSY * (os.cpu_count() or 1),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=USUAL.rounds)
    parser.add_argument("--only", nargs="*", choices=list(ROWS), default=list(ROWS))
    parser.add_argument("--full", action="store_true", help="to a million blocks; takes minutes longer")
    parser.add_argument("--out", type=Path, default=Path("."))
    asked = parser.parse_args()
    set_up_logs(Settings(log_level="error"), "bench")
    structlog.contextvars.clear_contextvars()
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = WIDTH_ELSEWHERE
    here = about()
    if here["busy"]:
        console.print(f"[yellow]this machine is busy: load {here['load']} on {here['cores']} cores[/]")
    pace = replace(FULL if asked.full else USUAL, rounds=max(3, asked.rounds))
    outcomes: list[Outcome] = []
    try:
        asyncio.run(measure(console, asked.only, pace, outcomes))
    finally:
        show(console, outcomes)
        (asked.out / "bench.json").write_text(as_json(outcomes, here) + "\n")
        (asked.out / "bench.svg").write_text(as_svg(outcomes, here))
    console.print(f"written: {asked.out / 'bench.json'} and {asked.out / 'bench.svg'}", style="dim")


if __name__ == "__main__":
    main()
