"""Tags over HTTP: the names that blocks and agents carry."""

from starlette.responses import Response

from service.http.answers import json_answer
from service.http.calls import Call, Nothing
from service.http.routing import Route
from service.http.schemas.tags import TagListQuery


async def find(call: Call[TagListQuery, Nothing]) -> Response:
    """List tags

    Of agents and of blocks, each once, by name. `after` and `before` are names. A tag goes with its last use.
    """
    query = call.query
    found = await call.service.tags.find(call.ws, query.page(), name=query.name, words=query.query_text)
    return json_answer(found)


ROUTES = [Route("GET", "/v1/tags/", find, "Tags", list[str])]
