"""Tools over HTTP: the built-in ones and people's own, made, changed, found, searched and run once."""

import asyncio
from typing import Any

import httpx
import pytest

from service.bootstrap import Service
from service.records.tools import ToolOutcome
from service.tools.built_in import BUILT_IN, by_name
from tests.http.conftest import WS

UNKNOWN = "tool-123e4567-e89b-42d3-8456-426614174000"


def source(name: str = "roll") -> str:
    told = "Roll a die.\n\n    Args:\n        sides (int): How many.\n    "
    return f'def {name}(sides: int) -> int:\n    """{told}"""\n'


async def make_tool(client: httpx.AsyncClient, name: str = "roll", **fields: Any) -> dict[str, Any]:
    answer = await client.post("/v1/tools/", json={"source_code": source(name), **fields})
    assert answer.status_code == 200, answer.text
    tool: dict[str, Any] = answer.json()
    return tool


async def test_built_in_tools_are_listed_and_read(client: httpx.AsyncClient) -> None:
    listed = (await client.get("/v1/tools/", params={"limit": 0})).json()
    assert {tool["name"] for tool in listed} == set(BUILT_IN)
    (one,) = (await client.get("/v1/tools/", params={"name": "memory_insert"})).json()
    assert one["json_schema"]["name"] == "memory_insert"
    assert (await client.get(f"/v1/tools/{one['id']}")).json() == one


async def test_tools_are_listed_in_pages(client: httpx.AsyncClient) -> None:
    own = [(await make_tool(client, f"own_{i}"))["id"] for i in range(3)]
    seen: list[str] = []
    page = {"limit": "7"}
    while found := (await client.get("/v1/tools/", params=page)).json():
        seen += [tool["id"] for tool in found]
        page["after"] = seen[-1]
    assert len(seen) == len(set(seen)) == len(BUILT_IN) + 3
    assert seen[:3] == own[::-1]


async def test_a_tool_is_made_from_its_source_and_found_again(client: httpx.AsyncClient) -> None:
    tool = await make_tool(
        client,
        tags=["games"],
        source_type="python",
        pip_requirements=[{"name": "numpy", "version": "2.0"}],
        npm_requirements=[{"name": "left-pad"}],
        default_requires_approval=True,
        enable_parallel_execution=True,
        return_char_limit=10,
        description="Mine.",
    )
    assert (tool["name"], tool["tool_type"], tool["source_type"]) == ("roll", "custom", "python")
    assert (tool["description"], tool["tags"], tool["return_char_limit"]) == ("Mine.", ["games"], 10)
    assert tool["pip_requirements"] == [{"name": "numpy", "version": "2.0"}]
    assert tool["npm_requirements"] == [{"name": "left-pad"}]
    assert (tool["default_requires_approval"], tool["enable_parallel_execution"]) == (True, True)
    assert tool["source_code"] == source()
    assert tool["json_schema"]["parameters"]["required"] == ["sides"]
    assert (await client.get(f"/v1/tools/{tool['id']}")).json() == tool
    for query in ({"name": "roll"}, {"names": ["roll"]}, {"search": "OLL"}, {"tool_types": "custom"}):
        assert (await client.get("/v1/tools/", params=query)).json() == [tool], query
    assert (await client.get("/v1/tools/", params={"tool_ids": f"{tool['id']},x"})).json() == [tool]


@pytest.mark.parametrize("method", ["POST", "PUT"])
async def test_the_same_name_again_changes_the_tool(client: httpx.AsyncClient, method: str) -> None:
    tool = await make_tool(client, tags=["games"])
    body = {"source_code": source().replace("die", "dice")}
    again = (await client.request(method, "/v1/tools/", json=body)).json()
    assert (again["id"], again["description"], again["tags"]) == (tool["id"], "Roll a dice.", ["games"])
    assert again["source_type"] == "json"  # as V1 has it where nothing is said


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({}, 422, "source_code"),
        ({"source_code": "def f(a): pass"}, 400, "no docstring"),
        ({"source_code": source("memory")}, 400, "built-in"),
        ({"source_code": source("x" * 49)}, 400, "1 to 48"),
        ({"source_code": "x", "source_type": "typescript"}, 422, "json_schema"),
        ({"source_code": "x", "source_type": "cobol"}, 422, "source_type"),
        ({"source_code": source(), "return_char_limit": 0}, 422, "return_char_limit"),
        ({"source_code": source(), "args_json_schema": {"properties": 1}}, 400, "args_json_schema"),
    ],
)
async def test_what_cannot_be_a_tool_is_refused_by_the_field(
    client: httpx.AsyncClient, body: dict[str, Any], status: int, said: str
) -> None:
    answer = await client.post("/v1/tools/", json=body)
    assert answer.status_code == status
    assert said in answer.json()["detail"]


async def test_a_typescript_tool_brings_its_schema(client: httpx.AsyncClient) -> None:
    body = {"source_code": "export {}", "source_type": "typescript", "json_schema": {"name": "fetch"}}
    tool = (await client.post("/v1/tools/", json=body)).json()
    assert (tool["name"], tool["source_type"]) == ("fetch", "typescript")


