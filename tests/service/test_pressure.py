"""Pressure: how full the store is decides what is given up, measured once a second."""

from collections.abc import Sequence
from unittest.mock import AsyncMock, patch

import pytest

from service.bootstrap import Service
from service.errors import StoreFilling, StoreUnreachable
from service.pressure import MEANT_S, MEASURED_S, Filling, Pressure, filling_of
from service.records.agents import NewAgent
from service.records.blocks import BlockFields, Edit
from service.settings import Settings
from service.store.client import StoreClient
from tests.store.team import ALICE, WS, Team, raw

pytestmark = pytest.mark.anyio

MB = 1_000_000


class Gauge(StoreClient):
    """A store that tells what it is told to, and counts who asks."""

    def __init__(self, *told: tuple[int, int] | None) -> None:
        self.full_at = None
        self.readings: Sequence[tuple[int, int] | None] = told
        self.asked = 0
        self.away = False

    async def memory(self) -> tuple[int, int] | None:
        self.asked += 1
        if self.away:
            raise StoreUnreachable("the store does not answer")
        return self.readings[min(self.asked, len(self.readings)) - 1]


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("filling", "shrinks", "refuses"),
    [
        (Filling(), False, False),
        (Filling(99 * MB), False, False),
        (Filling(79 * MB, 100 * MB), False, False),
        (Filling(80 * MB, 100 * MB), True, False),
        (Filling(89 * MB, 100 * MB), True, False),
        (Filling(90 * MB, 100 * MB), True, True),
        (Filling(is_full=True), True, True),
    ],
)
def test_history_is_given_up_before_messages_are(filling: Filling, shrinks: bool, refuses: bool) -> None:
    assert (filling.shrinks, filling.refuses) == (shrinks, refuses)


@pytest.mark.parametrize(
    ("own", "operators", "bound"), [(0, 0, 0), (5, 0, 5), (0, 3, 3), (5, 3, 3), (2, 3, 2)]
)
def test_the_smaller_of_two_bounds_counts_and_none_is_none(own: int, operators: int, bound: int) -> None:
    assert filling_of(1, own * MB, operators) == Filling(1, bound * MB)


async def test_a_measurement_is_good_for_a_second() -> None:
    store, clock = Gauge((50, 100), (95, 100), (50, 100)), Clock()
    pressure = Pressure(store, Settings(), clock)
    assert await pressure.refusal() is None
    assert await pressure.refusal() is None
    assert store.asked == 1
    clock.now += MEASURED_S + 0.1
    assert isinstance(await pressure.refusal(), StoreFilling)
    clock.now += MEASURED_S + 0.1
    assert await pressure.refusal() is None


async def test_what_the_store_refuses_is_a_sign_where_it_does_not_tell() -> None:
    store, clock = Gauge(None), Clock()
    pressure = Pressure(store, Settings(), clock)
    assert await pressure.refusal() is None
    store.full_at = clock.now
    refusal = await pressure.refusal()
    assert refusal is not None
    assert "all it has" in str(refusal)
    assert (await pressure.measure()).shrinks
    clock.now += MEANT_S
    assert await pressure.refusal() is None


async def test_a_store_that_is_away_refuses_for_itself() -> None:
    store = Gauge((99, 100))
    store.away = True
    assert await Pressure(store, Settings()).refusal() is None


class TestARealStore:
    async def test_tells_what_it_holds_and_its_bound(self, real_store: StoreClient) -> None:
        await raw(real_store).config_set("maxmemory", 0)
        used, bound = await real_store.memory() or (0, 1)
        assert used > 500_000
        assert bound == 0
        filling = await Pressure(real_store, Settings(max_memory_mb=1)).measure()
        assert filling.bound == MB
        assert filling.refuses

    @pytest.mark.parametrize(
        ("rules", "tells"), [(["-info"], True), (["-info", "-memory"], False), (["-@dangerous"], True)]
    )
    async def test_tells_in_another_way_where_info_is_denied(
        self, real_store: StoreClient, redis_server: str, rules: list[str], tells: bool
    ) -> None:
        await raw(real_store).acl_setuser(
            "limited", enabled=True, passwords=["+p"], keys=["*"], channels=["*"], commands=["+@all", *rules]
        )
        limited = StoreClient.connect(redis_server.replace("unix://", "unix://limited:p@"))
        try:
            found = await limited.memory()
            assert (found is not None) is tells
            filling = await Pressure(limited, Settings(max_memory_mb=1)).measure()
            assert filling.refuses is tells
        finally:
            await limited.close()
            await raw(real_store).acl_deluser("limited")

    async def test_says_full_when_it_refuses_a_write(self, real_store: StoreClient) -> None:
        pressure = Pressure(real_store, Settings())
        await raw(real_store).config_set("maxmemory", 1)
        try:
            with pytest.raises(StoreUnreachable, match="its memory is full"):
                await real_store.put("x", "y", 1000)
            assert await pressure.refusal() is not None
        finally:
            await raw(real_store).config_set("maxmemory", 0)


class TestWhileTheStoreFills:
    @pytest.fixture(autouse=True)
    def _filling(self, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
        async def tells() -> tuple[int, int]:
            return 95 * MB, 100 * MB

        monkeypatch.setattr(service.store, "memory", tells)

    async def test_no_agent_is_made_and_one_that_is_known_is_given_back(self, service: Service) -> None:
        new = NewAgent(model="offline/extractive")
        with pytest.raises(StoreFilling):
            await service.agents.create(WS, new, ALICE)
        with patch.object(service.pressure, "refusal", AsyncMock(return_value=None)):
            made = await service.agents.create(WS, new, ALICE, agent_id="agent-known")
        assert await service.agents.create(WS, new, ALICE, agent_id="agent-known") == made

    async def test_blocks_are_made_and_edited(self, service: Service) -> None:
        block = await service.blocks.create(WS, BlockFields(label="notes", value="a"), ALICE)
        edited = await service.blocks.edit(WS, block.id, Edit(operation="append", text="b"), ALICE)
        assert edited.block.value == "ab"

    async def test_a_failed_run_is_not_tried_again_for_now(self, team: Team) -> None:
        with patch.object(team.service.pressure, "refusal", AsyncMock(return_value=None)):
            lease, open_run = await team.working(await team.agent())
        await team.leases.finish(lease, open_run.run.id, "error", None)
        with pytest.raises(StoreFilling):
            await team.service.messages.retry(WS, open_run.run.id)
