"""The OpenAPI document and the page: they tell what is served, all of it, and load nothing from elsewhere."""

import json
import re
from typing import Any

import httpx
import pytest
from pydantic import TypeAdapter, ValidationError

from service.http.app import ROUTES
from service.http.openapi import openapi
from service.http.routing import Route

DOCUMENT: dict[str, Any] = json.loads(json.dumps(openapi(ROUTES)))


def operation(method: str, path: str) -> dict[str, Any]:
    found: dict[str, Any] = DOCUMENT["paths"][path][method]
    return found


def references(part: Any) -> set[str]:
    if isinstance(part, list):
        return {name for one in part for name in references(one)}
    if not isinstance(part, dict):
        return set()
    own = {part["$ref"]} if isinstance(part.get("$ref"), str) else set()
    return own | {name for one in part.values() for name in references(one)}


def test_every_route_is_described_once() -> None:
    described = {(method.upper(), path) for path, methods in DOCUMENT["paths"].items() for method in methods}
    assert described == {(route.method, route.path.replace(":path}", "}")) for route in ROUTES}
    ids = [one["operationId"] for methods in DOCUMENT["paths"].values() for one in methods.values()]
    assert len(ids) == len(set(ids)) == len(ROUTES)


def test_every_reference_leads_somewhere() -> None:
    components = {f"#/components/schemas/{name}" for name in DOCUMENT["components"]["schemas"]}
    assert references(DOCUMENT) <= components
    assert DOCUMENT["openapi"] == "3.1.0"


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_every_route_says_what_it_does_and_every_body_has_an_example_that_works(route: Route) -> None:
    assert 5 < len(route.summary) < 80
    assert route.tag in {tag["name"] for tag in DOCUMENT["tags"]}
    if route.body is not None:
        assert route.example is not None
        route.body.model_validate(route.example)


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_every_answer_has_an_example_that_fits_its_type(route: Route) -> None:
    told = operation(route.method.lower(), route.path.replace(":path}", "}"))["responses"]
    if "405" in told:
        assert "200" not in told
        return
    (answer,) = told["200"]["content"].values()
    TypeAdapter(route.answers).validate_python(answer["example"])


def test_an_example_shows_ids_of_its_kind_and_defaults() -> None:
    (answer,) = operation("post", "/v1/blocks/{block_id}/edits")["responses"]["200"]["content"].values()
    shown = answer["example"]
    assert shown["id"].startswith("block-")
    assert (shown["limit"], shown["value"]) == (100_000, "value")
    (run,) = operation("get", "/v1/runs/{run_id}")["responses"]["200"]["content"].values()
    assert (run["example"]["id"][:4], run["example"]["agent_id"][:6]) == ("run-", "agent-")


def test_refusals_that_others_do_not_have_are_told() -> None:
    told = operation("post", "/v1/agents/{agent_id}/messages")["responses"]
    assert {"401", "402", "429", "500", "504"} <= set(told)
    for method, path, statuses in (
        ("post", "/v1/runs/{run_id}/stream", {"410"}),
        ("get", "/v1/blocks/{block_id}/versions/{version}", {"410"}),
        ("get", "/v1/runs/{run_id}/trace", {"501"}),
        ("post", "/v1/agents/{agent_id}/generate", {"502", "504"}),
        ("post", "/v1/agents/{agent_id}/summarize", {"402", "504"}),
        ("post", "/v1/tools/run", {"504"}),
    ):
        assert statuses <= set(operation(method, path)["responses"])


def test_parameters_tell_their_type_bounds_and_default() -> None:
    parameters = {one["name"]: one for one in operation("get", "/v1/blocks/")["parameters"]}
    assert parameters["limit"]["schema"] == {
        "type": "integer",
        "default": 50,
        "minimum": 0,
    }
    assert "0, or more than 10000, means 10000" in parameters["limit"]["description"]
    assert parameters["label"]["schema"]["maxLength"] == 50
    assert parameters["tags"]["schema"]["type"] == "array"
    assert parameters["tags"]["description"]
    (block_id,) = operation("get", "/v1/blocks/{block_id}")["parameters"]
    assert (block_id["in"], block_id["required"]) == ("path", True)
    assert re.fullmatch(block_id["schema"]["pattern"], block_id["schema"]["examples"][0])


