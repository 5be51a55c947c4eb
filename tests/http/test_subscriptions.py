"""Subscriptions over HTTP."""

from typing import Any

import httpx
import pytest

from tests.http.conftest import Make


@pytest.fixture
async def path(make_agent: Make) -> str:
    return f"/v1/agents/{(await make_agent())['id']}/subscriptions"


async def test_a_subscription_is_made_listed_and_ended(
    client: httpx.AsyncClient, make_block: Make, path: str
) -> None:
    block = await make_block()
    to_block = (await client.post(path, json={"block_id": block["id"]})).json()
    to_label = (await client.post(path, json={"label": "team/plans", "block_id": None})).json()
    assert (to_block["block_id"], to_block["label"], to_block["active"]) == (block["id"], None, True)
    assert (to_label["block_id"], to_label["label"]) == (None, "team/plans")
    assert to_label["created_at"].endswith("Z")
    assert (await client.get(path)).json() == [to_block, to_label]
    ended = await client.delete(f"{path}/{to_block['id']}")
    assert (ended.status_code, ended.text) == (200, "null")
    assert (await client.get(path)).json() == [to_label]
    assert (await client.delete(f"{path}/{to_block['id']}")).status_code == 404


@pytest.mark.parametrize("id", ["subscription-1", "x:y", "run-123e4567-e89b-42d3-8456-426614174000"])
async def test_a_subscription_id_that_cannot_be_one_is_404(
    client: httpx.AsyncClient, path: str, id: str
) -> None:
    answer = await client.delete(f"{path}/{id}")
    assert (answer.status_code, list(answer.json())) == (404, ["detail"])


@pytest.mark.parametrize("both", [True, False])
async def test_a_subscription_names_exactly_one_thing(
    client: httpx.AsyncClient, make_block: Make, path: str, both: bool
) -> None:
    body: dict[str, Any] = {"block_id": (await make_block())["id"], "label": "x"} if both else {}
    answer = await client.post(path, json=body)
    assert answer.status_code == 422
    assert answer.json()["detail"] == (
        "body.block_id, label, label_glob, block_tag, agent_tag: give exactly one of them"
    )


async def test_a_block_that_does_not_exist_cannot_be_subscribed_to(
    client: httpx.AsyncClient, path: str
) -> None:
    unknown = {"block_id": "block-123e4567-e89b-42d3-8456-426614174000"}
    assert (await client.post(path, json=unknown)).status_code == 404
    assert (await client.post(path, json={"block_id": "block-1"})).status_code == 422
