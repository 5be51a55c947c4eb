"""Subscriptions on the wire: which changes of blocks wake an agent. Blockwire's own, not V1's."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from service.http.schemas.bounds import AgentId, BlockId, Label, Name
from service.records.base import iso
from service.records.subscriptions import (
    DEBOUNCES_WAITED,
    TARGETS,
    WAKES_PER_MINUTE,
    Subscription,
    SubscriptionFields,
)
from service.wake_words import PLACES, TEMPLATE_MOST

DEBOUNCE_MOST_MS = 3_600_000
WAIT_MOST_MS = 86_400_000

Operation = Literal["create", "set", "append", "insert", "replace", "configure", "delete"]
AgentIds = Annotated[list[AgentId], Field(max_length=500)]


class UpdateSubscription(BaseModel):
    """What is not given, or null, stays as it is."""

    model_config = ConfigDict(extra="forbid")

    block_id: BlockId | None = Field(default=None, description="this block, whatever its label")
    label: Label | None = Field(default=None, description="every block with this label")
    label_glob: Label | None = Field(
        default=None, description="every block with a label like this pattern: `*`, `?`, `[abc]`"
    )
    block_tag: Name | None = Field(default=None, description="every block with this tag")
    agent_tag: Name | None = Field(
        default=None, description="every block that is attached to an agent with this tag"
    )
    writers: AgentIds | None = Field(default=None, description="only edits by these agents")
    except_writers: AgentIds | None = Field(
        default=None, description="only edits by anybody but these agents"
    )
    operations: list[Operation] | None = Field(default=None, description="only these operations")
    debounce_ms: int | None = Field(
        default=None,
        ge=0,
        le=DEBOUNCE_MOST_MS,
        description="wake when it has been quiet for so long; default 0",
    )
    max_wait_ms: int | None = Field(
        default=None,
        ge=0,
        le=WAIT_MOST_MS,
        description=f"wake after so long, quiet or not; default {DEBOUNCES_WAITED} times `debounce_ms`",
    )
    template: str | None = Field(
        default=None,
        max_length=TEMPLATE_MOST,
        description="what the wake-up says of each block, with "
        + ", ".join(f"`{{{place}}}`" for place in PLACES)
        + "; empty: as Blockwire says it",
    )
    own_edits: bool | None = Field(default=None, description="wake it by its own edits too; default false")
    wakes_per_minute: int | None = Field(
        default=None,
        ge=1,
        le=60_000,
        description=f"past so many it is cut until it is resumed; default {WAKES_PER_MINUTE}",
    )
    active: bool | None = Field(
        default=None, description="false: wake nobody; true: resume, also what was cut; default true"
    )

    def fields(self) -> SubscriptionFields:
        return SubscriptionFields.model_validate(self.model_dump())


class CreateSubscription(UpdateSubscription):
    """Exactly one of `block_id`, `label`, `label_glob`, `block_tag`, `agent_tag`."""

    @model_validator(mode="after")
    def _names_one_thing(self) -> "CreateSubscription":
        if len(self.fields().targets()) != 1:
            raise ValueError(f"{', '.join(TARGETS)}: give exactly one of them")
        return self


class CutTold(BaseModel):
    """Wake-ups that were not made: the chain of agents that wake each other had reached its `depth`, or they
    were past the `rate`. `changes` is how many they would have told; the next wake-up tells them."""

    at: str
    reason: Literal["depth", "rate"]
    changes: int


class SubscriptionResponse(BaseModel):
    """`active` is false while it wakes nobody: turned off, or cut for its rate. `cut` stays until it is
    resumed."""

    id: str
    agent_id: str
    block_id: str | None
    label: str | None
    label_glob: str | None
    block_tag: str | None
    agent_tag: str | None
    writers: list[str]
    except_writers: list[str]
    operations: list[str]
    debounce_ms: int
    max_wait_ms: int
    template: str
    own_edits: bool
    wakes_per_minute: int
    active: bool
    cut: CutTold | None
    created_at: str


def subscription_response(subscription: Subscription) -> SubscriptionResponse:
    cut = subscription.cut
    told = {
        "created_at": iso(subscription.created_at),
        "active": subscription.awake,
        "cut": None if cut is None else CutTold(at=iso(cut.at), reason=cut.reason, changes=cut.changes),
    }
    return SubscriptionResponse(**{**vars(subscription), **told})
