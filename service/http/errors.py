"""Errors on the wire: the one table that turns an error into a status and V1's body for it.

The shapes are V1's: `{"detail": "<text>"}`, typed ones opening with a word in
capitals; 422 with one string that names every field; a model's failure under
`error` instead of `detail`. Whatever the table does not know is a 500 that says
nothing: what went wrong is in the log (door.py).

The SDKs repeat a POST after a 409, a 429 and any 5xx; `x-should-retry: false`
stops them where repeating cannot help or could run tools a second time.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from service.errors import (
    BlockFull,
    BlockReadOnly,
    BlockwireError,
    CannotUndo,
    EditConflict,
    Expired,
    IdReused,
    InboxFull,
    Invalid,
    KeyTaken,
    LabelTaken,
    LastToken,
    LineOutOfRange,
    ManyMatches,
    NoAnswerYet,
    NobodyCame,
    NoMatch,
    NotAttached,
    NotBegun,
    NotFound,
    NothingActive,
    PendingApproval,
    ScopeTooSmall,
    StoreFilling,
    StoreUnreachable,
    StoreUnreadable,
    TooLate,
    TooManyRequests,
    TooWide,
    Unauthorized,
    UnknownModel,
)
from service.records.runs import RunError

SHOWN_FIELDS = 10
FINAL = {"x-should-retry": "false"}
MODEL_STATUS = {
    "llm_rate_limit": 429,
    "llm_insufficient_credits": 402,
    "llm_authentication": 401,
    "llm_timeout": 504,
    "llm_bad_request": 400,
    "llm_context_window": 400,
    "llm_empty_response": 500,
    "llm_error": 500,
}


class Malformed(Exception):
    """The request cannot be read; `detail` names each field, `examples` show a path id."""

    def __init__(self, detail: str, examples: Sequence[str] | None = None) -> None:
        super().__init__(detail)
        self.examples = examples


class Misused(Exception):
    """Each field can be read, but they do not go together."""


class NoRoute(Exception):
    """Nothing is served at this path."""


class WrongMethod(Exception):
    """The path is served, with other methods or with none."""

    def __init__(self, allowed: Iterable[str], detail: str = "Method Not Allowed") -> None:
        super().__init__(detail)
        self.allowed = ", ".join(sorted(allowed))


class NotJson(Exception):
    """A body that is not sent as JSON."""


class TooLarge(Exception):
    """The body passes the bound."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"body: must not be larger than {limit} bytes")


class Stranger(Exception):
    """A request to a loopback server that was not addressed to a loopback name."""


class ClientGone(Exception):
    """The client left before its answer."""


class NotReady(Exception):
    """The service is still starting, or already stopping."""


class StaleMatch(EditConflict):
    """The version that moved was named in If-Match."""


class ProviderFailed(Exception):
    """A model was asked something beside an agent's runs, and failed."""

    def __init__(self, error: RunError) -> None:
        super().__init__(f"{error.type}: {error.message}")


class Unavailable(Exception):
    """This server is not set up for what is asked."""


class ModelFailed(Exception):
    """The run of a blocking send failed in its model call."""

    def __init__(self, error: RunError) -> None:
        super().__init__(error.message)
        self.error = error


@dataclass(frozen=True, slots=True)
class Refusal:
    """What is answered instead."""

    status: int
    body: dict[str, Any]
    headers: dict[str, str] = field(default_factory=dict)


def _detail(status: int, opening: str = "", **headers: str) -> Callable[[Any], Refusal]:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda error: Refusal(status, {"detail": f"{opening}{error}"}, sent)


def _later(status: int, error: TooManyRequests | InboxFull | StoreFilling) -> Refusal:
    return Refusal(status, {"detail": str(error)}, {"retry-after": str(error.wait_s)})


def _fixed(status: int, detail: str) -> Callable[[Any], Refusal]:
    return lambda error: Refusal(status, {"detail": detail})


def _malformed(error: Malformed) -> Refusal:
    examples = {} if error.examples is None else {"examples": list(error.examples)}
    return Refusal(422, {"trace_id": "", "detail": str(error), **examples})


def _conflict(error: EditConflict) -> Refusal:
    current = {"version": error.version, "value": error.value}
    status = 412 if isinstance(error, StaleMatch) else 409
    return Refusal(status, {"detail": f"CONFLICT: {error}", "current": current}, FINAL)


def _cannot_undo(error: CannotUndo) -> Refusal:
    edit = {"version": error.version, "added": error.added, "removed": error.removed}
    current = {"version": error.current, "value": error.value}
    return Refusal(409, {"detail": f"CONFLICT: {error}", "edit": edit, "current": current}, FINAL)


def _pending_approval(error: PendingApproval) -> Refusal:
    told = {"code": "PENDING_APPROVAL", "message": str(error), "pending_request_id": error.request_id}
    return Refusal(409, {"detail": told}, FINAL)


