"""Vitals: what this process takes of its machine, by the names that Prometheus has for it.

From /proc where there is one; elsewhere only what Python itself tells.
"""

import os
import resource
import time
from contextlib import suppress
from pathlib import Path

from service.records.figures import Family

_PROC = Path("/proc/self")
_BEGAN = time.time()
_CLOCK_TICKS = 22
"""Place of the start in /proc/self/stat, from 1."""


def vitals() -> list[Family]:
    found = {
        "process_cpu_seconds_total": ("Processor time used, user and system", time.process_time()),
        "process_start_time_seconds": ("When the process began, since the epoch", _start()),
        "process_max_fds": (
            "File descriptors it may have open",
            float(resource.getrlimit(resource.RLIMIT_NOFILE)[0]),
        ),
    }
    with suppress(OSError, ValueError):
        virtual, resident = (_PROC / "statm").read_text().split()[:2]
        page = os.sysconf("SC_PAGE_SIZE")
        found["process_virtual_memory_bytes"] = ("Virtual memory", float(int(virtual) * page))
        found["process_resident_memory_bytes"] = ("Memory it has in use", float(int(resident) * page))
    with suppress(OSError):
        found["process_open_fds"] = ("File descriptors it has open", float(len(os.listdir(_PROC / "fd"))))
    return [
        Family(
            name=name,
            help=told,
            kind="counter" if name.endswith("_total") else "gauge",
            samples=[(name, {}, value)],
        )
        for name, (told, value) in found.items()
    ]


def _start() -> float:
    try:
        # The command's name stands in brackets and may hold anything; fields are counted from behind it.
        fields = (_PROC / "stat").read_text().rpartition(")")[2].split()
        since_boot = int(fields[_CLOCK_TICKS - 3]) / os.sysconf("SC_CLK_TCK")
        return time.time() - (time.clock_gettime(time.CLOCK_BOOTTIME) - since_boot)
    except (OSError, ValueError, IndexError, AttributeError):
        return _BEGAN
