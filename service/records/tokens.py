"""Tokens as records: who may come in, to which workspace, and how far."""

from dataclasses import dataclass
from typing import Literal

from service.records.base import Micros, Record

Scope = Literal["read", "write", "admin"]
SCOPES: tuple[Scope, ...] = ("read", "write", "admin")
"""Each holds what those before it hold."""


class Token(Record):
    """One token, without its secret, which is kept nowhere. `ends_with` is how a person knows it again."""

    id: str
    name: str
    workspace: str
    scope: Scope
    created_at: Micros
    expires_at: Micros | None = None
    ends_with: str
    rate: int | None = None
    """Requests per minute; None: as the settings say, 0: as many as it likes."""

    def allows(self, needed: Scope) -> bool:
        return SCOPES.index(self.scope) >= SCOPES.index(needed)

    def has_run_out(self, now: Micros) -> bool:
        return self.expires_at is not None and self.expires_at <= now


@dataclass(frozen=True, slots=True)
class Permit:
    """Leave to come in: that of a token, or with None that of a store without tokens."""

    token: Token | None = None
    digest: str | None = None
    """Of what was sent, to look again by."""


ANYBODY = Permit()
"""Leave for whoever says nothing of himself, where there are no tokens or none is asked for."""
