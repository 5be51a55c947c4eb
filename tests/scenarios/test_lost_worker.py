"""Workers come and go in the middle of a step; agents go on elsewhere, and nothing is done twice."""

import time
from collections.abc import Callable

import pytest

from tests.scenarios.api import Api, turn, wait_until
from tests.scenarios.team import Team

Report = Callable[[str], None]

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

MODEL_MS = 1000
A_LITTLE_S = 3.0
TAKEN_OVER_S = 5.0
MOST_TAKEOVERS = 3
LINES = ["one", "two", "three"]


async def under_way(team: Team, api: Api) -> tuple[str, str, str]:
    """A run whose first line is written and whose second model call is under way: block, run, its worker."""
    board = await api.block("board")
    agent = await api.agent(board)
    writes = [turn("memory_insert", sleep_ms=MODEL_MS, label="board", new_string=line) for line in LINES]
    run = await api.send(agent, *writes, {"text": "Done."})

    async def first_line_is_there() -> bool:
        return await api.lines(board) == LINES[:1]

    await wait_until("the first line was written", first_line_is_there)
    return board, run, team.worker_of(run)


async def test_a_worker_killed_in_mid_step_is_replaced_within_its_lease(
    team: Team, team_api: Api, report: Report
) -> None:
    """A machine dies while an agent thinks. Within the lease and a little another worker goes on,
    and every line is written exactly once."""
    team.start("worker 1", "worker 2")
    board, run, worker = await under_way(team, team_api)
    team.kill(worker)
    killed = time.monotonic()

    async def second_line_is_there() -> bool:
        return (await team_api.lines(board))[:2] == LINES[:2]

    lease_s = team.settings.lease_ms / 1000
    await wait_until("another worker went on", second_line_is_there, lease_s + MODEL_MS / 1000 + A_LITTLE_S)
    took_s = time.monotonic() - killed - MODEL_MS / 1000
    ended = await team_api.ended(run)
    assert (ended["status"], ended["stop_reason"]) == ("completed", "end_turn")
    assert await team_api.lines(board) == LINES
    assert await team_api.tool_statuses(run) == ["success"] * 3
    report(f"taken over {took_s:.2f} s after the kill")


async def test_however_long_a_model_may_take_its_agent_is_taken_over_within_five_seconds(
    team: Team, team_api: Api, report: Report
) -> None:
    """Default settings, a time-out of the model of ten minutes, and a call that would take one. A machine
    that has other things to do may be late once or twice, not always."""
    team.start("worker 1", "worker 2")
    agent = await team_api.agent()
    run = await team_api.send(agent, {"text": "At last.", "sleep_ms": 60_000})
    took_s: list[float] = []
    while len(took_s) < MOST_TAKEOVERS and min(took_s, default=TAKEN_OVER_S) >= TAKEN_OVER_S:
        before = {name: len(team.events(name, "run.started")) for name in team.processes}

        async def is_carried() -> bool:
            return any(team.events(name, "run.started") for name in team.processes)

        await wait_until("somebody carries the run", is_carried)
        worker = team.worker_of(run)
        [other] = {"worker 1", "worker 2"} - {worker}
        team.kill(worker)
        killed = time.monotonic()

        async def is_taken(other: str = other, known: int = before.get(other, 0)) -> bool:
            return len(team.events(other, "run.started")) > known

        await wait_until("another worker took the run over", is_taken)
        took_s.append(time.monotonic() - killed)
        team.start_worker(worker)
    assert min(took_s) < TAKEN_OVER_S, took_s
    await team_api.post(f"/v1/agents/{agent}/messages/cancel", {})
    assert (await team_api.ended(run))["status"] == "cancelled"
    report(f"taken over {took_s[-1]:.2f} s after the kill")


async def test_a_worker_asked_to_stop_in_mid_step_hands_its_agent_to_another(
    team: Team, team_api: Api, report: Report
) -> None:
    """A deployment: workers are ended one by one with SIGTERM. The step under way is finished, the next
    is made by another worker at once; no lease has to run out, no model call is paid twice."""
    team.start("worker 1", "worker 2")
    board, run, worker = await under_way(team, team_api)
    process = team.terminate(worker)
    asked = time.monotonic()
    code = process.wait(10)
    stopped_s = time.monotonic() - asked
    ended = await team_api.ended(run)
    took_s = time.monotonic() - asked
    assert code == 0
    assert (ended["status"], ended["stop_reason"]) == ("completed", "end_turn")
    assert await team_api.lines(board) == LINES
    assert team.worker_of(run) != worker
    assert stopped_s < MODEL_MS / 1000 + 1.5
    assert took_s < 2 * MODEL_MS / 1000 + 2
    report(f"stopped in {stopped_s:.2f} s, the move cost {took_s - 2 * MODEL_MS / 1000:.2f} s")
