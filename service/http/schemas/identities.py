"""Identities on the wire: V1's bodies and its answer."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, StringConstraints

from service.http.paging import PageQuery
from service.http.schemas.bounds import AgentId, BlockId, JsonObject, Name
from service.records.identities import LINKED_SHOWN, Identity, IdentityFields, IdentityQuery, IdentityType

_Ids = Field(max_length=500)
_Text = Annotated[str, StringConstraints(max_length=10_000)]


class IdentityProperty(BaseModel):
    key: Name
    value: bool | int | float | _Text | JsonObject
    type: Literal["string", "number", "boolean", "json"]


Properties = Annotated[list[IdentityProperty], Field(max_length=100)]


class IdentityCreate(BaseModel):
    identifier_key: Name = Field(description="the key that the other system knows it by; once per project")
    name: Name
    identity_type: IdentityType
    project_id: Name | None = None
    agent_ids: Annotated[list[AgentId], _Ids] | None = Field(default=None, description="agents to put it on")
    block_ids: Annotated[list[BlockId], _Ids] | None = Field(default=None, description="blocks to put it on")
    properties: Properties | None = None


class IdentityUpsert(IdentityCreate):
    """What is given replaces what was there, agents and blocks included."""


class IdentityUpdate(BaseModel):
    """Only what is there and not null is applied; properties by key, agents and blocks on top."""

    identifier_key: Name | None = None
    name: Name | None = None
    identity_type: IdentityType | None = None
    agent_ids: Annotated[list[AgentId], _Ids] | None = None
    block_ids: Annotated[list[BlockId], _Ids] | None = None
    properties: Properties | None = None


class IdentityCountQuery(BaseModel):
    """V1's count takes no filter; these may be given."""

    name: Name | None = Field(default=None, description="exact")
    project_id: Name | None = None
    identifier_key: Name | None = Field(default=None, description="exact")
    identity_type: IdentityType | None = None

    def identity_query(self) -> IdentityQuery:
        return IdentityQuery(**self.model_dump())


class IdentityListQuery(PageQuery, IdentityCountQuery):
    order_by: Literal["created_at"] = "created_at"


class IdentityResponse(BaseModel):
    """A reference to somebody of another system; nothing acts on it."""

    id: str
    identifier_key: str
    name: str
    identity_type: IdentityType
    project_id: str | None = None
    agent_ids: list[str] = Field(description=f"the first {LINKED_SHOWN}; all are under `…/agents`")
    block_ids: list[str] = Field(description=f"the first {LINKED_SHOWN}; all are under `…/blocks`")
    organization_id: str | None = None
    properties: list[dict[str, Any]] = []


def identity_fields(body: IdentityCreate | IdentityUpdate) -> IdentityFields:
    return IdentityFields(**body.model_dump())


def identity_response(identity: Identity) -> IdentityResponse:
    return IdentityResponse(**vars(identity))
