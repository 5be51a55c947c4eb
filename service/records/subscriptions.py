"""Subscriptions as records: which changes wake which agent, what it is told, and where that was cut."""

from typing import Literal

from pydantic import Field

from service.records.base import Micros, Record
from service.records.blocks import Cause
from service.records.runs import Run

TARGETS = ("block_id", "label", "label_glob", "block_tag", "agent_tag")
"""What a subscription may watch; each has exactly one of them."""
WAKES_PER_MINUTE = 600
DEBOUNCES_WAITED = 10
"""How many times its debounce a subscription waits at the most, unless it says."""


class SubscriptionFields(Record):
    """What may be asked of a subscription; None leaves it as it is, or at its default."""

    block_id: str | None = None
    label: str | None = None
    label_glob: str | None = None
    block_tag: str | None = None
    agent_tag: str | None = None
    writers: list[str] | None = None
    except_writers: list[str] | None = None
    operations: list[str] | None = None
    debounce_ms: int | None = None
    max_wait_ms: int | None = None
    template: str | None = None
    own_edits: bool | None = None
    wakes_per_minute: int | None = None
    active: bool | None = None

    def targets(self) -> dict[str, str]:
        """What of TARGETS is given."""
        return {name: value for name in TARGETS if (value := getattr(self, name)) is not None}


class Cut(Record):
    """Wake-ups that were not made: since when, why, and how many changes they would have told."""

    at: Micros
    reason: Literal["depth", "rate"]
    changes: int


class Subscription(Record):
    """Which changes wake which agent: of one block, of a label, of labels like a pattern, of blocks with a
    tag, or of every block that is attached to an agent with a tag."""

    id: str
    agent_id: str
    block_id: str | None = None
    label: str | None = None
    label_glob: str | None = None
    block_tag: str | None = None
    agent_tag: str | None = None
    writers: list[str] = Field(default_factory=list)
    """Only edits of these agents; empty: of anybody."""
    except_writers: list[str] = Field(default_factory=list)
    operations: list[str] = Field(default_factory=list)
    """Only these; empty: all."""
    debounce_ms: int = 0
    """How long it has to be quiet before the agent is woken."""
    max_wait_ms: int = 0
    """It is woken after so long at the latest, quiet or not."""
    template: str = ""
    """What the wake-up says of each block; empty: in our words."""
    own_edits: bool = False
    wakes_per_minute: int = WAKES_PER_MINUTE
    active: bool = True
    since: str = "0-0"
    """Changes up to this id were made before there was a subscription, or while it was off."""
    created_at: Micros
    cut: Cut | None = None

    def targets(self) -> dict[str, str]:
        """What it watches: one of TARGETS."""
        return {name: value for name in TARGETS if (value := getattr(self, name)) is not None}

    @property
    def awake(self) -> bool:
        """Whether it wakes its agent at present; one past its rate does not until it is resumed."""
        return self.active and not (self.cut is not None and self.cut.reason == "rate")


class WakeUp(Record):
    """What one agent is to be told: a run, its causes, and the subscriptions that tell them."""

    run: Run
    causes: list[Cause]
    by: list[Subscription]
