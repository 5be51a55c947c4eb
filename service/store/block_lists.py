"""Lists of blocks: queries answered from indexes, and searches in a bounded number of texts."""

from collections.abc import Iterable, Sequence

from service.records.base import Page
from service.records.blocks import Block, BlockQuery
from service.store.blocks import to_block
from service.store.client import StoreClient
from service.store.keys import key
from service.store.pages import Budget, Keep, Term, count_of, page_of, rows_of
from service.store.places import by_creation
from service.store.terms import block_terms

CHARS_AT_ONCE = 4_000_000
"""Characters of values that are held at once while they are searched."""
CHARS_PER_ROW = 10_000
"""A longer value counts as several rows."""

CHARS_SHOWN = 20_000_000
"""Characters of values past which a page ends; the next begins behind its last row."""
SHOWN_AT_ONCE = 50


class BlockLists:
    """Which blocks there are, in pages."""

    def __init__(self, store: StoreClient) -> None:
        self._store = store

    async def page(self, ws: str, query: BlockQuery, page: Page) -> list[Block]:
        """One page of what a query asks for, by creation; shorter where values are long. Raises TooWide."""
        chars = 0

        async def read(ids: Sequence[str]) -> list[Block]:
            nonlocal chars
            rows: list[Block] = []
            for at in range(0, len(ids), SHOWN_AT_ONCE):
                some = ids[at : at + SHOWN_AT_ONCE]
                hashes = await self._store.hashes([key(ws, "block", id) for id in some])
                rows += [to_block(hash) for hash in hashes if hash]
                chars += sum(len(hash.get("value", "")) for hash in hashes)
                if page.limit is not None and chars > CHARS_SHOWN:
                    budget.is_heavy = True
                    break
            return rows

        budget = Budget() if page.limit is not None else Budget(None)
        terms = await block_terms(self._store, ws, query)
        keep = self._search(ws, query, budget)
        return await rows_of(self._store, by_creation(ws, "blocks"), terms, page, read, keep, budget)

    async def count(self, ws: str, query: BlockQuery) -> int:
        """How many blocks a query asks for. Raises TooWide."""
        budget = Budget()
        terms = await block_terms(self._store, ws, query)
        keep = self._search(ws, query, budget)
        return await count_of(self._store, by_creation(ws, "blocks"), terms, keep, budget)

    async def agents_of(self, ws: str, block_id: str, page: Page) -> list[str]:
        """Ids of the agents a block is attached to, by the agents' creation."""
        terms = [Term([key(ws, "block_agents", block_id)])]
        return await page_of(self._store, by_creation(ws, "agents"), terms, page)

    async def attached_to(self, ws: str, pairs: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
        """Of pairs (block, tag) those whose block is attached to an agent with that tag."""
        asked = [(block, tag, shelf) for block, tag in pairs for shelf in ("", "hidden.")]
        if not asked:
            return set()
        found = await self._store.together(
            [
                (
                    "ZINTERCARD",
                    2,
                    key(ws, "block_agents", block),
                    key(ws, "agents_filed", f"{shelf}tag:{tag}"),
                )
                for block, tag, shelf in asked
            ]
        )
        return {(block, tag) for (block, tag, _), count in zip(asked, found, strict=True) if count}

    def _search(self, ws: str, query: BlockQuery, budget: Budget) -> Keep | None:
        """What leaves in a chunk the blocks in whose texts the words occur; short texts first."""
        label = query.label_search if query.label is None else None
        wanted = {"label": label, "description": query.description_search, "value": query.value_search}
        words = {name: text.casefold() for name, text in wanted.items() if text is not None}
        if not words:
            return None

        async def keep(ids: Sequence[str]) -> list[str]:
            left = list(ids)
            for name, word in words.items():
                pieces = await self._by_size(ws, left, budget) if name == "value" else [left]
                left = [id for piece in pieces for id in await self._having(ws, piece, name, word)]
            return left

        return keep

    async def _by_size(self, ws: str, ids: Sequence[str], budget: Budget) -> list[list[str]]:
        """The ids in pieces whose values can be held at once."""
        sizes = await self._fields(ws, ids, "chars")
        pieces: list[list[str]] = [[]]
        held = 0
        for id, size in zip(ids, sizes, strict=True):
            chars = int(size or 0)
            budget.spend(chars // CHARS_PER_ROW)
            held += chars
            if held > CHARS_AT_ONCE and pieces[-1]:
                pieces.append([])
                held = chars
            pieces[-1].append(id)
        return pieces

    async def _having(self, ws: str, ids: Sequence[str], name: str, word: str) -> list[str]:
        texts = await self._fields(ws, ids, name)
        return [id for id, text in zip(ids, texts, strict=True) if word in (text or "").casefold()]

    async def _fields(self, ws: str, ids: Sequence[str], name: str) -> list[str | None]:
        return await self._store.together([("HGET", key(ws, "block", id), name) for id in ids]) if ids else []
