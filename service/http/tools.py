"""Tools over HTTP: those built in, and those that people bring along; and running a source once.

Elsewhere: the tools of an agent (agent_tools.py).
"""

from typing import Any

from starlette.responses import Response

from service.http.answers import json_answer
from service.http.calls import Call, Nothing
from service.http.errors import Misused
from service.http.refusals import NO_ANSWER
from service.http.routing import Route
from service.http.schemas.tool_runs import ToolRunFromSource, return_message
from service.http.schemas.tools import (
    SchemaRequest,
    ToolCountQuery,
    ToolCreate,
    ToolListQuery,
    ToolResponse,
    ToolSearchRequest,
    ToolSearchResult,
    ToolUpdate,
    search_results,
    tool_response,
)
from service.http.schemas.transcript import ToolReturnMessage
from service.records.ids import new_id
from service.records.tools import Tool, ToolRequest
from service.toolbox import schema_from
from service.tools.built_in import BUILT_IN
from service.tools.sources import function_of

_SOURCE = '''\
def roll(sides: int) -> int:
    """Roll a die.

    Args:
        sides (int): How many sides it has.
    """
    import random
    return random.randint(1, sides)
'''


async def find(call: Call[ToolListQuery, Nothing]) -> Response:
    """List tools

    Newest first unless asked otherwise; the built-in ones are the oldest.
    """
    query = call.query
    found = await call.service.tools.find(call.ws, query.page(), query.wants, query.exact_names())
    return json_answer([tool_response(tool) for tool in found])


async def count(call: Call[ToolCountQuery, Nothing]) -> Response:
    """Count tools"""
    return json_answer(await call.service.tools.count(call.ws, call.query.wants))


async def create(call: Call[Nothing, ToolCreate]) -> Response:
    """Create a tool

    Name and schema are read from the Python source, which is not executed: from the docstring (with `Args:`)
    and type hints of its last top-level function; `json_schema` or `args_json_schema` go before. A tool of
    the same name is changed and keeps its id. Packages it requires are kept and given back, not installed. It
    is run by workers that are set to do so (`BLOCKWIRE_CUSTOM_TOOLS=process`).
    """
    return json_answer(tool_response(await call.service.tools.create(call.ws, call.body.fields(), call.by)))


async def upsert(call: Call[Nothing, ToolCreate]) -> Response:
    """Create a tool, or change the one of its name

    The same as creating it.
    """
    return await create(call)


async def retrieve(call: Call[Nothing, Nothing]) -> Response:
    """Read a tool"""
    return json_answer(tool_response(await call.service.tools.read(call.ws, call.path["tool_id"])))


async def update(call: Call[Nothing, ToolUpdate]) -> Response:
    """Change a tool

    Only fields that are there and not null are applied. Another source or schema may give it another name:
    agents keep the tool, and their rules follow. Built-in tools cannot be changed.
    """
    fields = call.body.fields()
    changed = await call.service.agent_tools.update(call.ws, call.path["tool_id"], fields, call.by)
    return json_answer(tool_response(changed))


async def delete(call: Call[Nothing, Nothing]) -> Response:
    """Delete a tool

    Agents that had it attached have it no more. The answer is `null`. Built-in tools cannot be deleted.
    """
    await call.service.tools.delete(call.ws, call.path["tool_id"])
    return json_answer(None)


async def add_base_tools(call: Call[Nothing, Nothing]) -> Response:
    """List the built-in tools

    V1 creates them with this; here they are always there.
    """
    return json_answer([tool_response(one.tool) for one in BUILT_IN.values()])


async def search(call: Call[Nothing, ToolSearchRequest]) -> Response:
    """Search tools

    By words in name, tags and description, best first. It is a full-text search whatever `search_mode` says:
    there are no vectors here, so `vector_rank` is null.
    """
    body = call.body
    found = await call.service.tools.search(call.ws, body.query or "", body.wants, body.limit)
    return json_answer(search_results(found))


async def generate_schema(call: Call[Nothing, SchemaRequest]) -> Response:
    """Read a tool's schema from its source

    Nothing is executed or kept.
    """
    return json_answer(schema_from(call.body.code))


async def run(call: Call[Nothing, ToolRunFromSource]) -> Response:
    """Run a source once

    In a process of its own at a worker that is set to do so (`BLOCKWIRE_CUSTOM_TOOLS=process`); an error of
    the tool, or a worker that is not set so, is an answer with `status: error`. 503: no worker took it within
    a minute, and it will not be run. 504: the worker that took it did not answer. It is never run twice.
    """
    body = call.body
    if body.source_type == "typescript":
        raise Misused("source_type: TypeScript cannot be run here; only Python can")
    name = body.name or str((body.json_schema or {}).get("name") or function_of(body.source_code).name)
    request = ToolRequest(
        id=new_id("toolrun"),
        tool=Tool(id="", name=name, source_code=body.source_code),
        arguments=body.args,
        environ=body.env_vars or {},
    )
    outcome = await call.while_connected(call.service.tool_runs.run(call.ws, request))
    return json_answer(return_message(request.id, name, outcome))


_TAG = "Tools"
_SOME: dict[str, Any] = {"source_code": _SOURCE}

ROUTES = [
    Route("GET", "/v1/tools/", find, _TAG, list[ToolResponse]),
    Route("GET", "/v1/tools/count", count, _TAG, int),
    Route("POST", "/v1/tools/", create, _TAG, ToolResponse, example=_SOME),
    Route("PUT", "/v1/tools/", upsert, _TAG, ToolResponse, example=_SOME),
    Route("POST", "/v1/tools/add-base-tools", add_base_tools, _TAG, list[ToolResponse], scope="read"),
    Route(
        "POST",
        "/v1/tools/search",
        search,
        _TAG,
        list[ToolSearchResult],
        example={"query": "memory"},
        scope="read",
    ),
    Route(
        "POST",
        "/v1/tools/generate-schema",
        generate_schema,
        _TAG,
        dict[str, Any],
        example={"code": _SOURCE},
        scope="read",
    ),
    Route(
        "POST",
        "/v1/tools/run",
        run,
        _TAG,
        ToolReturnMessage,
        example={**_SOME, "args": {"sides": 6}},
        refuses=NO_ANSWER,
    ),
    Route("GET", "/v1/tools/{tool_id}", retrieve, _TAG, ToolResponse),
    Route("PATCH", "/v1/tools/{tool_id}", update, _TAG, ToolResponse, example={"tags": ["games"]}),
    Route("DELETE", "/v1/tools/{tool_id}", delete, _TAG),
]
