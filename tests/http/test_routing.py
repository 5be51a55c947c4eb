"""The route table: what is found for a path, and what is refused."""

import pytest
from starlette.responses import Response

from service.http.calls import Call, Nothing
from service.http.errors import Malformed, NoRoute, WrongMethod
from service.http.paging import PageQuery
from service.http.routing import Route, Table, check_ids


async def one(call: Call[Nothing, Nothing]) -> Response:
    """Read one thing.

    It has words, too.
    """
    return Response()


async def many(call: Call[PageQuery, Nothing]) -> Response:
    """List things"""
    return Response()


async def change(call: Call[Nothing, PageQuery]) -> Response:
    """Change a thing"""
    return Response()


TABLE = Table(
    [
        Route("GET", "/v1/things/", many, "Things"),
        Route("GET", "/v1/things/count", many, "Things"),
        Route("GET", "/v1/things/{thing_id}", one, "Things"),
        Route("PATCH", "/v1/things/special/{name}", change, "Things"),
        Route("POST", "/v1/things/{label:path}/edits", change, "Things"),
        Route("PATCH", "/v1/things/{label:path}", change, "Things"),
    ]
)


def found(method: str, path: str) -> tuple[str, dict[str, str]]:
    route, parameters = TABLE.find(method, path)
    return route.path, parameters


@pytest.mark.parametrize("path", ["/v1/things", "/v1/things/", "/latest/things", "/latest/things/"])
def test_both_spellings_and_both_mounts_are_served(path: str) -> None:
    assert found("GET", path) == ("/v1/things/", {})


@pytest.mark.parametrize("path", ["/v1/things/7", "/v1/things/7/", "/latest/things/7/"])
def test_a_parameter_is_found_in_both_spellings(path: str) -> None:
    assert found("GET", path) == ("/v1/things/{thing_id}", {"thing_id": "7"})


def test_a_fixed_path_goes_before_a_pattern() -> None:
    assert found("GET", "/v1/things/count")[0] == "/v1/things/count"


def test_a_path_parameter_holds_slashes_and_an_end_is_respected() -> None:
    assert found("POST", "/v1/things/a/b/edits") == ("/v1/things/{label:path}/edits", {"label": "a/b"})
    assert found("PATCH", "/v1/things/a/b") == ("/v1/things/{label:path}", {"label": "a/b"})


def test_the_first_pattern_that_fits_is_taken() -> None:
    assert found("PATCH", "/v1/things/special/x") == ("/v1/things/special/{name}", {"name": "x"})


def test_an_encoded_slash_is_part_of_the_parameter() -> None:
    assert found("PATCH", "/v1/things/special%2Fx") == ("/v1/things/{label:path}", {"label": "special/x"})


def test_percent_encoded_text_is_decoded_as_utf_8() -> None:
    assert found("GET", "/v1/things/caf%C3%A9%20x")[1] == {"thing_id": "café x"}


@pytest.mark.parametrize("path", ["/v1/nothing", "/", "", "/v1", "/v2/things/", "/v1/things//"])
def test_an_unknown_path_is_no_route(path: str) -> None:
    with pytest.raises(NoRoute):
        TABLE.find("GET", path)


def test_a_wrong_method_names_the_allowed_ones() -> None:
    with pytest.raises(WrongMethod) as refused:
        TABLE.find("DELETE", "/v1/things/7")
    assert refused.value.allowed == "GET, HEAD, PATCH"


def test_a_head_request_is_served_where_get_is() -> None:
    assert found("HEAD", "/v1/things/7")[0] == "/v1/things/{thing_id}"


@pytest.mark.parametrize(
    "text",
    [
        "block-1",
        "block-123e4567-e89b-12d3-8456-426614174000",
        "block-123E4567-e89b-42d3-8456-426614174000",
        "agent-123e4567-e89b-42d3-8456-426614174000",
        "block-123e4567-e89b-42d3-8456-426614174000\n",
    ],
)
def test_a_malformed_id_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(Malformed, match=r"path\.block_id") as refused:
        check_ids({"block_id": text})
    assert refused.value.examples == ["block-123e4567-e89b-42d3-8456-426614174000"]


def test_ids_of_other_things_are_plain_strings() -> None:
    check_ids({"run_id": "anything", "block_id": "block-123e4567-e89b-42d3-8456-426614174000"})


def test_a_route_takes_its_models_and_words_from_its_handler() -> None:
    route = Route("GET", "/v1/things/{thing_id}/of/{label:path}", one, "Things")
    assert (route.query, route.body) == (None, None)
    assert (route.summary, route.description) == ("Read one thing", "It has words, too.")
    assert route.parameters == ["thing_id", "label"]
    assert Route("GET", "/", many, "Things").query is PageQuery
    assert Route("PATCH", "/", change, "Things").body is PageQuery
