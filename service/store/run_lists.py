"""Lists of runs and steps: by agent and status from indexes, by anything else a bounded number of rows.

Runs and steps run out. Their lists are cleaned when their agent next ends a run, and
of what a reader finds missing.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from service.records.base import Micros, Page
from service.records.runs import Run, RunStatus, Step
from service.store.client import StoreClient
from service.store.keys import key
from service.store.pages import Bounds, Keep, Read, Term, rows_of
from service.store.places import by_creation
from service.store.runs import to_run

Row = TypeVar("Row", Run, Step)
Load = Callable[[Sequence[str]], Awaitable[list[Row | None]]]


class RunLists:
    """Which runs and steps there are, in pages."""

    def __init__(self, store: StoreClient) -> None:
        self._store = store

    async def runs(
        self,
        ws: str,
        page: Page,
        keep: Callable[[Run], bool] | None,
        *,
        agent_id: str | None,
        agent_ids: Sequence[str] | None,
        statuses: Sequence[RunStatus] | None,
        parked_of: str | None = None,
    ) -> list[Run]:
        """One page of the runs of an agent, of some or of all, in some states, that `keep` says yes to.

        `parked_of`: only those that an agent was given up on and nobody tried again.
        """

        async def load(ids: Sequence[str]) -> list[Run | None]:
            hashes = await self._store.hashes([key(ws, "run", id) for id in ids])
            return [to_run(hash) if hash else None for hash in hashes]

        terms = [] if agent_id is None else [Term([key(ws, "agent_runs", agent_id)])]
        if agent_ids is not None:
            terms.append(Term([key(ws, "agent_runs", id) for id in dict.fromkeys(agent_ids)]))
        if parked_of is not None:
            terms.append(Term([key(ws, "agent_parked", parked_of)]))
        if statuses is not None:
            terms.append(Term([key(ws, "runs_in", status) for status in dict.fromkeys(statuses)]))
        read, only = self._reading(ws, "run", agent_id, load, keep)
        terms = terms or [Term([key(ws, "runs")])]
        return await rows_of(self._store, by_creation(ws, "runs"), terms, page, read, only)

    async def steps(
        self,
        ws: str,
        page: Page,
        keep: Callable[[Step], bool] | None,
        *,
        agent_id: str | None,
        since: Micros | None,
        until: Micros | None,
    ) -> list[Step]:
        """One page of an agent's steps or of all, made between two moments, that `keep` says yes to."""

        async def load(ids: Sequence[str]) -> list[Step | None]:
            found = await self._store.together([("GET", key(ws, "step", id)) for id in ids]) if ids else []
            return [Step.model_validate_json(text) if text else None for text in found]

        index = key(ws, "steps") if agent_id is None else key(ws, "agent_steps", agent_id)
        read, only = self._reading(ws, "step", agent_id, load, keep)
        within: Bounds = (
            None if since is None else await self._place_before(index, since, load),
            None if until is None else await self._place_after(index, until, load),
        )
        axis = by_creation(ws, "steps")
        return await rows_of(self._store, axis, [Term([index])], page, read, only, within=within)

    def _reading(
        self,
        ws: str,
        kind: str,
        agent_id: str | None,
        load: "Load[Row]",
        keep: Callable[[Row], bool] | None,
    ) -> "tuple[Read[Row], Keep | None]":
        """How rows are read and which are kept; each is loaded once, and what is missing leaves the lists."""
        known: dict[str, Row] = {}

        async def look(ids: Sequence[str]) -> list[Row]:
            rows = await load(ids)
            known.update({row.id: row for row in rows if row is not None})
            if holes := [id for id, row in zip(ids, rows, strict=True) if row is None]:
                await self._store.run("run_forget", ws, kind, agent_id or "", *holes)
            return [row for row in rows if row is not None]

        async def chosen(ids: Sequence[str]) -> list[str]:
            assert keep is not None
            return [row.id for row in await look(ids) if keep(row)]

        async def again(ids: Sequence[str]) -> list[Row]:
            return [known[id] for id in ids]

        return (look, None) if keep is None else (again, chosen)

    async def _place_before(self, index: str, at: Micros, load: "Load[Step]") -> float | None:
        """The place of the last step made before a moment."""
        rank = await self._rank(index, at, load)
        return await self._store.score_at(index, rank - 1) if rank else None

    async def _place_after(self, index: str, at: Micros, load: "Load[Step]") -> float | None:
        """The place of the first step made after a moment."""
        return await self._store.score_at(index, await self._rank(index, at + 1, load))

    async def _rank(self, index: str, at: Micros, load: "Load[Step]") -> int:
        """How many steps were made before a moment, by halving: places rise with time."""
        low, high = 0, await self._store.count(index)
        while low < high:
            middle = (low + high) // 2
            id = await self._store.member_at(index, middle)
            step = (await load([id]))[0] if id is not None else None
            if id is not None and (step is None or step.created_at < at):
                low = middle + 1
            else:
                high = middle
        return low
