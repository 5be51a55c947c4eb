"""A reader that is cut off again and again has every change exactly once at the end."""

import asyncio
import random

import pytest

from service.bootstrap import Service
from service.http.app import create_app
from service.records.blocks import Author, BlockFields, Edit
from service.settings import Settings
from service.store.client import StoreClient
from tests.http.conftest import WS
from tests.http.following import following

SEED = 20
BY = Author(name="Ada")


@pytest.fixture
def store(real_store: StoreClient) -> StoreClient:
    """A real one: what is looked for is what falls between its stream and its channel."""
    return real_store


async def write(service: Service, blocks: list[str], count: int) -> None:
    for n in range(count):
        edit = Edit(operation="append", text=f"{n} ")
        await service.blocks.edit(WS, blocks[n % len(blocks)], edit, BY)


async def read(service: Service, settings: Settings, count: int, cuts: int, last: str) -> list[str]:
    """The texts of `count` changes, in the order told, over `cuts` + 1 connections."""
    app = create_app(settings, service)
    texts: list[str] = []
    chance, left = random.Random(SEED), cuts
    while len(texts) < count:
        most = count if left == 0 else chance.randint(0, 3 * count // (2 * cuts))
        left = max(0, left - 1)
        async with following(app, last_event_id=last) as (follower, _):
            for _ in range(most):
                told = await follower.told()
                last = told.id or last
                if told.event:
                    assert told.event == "change"
                    texts.append(told.data["added"])
                if len(texts) == count:
                    break
    assert left == 0
    return texts


@pytest.mark.parametrize(
    ("edits", "cuts"), [(1000, 20), pytest.param(10_000, 200, marks=pytest.mark.chaos)], ids=["short", "long"]
)
async def test_every_change_exactly_once(service: Service, settings: Settings, edits: int, cuts: int) -> None:
    blocks = [(await service.blocks.create(WS, BlockFields(label=f"b{n}"), BY)).id for n in range(3)]
    begin = await service.changes.last_id(WS)
    reading = asyncio.create_task(read(service, settings, edits, cuts, begin))
    await write(service, blocks, edits)
    assert await reading == [f"{n} " for n in range(edits)]
