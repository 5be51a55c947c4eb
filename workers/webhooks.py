"""Webhooks: whoever has something to be told is posted it, by whichever worker comes first.

A worker claims webhooks that are due, a few at a time, each for longer than one try takes; if it
dies, another sends the same delivery under the same id. What did not get through is tried again
after 1 s, 2 s, 4 s and so on, up to an hour; a receiver that refuses one delivery for what is in
it (400, 413, 415, 422) is spared it after five tries, one that says 410 is told nothing more. Each
post is a task of its own, so a slow receiver delays nobody else.

Elsewhere: what is told (payloads.py); how it is posted (posts.py); what is kept (service/deliveries.py).
"""

import asyncio
import random
import re
from contextlib import suppress

import structlog

from service.addresses import is_still_allowed
from service.bootstrap import Service, now
from service.errors import StoreUnreachable
from service.records.webhooks import Claimed, Delivery, Verdict
from service.signatures import headers_of
from workers.payloads import next_part
from workers.posts import Outcome, Poster
from workers.workspaces import in_each

log = structlog.get_logger()

LOOK_AGAIN_S = 5.0
TIMEOUT_S = 10.0
AT_ONCE = 20
"""Webhooks of one workspace that this process serves at once."""
IN_ALL = 100
WAIT_MOST_S = 3600
REFUSALS = (400, 413, 415, 422)
"""What speaks of a delivery rather than of its receiver."""
REFUSED_TRIES = 5


class Deliverer:
    """Delivers, for every workspace, until it is cancelled."""

    def __init__(self, service: Service, poster: Poster) -> None:
        self._service = service
        self._poster = poster
        self._serving = 0

    async def run(self) -> None:
        await in_each(self._service, self._watch)

    async def _watch(self, ws: str) -> None:
        look = asyncio.Event()
        async with self._service.deliveries.rings(ws) as rings, asyncio.TaskGroup() as group:
            group.create_task(_pass_on(rings, look))
            busy: set[asyncio.Task[None]] = set()
            while True:
                look.clear()
                pause = LOOK_AGAIN_S
                try:
                    free = min(AT_ONCE - len(busy), IN_ALL - self._serving)
                    if free > 0:
                        soonest, claimed = await self._service.deliveries.claim(ws, free)
                        pause = LOOK_AGAIN_S if soonest is None else min(LOOK_AGAIN_S, soonest)
                        for one in claimed:
                            task = group.create_task(self._serve(ws, one, look))
                            busy.add(task)
                            task.add_done_callback(busy.discard)
                except StoreUnreachable as failure:
                    log.warning("webhooks.deferred", workspace=ws, error=str(failure))
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await look.wait()

    async def _serve(self, ws: str, claimed: Claimed, look: asyncio.Event) -> None:
        self._serving += 1
        try:
            await self.serve(ws, claimed)
        except StoreUnreachable as failure:  # whoever claims it next goes on from what is stored
            log.warning("webhook.deferred", workspace=ws, webhook_id=claimed.webhook.id, error=str(failure))
        finally:
            self._serving -= 1
            look.set()

    async def serve(self, ws: str, claimed: Claimed) -> None:
        """Sends one delivery to a webhook: the one under way, or the next, if there is anything to tell."""
        delivery = claimed.delivery or await self._next(ws, claimed)
        if delivery is None:
            return
        try:
            told = await self._post(claimed, delivery)
        except asyncio.CancelledError:  # the worker is stopped: another one sends it again at once
            cut_off = Verdict(outcome="again", error="the worker was stopped while it waited for an answer")
            with suppress(StoreUnreachable):
                await self._settle(ws, claimed, delivery, cut_off)
            raise
        status, paused = await self._settle(ws, claimed, delivery, judged(delivery, told))
        facts = {"workspace": ws, "webhook_id": claimed.webhook.id, "delivery_id": delivery.id}
        if status == "lost":
            log.warning("webhook.lost", **facts)
            return
        log.info(
            "webhook.sent",
            outcome=status,
            http_status=told.status,
            error=told.error,
            tries=delivery.tries + 1,
            **facts,
        )
        if paused:
            log.warning("webhook.paused", reason=paused, **facts)

    async def _settle(
        self, ws: str, claimed: Claimed, delivery: Delivery, verdict: Verdict
    ) -> tuple[str, str]:
        """What the delivery is from now on, or `lost`; and why its webhook was paused, or ''."""
        status, paused = await self._service.deliveries.settle(ws, claimed, delivery.id, verdict)
        metrics = self._service.metrics
        metrics.deliveries.add(verdict.outcome if status == "waiting" else status)
        if status == "delivered":
            metrics.delivered_changes.add(by=delivery.changes)
        if paused:
            metrics.webhooks_paused.add(paused)
        return status, paused

    async def _next(self, ws: str, claimed: Claimed) -> Delivery | None:
        """Looks on from the webhook's position until there is something to tell, or nothing more."""
        position = claimed.position
        while True:
            part = await next_part(self._service, ws, claimed.webhook, position)
            begun = await self._service.deliveries.begin(ws, claimed, part.upto, part.delivery)
            if begun == "begun" and part.delivery is not None:
                made = vars(part.delivery)
                return Delivery(**made, webhook_id=claimed.webhook.id, created_at=now())
            if begun != "more":
                return None
            position = part.upto

    async def _post(self, claimed: Claimed, delivery: Delivery) -> Outcome:
        webhook, body = claimed.webhook, (delivery.body or "").encode()
        headers = headers_of(delivery.id, now() // 1_000_000, body, claimed.secrets)
        allowed = is_still_allowed(self._service.settings, webhook.private)
        return await self._poster.post(webhook.url, body, headers, private=allowed, timeout_s=TIMEOUT_S)


async def _pass_on(rings: "asyncio.Queue[str | None]", look: asyncio.Event) -> None:
    while True:
        await rings.get()
        look.set()


def judged(delivery: Delivery, told: Outcome) -> Verdict:
    """What becomes of a delivery after a try that went so."""
    status, error = told.status, told.error
    if status is not None and 200 <= status < 300:
        return Verdict(outcome="delivered", http_status=status)
    if status is not None:
        error = f"the receiver answered {status}"
        if 300 <= status < 400:
            error += "; redirects are not followed, give the webhook its new address"
    if delivery.kind == "ping":
        return Verdict(outcome="failed", http_status=status, error=error)
    if status == 410:
        return Verdict(outcome="gone", http_status=status, error=error)
    if status in REFUSALS and delivery.tries + 1 >= REFUSED_TRIES:
        return Verdict(outcome="dead", http_status=status, error=error)
    wait_ms = round(1000 * wait_s(delivery.tries, told.retry_after))
    return Verdict(outcome="again", http_status=status, error=error, wait_ms=wait_ms)


def wait_s(tries: int, retry_after: str = "") -> float:
    """How long to wait after so many tries before this one: doubled each time, scattered, at most an hour.

    A receiver that says how long it wants to be left alone is, up to an hour.
    """
    said = re.fullmatch("[0-9]{1,9}", retry_after)
    asked = min(int(said[0]), WAIT_MOST_S) if said else 0
    return max(asked, min(2.0 ** min(tries, 20), WAIT_MOST_S) * random.uniform(0.75, 1.25))
