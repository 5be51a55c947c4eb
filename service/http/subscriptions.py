"""Subscriptions over HTTP: which changes of blocks wake an agent."""

from starlette.responses import Response

from service.http.answers import json_answer
from service.http.calls import Call, Nothing
from service.http.routing import Route
from service.http.schemas.subscriptions import (
    CreateSubscription,
    SubscriptionResponse,
    subscription_response,
)


async def create(call: Call[Nothing, CreateSubscription]) -> Response:
    """Wake an agent when a block changes

    Of one block by its id, or of every block with a label. The agent gets a message saying who changed what;
    the block need not be attached to it, and its own edits do not wake it.
    """
    made = await call.service.subscriptions.create(
        call.ws, call.path["agent_id"], block_id=call.body.block_id, label=call.body.label
    )
    return json_answer(subscription_response(made))


async def find(call: Call[Nothing, Nothing]) -> Response:
    """List what wakes an agent"""
    found = await call.service.subscriptions.find(call.ws, call.path["agent_id"])
    return json_answer([subscription_response(one) for one in found])


async def delete(call: Call[Nothing, Nothing]) -> Response:
    """Stop waking an agent

    The answer is `null`.
    """
    await call.service.subscriptions.delete(call.ws, call.path["agent_id"], call.path["subscription_id"])
    return json_answer(None)


_PATH = "/v1/agents/{agent_id}/subscriptions"

ROUTES = [
    Route("POST", _PATH, create, "Subscriptions", SubscriptionResponse, example={"label": "organization"}),
    Route("GET", _PATH, find, "Subscriptions", list[SubscriptionResponse]),
    Route("DELETE", f"{_PATH}/{{subscription_id}}", delete, "Subscriptions"),
]
