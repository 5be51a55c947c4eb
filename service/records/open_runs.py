"""Open runs as records: what a worker is handed with a run, and what its model calls start from."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from service.records.agents import Agent
from service.records.base import Record
from service.records.blocks import Block, Cause
from service.records.budgets import Spent
from service.records.messages import Message
from service.records.runs import Run, StopReason


class Material(Record):
    """What a run's transcript is gathered from, as it is at one moment."""

    agent: Agent
    context: list[Message]
    """The messages in context, oldest first, the system prompt in front."""
    blocks: list[Block]
    """What the agent has attached, by label."""
    notes: list[Message]
    """The run's own; `step_id` of each names the step after which it stands."""


class OpenRun(Record):
    """A run as its worker holds it: what was stored with it besides the record."""

    run: Run
    material: Material
    prompt: str | None
    """The compiled system prompt; None until the run was opened."""
    seen: dict[str, int]
    """block id -> the version that the run's transcript knows."""
    step_id: str | None
    """A step whose answer is stored and whose tool calls are not all done."""
    over: int = 0
    """Changes before the causes that are only counted."""
    causes: list[Cause]
    """The changes that woke the agent, if that is what began the run."""
    stop: StopReason | None = None
    """Why the run ends, once there is room in its agent's context again."""
    cancelled: bool = False
    """Somebody asked for its end before this worker had it."""
    spent: Spent | None = None
    """The budget that leaves no room for another model call."""


class Opening(NamedTuple):
    """What a run's model calls start from. It is stored before anything that the run goes on from."""

    run: Run
    """With its input, depth and agent type as they are now."""
    prompt: str
    seen: Mapping[str, int]
    """block id -> the version in the prompt."""
    message_0: Message
    """With this prompt."""
    leaving: Sequence[str] = ()
    """Messages that are not in context any more."""


class Following(NamedTuple):
    """What its agent does after a run, handed out with the end of it."""

    run: OpenRun | None
    """None: it is idle, and the lease given back."""
