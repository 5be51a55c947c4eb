"""Agents ask each other: whoever waits holds no slot, and who would wait in a circle is told so at once."""

import json
import time

import pytest

from tests.scenarios.api import Api, turn, wait_until
from tests.scenarios.team import Team

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

ASK = "send_message_to_agent_and_wait_for_reply"
CALLERS = 10


def system(*turns: dict[str, object]) -> str:
    """The instructions of an agent that answers other agents so."""
    return f"<script>{json.dumps(turns)}</script>"


async def results(api: Api, run: str) -> list[str]:
    said = await api.get(f"/v1/runs/{run}/messages", limit=0)
    return [one["tool_return"] for one in said if one["message_type"] == "tool_return_message"]


async def test_one_worker_with_two_slots_carries_ten_that_wait_for_ten(team: Team, team_api: Api) -> None:
    team.settings = team.settings.model_copy(update={"slots": 2})
    team.start("worker")
    others = [
        await team_api.agent(system=system({"text": f"I am {i}.", "sleep_ms": 50})) for i in range(CALLERS)
    ]
    callers = [await team_api.agent(include_multi_agent_tools=True) for _ in others]
    asking = [turn(ASK, other_agent_id=other, message="Who are you?") for other in others]
    runs = [
        await team_api.send(caller, ask, {"text": "I see."})
        for caller, ask in zip(callers, asking, strict=True)
    ]
    for i, run in enumerate(runs):
        assert (await team_api.ended(run))["status"] == "completed"
        [text] = await results(team_api, run)
        assert json.loads(text) == {"agent_id": others[i], "response": [f"I am {i}."]}


async def test_two_that_ask_each_other_are_told_so_at_once(api: Api) -> None:
    one = await api.agent(include_multi_agent_tools=True)
    back = turn(ASK, other_agent_id=one, message="And you?")
    other = await api.agent(include_multi_agent_tools=True, system=system(back, {"text": "I am fine."}))
    began = time.monotonic()
    run = await api.send(one, turn(ASK, other_agent_id=other, message="How are you?"), {"text": "Good."})
    assert (await api.ended(run))["status"] == "completed"
    assert time.monotonic() - began < 10
    assert json.loads((await results(api, run))[0])["response"] == ["I am fine."]
    [asked] = await api.get("/v1/runs/", agent_id=other)
    [refusal] = await results(api, asked["id"])
    assert f"{one} -> {other} -> {one}" in refusal


async def test_a_worker_that_is_killed_while_its_agent_waits_changes_nothing(
    team: Team, team_api: Api
) -> None:
    """Nothing of a wait is in any process: another worker goes on, the message is sent once."""
    team.start("worker")
    other = await team_api.agent(system=system({"text": "At last."}), pool="later")
    one = await team_api.agent(include_multi_agent_tools=True)
    run = await team_api.send(one, turn(ASK, other_agent_id=other, message="Well?"), {"text": "I see."})

    async def waits() -> bool:
        return bool(team.events("worker", "run.waiting"))

    await wait_until("the agent waits", waits)
    team.kill("worker")
    team.start_worker("later", pool="later")
    team.start_worker("next", pool="default")
    assert (await team_api.ended(run))["status"] == "completed"
    assert json.loads((await results(team_api, run))[0])["response"] == ["At last."]
    assert len(await team_api.get("/v1/runs/", agent_id=other)) == 1


async def test_a_run_that_waits_is_cancelled_at_once(api: Api) -> None:
    """Whom it asked goes on, and its agent answers the next message."""
    slow = await api.agent(system=system({"text": "Yes.", "sleep_ms": 3000}))
    one = await api.agent(include_multi_agent_tools=True)
    run = await api.send(one, turn(ASK, other_agent_id=slow, message="Well?"), {"text": "Never said."})

    async def asked() -> bool:
        return len(await api.get("/v1/runs/", agent_id=slow)) == 1

    await wait_until("the other was asked", asked)
    assert await api.post(f"/v1/agents/{one}/messages/cancel", {}) == {run: "cancelled"}
    assert (await api.ended(run, deadline_s=2))["status"] == "cancelled"
    assert (await api.ended(await api.send(one, {"text": "Here."})))["status"] == "completed"
    [other_run] = await api.get("/v1/runs/", agent_id=slow)
    assert (await api.ended(other_run["id"]))["status"] == "completed"
