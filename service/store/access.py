"""Access in the store: one hash of tokens for all workspaces, from the digest of a secret to its record.

It stands outside of workspaces, since a secret is looked up before anybody knows
whose it is. Looking it up by its digest needs no comparison in constant time:
how long the store takes tells nothing of a text that was hashed on the way.
"""

from typing import cast

from service.records.tokens import Token
from service.store.client import StoreClient
from service.store.keys import TOKENS_CHANNEL, TOKENS_KEY, WORKSPACES_KEY, rate_key


class TokenStore:
    """Commands on the hash of tokens, and on what each has spent of its rate."""

    def __init__(self, store: StoreClient) -> None:
        self._store = store

    async def put(self, digest: str, token: Token) -> None:
        """Keeps a token; its workspace is looked after from now on, even before it holds anything."""
        await self._store.add_member(WORKSPACES_KEY, token.workspace)
        await self._store.run_on("token_put", [TOKENS_KEY], digest, token.model_dump_json(), TOKENS_CHANNEL)

    async def look(self, digest: str | None) -> tuple[bool, Token | None]:
        """Whether there are any tokens, and the one with this digest, in one round trip."""
        commands: list[tuple[str, ...]] = [("HLEN", TOKENS_KEY)]
        if digest is not None:
            commands.append(("HGET", TOKENS_KEY, digest))
        count, *found = await self._store.together(commands)
        text = found[0] if found else None
        return count > 0, None if text is None else Token.model_validate_json(text)

    async def all(self) -> dict[str, Token]:
        """Every token by its digest."""
        found = await self._store.hash(TOKENS_KEY)
        return {digest: Token.model_validate_json(text) for digest, text in found.items()}

    async def drop(self, digest: str, *, even_last: bool) -> str:
        """`ok`, `missing` or `last`."""
        args = (digest, "1" if even_last else "0", TOKENS_CHANNEL)
        return cast(str, await self._store.run_on("token_drop", [TOKENS_KEY], *args))

    async def spend(self, token_id: str, rate: int) -> int:
        """Counts one request; 0, or the microseconds to wait."""
        return cast(int, await self._store.run_on("token_spend", [rate_key(token_id)], rate))
