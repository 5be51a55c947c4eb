"""Rows: what is measured, by name, in the order of the table; each family on a machine of its own."""

from collections.abc import AsyncIterator, Callable

from tests.bench.answers import answers
from tests.bench.edits import edits
from tests.bench.feeds import feeds
from tests.bench.figures import Outcome
from tests.bench.growth import by_agents, by_blocks, by_subscriptions
from tests.bench.http import agents, http
from tests.bench.machine import Machine
from tests.bench.memory import kept, processes
from tests.bench.pace import Pace
from tests.bench.queueing import pickup, throughput
from tests.bench.steps import by_history

Row = Callable[[Machine, Pace], AsyncIterator[Outcome]]

ROWS: dict[str, Row] = {
    "edits": edits,
    "http": http,
    "agents": agents,
    "answers": answers,
    "pickup": pickup,
    "throughput": throughput,
    "feeds": feeds,
    "by-agents": by_agents,
    "by-blocks": by_blocks,
    "by-history": by_history,
    "by-subscriptions": by_subscriptions,
    "kept": kept,
    "processes": processes,
}
