"""Somebody changes their mind: a run is cancelled while its model is thinking."""

import time

import pytest

from tests.scenarios.api import Api, turn, wait_until

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

LONG_MS = 60_000


async def test_a_run_is_cancelled_within_a_second_and_the_next_message_is_answered(api: Api) -> None:
    """The worker lets the model's call go at once; what the run had written stays; the agent is free."""
    board = await api.block("board", "top")
    agent = await api.agent(board)
    write = turn("memory_insert", label="board", new_string="one")
    run = await api.send(agent, write, {"text": "Never said.", "sleep_ms": LONG_MS})

    async def thinks() -> bool:
        return len(await api.get(f"/v1/runs/{run}/steps")) == 1 and "one" in await api.text(board)

    await wait_until("the second model call is under way", thinks)
    asked = time.monotonic()
    assert await api.post(f"/v1/agents/{agent}/messages/cancel", {}) == {run: "cancelled"}
    ended = await api.ended(run, deadline_s=5)
    assert time.monotonic() - asked < 1
    assert (ended["status"], ended["stop_reason"]) == ("cancelled", "cancelled")
    assert await api.lines(board) == ["top", "one"]
    after = await api.ended(await api.send(agent, {"text": "Here."}), deadline_s=5)
    assert after["status"] == "completed"
