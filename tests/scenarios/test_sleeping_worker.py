"""A worker that is stopped for longer than its lease, as by a machine that swaps, and wakes up in a step."""

import signal
import time

import pytest

from tests.scenarios.api import Api, turn, wait_until
from tests.scenarios.team import Team

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

LEASE_MS = 1000
SETTINGS = {"lease_ms": LEASE_MS, "slots": 1}


@pytest.mark.parametrize("sleep_s", [0, pytest.param(30, marks=pytest.mark.chaos)], ids=["short", "long"])
async def test_a_worker_that_slept_past_its_lease_writes_nothing_and_is_of_use_again(
    team: Team, team_api: Api, sleep_s: float
) -> None:
    """Stopped in a model call, it misses how another worker takes its agent over and finishes the run.
    Woken, it is told so, gives the step up, and takes the next agent with its only slot."""
    team.start()
    team.start_worker("sleeper", **SETTINGS)
    board = await team_api.block("board")
    agent = await team_api.agent(board)
    write = turn("memory_insert", sleep_ms=700, label="board", new_string="one")
    run = await team_api.send(agent, write, {"text": "Done."})

    async def has_begun() -> bool:
        return bool(team.events("sleeper", "run.started"))

    await wait_until("the run was begun", has_begun)
    team.processes["sleeper"].send_signal(signal.SIGSTOP)
    until = time.monotonic() + sleep_s
    try:
        team.start_worker("other", **SETTINGS)
        assert (await team_api.ended(run))["status"] == "completed"
        history = await team_api.get(f"/v1/agents/{agent}/messages", limit=100)
        versions = await team_api.get(f"/v1/blocks/{board}/versions")

        async def slept() -> bool:
            return time.monotonic() >= until

        await wait_until("it had slept long enough", slept, sleep_s + 10)
    finally:
        team.processes["sleeper"].send_signal(signal.SIGCONT)

    async def knows() -> bool:
        return bool(team.events("sleeper", "lease.lost"))

    await wait_until("the sleeper knew that it had lost its lease", knows)
    team.terminate("other").wait(15)
    next_run = await team_api.send(await team_api.agent(), {"text": "Here I am."})
    assert (await team_api.ended(next_run))["status"] == "completed"
    assert team.worker_of(next_run) == "sleeper"
    assert await team_api.lines(board) == ["one"]
    assert await team_api.get(f"/v1/blocks/{board}/versions") == versions
    assert await team_api.get(f"/v1/agents/{agent}/messages", limit=100) == history
    assert team.events("sleeper", "step.answered")[0]["run_id"] == next_run
    assert not team.events("sleeper", "step.broken")
