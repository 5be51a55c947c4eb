"""Webhooks as records: who is told which changes, where he stands, and each delivery to him."""

from typing import Literal

from pydantic import Field

from service.records.base import Micros, Record

Kind = Literal["changes", "resync", "ping"]
"""What a delivery tells: changes, that some can no longer be told, or nothing."""
Status = Literal["waiting", "delivered", "dead", "failed"]
"""`failed` is a ping that did not get through; it is not tried again."""


class WebhookFields(Record):
    """What may be asked of a webhook; None leaves it as it is, or at its default.

    An empty filter lets all through.
    """

    url: str | None = None
    description: str | None = None
    block_ids: list[str] | None = None
    labels: list[str] | None = None
    label_globs: list[str] | None = None
    tags: list[str] | None = None
    agent_tags: list[str] | None = None
    writers: list[str] | None = None
    except_writers: list[str] | None = None
    operations: list[str] | None = None
    kinds: list[str] | None = None
    include: list[str] | None = None
    active: bool | None = None


class Webhook(Record):
    """Who is told which changes of a workspace: those that fit one value of each filter."""

    id: str
    url: str
    private: bool = False
    """Whether its address may lie in a private network, as the server was set when it was given."""
    description: str = ""
    block_ids: list[str] = Field(default_factory=list)
    labels: list[str] = Field(default_factory=list)
    label_globs: list[str] = Field(default_factory=list)
    tags: list[str] = Field(default_factory=list)
    agent_tags: list[str] = Field(default_factory=list)
    """Only blocks that are attached to an agent with one of these."""
    writers: list[str] = Field(default_factory=list)
    except_writers: list[str] = Field(default_factory=list)
    operations: list[str] = Field(default_factory=list)
    kinds: list[str] = Field(default_factory=list)
    include: list[str] = Field(default_factory=list)
    since: str = "0-0"
    """Changes up to this id were made before there was the webhook."""
    created_at: Micros


class Paused(Record):
    """Since when nothing is sent any more, and why: the receiver is `gone` (410), nothing got through for too
    long (`failing`), or too many deliveries in a row were refused (`refused`)."""

    at: Micros
    reason: Literal["gone", "failing", "refused"]


class Standing(Record):
    """How a webhook fares."""

    active: bool
    paused: Paused | None = None
    secret_ends_with: str = ""
    position: str = "0-0"
    """Changes up to this id are delivered, or on their way, or were not asked for."""
    delivered_at: Micros | None = None
    failing_since: Micros | None = None
    under_way: str | None = None
    """The delivery that is sent now, or tried again and again."""
    dead_letters: int = 0
    dropped: int = 0
    """Dead letters that were too many to be kept."""


class Delivery(Record):
    """What is sent to a webhook in one post, as often as it takes."""

    id: str
    webhook_id: str
    kind: Kind
    status: Status = "waiting"
    changes: int = 0
    after: str | None = None
    """The changes are some of those after this id …"""
    upto: str | None = None
    """… up to this one."""
    created_at: Micros
    tries: int = 0
    tried_at: Micros | None = None
    http_status: int | None = None
    error: str | None = None
    next_try_at: Micros | None = None
    ended_at: Micros | None = None
    body: str | None = None
    """Until it is delivered."""


class NewDelivery(Record):
    """A delivery to be recorded before it is sent."""

    id: str
    kind: Kind
    changes: int = 0
    after: str = ""
    upto: str = ""
    body: str


class Claimed(Record):
    """A webhook that one worker serves for a while; `number` is what its writes carry."""

    webhook: Webhook
    number: str
    secrets: list[str]
    """The newest first; more than one for a while after a rotation."""
    position: str
    delivery: Delivery | None = None
    """What is to be sent first; None: what comes after the position is to be looked at."""


class Verdict(Record):
    """What becomes of a delivery after a try."""

    outcome: Literal["delivered", "again", "dead", "failed", "gone"]
    http_status: int | None = None
    error: str | None = None
    wait_ms: int = 0
