"""Chaos: every fault in a random order, several rounds of it, with larger loads; a table; an exit code.

    make chaos SEED=7 ROUNDS=5
    python -m tests.faults.chaos --seed 7 --rounds 5 [--only WORDS]

The seed decides the order, what the writers do and when faults strike, as far as one machine's
scheduling can be repeated at all. Exit code 1 if anything did not hold.
"""

import argparse
import asyncio
import random
import shutil
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from service.logs import set_up_logs
from service.settings import Settings
from tests.faults.fault import Fault, suffer
from tests.faults.scene import Scene
from tests.faults.table import FAULTS
from tests.faults.tally import Tally

AGENTS, TURNS = 5, 6
SLOW = 4
"""Larger loads and a busy machine: so many times the time a fault is given to recover."""
Result = tuple[Fault, Tally]


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="make chaos", description="Every fault, many times over.")
    parser.add_argument("--seed", type=int, default=1, help="decides everything that is random")
    parser.add_argument("--rounds", type=int, default=3, help="how often each fault is injected")
    parser.add_argument("--only", default="", help="faults whose name has these words")
    given = parser.parse_args(words)
    chosen = [fault for fault in FAULTS if given.only in fault.name]
    console = Console(width=140)
    set_up_logs(Settings(log_level="error"), "chaos")
    results: list[Result] = []
    for number in range(given.rounds):
        results += _round(chosen, random.Random(f"{given.seed}.{number}"), console)
    console.print(table(results, given.seed))
    for fault, tally in results:
        if not tally.holds:
            console.print(f"{fault.name}: {'; '.join(tally.broken) or tally}", style="red", markup=False)
    return 0 if results and all(tally.holds for _, tally in results) else 1


def _round(chosen: list[Fault], rng: random.Random, console: Console) -> list[Result]:
    """Each fault once, on processes of this round's own; one that breaks them does not end the round."""
    folder = Path(tempfile.mkdtemp(prefix="bw-"))
    scene = Scene(folder)
    results: list[Result] = []
    try:
        scene.open()
        for fault in rng.sample(chosen, len(chosen)):
            scene.revive(*scene.missing())
            tally = asyncio.run(suffer(fault, scene, rng, agents=AGENTS, turns=TURNS, slow=SLOW))
            results.append((fault, tally))
            console.print("holds " if tally.holds else "BROKEN", fault.name, f"{tally.recovered_s:.1f} s")
    finally:
        scene.end()
        shutil.rmtree(folder, ignore_errors=True)
    return results


def table(results: list[Result], seed: int) -> Table:
    """One row for each fault, its rounds added up; the slowest recovery of them."""
    shown = Table(title=f"Faults, seed {seed}", show_footer=True)
    columns: dict[str, list[str]] = {name: [] for name in ("acknowledged", "kept", "doubled", "lost")}
    rows: list[list[str]] = []
    for fault in dict.fromkeys(fault for fault, _ in results):
        tallies = [tally for other, tally in results if other is fault]
        counts = [str(sum(getattr(tally, name) for tally in tallies)) for name in columns]
        for name, count in zip(columns, counts, strict=True):
            columns[name].append(count)
        slowest = max(tally.recovered_s for tally in tallies)
        holds = all(tally.holds for tally in tallies)
        rows.append([fault.name, *counts, f"{slowest:.1f} s", "holds" if holds else "BROKEN"])
    shown.add_column("fault", f"{len(rows)} faults, {len(results)} injections")
    for name, counted in columns.items():
        shown.add_column(name, str(sum(map(int, counted))), justify="right")
    shown.add_column("recovered", justify="right")
    shown.add_column("")
    for row in sorted(rows):
        shown.add_row(*row)
    return shown


if __name__ == "__main__":
    raise SystemExit(main())
