"""Webhooks on the wire: who outside is told which changes. Blockwire's own, not V1's."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from service.http.paging import PageQuery
from service.http.schemas.bounds import AgentId, BlockId, Label, Name
from service.http.schemas.changes import MOST, Extra, Kind, Operation
from service.records.base import iso
from service.records.webhooks import Delivery, Standing, Status, Webhook, WebhookFields
from service.records.webhooks import Kind as DeliveryKind

GLOBS_MOST = 20
OVERLAP_MOST_H = 168

Url = Annotated[str, StringConstraints(min_length=1, max_length=2000)]
Secret = Annotated[str, StringConstraints(max_length=200)]


class UpdateWebhook(BaseModel):
    """What is not given, or null, stays as it is. A change is told if it fits one value of each filter; an
    empty list lets all through."""

    model_config = ConfigDict(extra="forbid")

    url: Url | None = Field(default=None, description="where deliveries are posted")
    description: str | None = Field(default=None, max_length=1000)
    block_ids: list[BlockId] | None = Field(
        default=None, max_length=MOST, description="only changes of these blocks"
    )
    labels: list[Label] | None = Field(
        default=None, max_length=MOST, description="only changes of blocks with one of these labels"
    )
    label_globs: list[Label] | None = Field(
        default=None,
        max_length=GLOBS_MOST,
        description="only of blocks with a label like one of these patterns: `*`, `?`, `[abc]`",
    )
    tags: list[Name] | None = Field(
        default=None, max_length=MOST, description="only of blocks with one of these tags"
    )
    agent_tags: list[Name] | None = Field(
        default=None,
        max_length=GLOBS_MOST,
        description="only of blocks that are attached to an agent with one of these tags when it is told",
    )
    writers: list[AgentId] | None = Field(
        default=None, max_length=MOST, description="only changes made by one of these agents"
    )
    except_writers: list[AgentId] | None = Field(
        default=None, max_length=MOST, description="only changes by anybody but these agents"
    )
    operations: list[Operation] | None = Field(default=None, description="only these operations")
    kinds: list[Kind] | None = Field(default=None, description="only these kinds of changes")
    include: list[Extra] | None = Field(
        default=None, description="with each change the new `value`, or a unified `diff`, or both"
    )
    active: bool | None = Field(
        default=None,
        description="false: nothing is sent until it is true again, then all since; true: also resumes one "
        "that was paused, and tries at once; default true",
    )

    def fields(self) -> WebhookFields:
        return WebhookFields.model_validate(self.model_dump())


class CreateWebhook(UpdateWebhook):
    """What a new webhook is told; without a filter every change of the workspace."""

    url: Url = Field(description="where deliveries are posted")
    secret: Secret | None = Field(
        default=None, description="`whsec_` and 24 to 64 bytes in Base64; null: a new one is made"
    )


class RotateSecret(BaseModel):
    model_config = ConfigDict(extra="forbid")

    secret: Secret | None = Field(
        default=None, description="`whsec_` and 24 to 64 bytes in Base64; null: a new one is made"
    )
    overlap_hours: int = Field(
        default=24, ge=0, le=OVERLAP_MOST_H, description="for how long the one before signs too"
    )


class PausedTold(BaseModel):
    """Nothing is sent until `active` is set again. `gone`: the receiver answered 410. `failing`: nothing got
    through for as long as a delivery is tried. `refused`: ten deliveries in a row were refused."""

    at: str
    reason: Literal["gone", "failing", "refused"]


class WebhookResponse(BaseModel):
    """A webhook without its secret. `position`: changes up to this id were told, or are under way in the
    delivery `under_way`, or were not asked for. `dropped`: dead letters that were too many to be kept."""

    id: str
    url: str
    description: str
    block_ids: list[str]
    labels: list[str]
    label_globs: list[str]
    tags: list[str]
    agent_tags: list[str]
    writers: list[str]
    except_writers: list[str]
    operations: list[str]
    kinds: list[str]
    include: list[str]
    active: bool
    paused: PausedTold | None
    secret_ends_with: str
    position: str
    delivered_at: str | None
    failing_since: str | None
    under_way: str | None
    dead_letters: int
    dropped: int
    created_at: str


class NewWebhook(WebhookResponse):
    """A webhook and its secret, which is not told again."""

    secret: str


class DeliveriesQuery(PageQuery):
    status: Status | None = Field(default=None, description="only those that are so; `dead`: dead letters")


class DeliveryResponse(BaseModel):
    """What was, is or will be posted to a webhook. `changes`: how many it tells, all of them after the id
    `after` and up to `upto`. `error` and `http_status` are those of the last try."""

    id: str
    webhook_id: str
    kind: DeliveryKind
    status: Status
    changes: int
    after: str | None
    upto: str | None
    created_at: str
    tries: int
    tried_at: str | None
    http_status: int | None
    error: str | None
    next_try_at: str | None
    ended_at: str | None


class DeliveryWithBody(DeliveryResponse):
    """`body`: what is posted, to the byte; null once it got through."""

    body: str | None


def webhook_response(shown: tuple[Webhook, Standing]) -> WebhookResponse:
    return WebhookResponse(**_told(*shown))


def new_webhook(shown: tuple[Webhook, Standing], secret: str) -> NewWebhook:
    return NewWebhook(**_told(*shown), secret=secret)


def delivery_response(delivery: Delivery) -> DeliveryResponse:
    return DeliveryResponse(**{**vars(delivery), **_times(delivery)})


def delivery_with_body(delivery: Delivery) -> DeliveryWithBody:
    return DeliveryWithBody(**{**vars(delivery), **_times(delivery)})


def _told(webhook: Webhook, standing: Standing) -> dict[str, Any]:
    paused = standing.paused
    told = {
        "created_at": iso(webhook.created_at),
        "paused": None if paused is None else PausedTold(at=iso(paused.at), reason=paused.reason),
        "delivered_at": _time(standing.delivered_at),
        "failing_since": _time(standing.failing_since),
    }
    return {**vars(webhook), **vars(standing), **told}


def _times(delivery: Delivery) -> dict[str, str | None]:
    return {
        name: _time(getattr(delivery, name)) for name in ("created_at", "tried_at", "next_try_at", "ended_at")
    }


def _time(at: int | None) -> str | None:
    return None if at is None else iso(at)
