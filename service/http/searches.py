"""Searches over HTTP: the messages of all agents by their words."""

from starlette.responses import Response

from service.http.answers import json_answer
from service.http.calls import Call, Nothing
from service.http.routing import Route
from service.http.schemas.searches import (
    AllMessagesSearchRequest,
    MessageSearchHit,
    MessageSearchRequest,
    MessageSearchResult,
    search_hits,
    search_results,
)


async def search(call: Call[Nothing, MessageSearchRequest]) -> Response:
    """Search the messages of all agents

    By the words in their texts, all of which must occur, newest first. It is a full-text search whatever
    `search_mode` says: there are no vectors here.
    """
    body = call.body
    return json_answer(search_results(await call.service.messages.find_all(call.ws, body.page(), body.wants)))


async def search_all(call: Call[Nothing, AllMessagesSearchRequest]) -> Response:
    """Search the messages of all agents, as they are shown

    As `POST /v1/agents/messages/search` does, in the form of 1.x: what people, agents and the system said.
    """
    body = call.body
    found = await call.service.messages.find_all(call.ws, body.page(), body.wants)
    return json_answer(search_hits(found))


ROUTES = [
    Route(
        "POST",
        "/v1/messages/search",
        search_all,
        "Messages",
        list[MessageSearchHit],
        example={"query": "heron"},
        scope="read",
    ),
    Route(
        "POST",
        "/v1/agents/messages/search",
        search,
        "Messages",
        list[MessageSearchResult],
        example={"query": "heron"},
        scope="read",
    ),
]
