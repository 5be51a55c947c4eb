"""Identities as records: who of another system an agent or a block belongs to. Nothing acts on them."""

from typing import Any, Literal

from pydantic import Field

from service.records.base import Micros, Record

IdentityType = Literal["org", "user", "other"]
LINKED_SHOWN = 1000
"""Agents, and blocks, that an identity names in its own answer."""


class Identity(Record):
    """A user or an organisation of somebody else's system, by that system's key."""

    id: str
    identifier_key: str
    name: str
    identity_type: IdentityType
    project_id: str | None = None
    properties: list[dict[str, Any]] = Field(default_factory=list)
    agent_ids: list[str] = Field(default_factory=list)
    """The first of the agents that have it."""
    block_ids: list[str] = Field(default_factory=list)
    created_at: Micros = 0


class IdentityFields(Record):
    """What may be changed of an identity; None leaves a field as it is."""

    identifier_key: str | None = None
    name: str | None = None
    identity_type: IdentityType | None = None
    project_id: str | None = None
    properties: list[dict[str, Any]] | None = None
    agent_ids: list[str] | None = None
    block_ids: list[str] | None = None


class IdentityQuery(Record):
    """Which identities a list holds; None asks nothing."""

    name: str | None = None
    project_id: str | None = None
    identifier_key: str | None = None
    identity_type: IdentityType | None = None
