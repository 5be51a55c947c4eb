"""Webhooks over HTTP: who outside is posted which changes, and what became of each delivery."""

from starlette.responses import Response

from service.http.answers import json_answer
from service.http.calls import Call, Nothing
from service.http.paging import part_of
from service.http.retries import id_for
from service.http.routing import Route
from service.http.schemas.webhooks import (
    CreateWebhook,
    DeliveriesQuery,
    DeliveryResponse,
    DeliveryWithBody,
    NewWebhook,
    RotateSecret,
    UpdateWebhook,
    WebhookResponse,
    delivery_response,
    delivery_with_body,
    new_webhook,
    webhook_response,
)


async def create(call: Call[Nothing, CreateWebhook]) -> Response:
    """Post changes to an address

    Every change from now on that fits the filters, each at least once and in order, many in one delivery
    where they come fast. Deliveries are signed as Standard Webhooks has it (`webhook-id`,
    `webhook-timestamp`, `webhook-signature`). `secret` in the answer is not told again. Any answer but 2xx is
    tried again, for a day (`BLOCKWIRE_WEBHOOK_HOURS`); then the delivery is a dead letter and the webhook
    paused. With an `Idempotency-Key` the same request makes one webhook, and tells its secret, however often
    it comes.
    """
    body = call.body
    webhook_id = await id_for(call, "webhook", "webhooks.create")
    made, secret = await call.service.webhooks.create(call.ws, body.fields(), body.secret, webhook_id)
    return json_answer(new_webhook(made, secret))


async def find(call: Call[Nothing, Nothing]) -> Response:
    """List webhooks

    All of this workspace, oldest first; never their secrets.
    """
    return json_answer([webhook_response(one) for one in await call.service.webhooks.find(call.ws)])


async def read(call: Call[Nothing, Nothing]) -> Response:
    """Read a webhook, and how it fares"""
    return json_answer(webhook_response(await call.service.webhooks.read(call.ws, call.path["webhook_id"])))


async def update(call: Call[Nothing, UpdateWebhook]) -> Response:
    """Change, stop or resume a webhook

    What it has not been told yet is chosen by the new filters. One that was off or paused goes on where it
    stood; if changes since then are no longer kept it is told `resync` first.
    """
    changed = await call.service.webhooks.update(call.ws, call.path["webhook_id"], call.body.fields())
    return json_answer(webhook_response(changed))


async def delete(call: Call[Nothing, Nothing]) -> Response:
    """Delete a webhook

    Its dead letters go with it. The answer is `null`.
    """
    await call.service.webhooks.delete(call.ws, call.path["webhook_id"])
    return json_answer(None)


async def rotate(call: Call[Nothing, RotateSecret]) -> Response:
    """Give a webhook another secret

    Until the overlap is over, deliveries carry a signature by each of both. `secret` is not told again.
    """
    changed, secret = await call.service.webhooks.rotate(
        call.ws, call.path["webhook_id"], call.body.secret, call.body.overlap_hours * 3_600_000
    )
    return json_answer(new_webhook(changed, secret))


async def ping(call: Call[Nothing, Nothing]) -> Response:
    """Try a webhook out

    Sends a delivery that tells nothing, once, before what is new; what is under way is tried at once. The
    answer is the delivery as it waits: ask for it again to see how it went.
    """
    return json_answer(
        delivery_response(await call.service.deliveries.ping(call.ws, call.path["webhook_id"]))
    )


async def deliveries(call: Call[DeliveriesQuery, Nothing]) -> Response:
    """List a webhook's deliveries and dead letters

    The one under way, those that wait behind it, the last 100 that got through and the last 50 dead letters,
    each for 30 days. Newest first.
    """
    found = await call.service.deliveries.find(call.ws, call.path["webhook_id"])
    asked = [one for one in found if call.query.status in (None, one.status)]
    part = part_of(asked, call.query.page(), lambda one: one.id)
    return json_answer([delivery_response(one) for one in part])


async def delivery(call: Call[Nothing, Nothing]) -> Response:
    """Read one delivery, and what is posted"""
    path = call.path
    found = await call.service.deliveries.read(call.ws, path["webhook_id"], path["delivery_id"])
    return json_answer(delivery_with_body(found))


async def redeliver(call: Call[Nothing, Nothing]) -> Response:
    """Send a dead letter again

    Under the same id, before what is new; a paused webhook gets it when it is resumed. Asked again while it
    waits, nothing more happens; 400 for what is no dead letter.
    """
    path = call.path
    sent = await call.service.deliveries.redeliver(call.ws, path["webhook_id"], path["delivery_id"])
    return json_answer(delivery_response(sent))


_PATH = "/v1/webhooks"
_ONE = f"{_PATH}/{{webhook_id}}"
_EXAMPLE = {"url": "https://example.com/blockwire", "labels": ["organization"], "include": ["diff"]}

ROUTES = [
    Route("POST", f"{_PATH}/", create, "Webhooks", NewWebhook, example=_EXAMPLE),
    Route("GET", f"{_PATH}/", find, "Webhooks", list[WebhookResponse]),
    Route("GET", _ONE, read, "Webhooks", WebhookResponse),
    Route("PATCH", _ONE, update, "Webhooks", WebhookResponse, example={"active": True}),
    Route("DELETE", _ONE, delete, "Webhooks"),
    Route("POST", f"{_ONE}/rotate", rotate, "Webhooks", NewWebhook, example={"overlap_hours": 1}),
    Route("POST", f"{_ONE}/ping", ping, "Webhooks", DeliveryResponse),
    Route("GET", f"{_ONE}/deliveries", deliveries, "Webhooks", list[DeliveryResponse]),
    Route("GET", f"{_ONE}/deliveries/{{delivery_id}}", delivery, "Webhooks", DeliveryWithBody),
    Route("POST", f"{_ONE}/deliveries/{{delivery_id}}/redeliver", redeliver, "Webhooks", DeliveryResponse),
]