async def test_a_tool_is_changed_and_deleted(client: httpx.AsyncClient) -> None:
    tool, other = await make_tool(client), await make_tool(client, "other")
    path = f"/v1/tools/{tool['id']}"
    changed = (await client.patch(path, json={"tags": ["x"], "metadata_": {"idempotent": True}})).json()
    assert (changed["tags"], changed["metadata_"], changed["name"]) == (["x"], {"idempotent": True}, "roll")
    assert (await client.patch(path, json={"metadata": {"k": 1}})).json()["metadata_"] == {"k": 1}
    renamed = (await client.patch(path, json={"source_code": source("throw")})).json()
    assert (renamed["id"], renamed["name"]) == (tool["id"], "throw")
    clash = await client.patch(path, json={"source_code": source("other")})
    assert (clash.status_code, other["id"] in clash.json()["detail"]) == (400, True)
    deleted = await client.delete(path)
    assert (deleted.status_code, deleted.json()) == (200, None)
    for method in ("GET", "DELETE", "PATCH"):
        body: dict[str, Any] | None = {} if method == "PATCH" else None
        assert (await client.request(method, path, json=body)).status_code == 404


async def test_built_in_tools_stay_as_they_are(client: httpx.AsyncClient) -> None:
    path = f"/v1/tools/{by_name('memory').tool.id}"
    assert (await client.patch(path, json={"tags": ["x"]})).status_code == 400
    assert (await client.delete(path)).status_code == 400
    added = (await client.post("/v1/tools/add-base-tools")).json()
    assert [tool["name"] for tool in added] == list(BUILT_IN)


async def test_tools_are_counted(client: httpx.AsyncClient) -> None:
    await make_tool(client)
    for query, count in (
        ({}, len(BUILT_IN) + 1),
        ({"exclude_letta_tools": "true"}, 1),
        ({"return_only_letta_tools": "true"}, len(BUILT_IN)),
        ({"name": "roll"}, 1),
    ):
        assert (await client.get("/v1/tools/count", params=query)).json() == count


async def test_tools_are_searched_by_words(client: httpx.AsyncClient) -> None:
    tool = await make_tool(client, tags=["games"])
    answer = await client.post("/v1/tools/search", json={"query": "roll die"})
    [found] = answer.json()
    assert found["tool"] == tool
    assert 0 < found["combined_score"] <= 1
    assert (found["fts_rank"], found["vector_rank"], found["embedded_text"]) == (1, None, None)
    for body, count in (
        ({"tags": ["games", "x"]}, 1),
        ({"tool_types": ["custom"]}, 1),
        ({"query": "memory", "limit": 2}, 2),
        ({"query": "roll", "tool_types": ["letta_core"]}, 0),
    ):
        assert len((await client.post("/v1/tools/search", json=body)).json()) == count, body
    assert (await client.post("/v1/tools/search", json={"limit": 101})).status_code == 422
    assert (await client.post("/v1/tools/search", json={"tool_types": ["wings"]})).status_code == 400


async def test_a_schema_is_read_from_a_source(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/tools/generate-schema", json={"code": source()})
    assert answer.json()["name"] == "roll"
    assert (await client.post("/v1/tools/generate-schema", json={"code": "x"})).status_code == 400


async def test_a_source_is_run_once_by_a_worker(client: httpx.AsyncClient, service: Service) -> None:
    body = {"source_code": source(), "args": {"sides": 6}, "env_vars": {"KEY": "v"}}
    answering = asyncio.create_task(client.post("/v1/tools/run", json=body))
    request = None
    while request is None:
        claimed = await service.queue.claim("blockwire:jobs", 1)
        for job in claimed.jobs:
            request = await service.tool_runs.take(WS, job.id.split(":")[-1])
    assert (request.tool.name, request.tool.source_code) == ("roll", source())
    assert (request.arguments, request.environ, request.agent_id) == ({"sides": 6}, {"KEY": "v"}, None)
    await service.tool_runs.answer(WS, request.id, ToolOutcome(text="4", value=4, stdout=["hm"]))
    told = (await answering).json()
    assert told["message_type"] == "tool_return_message"
    assert (told["tool_return"], told["status"], told["stdout"], told["stderr"]) == (
        "4",
        "success",
        ["hm"],
        [],
    )
    assert (told["name"], told["tool_call_id"]) == ("roll", request.id)
    assert told["tool_returns"][0]["tool_return"] == "4"
    assert told["id"].startswith("message-")


@pytest.mark.parametrize(
    ("more", "status", "said"),
    [
        ({"source_type": "typescript"}, 422, "only Python"),
        ({"source_code": "def f(:"}, 400, "not valid Python"),
        ({"args": None}, 422, "args"),
        ({"env_vars": {"K": 1}}, 422, "env_vars"),
    ],
)
async def test_what_cannot_be_run_is_refused(
    client: httpx.AsyncClient, more: dict[str, Any], status: int, said: str
) -> None:
    answer = await client.post("/v1/tools/run", json={"source_code": source(), "args": {}} | more)
    assert answer.status_code == status
    assert said in answer.json()["detail"]


async def test_a_tool_type_that_does_not_exist_is_400(client: httpx.AsyncClient) -> None:
    answer = await client.get("/v1/tools/", params={"tool_types": "wings"})
    assert answer.status_code == 400


async def test_an_unknown_tool_is_404_and_a_malformed_id_422(client: httpx.AsyncClient) -> None:
    unknown = await client.get(f"/v1/tools/{UNKNOWN}")
    assert unknown.status_code == 404
    assert (await client.get("/v1/tools/hammer")).status_code == 422
