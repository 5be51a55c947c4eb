"""Figures as records: what a process has counted, who works, and who waits for workers."""

from typing import Literal

from service.records.base import Record

Labels = dict[str, str]


class Family(Record):
    """All series of one name, as Prometheus has them: of a histogram each bucket, the sum and the count."""

    name: str
    help: str
    kind: Literal["counter", "gauge", "histogram"]
    samples: list[tuple[str, Labels, float]]


class WorkerReport(Record):
    """What a worker says of itself every few seconds. One that stops takes no more jobs: it has no slots."""

    id: str
    pool: str
    slots: int
    busy: int
    families: list[Family]


class PoolState(Record):
    """How a pool stands: agents and jobs that wait for a worker of it, and the workers it has."""

    pool: str
    waiting: int = 0
    lag_ms: int = 0
    """How long the first of them has waited."""
    workers: int = 0
    slots: int = 0
    busy: int = 0
