"""Table: every fault there is, by kind."""

from tests.faults import clients, queue, store, web, workers
from tests.faults.fault import Fault

FAULTS: list[Fault] = [*workers.faults, *web.faults, *store.faults, *queue.faults, *clients.faults]
