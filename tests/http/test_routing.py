"""The route table: what is found for a path, and what is refused."""

import pytest
from starlette.responses import Response

from service.errors import NotFound
from service.http.app import ROUTES
from service.http.calls import Call, Nothing
from service.http.errors import Malformed, NoRoute, WrongMethod
from service.http.paging import PageQuery
from service.http.routing import EVENT_STREAM, EXAMPLE_UUID4, Route, Table, check_ids


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
        Route("GET", "/v1/feed", many, "Things", media_type=EVENT_STREAM),
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


def test_reading_needs_less_than_the_rest_unless_a_route_says_otherwise() -> None:
    needs = {method: Route(method, "/", one, "Things").needs for method in ("GET", "POST", "PATCH", "DELETE")}
    assert needs == {"GET": "read", "POST": "write", "PATCH": "write", "DELETE": "write"}
    assert Route("POST", "/", one, "Things", scope="read").needs == "read"
    assert Route("GET", "/", one, "Things", scope="admin").needs == "admin"


def test_what_only_reads_needs_no_more_and_only_health_needs_nothing() -> None:
    assert {route.path for route in ROUTES if route.needs == "none"} == {"/v1/health/", "/v1/ready/"}
    reads = {route.path for route in ROUTES if route.method != "GET" and route.needs == "read"}
    assert "/v1/runs/{run_id}/stream" in reads


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


def test_a_feed_which_never_ends_has_no_head() -> None:
    assert found("GET", "/v1/feed")[0] == "/v1/feed"
    with pytest.raises(WrongMethod) as refused:
        TABLE.find("HEAD", "/v1/feed")
    assert refused.value.allowed == "GET"


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


def test_well_formed_ids_and_other_parameters_pass() -> None:
    given = {f"{kind}_id": f"{kind}-{EXAMPLE_UUID4}" for kind in ("block", "run", "subscription")}
    check_ids({**given, "block_label": "any:thing"})


@pytest.mark.parametrize("kind", ["run", "subscription"])
@pytest.mark.parametrize(
    "rest", ["1", EXAMPLE_UUID4 + ":messages", EXAMPLE_UUID4.upper(), EXAMPLE_UUID4 + "\n"]
)
def test_a_run_or_subscription_id_that_cannot_be_one_is_simply_not_found(kind: str, rest: str) -> None:
    with pytest.raises(NotFound, match=f"^{kind} {kind}-"):
        check_ids({f"{kind}_id": f"{kind}-{rest}"})


def test_a_route_takes_its_models_and_words_from_its_handler() -> None:
    route = Route("GET", "/v1/things/{thing_id}/of/{label:path}", one, "Things")
    assert (route.query, route.body) == (None, None)
    assert (route.summary, route.description) == ("Read one thing", "It has words, too.")
    assert route.parameters == ["thing_id", "label"]
    assert Route("GET", "/", many, "Things").query is PageQuery
    assert Route("PATCH", "/", change, "Things").body is PageQuery
