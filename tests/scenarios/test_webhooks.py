"""A service that holds no connection is told of every change, whoever dies on the way."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from service.bootstrap import open_service
from service.records.base import DEFAULT_WORKSPACE as WS
from service.records.blocks import Author, Edit
from service.signatures import headers_of
from service.store.client import StoreClient
from service.store.deliveries import CLAIM_MS
from service.store.keys import key
from tests.receiver import Receiver, receiving
from tests.scenarios.api import Api, Found, wait_until
from tests.scenarios.team import Team
from workers.payloads import BODY_MOST

Report = Callable[[str], None]

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

AT_ONCE = 50


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as found:
        yield found


async def hook(api: Api, receiver: Receiver, **fields: Any) -> Found:
    made: Found = await api.post("/v1/webhooks/", {"url": f"{receiver.url}/changes", **fields})
    return made


def told(receiver: Receiver) -> list[str]:
    """The text of each change that was posted, in the order in which it was posted first."""
    bodies = {post.headers["webhook-id"]: post.body for post in receiver.posts}
    return [change["added"] for body in bodies.values() for change in body["data"].get("changes", [])]


def has(receiver: Receiver, count: int) -> Callable[[], Awaitable[bool]]:
    async def so() -> bool:
        return len(told(receiver)) >= count

    return so


async def test_each_change_is_told_once_in_order_and_after_a_time_away_all_that_was_missed(
    team: Team, team_api: Api, receiver: Receiver
) -> None:
    """Two workers share the work; nobody is told twice while all goes well, and every post is signed."""
    team.start("worker 1", "worker 2")
    block = await team_api.block("board", "0")
    made = await hook(team_api, receiver, labels=["board"], kinds=["edited"])
    for number in range(1, 21):
        await team_api.append(block, f"{number} ")
    await wait_until("all was told", has(receiver, 20))
    assert told(receiver) == [f"{number} " for number in range(1, 21)]
    assert len({post.headers["webhook-id"] for post in receiver.posts}) == len(receiver.posts)
    for post in receiver.posts:
        id, at = post.headers["webhook-id"], int(post.headers["webhook-timestamp"])
        assert (
            headers_of(id, at, post.raw, [made["secret"]])["webhook-signature"]
            == (post.headers["webhook-signature"])
        )

    await receiver.stop()
    for number in range(21, 31):
        await team_api.append(block, f"{number} ")

    async def failing() -> bool:
        return bool((await team_api.get(f"/v1/webhooks/{made['id']}"))["failing_since"])

    await wait_until("it shows that the receiver is away", failing)
    await receiver.start()
    await wait_until("it was told what it missed", has(receiver, 30))
    assert told(receiver) == [f"{number} " for number in range(1, 31)]
    for log in team.folder.glob("*.log"):
        assert made["secret"] not in log.read_text(), f"{log.name} tells the secret"


@pytest.mark.parametrize("how", ["killed", "asked to stop"])
async def test_a_worker_that_ends_in_the_middle_of_a_delivery_is_replaced_by_one_that_sends_the_same(
    team: Team, team_api: Api, receiver: Receiver, how: str
) -> None:
    """When the turn of the killed one is over; at once where it could still say so."""
    team.start("worker 1")
    made = await hook(team_api, receiver)
    receiver.silent = True
    block = await team_api.block("board", "0")

    async def under_way() -> bool:
        return bool(receiver.posts)

    await wait_until("the first was posted", under_way)
    if how == "killed":
        team.kill("worker 1")
    else:
        assert await asyncio.to_thread(team.terminate("worker 1").wait, 10) == 0
        turn = (await team_api.get(f"/v1/webhooks/{made['id']}/deliveries"))[0]
        assert (turn["tries"], turn["error"]) == (1, "the worker was stopped while it waited for an answer")
    receiver.silent = False
    team.start_worker("worker 2")
    await team_api.append(block, "1")
    await wait_until("it was sent again", has(receiver, 2), CLAIM_MS / 1000 + 10)
    first, again = receiver.posts[:2]
    assert (first.headers["webhook-id"], first.raw) == (again.headers["webhook-id"], again.raw)
    assert told(receiver) == ["0", "1"]
    shown = await team_api.get(f"/v1/webhooks/{made['id']}")
    assert (shown["active"], shown["dead_letters"]) == (True, 0)


@pytest.mark.parametrize("rounds", [3, pytest.param(50, marks=pytest.mark.chaos)], ids=["short", "long"])
async def test_what_was_acknowledged_is_told_though_every_process_dies_right_after(
    team: Team, team_api: Api, receiver: Receiver, rounds: int
) -> None:
    """Web, worker and store, killed as the answer arrives and started again; round after round."""
    team.appendfsync = "always"
    team.start("worker 1")
    block = await team_api.block("board")
    await hook(team_api, receiver, kinds=["edited"])
    for number in range(rounds):
        await team_api.append(block, f"{number} ")
        team.kill("web", "worker 1", "store")
        team.start("worker 1")
    await wait_until("all was told", has(receiver, rounds), CLAIM_MS / 1000 + 20)
    assert told(receiver) == [f"{number} " for number in range(rounds)]


async def test_an_operator_who_forbids_private_addresses_is_obeyed(
    team: Team, team_api: Api, receiver: Receiver
) -> None:
    """The web process would allow it, since it listens on this machine alone; the worker does not."""
    team.start()
    team.start_worker("worker 1", callbacks_private=False)
    made = await hook(team_api, receiver)
    await team_api.block("board", "0")

    async def refused() -> bool:
        found = await team_api.get(f"/v1/webhooks/{made['id']}/deliveries", status="waiting")
        return any("private network" in (one["error"] or "") for one in found)

    await wait_until("it shows that the address is not called", refused)
    assert receiver.posts == []


async def test_what_never_got_through_is_a_dead_letter_that_can_be_sent_again(
    team: Team, team_api: Api, receiver: Receiver
) -> None:
    team.start()
    team.start_worker("worker 1", webhook_hours=1 / 3600)
    receiver.status = "500 Internal Server Error"
    made = await hook(team_api, receiver)
    path = f"/v1/webhooks/{made['id']}"
    block = await team_api.block("board", "0")

    async def paused() -> bool:
        return (await team_api.get(path))["paused"] is not None

    await wait_until("the webhook was paused", paused)
    shown = await team_api.get(path)
    assert (shown["active"], shown["paused"]["reason"], shown["dead_letters"]) == (False, "failing", 1)
    [dead] = await team_api.get(f"{path}/deliveries", status="dead")
    assert (dead["http_status"], dead["changes"]) == (500, 1)
    await team_api.append(block, "1")
    receiver.status, tried = "200 OK", len(receiver.posts)
    await team_api.post(f"{path}/deliveries/{dead['id']}/redeliver", {})
    resumed = await team_api.http.patch(path, json={"active": True})
    assert resumed.json()["active"] is True
    await wait_until("both were told", has(receiver, 2))
    assert told(receiver) == ["0", "1"]
    assert receiver.posts[tried].headers["webhook-id"] == dead["id"]


@pytest.mark.parametrize(
    "edits", [2000, pytest.param(10_000, marks=pytest.mark.chaos)], ids=["short", "long"]
)
async def test_a_burst_costs_a_slow_receiver_a_few_bounded_deliveries_and_delays_no_other(
    team: Team, team_api: Api, receiver: Receiver, report: Report, edits: int
) -> None:
    """Nothing is copied for whoever is behind: one delivery is stored, the rest lies in the stream."""
    team.start("worker 1", "worker 2")
    receiver.slow_s = 0.3
    async with receiving() as quick:
        slow_hook = await hook(team_api, receiver, kinds=["edited"])
        await hook(team_api, quick, kinds=["edited"])
        block = await team_api.block("board")
        async with open_service(team.settings) as service:
            bodies: list[int] = []
            for first in range(0, edits, AT_ONCE):
                numbers = range(first, first + AT_ONCE)
                some = [Edit(operation="set", text=str(number)) for number in numbers]
                await asyncio.gather(*(service.blocks.edit(WS, block, one, Author()) for one in some))
                if first % 500 == 0:
                    bodies.append(await stored_bodies(service.store))
            await wait_until("the quick one was told all", has(quick, edits), 120)
            behind = edits - len(told(receiver))
            assert behind > 0
            await wait_until("so was the slow one", has(receiver, edits), 240)
    for one in (receiver, quick):
        ids = [change["id"] for post in one.posts for change in post.body["data"]["changes"]]
        assert len(ids) == len(set(ids)) == edits
        assert ids == sorted(ids, key=lambda id: int(id.partition("-")[2]))
        assert max(len(post.raw) for post in one.posts) < BODY_MOST + 1000
    assert max(bodies) <= 2
    shown = await team_api.get(f"/v1/webhooks/{slow_hook['id']}")
    assert (shown["active"], shown["dead_letters"]) == (True, 0)
    report(
        f"{len(receiver.posts)} and {len(quick.posts)} deliveries; "
        f"the slow one was {behind} changes behind the quick one"
    )


async def stored_bodies(store: StoreClient) -> int:
    """How many deliveries lie in the store, whole."""
    found = [name async for name in store.walk(1000) if name.startswith(key(WS, "delivery", "delivery-"))]
    bodies = await store.together([("HMGET", name, "body") for name in found]) if found else []
    return sum(body is not None for [body] in bodies)
