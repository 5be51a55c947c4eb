"""Workspaces: each of them is watched once, from its beginning on."""

import asyncio

import pytest

from service.errors import StoreUnreachable
from service.records.agents import NewAgent
from service.workspaces import Workspaces
from tests.workers.bench import PERSON, WS, Bench, wait_until
from workers import workspaces
from workers.workspaces import in_each

pytestmark = pytest.mark.anyio


async def test_one_that_begins_later_is_watched_too_and_each_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workspaces, "PAUSE_S", 0.01)
    looks = _count(monkeypatch)
    watched: list[str] = []

    async def watch(ws: str) -> None:
        watched.append(ws)
        await asyncio.Event().wait()

    watching = asyncio.create_task(in_each(bench.service, watch))
    try:
        await wait_until("the first is watched", lambda: _is(watched == [WS]))
        await bench.service.agents.create("other", NewAgent(model="offline/extractive"), PERSON)
        await wait_until("the second is watched", lambda: _is(len(watched) > 1))
        before = len(looks)
        await wait_until("it was looked again", lambda: _is(len(looks) > before + 2))
        assert watched == [WS, "other"]
    finally:
        watching.cancel()
        await asyncio.wait({watching})


async def test_a_store_that_is_away_is_asked_again(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workspaces, "PAUSE_S", 0.01)
    looks = _count(monkeypatch, away=2)
    watched: list[str] = []

    async def watch(ws: str) -> None:
        watched.append(ws)

    watching = asyncio.create_task(in_each(bench.service, watch))
    try:
        await wait_until("it is watched", lambda: _is(watched == [WS]))
        assert len(looks) >= 3
    finally:
        watching.cancel()
        await asyncio.wait({watching})


def _count(monkeypatch: pytest.MonkeyPatch, away: int = 0) -> list[str]:
    """What was asked of the list of workspaces; the first times the store is away."""
    looks: list[str] = []
    real = Workspaces.all

    async def counted(self: Workspaces) -> list[str]:
        looks.append("all")
        if len(looks) <= away:
            raise StoreUnreachable("gone")
        return await real(self)

    monkeypatch.setattr(Workspaces, "all", counted)
    return looks


async def _is(fact: bool) -> bool:
    return fact
