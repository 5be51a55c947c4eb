"""Identities over HTTP: references to users and organisations of other systems, on agents and blocks.

They are kept, given back and found by. Nothing acts on them: an identity grants nothing
and hides nothing.
"""

from typing import Any

from pydantic import RootModel
from starlette.responses import Response

from service.http.agents import agents_answer
from service.http.answers import json_answer
from service.http.blocks import block_answer
from service.http.calls import Call, Nothing
from service.http.routing import Route
from service.http.schemas.agent_state import AgentState
from service.http.schemas.agents import IdentityAgentsQuery
from service.http.schemas.blocks import BlockResponse, IdentityBlocksQuery, block_response
from service.http.schemas.identities import (
    IdentityCountQuery,
    IdentityCreate,
    IdentityListQuery,
    IdentityResponse,
    IdentityUpdate,
    IdentityUpsert,
    Properties,
    identity_fields,
    identity_response,
)
from service.records.agents import AgentQuery
from service.records.blocks import BlockQuery
from service.records.identities import Identity, IdentityFields

_EXAMPLE = {"identifier_key": "user-17", "name": "Ada", "identity_type": "user"}


class GivenProperties(RootModel[Properties]):
    """A list of properties, put in by key."""


async def create(call: Call[Nothing, IdentityCreate]) -> Response:
    """Create an identity

    A stored reference to somebody of another system; nothing acts on it. 409 if the project has its key.
    """
    return _answer(await call.service.identities.create(call.ws, identity_fields(call.body)))


async def upsert(call: Call[Nothing, IdentityUpsert]) -> Response:
    """Create an identity, or replace the one with its key

    A stored reference; nothing acts on it.
    """
    return _answer(await call.service.identities.upsert(call.ws, identity_fields(call.body)))


async def find(call: Call[IdentityListQuery, Nothing]) -> Response:
    """List identities

    Newest first unless asked otherwise.
    """
    found = await call.service.identities.find(call.ws, call.query.identity_query(), call.query.page())
    return json_answer([identity_response(identity) for identity in found])


async def count(call: Call[IdentityCountQuery, Nothing]) -> Response:
    """Count identities"""
    return json_answer(await call.service.identities.count(call.ws, call.query.identity_query()))


async def retrieve(call: Call[Nothing, Nothing]) -> Response:
    """Read an identity"""
    return _answer(await call.service.identities.read(call.ws, call.path["identity_id"]))


async def update(call: Call[Nothing, IdentityUpdate]) -> Response:
    """Change an identity

    Properties are put in by key; agents and blocks come on top of those it is on.
    """
    fields = identity_fields(call.body)
    return _answer(await call.service.identities.configure(call.ws, call.path["identity_id"], fields))


async def upsert_properties(call: Call[Nothing, GivenProperties]) -> Response:
    """Put properties into an identity

    By key; others stay. The answer is `null`.
    """
    fields = IdentityFields(properties=[one.model_dump() for one in call.body.root])
    await call.service.identities.configure(call.ws, call.path["identity_id"], fields)
    return json_answer(None)


async def delete(call: Call[Nothing, Nothing]) -> Response:
    """Delete an identity

    The agents and blocks it was on stay. The answer is `null`.
    """
    await call.service.identities.delete(call.ws, call.path["identity_id"])
    return json_answer(None)


async def agents(call: Call[IdentityAgentsQuery, Nothing]) -> Response:
    """List the agents an identity is on"""
    identity = await call.service.identities.read(call.ws, call.path["identity_id"])
    query = AgentQuery(identity_id=identity.id, show_hidden=True)
    found = await call.service.agents.find(call.ws, query, call.query.page())
    return await agents_answer(call, found, call.query.relations(call.headers))


async def blocks(call: Call[IdentityBlocksQuery, Nothing]) -> Response:
    """List the blocks an identity is on"""
    identity = await call.service.identities.read(call.ws, call.path["identity_id"])
    query = BlockQuery(identity_id=identity.id, show_hidden=True)
    found = await call.service.blocks.find(call.ws, query, call.query.page())
    return json_answer([block_response(block) for block in found])


async def attach_to_agent(call: Call[Nothing, Nothing]) -> Response:
    """Put an identity on an agent

    Twice is no change. The answer is `null`.
    """
    await _change(call, "agent", attach=True)
    return json_answer(None)


async def detach_from_agent(call: Call[Nothing, Nothing]) -> Response:
    """Take an identity off an agent

    No change where it was not. The answer is `null`.
    """
    await _change(call, "agent", attach=False)
    return json_answer(None)


async def attach_to_block(call: Call[Nothing, Nothing]) -> Response:
    """Put an identity on a block

    It is no edit: the block's version stays.
    """
    await _change(call, "block", attach=True)
    return block_answer(await call.service.blocks.read(call.ws, call.path["block_id"]))


async def detach_from_block(call: Call[Nothing, Nothing]) -> Response:
    """Take an identity off a block"""
    await _change(call, "block", attach=False)
    return block_answer(await call.service.blocks.read(call.ws, call.path["block_id"]))


async def _change(call: Call[Any, Any], kind: str, *, attach: bool) -> None:
    room = call.service.identities
    act = room.attach if attach else room.detach
    await act(call.ws, kind, call.path[f"{kind}_id"], call.path["identity_id"])


def _answer(identity: Identity) -> Response:
    return json_answer(identity_response(identity))


_ROOT = "/v1/identities/"
_ONE = "/v1/identities/{identity_id}"

ROUTES = [
    Route("POST", _ROOT, create, "Identities", IdentityResponse, example=_EXAMPLE),
    Route("PUT", _ROOT, upsert, "Identities", IdentityResponse, example=_EXAMPLE),
    Route("GET", _ROOT, find, "Identities", list[IdentityResponse]),
    Route("GET", "/v1/identities/count", count, "Identities", int),
    Route("GET", _ONE, retrieve, "Identities", IdentityResponse),
    Route("PATCH", _ONE, update, "Identities", IdentityResponse, example={"name": "Ada L."}),
    Route(
        "PUT",
        f"{_ONE}/properties",
        upsert_properties,
        "Identities",
        example=[{"key": "plan", "value": "free", "type": "string"}],
    ),
    Route("DELETE", _ONE, delete, "Identities"),
    Route("GET", f"{_ONE}/agents", agents, "Identities", list[AgentState]),
    Route("GET", f"{_ONE}/blocks", blocks, "Identities", list[BlockResponse]),
    Route("PATCH", "/v1/agents/{agent_id}/identities/attach/{identity_id}", attach_to_agent, "Identities"),
    Route("PATCH", "/v1/agents/{agent_id}/identities/detach/{identity_id}", detach_from_agent, "Identities"),
    Route(
        "PATCH",
        "/v1/blocks/{block_id}/identities/attach/{identity_id}",
        attach_to_block,
        "Identities",
        BlockResponse,
    ),
    Route(
        "PATCH",
        "/v1/blocks/{block_id}/identities/detach/{identity_id}",
        detach_from_block,
        "Identities",
        BlockResponse,
    ),
]
