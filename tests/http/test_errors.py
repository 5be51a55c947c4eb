"""The table of errors: the status and the V1 body of each."""

from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from service import errors
from service.http.errors import (
    ClientGone,
    Malformed,
    Misused,
    ModelFailed,
    NoRoute,
    NotJson,
    NotReady,
    Refusal,
    StaleMatch,
    Stranger,
    TooLarge,
    WrongMethod,
    malformed,
    refusal_of,
)
from service.records.runs import RunError

CONFLICT = errors.EditConflict(3, 5, "now")


def refused(error: Exception) -> Refusal:
    refusal = refusal_of(error)
    assert refusal is not None
    return refusal


@pytest.mark.parametrize(
    ("error", "status", "opening"),
    [
        (Misused("messages: empty"), 422, "messages: empty"),
        (errors.NotFound("block", "block-1"), 404, "block block-1"),
        (errors.NotAttached("agent-1", "notes"), 404, "block 'notes'"),
        (NoRoute(), 404, "Not Found"),
        (WrongMethod(["GET"]), 405, "Method Not Allowed"),
        (TooLarge(7), 413, "body: must not be larger than 7 bytes"),
        (NotJson("Content-Type: no"), 415, "Content-Type: no"),
        (WrongMethod([], "No editing"), 405, "No editing"),
        (Stranger("Host: no"), 403, "Host: no"),
        (errors.Unauthorized(), 401, "Unauthorized"),
        (errors.ScopeTooSmall("write", "read"), 403, "this needs a token of scope write; yours has the"),
        (errors.ScopeTooSmall("admin", None), 403, "this needs a token of scope admin; there are no tokens"),
        (errors.TooManyRequests(60, 7), 429, "this token may send 60 requests per minute; try again in 7 s"),
        (errors.InboxFull("agent-1", 7), 429, "the inbox of agent agent-1 is full: 7 messages wait in it"),
        (
            errors.StoreFilling(95_000_000, 10**8),
            503,
            "the store's memory is nearly full (95 of 100 MB): new",
        ),
        (errors.LastToken("token-1"), 409, "CONFLICT: token-1 is the last token"),
        (ClientGone(), 499, "The client left"),
        (errors.Invalid("name", "too odd"), 400, "INVALID_ARGUMENT: name: too odd"),
        (errors.BlockFull(12, 10), 400, "INVALID_ARGUMENT: value: would have 12 characters"),
        (errors.NoMatch(), 400, "INVALID_ARGUMENT: old: "),
        (
            errors.ManyMatches([1, 4]),
            400,
            "INVALID_ARGUMENT: old: the text occurs more than once (lines 1, 4)",
        ),
        (errors.LineOutOfRange(3), 400, "INVALID_ARGUMENT: line: "),
        (errors.UnknownModel("a/b", False, "try c/d"), 404, "NOT_FOUND: model: "),
        (errors.UnknownModel("a/b", True, "try c/d"), 400, "INVALID_ARGUMENT: embedding: "),
        (errors.LabelTaken("notes", "agent-1"), 409, "CONFLICT: label: "),
        (errors.IdReused("edit_id", "7"), 409, "CONFLICT: edit_id: "),
        (errors.BlockwireError("busy; try again"), 409, "CONFLICT: busy; try again"),
        (errors.StoreUnreachable("the store is away"), 503, "the store is away"),
        (NotReady("starting"), 503, "starting"),
    ],
)
def test_each_error_has_its_status_and_text(error: Exception, status: int, opening: str) -> None:
    refusal = refused(error)
    assert refusal.status == status
    assert list(refusal.body) == ["detail"]
    assert refusal.body["detail"].startswith(opening)


@pytest.mark.parametrize(
    "error",
    [errors.LabelTaken("a", "b"), errors.IdReused("edit_id", "7"), errors.LastToken("token-1"), CONFLICT],
)
def test_a_conflict_that_waiting_cannot_cure_is_not_to_be_retried(error: Exception) -> None:
    assert refused(error).headers == {"x-should-retry": "false"}


