"""Health over HTTP: whether this process answers, and whether its store does too."""

from importlib.metadata import version

from pydantic import BaseModel
from starlette.responses import Response

from service.http.answers import json_answer
from service.http.calls import Call, Nothing
from service.http.routing import Route
from service.records.base import Page
from service.records.blocks import BlockQuery


class Health(BaseModel):
    version: str
    status: str = "ok"


async def health(call: Call[Nothing, Nothing]) -> Response:
    """Whether the server answers"""
    return json_answer(Health(version=VERSION))


async def ready(call: Call[Nothing, Nothing]) -> Response:
    """Whether the server and its store answer

    503 while the store does not, and while the server starts or stops.
    """
    await call.service.blocks.find(call.ws, BlockQuery(), Page(limit=1))
    return json_answer(Health(version=VERSION))


VERSION = version("blockwire")

ROUTES = [
    Route("GET", "/v1/health/", health, "Health", Health, scope="none"),
    Route("GET", "/v1/ready/", ready, "Health", Health, scope="none"),
]
