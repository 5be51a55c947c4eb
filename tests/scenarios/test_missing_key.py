"""An agent whose provider has no key: the first thing that goes wrong on a new machine."""

import pytest

from tests.scenarios.api import Api

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


@pytest.mark.parametrize(
    ("handle", "variable"),
    [
        ("openai/gpt-4o-mini", "OPENAI_API_KEY"),
        ("anthropic/claude-3-5-sonnet-20241022", "ANTHROPIC_API_KEY"),
    ],
)
async def test_a_missing_key_is_named_at_once_in_the_reply_and_in_the_run(
    api: Api, handle: str, variable: str
) -> None:
    """The agent can be created; asking it fails at once, and what it says is what to do about it."""
    agent = await api.agent(model=handle)
    body = {"messages": [{"role": "user", "content": "Hello."}]}
    answer = await api.http.post(f"/v1/agents/{agent}/messages", json=body, timeout=5)
    assert answer.status_code == 401
    assert answer.json()["error"]["type"] == "llm_authentication"
    assert f"{variable} is not set" in answer.json()["error"]["message"]
    assert answer.headers["x-should-retry"] == "false"

    run = await api.ended(await api.send(agent), deadline_s=5)
    assert (run["status"], run["stop_reason"]) == ("failed", "llm_api_error")
    assert f"{variable} is not set" in run["metadata"]["error"]["message"]
    said = await api.get(f"/v1/agents/{agent}/messages")
    assert [one["message_type"] for one in said] == ["system_message"]
