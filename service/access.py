"""Access: the tokens that say who may come in, to which workspace, and how far.

A token is a random secret of 256 bits, shown once. Its SHA-256 is all that is
kept: a slow hash protects passwords that can be guessed, and nobody guesses this.

Checking costs no round trip. Each process keeps what it learnt of tokens and
drops all of it when a ring says that one was made or revoked; it keeps nothing
while it might not hear a ring, and nothing for longer than a few seconds, which
is what a connection that dies without a word can cost. Whether a token has run
out is asked of the clock every time.

As long as a store has no token at all, everybody is let in whom the server lets
in without one (http/guard.py). Tokens that ran out count until they are revoked.
"""

import asyncio
import hashlib
import re
import secrets
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from time import monotonic

import structlog

from service.errors import Invalid, LastToken, NotFound, StoreUnreachable, TooManyRequests, Unauthorized
from service.records.base import Micros
from service.records.ids import new_id
from service.records.tokens import ANYBODY, Permit, Scope, Token
from service.settings import Settings
from service.shared import Asking
from service.store.access import TokenStore
from service.store.bell import Bell
from service.store.client import StoreClient
from service.store.keys import TOKENS_CHANNEL

log = structlog.get_logger()

KEPT_S = 5.0
"""How long a check is believed without asking again, and how often open streams look."""
KEPT_MOST = 10_000
LOOKS_AT_ONCE = 8
"""Connections that checks take, however many streams find at once that theirs is too old."""
IN_WORKSPACE_MOST = 1_000
NAME_MOST = 200
_WORKSPACE = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")


@dataclass(frozen=True, slots=True)
class _Known:
    """What the store said: whether there are tokens, and the one that was asked for."""

    exist: bool
    token: Token | None
    until: float


