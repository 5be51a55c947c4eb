"""Census: every key of ours has a kind, and kinds are counted and weighed."""

import pytest

from service.records.webhooks import WebhookFields
from service.store.census import _PATTERNS, OTHERS, SAMPLE, census
from service.store.client import StoreClient
from service.store.keys import KEYS, SCHEMA_KEY, WORKSPACES_KEY
from tests.store.team import WS, Team, raw

pytestmark = pytest.mark.anyio


@pytest.fixture
def store(real_store: StoreClient) -> StoreClient:
    """The real one: a fake does not tell what a key weighs."""
    return real_store


async def test_every_key_of_a_team_at_work_is_of_a_known_kind(team: Team) -> None:
    block = await team.block("text", tags=["a:b"], label="x:history")
    agent = await team.agent(block, tags=["t"])
    await team.edit(block, "append", "!")
    await team.working(agent)
    webhook = (await team.service.webhooks.create(WS, WebhookFields(url="https://example.com")))[0][0]
    await team.service.deliveries.ping(WS, webhook.id)
    kinds = {kind.pattern: kind for kind in await census(team.store)}
    assert OTHERS not in kinds
    assert {"webhooks", "webhook:<id>", "webhook:<id>:again", "delivery:<id>"} <= kinds.keys()
    assert {SCHEMA_KEY, WORKSPACES_KEY, "block:<id>", "block:<id>:history", "blocks:by:<…>"} <= kinds.keys()
    assert (kinds["block:<id>"].keys, kinds["agent:<id>:state"].keys, kinds["block:<id>:history"].keys) == (
        1,
        1,
        1,
    )
    assert all(kind.bytes > 0 and not kind.estimated for kind in kinds.values())
    assert sum(kind.keys for kind in kinds.values()) == len(await team.redis.keys("*"))


async def test_many_keys_of_a_kind_are_weighed_by_a_sample(store: StoreClient) -> None:
    for number in range(SAMPLE + 50):
        await raw(store).set(f"bw:{{default}}:step:{number}", "x" * 1000)
    [kind] = await census(store)
    assert (kind.pattern, kind.keys, kind.estimated) == ("step:<id>", SAMPLE + 50, True)
    assert 1000 * kind.keys < kind.bytes < 1300 * kind.keys


async def test_what_is_not_ours_is_said(store: StoreClient) -> None:
    for name in ("session:1", "bw:{default}:nobody:knows", "arq:job:1", "blockwire:jobs"):
        await raw(store).set(name, "x")
    kinds = {kind.pattern: kind.keys for kind in await census(store)}
    assert kinds == {OTHERS: 2, "arq:… and blockwire:jobs…": 2}


def test_every_row_of_the_key_table_is_told_apart() -> None:
    assert len({pattern for _, pattern, _, _ in _PATTERNS}) == len(KEYS)
