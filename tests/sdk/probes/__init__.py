"""Probes: one for each line of the table; a probe fails unless the effect of its call is really there.

    @probe("blocks.create")
    def create(p: Probe) -> None: ...

A probe calls the method it is about through the SDK and does all else over plain HTTP, so
that nothing but this method can be what is refused. It is written once for all SDKs. What
it answers is how the method does: WORKS unless it says STORED.
"""

from tests.sdk.probes import agents, blocks, identities, messages, rest, runs, sends, tools
from tests.sdk.probes.probe import PROBES, STORED, WORKS, Probe

__all__ = [
    "PROBES",
    "STORED",
    "WORKS",
    "Probe",
    "agents",
    "blocks",
    "identities",
    "messages",
    "rest",
    "runs",
    "sends",
    "tools",
]