class Tokens:
    """The room of tokens: makes, lists, revokes and checks them."""

    def __init__(
        self, store: StoreClient, bell: Bell, settings: Settings, clock: Callable[[], Micros]
    ) -> None:
        self._store = TokenStore(store)
        self._bell = bell
        self._settings = settings
        self._clock = clock
        self._known: dict[str | None, _Known] = {}
        self._era = 0
        self._rung = asyncio.Event()
        self._looking = Asking(LOOKS_AT_ONCE)
        self._listens = False
        self._exist: bool | None = None
        self._exist_era = -1

    async def create(
        self,
        ws: str,
        scope: Scope,
        *,
        name: str = "",
        expires_at: Micros | None = None,
        rate: int | None = None,
    ) -> tuple[Token, str]:
        """A new token and its secret, which nobody can read again. Raises Invalid."""
        check_workspace(ws)
        if len(name) > NAME_MOST or not name.isprintable():
            raise Invalid("name", f"must be at most {NAME_MOST} printable characters")
        now = self._clock()
        if expires_at is not None and expires_at <= now:
            raise Invalid("expires_at", "must lie in the future")
        if len(await self.find(ws)) >= IN_WORKSPACE_MOST:
            raise Invalid("workspace", f"{ws} has {IN_WORKSPACE_MOST} tokens; revoke some of them first")
        secret = f"bw-{secrets.token_urlsafe(32)}"
        id = new_id("token")
        token = Token(
            id=id,
            name=name or id,
            workspace=ws,
            scope=scope,
            created_at=now,
            expires_at=expires_at,
            ends_with=secret[-4:],
            rate=rate,
        )
        await self._store.put(_digest(secret), token)
        self._forget()
        log.info("token.created", workspace=ws, token_id=token.id, scope=scope)
        return token, secret

    async def find(self, ws: str | None = None) -> list[Token]:
        """The tokens of a workspace, or of all, oldest first; those that ran out among them."""
        found = [token for token in (await self._store.all()).values() if ws in (None, token.workspace)]
        return sorted(found, key=lambda token: (token.created_at, token.id))

    async def revoke(self, token_id: str, ws: str | None = None, *, even_last: bool = False) -> Token:
        """Ends a token at once. Raises NotFound, also for one of another workspace; LastToken."""
        tokens = {token.id: (digest, token) for digest, token in (await self._store.all()).items()}
        digest, token = tokens.get(token_id, ("", None))
        if token is None or ws not in (None, token.workspace):
            raise NotFound("token", token_id)
        outcome = await self._store.drop(digest, even_last=even_last)
        if outcome == "missing":
            raise NotFound("token", token_id)
        if outcome == "last":
            raise LastToken(token_id)
        self._forget()
        log.info("token.revoked", workspace=token.workspace, token_id=token.id)
        return token

    def admit(self, secret: str | None) -> Awaitable[Permit]:
        """What the caller with this secret may do. Raises Unauthorized."""
        return self._admit(None if secret is None else _digest(secret))

    async def count(self, token: Token) -> None:
        """Counts a request where the token has a rate. Raises TooManyRequests."""
        rate = self._settings.rate_limit if token.rate is None else token.rate
        if rate and (wait := await self._store.spend(token.id, rate)):
            raise TooManyRequests(rate, -(-wait // 1_000_000))

    async def exist(self) -> bool:
        """Whether there are any, by the last that was heard; only if nothing was heard the store is asked."""
        if self._exist is None or self._exist_era != self._era:
            return (await self._look(None)).exist
        return self._exist

    async def over(self, permit: Permit) -> None:
        """Until a permit holds no more: revoked, run out, or of a store that had no tokens and now has."""
        while True:
            rung = self._rung
            if not await self._holds(permit):
                return
            with suppress(TimeoutError):
                async with asyncio.timeout(self._patience(permit)):
                    await rung.wait()

    async def _holds(self, permit: Permit) -> bool:
        try:
            now = await self._admit(permit.digest)
        except Unauthorized:
            return False
        except StoreUnreachable:  # nobody can say; whatever streams from there has nothing to tell either
            return True
        return (now.token and now.token.id) == (permit.token and permit.token.id)

    def _patience(self, permit: Permit) -> float:
        if permit.token is None or permit.token.expires_at is None:
            return KEPT_S
        left = (permit.token.expires_at - self._clock()) / 1e6
        return min(KEPT_S, max(left, 0.001))

    async def _admit(self, digest: str | None) -> Permit:
        found = self._kept(None)
        if found is None or found.exist:
            found = self._kept(digest)
        if found is None:
            found = await self._looking.ask(digest, partial(self._look, digest))
        if not found.exist:
            return ANYBODY if digest is None else Permit(digest=digest)
        if found.token is None or found.token.has_run_out(self._clock()):
            raise Unauthorized
        return Permit(token=found.token, digest=digest)

    def _kept(self, digest: str | None) -> _Known | None:
        found = self._known.get(digest)
        if found is None or found.until <= monotonic() or not self._bell.hears(TOKENS_CHANNEL):
            return None
        return found

    async def _look(self, digest: str | None) -> _Known:
        """Asks the store, and keeps the answer if no ring can have been missed since then."""
        if not self._listens:
            self._listens = True
            self._bell.watch(TOKENS_CHANNEL, self._forget)
        era = self._era
        exist, token = await self._store.look(digest)
        found = _Known(exist, token, monotonic() + KEPT_S)
        if era == self._era:
            self._notice(exist)
            self._keep(digest, found)
        return found

    def _keep(self, digest: str | None, found: _Known) -> None:
        """Not what strangers make up: that would let them fill the memory."""
        if len(self._known) >= KEPT_MOST:
            self._known.clear()
        self._known[None] = _Known(found.exist, None, found.until)
        if digest is not None and found.token is not None:
            self._known[digest] = found

    def _notice(self, exist: bool) -> None:
        if self._exist is True and not exist:
            log.warning(
                "tokens.gone", risk="no tokens are left: whoever is let in without one is let in again"
            )
        self._exist, self._exist_era = exist, self._era

    def _forget(self) -> None:
        """Whatever was known of tokens may be old."""
        self._era += 1
        self._known.clear()
        self._rung.set()
        self._rung = asyncio.Event()


def check_workspace(name: str) -> None:
    """Raises Invalid for what cannot be a workspace's name."""
    if not _WORKSPACE.fullmatch(name):
        raise Invalid("workspace", "must be 1 to 40 of a-z, 0-9, _ and -, a letter or digit first")


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
