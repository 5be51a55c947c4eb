"""Subscriptions over HTTP."""

from typing import Any

import httpx
import pytest

from tests.http.conftest import Make

AGENT = "agent-123e4567-e89b-42d3-8456-426614174000"


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


async def test_a_subscription_is_read_changed_and_turned_off_and_on(
    client: httpx.AsyncClient, make_block: Make, path: str
) -> None:
    block = await make_block()
    made = (await client.post(path, json={"label": "a"})).json()
    own = f"{path}/{made['id']}"
    assert (await client.get(own)).json() == made
    assert {name: made[name] for name in ("debounce_ms", "max_wait_ms", "template", "own_edits", "cut")} == {
        "debounce_ms": 0,
        "max_wait_ms": 0,
        "template": "",
        "own_edits": False,
        "cut": None,
    }
    change = {
        "block_id": block["id"],
        "label": None,
        "debounce_ms": 20,
        "operations": ["append"],
        "template": "{label}",
        "own_edits": True,
        "wakes_per_minute": 5,
        "active": False,
    }
    changed = (await client.patch(own, json=change)).json()
    assert changed == made | change | {"max_wait_ms": 200}
    assert (await client.get(path)).json() == [changed]
    again = (await client.patch(own, json={"active": True, "operations": [], "template": ""})).json()
    assert again == changed | {"active": True, "operations": [], "template": ""}


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
async def test_another_agents_subscription_is_not_there(
    client: httpx.AsyncClient, make_agent: Make, path: str, method: str
) -> None:
    made = (await client.post(path, json={"label": "a"})).json()
    other = f"/v1/agents/{(await make_agent())['id']}/subscriptions/{made['id']}"
    answer = await client.request(method, other, json={} if method == "PATCH" else None)
    assert (answer.status_code, answer.json()["detail"]) == (
        404,
        f"subscription {made['id']} was not found in this workspace",
    )


@pytest.mark.parametrize(
    ("given", "status", "named"),
    [
        ({"label_glob": "x", "agent_tag": "y"}, 422, "give exactly one of them"),
        ({"label": "a", "template": "{nobody}"}, 400, "template: {nobody} is not one of"),
        ({"label": "a", "template": "{label"}, 400, "template"),
        ({"label": "a", "debounce_ms": 50, "max_wait_ms": 20}, 400, "max_wait_ms: must not be less"),
        ({"label": "a", "debounce_ms": -1}, 422, "body.debounce_ms"),
        ({"label": "a", "operations": ["shout"]}, 422, "body.operations"),
        ({"label": "a", "writers": ["me"]}, 422, "body.writers"),
        ({"label": "a", "writers": [AGENT], "except_writers": [AGENT]}, 400, "except_writers: give either"),
        ({"label": "a", "wakes_per_minute": 0}, 422, "body.wakes_per_minute"),
    ],
)
async def test_what_cannot_be_asked_for_is_refused_by_name(
    client: httpx.AsyncClient, path: str, given: dict[str, Any], status: int, named: str
) -> None:
    answer = await client.post(path, json=given)
    assert answer.status_code == status
    assert named in answer.json()["detail"]
    assert (await client.get(path)).json() == []


async def test_a_change_may_not_name_two_targets_either(client: httpx.AsyncClient, path: str) -> None:
    made = (await client.post(path, json={"label": "a"})).json()
    answer = await client.patch(f"{path}/{made['id']}", json={"label": "b", "block_tag": "c"})
    assert answer.status_code == 400
    assert answer.json()["detail"].startswith("INVALID_ARGUMENT: label: give exactly")


async def test_a_field_that_is_not_known_is_refused(client: httpx.AsyncClient, make_agent: Make) -> None:
    agent = (await make_agent())["id"]
    path = f"/v1/agents/{agent}/subscriptions"
    answer = await client.post(path, json={"label": "notes", "debounce": 200})
    assert answer.status_code == 422
    assert "debounce" in answer.json()["detail"]
    budget = await client.patch(f"/v1/agents/{agent}", json={"budget": {"steps_per_hours": 1}})
    assert budget.status_code == 422
