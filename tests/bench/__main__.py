"""The command: measures, prints a table, writes bench.json and bench.svg."""

import argparse
import asyncio
from pathlib import Path

import structlog
from rich.console import Console

from service.logs import set_up_logs
from service.settings import Settings
from tests.bench.figures import Figure, as_json, as_svg, show
from tests.bench.machine import machine
from tests.bench.rows import ROWS

WIDTH_ELSEWHERE = 140


async def measure(console: Console, names: list[str], rounds: int) -> list[Figure]:
    figures = []
    for name in names:
        async with machine() as ours:
            with console.status(f"measuring {name} …"):
                async for figure in ROWS[name](ours, rounds):
                    figures.append(figure)
                    console.print(f"[dim]{figure.group} {figure.name}: {figure.ratio:.2f}[/]")
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="*", choices=list(ROWS), default=list(ROWS))
    parser.add_argument("--out", type=Path, default=Path("."))
    asked = parser.parse_args()
    set_up_logs(Settings(log_level="error"), "bench")
    structlog.contextvars.clear_contextvars()
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = WIDTH_ELSEWHERE
    figures = asyncio.run(measure(console, asked.only, max(3, asked.rounds)))
    show(console, figures)
    (asked.out / "bench.json").write_text(as_json(figures) + "\n")
    (asked.out / "bench.svg").write_text(as_svg(figures))
    console.print(f"written: {asked.out / 'bench.json'} and {asked.out / 'bench.svg'}", style="dim")


if __name__ == "__main__":
    main()
