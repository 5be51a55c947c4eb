"""Answers: JSON from records and response models, serialised once."""

from collections.abc import Mapping

from pydantic_core import to_json
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

_IS_JSON = (b"content-type", b"application/json")


class _Json(Response):
    """A body that is ready, with its headers: nothing is left to be looked for."""

    def __init__(self, body: bytes, status: int) -> None:
        self.status_code = status
        self.body = body
        self.background = None
        self.raw_headers = [(b"content-length", b"%d" % len(body)), _IS_JSON]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body})


def json_answer(content: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A response whose body is the content as JSON: a response model, a list of them, or plain values.

    Names of headers are given in lower case.
    """
    answer = _Json(to_json(content), status)
    for name, value in (headers or {}).items():
        answer.raw_headers.append((name.encode("latin-1"), value.encode("latin-1")))
    return answer
