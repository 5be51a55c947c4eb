"""The app: all routes behind one door, with the service open for as long as the app lives."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.types import Lifespan, Receive, Scope, Send

from service.bootstrap import Service, open_service
from service.http import (
    agent_tools,
    agents,
    blocks,
    changes,
    context,
    core_memory,
    dead_letters,
    errands,
    health,
    identities,
    messages,
    metrics,
    models,
    pauses,
    questions,
    runs,
    searches,
    steps,
    subscriptions,
    tags,
    tokens,
    tools,
    versions,
    webhooks,
)
from service.http.docs import documentation
from service.http.door import Door
from service.http.routing import Route, Table
from service.settings import Settings

ROUTES: list[Route] = [
    *blocks.ROUTES,
    *versions.ROUTES,
    *agents.ROUTES,
    *pauses.ROUTES,
    *core_memory.ROUTES,
    *changes.ROUTES,
    *subscriptions.ROUTES,
    *webhooks.ROUTES,
    *tools.ROUTES,
    *agent_tools.ROUTES,
    *searches.ROUTES,
    *messages.ROUTES,
    *errands.ROUTES,
    *context.ROUTES,
    *questions.ROUTES,
    *runs.ROUTES,
    *dead_letters.ROUTES,
    *steps.ROUTES,
    *models.ROUTES,
    *tokens.ROUTES,
    *identities.ROUTES,
    *tags.ROUTES,
    *health.ROUTES,
    *metrics.ROUTES,
]


class _App(Starlette):
    """Starlette for its lifespan; requests go straight to the door.

    Its own layers would each look at every request, and have nothing to add: the door answers all of them.
    """

    def __init__(self, door: Door, lifespan: Lifespan["_App"]) -> None:
        super().__init__(lifespan=lifespan)
        self._door = door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._door.handle(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


def create_app(
    settings: Settings, service: Service | None = None, ending: asyncio.Event | None = None
) -> Starlette:
    """The ASGI app; it opens its own service unless it is given one, which stays the giver's to close.

    Streams that have no end of their own end when `ending` is set.
    """
    table = Table([*ROUTES, *documentation(ROUTES)])
    door = Door(table, guarded=not settings.insecure, ending=ending or asyncio.Event())
    door.service = service

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        if service is not None:
            yield
            return
        async with open_service(settings) as opened:
            door.service = opened
            try:
                yield
            finally:
                door.service = None

    return _App(door, lifespan)
