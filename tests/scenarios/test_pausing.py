"""Somebody stops an agent in the middle of its work; processes come and go; it goes on when told to."""

import pytest

from tests.scenarios.api import Api, turn, wait_until
from tests.scenarios.team import Team

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


async def test_a_paused_agent_stays_paused_over_a_restart_and_goes_on_where_it_was(
    team: Team, team_api: Api
) -> None:
    """The step under way is finished, then nothing happens, whichever workers there are. A message sent
    meanwhile waits its turn."""
    team.start("worker 1")
    board = await team_api.block("board")
    agent = await team_api.agent(board)
    other = await team_api.agent()
    lines = ["one", "two"]
    writes = [turn("memory_insert", sleep_ms=500, label="board", new_string=line) for line in lines]
    run = await team_api.send(agent, *writes, {"text": "Done."})

    async def has_begun() -> bool:
        return bool(team.events("worker 1", "run.started"))

    await wait_until("the run was begun", has_begun)
    assert (await team_api.post(f"/v1/agents/{agent}/pause", {}))["paused_at"] is not None

    async def is_paused() -> bool:
        return bool(team.events("worker 1", "run.paused"))

    await wait_until("the run was paused", is_paused)
    assert await team_api.lines(board) == lines[:1]
    behind = await team_api.send(agent, {"text": "Here I am."})
    team.kill("worker 1")
    team.start_worker("worker 2")
    ping = await team_api.send(other, {"text": "Others work."})
    assert (await team_api.ended(ping))["status"] == "completed"
    assert [await team_api.status(one) for one in (run, behind)] == ["running", "created"]
    assert await team_api.lines(board) == lines[:1]

    await team_api.post(f"/v1/agents/{agent}/resume", {})
    assert (await team_api.ended(run))["status"] == "completed"
    assert (await team_api.ended(behind))["status"] == "completed"
    assert await team_api.lines(board) == lines
    assert await team_api.tool_statuses(run) == ["success"] * 2