def test_bodies_and_answers_refer_to_their_models() -> None:
    edit = operation("post", "/v1/blocks/{block_id}/edits")
    body = edit["requestBody"]["content"]["application/json"]
    assert body["schema"] == {"$ref": "#/components/schemas/BlockEdit"}
    answers = {
        status: told["content"]["application/json"]["schema"] for status, told in edit["responses"].items()
    }
    assert answers["200"] == {"$ref": "#/components/schemas/EditedBlock"}
    assert set(answers) == {
        *("200", "400", "401", "403", "404", "409", "412", "413", "415", "422", "429", "503")
    }
    read = operation("get", "/v1/blocks/{block_id}")
    assert set(read["responses"]) == {"200", "400", "401", "403", "404", "422", "429", "503"}
    assert operation("get", "/v1/blocks/count")["responses"]["200"]["content"]["application/json"][
        "schema"
    ] == {"type": "integer"}


async def test_answers_are_what_the_document_says(client: httpx.AsyncClient) -> None:
    """One answer of each noun, held against the model that the document was made from."""
    block = (await client.post("/v1/blocks/", json={"label": "a"})).json()
    agent = {"model": "offline/extractive", "block_ids": [block["id"]]}
    await client.post("/v1/agents/", json=agent)
    for route in ROUTES:
        plain = "{" not in route.path and route.media_type == "application/json"
        if route.method == "GET" and plain and route.needs != "admin":
            answer = await client.get(route.path)
            try:
                TypeAdapter(route.answers).validate_json(answer.content, strict=True)
            except ValidationError as error:
                pytest.fail(f"{route.path}: {error}")


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_every_route_says_which_scope_it_needs(route: Route) -> None:
    told = operation(route.method.lower(), route.path.replace(":path}", "}"))
    if route.needs == "none":
        assert told["security"] == []
        assert not {"401", "429"} & set(told["responses"])
    else:
        assert "security" not in told
        assert f"`{route.needs}` is needed" in told["responses"]["403"]["description"]
        assert {"401", "429"} <= set(told["responses"])


def test_a_token_may_be_sent_in_both_of_v1s_ways_or_not_at_all_without_any() -> None:
    assert DOCUMENT["security"] == [{"token": []}, {"password": []}, {}]
    schemes = DOCUMENT["components"]["securitySchemes"]
    assert schemes["token"] == {"type": "http", "scheme": "bearer"}
    assert schemes["password"]["name"] == "X-BARE-PASSWORD"


def test_every_list_whose_limit_may_be_zero_tells_its_ceiling() -> None:
    limits = [
        parameter
        for methods in DOCUMENT["paths"].values()
        for one in methods.values()
        for parameter in one["parameters"]
        if parameter["name"] == "limit" and parameter["schema"]["minimum"] == 0
    ]
    assert len(limits) >= 15
    assert all("means 10000" in parameter["description"] for parameter in limits)


def test_what_a_send_cannot_carry_yet_is_not_promised() -> None:
    fields = DOCUMENT["components"]["schemas"]["AsyncSendRequest"]["properties"]
    for name in ("return_logprobs", "top_logprobs", "return_token_ids"):
        assert fields[name]["description"].startswith("not available yet in this version; ")


def test_a_feed_is_described_as_one() -> None:
    (answer,) = operation("get", "/v1/changes")["responses"]["200"]["content"].items()
    assert answer[0] == "text/event-stream"
    assert answer[1]["schema"] == {"$ref": "#/components/schemas/ChangeEvent"}


def test_a_stream_is_described_with_all_that_it_carries() -> None:
    (answer,) = operation("post", "/v1/runs/{run_id}/stream")["responses"]["200"]["content"].items()
    assert answer[0] == "text/event-stream"
    assert "#/components/schemas/Ping" in references(answer[1])


async def test_the_document_is_served(client: httpx.AsyncClient) -> None:
    served = await client.get("/openapi.json")
    assert served.headers["content-type"] == "application/json"
    assert served.json() == DOCUMENT


async def test_whoever_opens_the_server_in_a_browser_is_led_to_the_page(client: httpx.AsyncClient) -> None:
    way = await client.get("/")
    assert (way.status_code, way.headers["location"]) == (307, "/docs")
    stranger = await client.get("/", headers={"Host": "evil.example"})
    assert stranger.status_code == 403


async def test_the_page_holds_the_document_and_nothing_from_elsewhere(client: httpx.AsyncClient) -> None:
    page = await client.get("/docs")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in page.headers["content-security-policy"]
    held = re.search(r'<script type="application/json" id="document">(.*?)</script>', page.text, re.DOTALL)
    assert held is not None
    assert json.loads(held[1]) == DOCUMENT
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", page.text)