def test_what_waiting_can_cure_says_when_to_come_again() -> None:
    assert refused(errors.StoreUnreachable("away")).headers == {"retry-after": "1"}
    assert refused(errors.TooManyRequests(60, 7)).headers == {"retry-after": "7"}


def test_who_has_no_token_is_told_which_kind_there_is() -> None:
    assert refused(errors.Unauthorized("whatever the reason")).body == {"detail": "Unauthorized"}
    assert refused(errors.Unauthorized()).headers == {"www-authenticate": "Bearer"}


@pytest.mark.parametrize(("error", "status"), [(CONFLICT, 409), (StaleMatch(3, 5, "now"), 412)])
def test_an_edit_conflict_carries_the_current_version_and_value(error: Exception, status: int) -> None:
    refusal = refused(error)
    assert refusal.status == status
    assert refusal.body["current"] == {"version": 5, "value": "now"}
    assert refusal.body["detail"].startswith("CONFLICT: expected_version")


def test_a_wrong_method_tells_the_right_ones() -> None:
    assert refused(WrongMethod(["PATCH", "GET"])).headers == {"allow": "GET, PATCH"}


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("llm_rate_limit", 429),
        ("llm_insufficient_credits", 402),
        ("llm_authentication", 401),
        ("llm_timeout", 504),
        ("llm_bad_request", 400),
        ("llm_empty_response", 500),
        ("llm_error", 500),
        ("llm_something_new", 500),
    ],
)
def test_a_failed_model_is_told_under_error(kind: str, status: int) -> None:
    refusal = refused(ModelFailed(RunError(type=kind, message="no", detail="why")))
    assert refusal.status == status
    assert refusal.body == {"error": {"type": kind, "message": "no", "detail": "why"}}
    assert refusal.headers == {"x-should-retry": "false"}


@pytest.mark.parametrize(("detail", "told"), [("why", "why"), (None, "no")])
def test_a_conversation_longer_than_the_models_window_is_400_and_says_so(
    detail: str | None, told: str
) -> None:
    refusal = refused(ModelFailed(RunError(type="llm_context_window", message="no", detail=detail)))
    assert refusal.status == 400
    assert refusal.body["error"] == {
        "type": "llm_context_window",
        "message": "no",
        "detail": f"CONTEXT_WINDOW_EXCEEDED: {told}",
    }
    assert refusal.headers == {"x-should-retry": "false"}


def test_malformed_has_a_trace_id_and_examples_only_for_ids() -> None:
    assert refused(Malformed("a: b")).body == {"trace_id": "", "detail": "a: b"}
    assert refused(Malformed("a: b", ["c"])).body == {"trace_id": "", "detail": "a: b", "examples": ["c"]}


def test_an_error_nobody_expected_is_not_in_the_table() -> None:
    assert refusal_of(RuntimeError("secret")) is None


class Inner(BaseModel):
    size: int


class Outer(BaseModel):
    inners: list[Inner]
    name: str


def fault(values: dict[str, Any]) -> str:
    with pytest.raises(ValidationError) as caught:
        Outer.model_validate(values)
    return str(malformed("body", caught.value))


def test_every_wrong_field_is_named_with_its_path_and_never_its_value() -> None:
    text = fault({"inners": [{"size": 1}, {"size": "hush"}]})
    assert "body.inners.1.size: Input should be a valid integer" in text
    assert "body.name: Field required" in text
    assert "hush" not in text


def test_of_very_many_faults_the_first_ten_are_told() -> None:
    text = fault({"inners": [{}] * 30, "name": "x"})
    assert text.count("Field required") == 10
    assert text.endswith("; and 20 more")


@pytest.mark.parametrize("error", [errors.InboxFull("agent-1", 7), errors.StoreFilling(95, 100)])
def test_what_waiting_cures_says_for_how_long_and_may_be_repeated(error: Exception) -> None:
    assert refused(error).headers == {"retry-after": "5"}
