"""A message that kills every worker that takes it is given up after so many, kept, and can be tried again."""

import time

import pytest

from tests.scenarios.api import Api, wait_until
from tests.scenarios.team import Team

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

LEASE_MS = 600
TRIES = 2


async def taken_by(team: Team, run: str, known: int) -> str:
    """The worker that takes a run up, when it has been taken up so many times before."""

    def began() -> list[str]:
        events = [
            (event["timestamp"], name)
            for name in team.processes
            for event in team.events(name, "run.started")
            if event["run_id"] == run
        ]
        return [name for _, name in sorted(events)]

    async def is_taken() -> bool:
        return len(began()) > known

    await wait_until(f"somebody took {run} up", is_taken)
    return began()[-1]


async def test_a_message_that_keeps_killing_its_worker_is_given_up_and_the_next_is_taken(
    team: Team, team_api: Api
) -> None:
    """Each worker that asks the model for this message dies. After the second the run has failed and
    says why, the agent answers the next message, and the letter waits to be tried again."""
    team.start()
    for number in range(TRIES + 1):
        team.start_worker(f"worker {number}", run_tries=TRIES, lease_ms=LEASE_MS)
    agent = await team_api.agent()
    deadly = await team_api.send(agent, {"text": "At last.", "sleep_ms": 2000})
    behind = await team_api.send(agent, {"text": "Here I am."})
    for _ in range(TRIES):
        team.kill(await taken_by(team, deadly, 0))  # its log goes with it
    given_up = time.monotonic()
    run = await team_api.ended(deadly)
    assert (run["status"], run["stop_reason"]) == ("failed", "error")
    assert f"given up after {TRIES} workers were lost" in run["metadata"]["error"]["message"]
    assert (await team_api.ended(behind))["status"] == "completed"
    assert time.monotonic() - given_up < 10

    [letter] = await team_api.get(f"/v1/agents/{agent}/dead-letters")
    assert (letter["id"], letter["tries"]) == (deadly, TRIES)
    again = await team_api.post(f"/v1/runs/{deadly}/retry", {})
    assert again["metadata"]["retry_of"] == deadly
    assert (await team_api.ended(again["id"]))["status"] == "completed"
    said = await team_api.get(f"/v1/runs/{again['id']}/messages")
    assert [one["content"] for one in said if one["message_type"] == "assistant_message"] == ["At last."]
    assert await team_api.get(f"/v1/agents/{agent}/dead-letters") == []