def _unknown_model(error: UnknownModel) -> Refusal:
    if error.embedding:
        return Refusal(400, {"detail": f"INVALID_ARGUMENT: {error}"})
    return Refusal(404, {"detail": f"NOT_FOUND: {error}"})


def _model_failed(error: ModelFailed) -> Refusal:
    said = error.error
    detail = said.detail
    if said.type == "llm_context_window":
        detail = f"CONTEXT_WINDOW_EXCEEDED: {detail or said.message}"
    body = {"type": said.type, "message": said.message, "detail": detail}
    return Refusal(MODEL_STATUS.get(said.type, 500), {"error": body}, FINAL)


_invalid = _detail(400, "INVALID_ARGUMENT: ")

REFUSALS: dict[type[Exception], Callable[[Any], Refusal]] = {
    Malformed: _malformed,
    Misused: _detail(422),
    NotFound: _detail(404),
    NotAttached: _detail(404),
    CannotUndo: _cannot_undo,
    Expired: _detail(410, "EXPIRED: "),
    NoRoute: _fixed(404, "Not Found"),
    WrongMethod: lambda error: Refusal(405, {"detail": str(error)}, {"allow": error.allowed}),
    TooLarge: _detail(413),
    NotJson: _detail(415),
    Stranger: _detail(403),
    Unauthorized: lambda _: Refusal(401, {"detail": "Unauthorized"}, {"www-authenticate": "Bearer"}),
    ScopeTooSmall: _detail(403),
    TooManyRequests: lambda error: _later(429, error),
    InboxFull: lambda error: _later(429, error),
    StoreFilling: lambda error: _later(503, error),
    LastToken: _detail(409, "CONFLICT: ", x_should_retry="false"),
    ClientGone: _fixed(499, "The client left before its answer"),
    Invalid: _invalid,
    BlockFull: _invalid,
    BlockReadOnly: _invalid,
    NoMatch: _invalid,
    TooWide: _invalid,
    ManyMatches: _invalid,
    LineOutOfRange: _invalid,
    UnknownModel: _unknown_model,
    EditConflict: _conflict,
    KeyTaken: _detail(409, "CONFLICT: ", x_should_retry="false"),
    LabelTaken: _detail(409, "CONFLICT: ", x_should_retry="false"),
    IdReused: _detail(409, "CONFLICT: ", x_should_retry="false"),
    NothingActive: _detail(409, "CONFLICT: ", x_should_retry="false"),
    PendingApproval: _pending_approval,
    NobodyCame: _detail(503, x_should_retry="false"),
    NoAnswerYet: _detail(504, x_should_retry="false"),
    TooLate: _detail(504, "TIMEOUT: ", x_should_retry="false"),
    ProviderFailed: _detail(502, "PROVIDER_ERROR: ", x_should_retry="false"),
    Unavailable: _detail(501),
    NotBegun: _detail(504, "TIMEOUT: ", x_should_retry="false"),
    ModelFailed: _model_failed,
    BlockwireError: _detail(409, "CONFLICT: "),
    StoreUnreadable: _detail(503),
    StoreUnreachable: _detail(503, retry_after="1"),
    NotReady: _detail(503, retry_after="1"),
}
UNKNOWN = Refusal(500, {"detail": "An unknown error occurred"})


def refusal_of(error: Exception) -> Refusal | None:
    """What to answer; None for an error that nobody expected."""
    for kind in type(error).__mro__:
        if kind in REFUSALS:
            return REFUSALS[kind](error)
    return None


def malformed(part: str, error: ValidationError, known: Iterable[str] = ()) -> Malformed:
    """One line naming each field and what would do; never what was sent. `known`: what there is."""
    told = error.errors(include_url=False, include_context=False, include_input=False)
    unknown = f"is not known here; there are {', '.join(known)}"
    lines = [
        _told(part, one["loc"], unknown if _is_unknown(one["type"], one["loc"]) else one["msg"])
        for one in told[:SHOWN_FIELDS]
    ]
    if len(told) > SHOWN_FIELDS:
        lines.append(f"and {len(told) - SHOWN_FIELDS} more")
    return Malformed("; ".join(lines))


def _is_unknown(kind: str, where: Sequence[str | int]) -> bool:
    """Whether it is a field of the whole that nobody knows; of one further in the names are not at hand."""
    return kind == "extra_forbidden" and len(where) == 1


def _told(part: str, where: Sequence[str | int], message: str) -> str:
    """`body.label: <what would do>`; a rule about several fields opens with the field's name itself."""
    names = [str(name) for name in where if not str(name).startswith("<")]
    rule = message.removeprefix("Value error, ")
    if rule != message and not names:
        return f"{part}.{rule}"
    return f"{'.'.join([part, *names])}: {rule}"
