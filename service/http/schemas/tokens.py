"""Tokens on the wire: what is asked for, and what is told; the secret once."""

from typing import Any

from pydantic import AwareDatetime, BaseModel, Field

from service.http.schemas.bounds import INT4, Name
from service.records.base import iso
from service.records.tokens import Scope, Token


class CreateToken(BaseModel):
    scope: Scope = Field(
        description="`read`, `write` (which may read) or `admin` (which may make tokens too)"
    )
    name: Name | None = Field(default=None, description="told in the history of what it changes")
    expires_at: AwareDatetime | None = Field(default=None, description="null: it does not run out")
    rate: int | None = Field(
        default=None,
        ge=0,
        le=INT4,
        description="requests per minute; 0: no limit; null: as the server is set (`BLOCKWIRE_RATE_LIMIT`)",
    )


class TokenResponse(BaseModel):
    """A token without its secret; `ends_with` are the secret's last characters."""

    id: str
    name: str
    workspace: str
    scope: Scope
    created_at: str
    expires_at: str | None
    ends_with: str
    rate: int | None


class NewToken(TokenResponse):
    """A token and its secret, which is not told again."""

    token: str


def token_response(token: Token) -> TokenResponse:
    return TokenResponse(**_told(token))


def new_token_response(token: Token, secret: str) -> NewToken:
    return NewToken(**_told(token), token=secret)


def _told(token: Token) -> dict[str, Any]:
    expires_at = None if token.expires_at is None else iso(token.expires_at)
    return {**vars(token), "created_at": iso(token.created_at), "expires_at": expires_at}
