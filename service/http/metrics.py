"""Metrics over HTTP: figures of the whole server, for Prometheus and autoscalers."""

from pydantic import BaseModel, Field
from starlette.responses import Response

from service.http.calls import Call, Nothing
from service.http.routing import Route
from service.metrics.exposition import MEDIA_TYPE


class MetricsQuery(BaseModel):
    own: bool = Field(
        default=False, description="only what this web process counted; not what all of them tell alike"
    )


async def show(call: Call[MetricsQuery, Nothing]) -> Response:
    """Show figures of this server

    Prometheus' text format: what this web process and every worker counted (`process` says which), and who
    waits for the workers of each pool. They speak of all workspaces together, and name no block or agent.
    """
    return Response(await call.service.figures.text(own=call.query.own), media_type=MEDIA_TYPE)


ROUTES = [Route("GET", "/metrics", show, "Health", str, media_type="text/plain")]
