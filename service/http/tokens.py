"""Tokens over HTTP: an admin's token makes, lists and revokes those of its own workspace.

The first token of a store, and those of other workspaces, are made on the
command line, by whoever may reach the store itself (service/commands/tokens.py).
"""

from starlette.responses import Response

from service.http.answers import json_answer
from service.http.calls import Call, Nothing
from service.http.routing import Route
from service.http.schemas.tokens import (
    CreateToken,
    NewToken,
    TokenResponse,
    new_token_response,
    token_response,
)


async def create(call: Call[Nothing, CreateToken]) -> Response:
    """Make a token

    Of this workspace. `token` in the answer is the secret; it is kept nowhere and not told again.
    """
    body = call.body
    token, secret = await call.service.tokens.create(
        call.ws,
        body.scope,
        name=body.name or "",
        expires_at=None if body.expires_at is None else round(body.expires_at.timestamp() * 1e6),
        rate=body.rate,
    )
    return json_answer(new_token_response(token, secret))


async def find(call: Call[Nothing, Nothing]) -> Response:
    """List tokens

    All of this workspace, oldest first, those that ran out among them; never their secrets.
    """
    return json_answer([token_response(token) for token in await call.service.tokens.find(call.ws)])


async def revoke(call: Call[Nothing, Nothing]) -> Response:
    """Revoke a token

    It is refused within milliseconds, and what streams to it ends. The answer is `null`. The last token of a
    server stays (409): without any, everybody on its machine would be let in.
    """
    await call.service.tokens.revoke(call.path["token_id"], call.ws)
    return json_answer(None)


_EXAMPLE = {"scope": "write", "name": "nightly import", "rate": 600}

ROUTES = [
    Route("POST", "/v1/tokens/", create, "Tokens", NewToken, example=_EXAMPLE, scope="admin"),
    Route("GET", "/v1/tokens/", find, "Tokens", list[TokenResponse], scope="admin"),
    Route("DELETE", "/v1/tokens/{token_id}", revoke, "Tokens", scope="admin"),
]
