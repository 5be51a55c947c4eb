"""A supervisor is woken when others change what it watches, also when everything died in between."""

import json

import pytest

from service.store.queue import CLAIM_MS
from tests.scenarios.api import Api, turn, wait_until
from tests.scenarios.team import Team

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

LOOKED = "- the board has changed, I looked"
KEEPS_SUMMARY = [
    turn("memory_insert", label="summary", new_string=LOOKED),
    {"text": "The summary is current."},
]
LATEST_S = CLAIM_MS / 1000 + 20
"""Usually a second or two. A worker that dies with a job claimed and no lease taken leaves its claim."""
INSTRUCTIONS = f"You keep the summary. <script>{json.dumps(KEEPS_SUMMARY)}</script>"


async def supervised(api: Api) -> tuple[str, str, str]:
    """A board, a summary, and the supervisor that keeps the one by the other, which it has not."""
    board, summary = await api.block("board"), await api.block("summary", "Summary:")
    supervisor = await api.agent(summary, system=INSTRUCTIONS, name="supervisor")
    await api.watch(supervisor, board)
    return board, summary, supervisor


async def wait_for_summary(api: Api, summary: str, times: int, deadline_s: float = 20) -> None:
    async def is_current() -> bool:
        return len(await api.lines(summary)) > times

    await wait_until(f"the supervisor had looked {times} time(s)", is_current, deadline_s)
    assert await api.lines(summary) == ["Summary:", *[LOOKED] * times]


async def test_a_supervisor_keeps_a_summary_current_while_workers_edit(api: Api) -> None:
    """Nobody polls and nobody is asked: a worker writes, and the supervisor is woken to act on it, told who
    wrote what. Its own edit of the summary wakes it not."""
    board, summary, supervisor = await supervised(api)
    await api.watch(supervisor, summary)
    worker = await api.agent(board, name="worker")
    for times, line in enumerate(("the door is painted", "the window is open"), 1):
        run = await api.send(worker, turn("memory_insert", label="board", new_string=line), {"text": "Done."})
        await api.ended(run)
        await wait_for_summary(api, summary, times)

    said = await api.get(f"/v1/agents/{supervisor}/messages", limit=0)
    told = [one["content"] for one in said if one["message_type"] == "user_message"]
    assert len(told) == 2
    assert f"`board` version 2: insert by worker ({worker})" in told[0]
    assert "+ the door is painted" in told[0]
    assert "+ the window is open" in told[1]
    assert told[1].endswith("the door is painted\nthe window is open")


async def test_a_wake_up_survives_the_death_of_every_process(team: Team, team_api: Api) -> None:
    """The power goes the moment a write was acknowledged. When everything runs again the write is there, and
    the supervisor is woken by it: once, whether its wake-up had been recorded before or not."""
    team.start("worker 1")
    board, summary, _ = await supervised(team_api)
    for times, pause in enumerate(("with a worker", "without a worker"), 1):
        if pause == "without a worker":
            team.kill("worker 1")
        version = await team_api.append(board, f"\n{pause}")
        team.kill(*team.processes)
        team.start("worker 1")
        assert (await team_api.get(f"/v1/blocks/{board}"))["version"] == version
        await wait_for_summary(team_api, summary, times, LATEST_S)
