"""Waits: the signal by which a tool says that its answer is not there yet.

The loop that hears it stores what the step's other calls gave, gives the lease
back and ends its job: nobody holds a slot for an agent that waits. When the agent
is taken up again the same calls are carried out, those with a stored result
excepted, and the tool finds what it waited for.

Elsewhere: how the store keeps it, and who makes the agent go on (service/asks.py).
"""

from collections.abc import Sequence


class Waiting(Exception):
    """Not a failure: a call waits for the replies of these agents. No tool may catch it."""

    def __init__(self, agent_ids: Sequence[str]) -> None:
        super().__init__(f"waiting for {', '.join(agent_ids)}")
        self.agent_ids = list(agent_ids)
