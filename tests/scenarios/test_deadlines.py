"""What waits for a caller's word does not wait for ever, whoever was killed meanwhile."""

import json
from typing import Any

import pytest

from tests.scenarios.api import Api, turn, wait_until
from tests.scenarios.team import Team

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

TIME_OUT_S = 3.0
ASKS = {"type": "requires_approval", "tool_name": "memory_insert"}
INSERT = turn("memory_insert", label="board", new_string="seen")
LS = {"name": "ls", "parameters": {"type": "object", "properties": {}}}


async def asked(api: Api, agent: str, call: dict[str, Any], **more: Any) -> str:
    """A run of an agent that stops for its caller's word, and would go on without it."""
    script = json.dumps({"script": [call, {"text": "Then without."}]})
    body = {"messages": [{"role": "user", "content": script}]} | more
    run = str((await api.post(f"/v1/agents/{agent}/messages/async", body))["id"])
    assert (await api.ended(run))["stop_reason"] == "requires_approval"
    return run


async def said(api: Api, agent: str) -> list[tuple[str, str]]:
    """What the agent's tools gave and what it said, oldest first."""
    messages = await api.get(f"/v1/agents/{agent}/messages", limit=100, order="asc")
    kinds = {"tool_return_message": "tool_return", "assistant_message": "content"}
    return [
        (one["message_type"], str(one[kinds[one["message_type"]]]))
        for one in messages
        if one["message_type"] in kinds
    ]


async def test_nobodys_answer_ends_the_wait_over_a_restart_of_everything(team: Team, team_api: Api) -> None:
    """One agent wants leave, another the result of a client's tool. Everything is killed and started
    again; when the time has passed both go on by themselves, and a late word is told that it is late."""
    team.settings = team.settings.model_copy(update={"approval_timeout_s": TIME_OUT_S, "lease_ms": 600})
    team.appendfsync = "always"
    team.start("worker")
    board = await team_api.block("board")
    careful = await team_api.agent(board, tool_rules=[ASKS])
    client = await team_api.agent(board)
    await asked(team_api, careful, INSERT)
    await asked(team_api, client, turn("ls"), client_tools=[LS])
    team.kill("worker", "web", "store")
    team.start("worker")

    for agent in (careful, client):

        async def went_on(agent: str = agent) -> bool:
            return ("assistant_message", "Then without.") in await said(team_api, agent)

        await wait_until("the agent went on without an answer", went_on)
        [(_, told), _] = await said(team_api, agent)
        assert told.startswith("Nobody answered in time")
        runs = await team_api.get("/v1/runs/", agent_id=agent)
        assert [run["metadata"]["run_type"] for run in runs] == ["approval_timeout", "send_message_async"]
        assert all(run["status"] == "completed" for run in runs)

    messages = await team_api.get(f"/v1/agents/{careful}/messages", limit=100)
    [request] = [one for one in messages if one["message_type"] == "approval_request_message"]
    word = {"type": "approval", "tool_call_id": request["tool_call"]["tool_call_id"], "approve": True}
    body = {"messages": [{"type": "approval", "approvals": [word]}]}
    late = await team_api.http.post(f"/v1/agents/{careful}/messages", json=body)
    assert late.status_code == 400
    assert "nobody answered in time" in late.json()["detail"]
    assert await team_api.text(board) == ""
