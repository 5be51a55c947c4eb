"""Subscriptions on the wire: which changes of blocks wake an agent. Blockwire's own, not V1's."""

from pydantic import BaseModel, Field, model_validator

from service.http.schemas.bounds import BlockId, Label
from service.records.agents import Subscription
from service.records.base import iso


class CreateSubscription(BaseModel):
    """`block_id` or `label`, exactly one."""

    block_id: BlockId | None = Field(default=None, description="this block, whatever its label")
    label: Label | None = Field(default=None, description="every block with this label")

    @model_validator(mode="after")
    def _names_one_thing(self) -> "CreateSubscription":
        if (self.block_id is None) == (self.label is None):
            raise ValueError("block_id, label: give exactly one of them")
        return self


class SubscriptionResponse(BaseModel):
    id: str
    agent_id: str
    block_id: str | None
    label: str | None
    active: bool
    created_at: str


def subscription_response(subscription: Subscription) -> SubscriptionResponse:
    return SubscriptionResponse(**{**vars(subscription), "created_at": iso(subscription.created_at)})
