"""A thousand subscriptions in one workspace: what a change costs that concerns one of them, or all."""

import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from service.bootstrap import Service
from service.records.subscriptions import SubscriptionFields
from service.store.client import StoreClient
from service.store.keys import key
from tests.store.team import raw
from tests.workers.bench import WS, Bench
from workers.wakeups import Dispatcher

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

MANY = 1000
CHANGES = 30


@pytest.fixture
def store(real_store: StoreClient) -> StoreClient:
    return real_store


async def cost(bench: Bench, dispatcher: Dispatcher) -> tuple[float, float]:
    """Microseconds of this process's CPU and commands of the store that a change costs until it is told."""
    best, redis = float("inf"), raw(bench.service.store)
    before = (await redis.info("stats"))["total_commands_processed"]
    for n in range(CHANGES):
        await bench.edit("board", "set", text=str(n))
        began = time.process_time()
        while await dispatcher.dispatch(WS):
            pass
        best = min(best, time.process_time() - began)
    commands = (await redis.info("stats"))["total_commands_processed"] - before
    return best * 1e6, commands / CHANGES


async def test_a_thousand_subscriptions_cost_what_they_tell(
    bench: Bench, service: Service, report: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of other blocks, labels and tags cost nothing; patterns little; a thousand that are told, a
    thousand times a part of what one costs."""
    monkeypatch.setattr("workers.wakeups.log", SimpleNamespace(info=lambda *_, **__: None))
    dispatcher, rooms = Dispatcher(service), service.subscriptions
    supervisor = await bench.agent({"board": ""})
    await bench.watch(supervisor, "board")
    owners = [await bench.agent() for _ in range(50)]

    async def subscribe(target: Callable[[int], dict[str, Any]]) -> None:
        for n in range(MANY):
            fields = SubscriptionFields.model_validate(target(n))
            await rooms.create(WS, owners[n % len(owners)].id, fields)

    alone, commands = await cost(bench, dispatcher)
    await subscribe(lambda n: {"label": f"other-{n}"} if n % 2 else {"block_tag": f"other-{n}"})
    filed, commands_filed = await cost(bench, dispatcher)
    await subscribe(lambda n: {"label_glob": f"other-{n}-*"})
    wide, commands_wide = await cost(bench, dispatcher)
    await subscribe(lambda n: {"block_id": bench.ids["board"]})
    told, _ = await cost(bench, dispatcher)
    report(
        f"a change told to one: {alone:.0f} us, {commands:.0f} commands; beside {MANY} of other blocks "
        f"{filed:.0f} us, {commands_filed:.0f}; beside {MANY} patterns {wide:.0f} us, {commands_wide:.0f}; "
        f"told by {MANY}: {told / MANY:.0f} us each"
    )
    assert commands_filed <= commands + 1
    assert commands_wide <= commands + 1
    assert filed < 2 * alone
    assert wide < 10 * alone
    assert told < MANY * alone / 4
    for owner in owners:
        assert len(await service.store.items(key(WS, "agent_inbox", owner.id))) == 1
        assert len(await service.store.items(key(WS, "agent_woken", owner.id))) == CHANGES
