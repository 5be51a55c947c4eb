"""Stepping: a worker as it is, but that the first line of each step's job notes the time.

python -m tests.bench.stepping CLOCK    (started by the bench; told what any worker is told)
"""

import sys
from pathlib import Path
from typing import Any

from tests.bench.queues.clock import Clock
from workers import jobs
from workers.main import main


def listen(file: Path) -> None:
    clock, step = Clock(file), jobs.step

    async def noted(*given: Any) -> None:
        clock.note()
        await step(*given)

    jobs.step = noted  # type: ignore[assignment]


if __name__ == "__main__":
    listen(Path(sys.argv[1]))
    main()
