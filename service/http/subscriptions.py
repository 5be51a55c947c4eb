"""Subscriptions over HTTP: which changes of blocks wake an agent."""

from starlette.responses import Response

from service.http.answers import json_answer
from service.http.calls import Call, Nothing
from service.http.retries import id_for
from service.http.routing import Route
from service.http.schemas.subscriptions import (
    CreateSubscription,
    SubscriptionResponse,
    UpdateSubscription,
    subscription_response,
)


async def create(call: Call[Nothing, CreateSubscription]) -> Response:
    """Wake an agent when a block changes

    Of one block by its id, of every block with a label, with a label like a pattern, with a tag, or that is
    attached to an agent with a tag. The agent gets a message saying who changed what; a change that several
    of its subscriptions cover is told once. The block need not be attached to it. With an `Idempotency-Key`
    the same request makes one subscription, however often it comes.
    """
    subscription_id = await id_for(call, "subscription", "subscriptions.create")
    made = await call.service.subscriptions.create(
        call.ws, call.path["agent_id"], call.body.fields(), subscription_id
    )
    return json_answer(subscription_response(made))


async def find(call: Call[Nothing, Nothing]) -> Response:
    """List what wakes an agent"""
    found = await call.service.subscriptions.find(call.ws, call.path["agent_id"])
    return json_answer([subscription_response(one) for one in found])


async def read(call: Call[Nothing, Nothing]) -> Response:
    """Read one of an agent's subscriptions"""
    found = await call.service.subscriptions.read(
        call.ws, call.path["agent_id"], call.path["subscription_id"]
    )
    return json_answer(subscription_response(found))


async def update(call: Call[Nothing, UpdateSubscription]) -> Response:
    """Change or resume a subscription

    With another target, or turned on again, it begins with the next change. `"active": true` resumes one that
    was cut: its agent is woken at once by what was held back, and a chain of wake-ups begins anew.
    """
    changed = await call.service.subscriptions.update(
        call.ws, call.path["agent_id"], call.path["subscription_id"], call.body.fields()
    )
    return json_answer(subscription_response(changed))


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
    Route("GET", f"{_PATH}/{{subscription_id}}", read, "Subscriptions", SubscriptionResponse),
    Route(
        "PATCH",
        f"{_PATH}/{{subscription_id}}",
        update,
        "Subscriptions",
        SubscriptionResponse,
        example={"debounce_ms": 500, "active": True},
    ),
    Route("DELETE", f"{_PATH}/{{subscription_id}}", delete, "Subscriptions"),
]
