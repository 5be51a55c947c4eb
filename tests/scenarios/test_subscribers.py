"""Subscribers at work, as whole processes: bursts, a store that forgot, those who wake each other."""

import asyncio
import json
import re
from collections import Counter
from collections.abc import Callable

import pytest

from tests.scenarios.api import Api, Found, turn, wait_until
from tests.scenarios.team import Team

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

EDITS = 500
WRITERS = 8
DEPTH = 8
"""BLOCKWIRE_WAKE_DEPTH as it is unless somebody sets it."""
_LINE = re.compile(r"^- `board` version (\d+)(?: to (\d+))?: ", re.MULTILINE)


def scripted(*turns: Found) -> str:
    return f"Nothing to add. <script>{json.dumps(turns)}</script>"


async def wakeups(api: Api, agent: str) -> list[str]:
    """What an agent was told in its wake-ups, oldest first."""
    said = await api.get(f"/v1/agents/{agent}/messages", limit=0)
    return [one["content"] for one in said if one["message_type"] == "user_message"]


def versions_in(texts: list[str]) -> Counter[int]:
    told: Counter[int] = Counter()
    for text in texts:
        for first, last in _LINE.findall(text):
            told.update(range(int(first), int(last or first) + 1))
    return told


@pytest.mark.parametrize("debounce_ms", [0, 200])
async def test_a_burst_of_500_edits_wakes_a_few_times_and_none_is_missing(
    api: Api, debounce_ms: int, report: Callable[[str], None]
) -> None:
    """Eight write as fast as they can; the supervisor thinks for 0.3 s whenever it is woken."""
    board = await api.block("board", "<first>")
    supervisor = await api.agent(system=scripted({"text": "Seen.", "sleep_ms": 300}))
    asked = {"block_id": board, "debounce_ms": debounce_ms}
    await api.post(f"/v1/agents/{supervisor}/subscriptions", asked)

    async def write(writer: int) -> None:
        for n in range(writer, EDITS, WRITERS):
            await api.append(board, f"\n{n}: {'something that is worth a line ' * 3}")

    began = asyncio.get_running_loop().time()
    await asyncio.gather(*(write(writer) for writer in range(WRITERS)))
    took = asyncio.get_running_loop().time() - began
    everything = Counter(range(2, EDITS + 2))

    async def all_told() -> bool:
        return versions_in(await wakeups(api, supervisor)) >= everything

    await wait_until("the supervisor was told everything", all_told, 40)
    texts = await wakeups(api, supervisor)
    report(f"{EDITS} edits in {took:.1f} s: woken {len(texts)} times (debounce {debounce_ms} ms)")
    assert versions_in(texts) == everything
    assert len(texts) <= (3 + took if debounce_ms else 3 + took / 0.3)
    assert len(texts) < EDITS / 10


async def test_every_subscriber_is_woken_though_no_worker_ran_while_thrice_the_kept_range_was_written(
    team: Team, team_api: Api
) -> None:
    """However it subscribed. What is gone is told as a range, with the text as it is; the rest one by one."""
    kept = 200
    team.settings = team.settings.model_copy(update={"change_count": kept})
    team.start("worker 1")
    api = team_api
    made = await api.post("/v1/blocks/", {"label": "board", "value": "", "tags": ["shared"]})
    board, quiet = made["id"], await api.block("quiet")
    await api.agent(board, tags=["workers"])
    targets: list[Found] = [
        {"block_id": board},
        {"label": "board"},
        {"label_glob": "b?ar*"},
        {"block_tag": "shared"},
        {"agent_tag": "workers"},
        {"block_id": quiet},
    ]
    agents = [await api.agent(system=scripted({"text": "Seen."})) for _ in targets]
    for agent, target in zip(agents, targets, strict=True):
        await api.post(f"/v1/agents/{agent}/subscriptions", target)
    *woken, unconcerned = agents
    await api.append(board, "begin")

    async def told_all(version: int) -> bool:
        found = [versions_in(await wakeups(api, agent)) for agent in woken]
        return all(told[version] for told in found)

    await wait_until("everybody was told of the beginning", lambda: told_all(2))
    team.kill("worker 1")
    for n in range(3 * kept):
        version = await api.append(board, f"\n{n}")
    team.start_worker("worker 2")
    await wait_until("everybody was told of the end", lambda: told_all(version))
    for agent in woken:
        texts = await wakeups(api, agent)
        assert versions_in(texts) == Counter(range(2, version + 1))
        assert "version 3 to" in texts[1]
        assert "can no longer be told one by one" in texts[1]
        assert f"`board` as it is now (version {version})" in texts[-1]
    assert await wakeups(api, unconcerned) == []


async def test_two_that_watch_each_others_block_are_cut_and_can_both_be_resumed(api: Api) -> None:
    """On a model that writes whenever it is asked."""
    boards = {name: await api.block(f"{name}s-board") for name in ("ping", "pong")}
    watched = {"ping": boards["pong"], "pong": boards["ping"]}
    agents, subscriptions = {}, {}
    for name, board in boards.items():
        writes = turn("memory_insert", label=f"{name}s-board", new_string=f"{name} was here")
        agents[name] = await api.agent(board, system=scripted(writes, {"text": "Done."}), name=name)
        path = f"/v1/agents/{agents[name]}/subscriptions"
        made = await api.post(path, {"block_id": watched[name]})
        subscriptions[name] = f"{path}/{made['id']}"

    async def cuts() -> dict[str, Found]:
        found = {name: (await api.get(path))["cut"] for name, path in subscriptions.items()}
        return {name: one for name, one in found.items() if one is not None}

    async def lines() -> int:
        return sum([len(await api.lines(board)) for board in boards.values()])

    async def goes_on_until_cut(more_than: int, *names: str) -> int:
        """How many lines there are when the chain has ended, and nobody works any more."""

        async def at_rest() -> bool:
            runs = [await api.get("/v1/runs/", agent_id=agent, active=True) for agent in agents.values()]
            return await lines() > more_than and set(await cuts()) == set(names) and not any(runs)

        await wait_until(f"the chain was cut at {names}", at_rest, 40)
        return await lines()

    wrote = 0
    for starter, cut in (("ping", ["pong"]), ("pong", ["pong", "ping"])):
        await api.append(boards[starter], "\nbegin")
        before, wrote = wrote, await goes_on_until_cut(wrote + 1, *cut)
        assert wrote == before + 1 + DEPTH
        held = (await cuts())[cut[-1]]
        assert (held["reason"], held["changes"]) == ("depth", 1)
        answer = await api.http.patch(subscriptions[cut[-1]], json={"active": True})
        assert (answer.status_code, answer.json()["cut"]) == (200, None)
        before, wrote = wrote, await goes_on_until_cut(wrote + 1, *cut)
        assert wrote == before + DEPTH, f"the chain that {cut[-1]} was cut from did not begin anew"
