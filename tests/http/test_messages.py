"""Messages and runs over HTTP: blocking sends, sends nobody waits for, and what can be read after."""

from typing import Any

import anyio
import httpx
import pytest

from service.records.runs import RunError
from tests.http.conftest import MODERN, Make, Worker

HELLO = {"messages": [{"role": "user", "content": "hello"}]}
SPEAK = {"id": "c1", "name": "send_message", "arguments": '{"message": "Hi"}'}
SENT = {"tool_call_id": "c1", "name": "send_message", "text": "sent"}
SPOKEN: list[dict[str, Any]] = [
    {"role": "assistant", "content": "Greet.", "tool_calls": [SPEAK]},
    {"role": "tool", "tool_returns": [SENT]},
    {"role": "user", "content": '{"type":"heartbeat"}'},
]


@pytest.fixture
async def agent(make_agent: Make) -> dict[str, Any]:
    return await make_agent()


def path(agent: dict[str, Any], rest: str = "") -> str:
    return f"/v1/agents/{agent['id']}/messages{rest}"


async def talk(
    client: httpx.AsyncClient, worker: Worker, agent: dict[str, Any], *answer: Any, **sent: Any
) -> httpx.Response:
    """Sends and waits, while the worker gives its answer."""
    replies: list[httpx.Response] = []

    async def send() -> None:
        replies.append(await client.post(path(agent), json=sent or HELLO))

    async with anyio.create_task_group() as group:
        group.start_soon(send)
        group.start_soon(worker.answer, agent["id"], *answer)
    return replies[0]


async def test_a_blocking_send_answers_with_what_the_run_produced(
    client: httpx.AsyncClient, worker: Worker, agent: dict[str, Any]
) -> None:
    reply = await talk(client, worker, agent, [{"role": "assistant", "content": "Hi!"}])
    assert reply.status_code == 200
    body = reply.json()
    assert [(m["message_type"], m["content"]) for m in body["messages"]] == [("assistant_message", "Hi!")]
    assert body["stop_reason"] == {"message_type": "stop_reason", "stop_reason": "end_turn"}
    usage = body["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]) == (12, 5, 17)
    assert (usage["step_count"], usage["context_tokens"]) == (1, 17)


async def test_input_of_any_role_is_not_part_of_the_reply(
    client: httpx.AsyncClient, worker: Worker, agent: dict[str, Any]
) -> None:
    sent = [{"role": "assistant", "content": "before"}, {"role": "user", "content": "hello"}]
    reply = await talk(client, worker, agent, [{"role": "assistant", "content": "Hi!"}], messages=sent)
    assert [message["content"] for message in reply.json()["messages"]] == ["Hi!"]


async def test_an_agent_that_speaks_through_a_tool_is_heard(
    client: httpx.AsyncClient, worker: Worker, make_agent: Make
) -> None:
    agent = await make_agent(agent_type="memgpt_agent")
    reply = await talk(client, worker, agent, SPOKEN)
    kinds = [message["message_type"] for message in reply.json()["messages"]]
    assert kinds == ["reasoning_message", "assistant_message"]
    raw = await talk(client, worker, agent, SPOKEN, **HELLO, use_assistant_message=False)
    kinds = [message["message_type"] for message in raw.json()["messages"]]
    assert kinds == ["reasoning_message", "tool_call_message", "tool_return_message"]


async def test_only_the_asked_types_are_in_the_reply(
    client: httpx.AsyncClient, worker: Worker, agent: dict[str, Any]
) -> None:
    only = {**HELLO, "include_return_message_types": ["tool_return_message"]}
    reply = await talk(client, worker, agent, [{"role": "assistant", "content": "Hi!"}], **only)
    assert reply.json()["messages"] == []


async def test_a_failed_model_is_an_http_error(
    client: httpx.AsyncClient, worker: Worker, agent: dict[str, Any]
) -> None:
    error = RunError(type="llm_rate_limit", message="slow down", detail="60 per minute")
    reply = await talk(client, worker, agent, [], "llm_api_error", error)
    assert reply.status_code == 429
    assert reply.json() == {
        "error": {"type": "llm_rate_limit", "message": "slow down", "detail": "60 per minute"}
    }


async def test_another_failure_is_a_reply_with_its_stop_reason(
    client: httpx.AsyncClient, worker: Worker, agent: dict[str, Any]
) -> None:
    reply = await talk(client, worker, agent, [{"role": "assistant", "content": "Hi!"}], "no_tool_call")
    assert (reply.status_code, reply.json()["stop_reason"]["stop_reason"]) == (200, "no_tool_call")
    error = RunError(type="internal_error", message="oops")
    reply = await talk(client, worker, agent, [], "error", error)
    assert (reply.status_code, reply.json()["messages"]) == (200, [])


async def test_a_run_can_be_read_when_its_agent_is_gone(
    client: httpx.AsyncClient, agent: dict[str, Any]
) -> None:
    started = (await client.post(path(agent, "/async"), json=HELLO)).json()
    await client.delete(f"/v1/agents/{agent['id']}")
    messages = await client.get(f"/v1/runs/{started['id']}/messages")
    assert (messages.status_code, messages.json()) == (200, [])
    assert (await client.get(f"/v1/runs/{started['id']}")).json()["status"] == "cancelled"


async def test_a_send_nobody_waits_for_is_a_run_that_can_be_followed(
    client: httpx.AsyncClient, worker: Worker, agent: dict[str, Any]
) -> None:
    started = await client.post(path(agent, "/async"), json={"input": "hello"})
    run = started.json()
    assert (started.status_code, run["status"], run["background"]) == (200, "created", True)
    assert (run["agent_id"], run["metadata"]["run_type"]) == (agent["id"], "send_message_async")
    assert run["callback_url"] is None
    await worker.answer(agent["id"], [{"role": "assistant", "content": "Hi!"}])
    ended = (await client.get(f"/v1/runs/{run['id']}")).json()
    assert (ended["status"], ended["stop_reason"]) == ("completed", "end_turn")
    assert ended["completed_at"].endswith("Z")


async def test_the_messages_of_a_run_begin_with_its_input(
    client: httpx.AsyncClient, worker: Worker, agent: dict[str, Any]
) -> None:
    run = (await client.post(path(agent, "/async"), json=HELLO)).json()
    await worker.answer(agent["id"], [{"role": "assistant", "content": "Hi!"}])
    at = f"/v1/runs/{run['id']}/messages"
    listed = (await client.get(at)).json()
    assert [message["content"] for message in listed] == ["hello", "Hi!"]
    newest_first = (await client.get(at, params={"order": "desc"})).json()
    assert [message["content"] for message in newest_first] == ["Hi!", "hello"]
    rest = (await client.get(at, params={"after": listed[0]["id"]})).json()
    assert [message["content"] for message in rest] == ["Hi!"]
    unknown = await client.get(at, params={"after": "message-123e4567-e89b-42d3-8456-426614174000"})
    assert unknown.status_code == 404


async def test_an_unknown_run_is_404(client: httpx.AsyncClient) -> None:
    assert (await client.get("/v1/runs/run-1")).status_code == 404
    assert (await client.get("/v1/runs/run-1/messages")).status_code == 404


@pytest.mark.parametrize("rest", [":messages", "%3Amessages", "%3Amessages/messages", ":x/"])
async def test_a_run_id_that_goes_on_behind_its_end_is_404(
    client: httpx.AsyncClient, worker: Worker, agent: dict[str, Any], rest: str
) -> None:
    run = (await client.post(path(agent, "/async"), json=HELLO)).json()
    await worker.answer(agent["id"], [{"role": "assistant", "content": "Hi!"}])
    answer = await client.get(f"/v1/runs/{run['id']}{rest}")
    assert (answer.status_code, list(answer.json())) == (404, ["detail"])


@pytest.fixture
async def long_talk(client: httpx.AsyncClient, worker: Worker, agent: dict[str, Any]) -> list[str]:
    """The texts of a history, oldest first, after the system prompt."""
    said: list[str] = []
    for n in range(3):
        await client.post(path(agent, "/async"), json={"input": f"in {n}"})
        await worker.answer(agent["id"], [{"role": "assistant", "content": f"out {n}"}])
        said += [f"in {n}", f"out {n}"]
    return said


async def contents(client: httpx.AsyncClient, agent: dict[str, Any], **query: Any) -> list[str]:
    answer = await client.get(path(agent), params=query)
    assert answer.status_code == 200, answer.text
    return [message["content"] for message in answer.json()]


async def test_the_newest_messages_are_listed_oldest_first(
    client: httpx.AsyncClient, agent: dict[str, Any], long_talk: list[str]
) -> None:
    assert (await contents(client, agent))[1:] == long_talk
    assert await contents(client, agent, limit=2) == long_talk[-2:]
    assert (await contents(client, agent, limit=2, order="asc"))[1:] == long_talk[:1]


async def test_paging_on_by_the_last_message_shows_each_once_and_ends(
    client: httpx.AsyncClient, agent: dict[str, Any], long_talk: list[str]
) -> None:
    newest = (await client.get(path(agent), params={"limit": 2})).json()
    assert await contents(client, agent, limit=2, after=newest[-1]["id"]) == long_talk[-4:-2]
    for limit in (1, 2, 3, 50):
        walked: list[str] = []
        asked: dict[str, Any] = {"limit": limit, "include_return_message_types": ["user_message"]}
        while listed := (await client.get(path(agent), params=asked)).json():
            walked = [message["content"] for message in listed] + walked
            asked["after"] = listed[-1]["id"]
        assert walked == ["in 0", "in 1", "in 2"]
    earlier = await contents(client, agent, limit=2, before=newest[0]["id"])
    assert earlier == long_talk[-4:-2]
    oldest = (await client.get(path(agent), params={"order": "asc", "limit": 3})).json()
    assert await contents(client, agent, order="asc", limit=2, after=oldest[-1]["id"]) == long_talk[2:4]


async def test_an_unknown_cursor_is_404(client: httpx.AsyncClient, agent: dict[str, Any]) -> None:
    answer = await client.get(path(agent), params={"after": "message-123e4567-e89b-42d3-8456-426614174000"})
    assert answer.status_code == 404


async def test_lists_show_what_was_asked_for(
    client: httpx.AsyncClient, worker: Worker, make_agent: Make
) -> None:
    agent = await make_agent(agent_type="memgpt_agent", initial_message_sequence=[])
    await client.post(path(agent, "/async"), json=HELLO)
    await worker.answer(agent["id"], SPOKEN)
    listed = (await client.get(path(agent))).json()
    assert [message["message_type"] for message in listed] == [
        "system_message",
        "user_message",
        "reasoning_message",
        "assistant_message",
        "user_message",
    ]
    raw = (await client.get(path(agent), params={"use_assistant_message": "false"})).json()
    assert "tool_return_message" in [message["message_type"] for message in raw]
    some = await client.get(path(agent), params={"include_return_message_types": "system_message"})
    assert len(some.json()) == 1


async def test_only_messages_of_a_group_are_listed_if_asked(
    client: httpx.AsyncClient, worker: Worker, agent: dict[str, Any], long_talk: list[str]
) -> None:
    sent = [{"role": "user", "content": f"of the group {n}", "group_id": "group-1"} for n in range(3)]
    await client.post(path(agent, "/async"), json={"messages": sent})
    await worker.answer(agent["id"], [{"role": "assistant", "content": "Hi!"}])
    ours = [one["content"] for one in sent]
    assert await contents(client, agent, group_id="group-1") == ours
    assert await contents(client, agent, group_id="group-1", limit=1) == ours[-1:]
    assert await contents(client, agent, group_id="group-2") == []


async def test_a_message_keeps_the_otid_it_was_sent_with_everywhere(
    client: httpx.AsyncClient, worker: Worker, agent: dict[str, Any]
) -> None:
    sent = {"messages": [{"role": "user", "content": "hello", "otid": "mine-1"}]}
    run = (await client.post(path(agent, "/async"), json=sent)).json()
    await worker.answer(agent["id"], [{"role": "assistant", "content": "Hi!"}])
    for shown in (path(agent), f"/v1/runs/{run['id']}/messages"):
        listed = (await client.get(shown)).json()
        assert [one["otid"] for one in listed if one["message_type"] == "user_message"] == ["mine-1"]


@pytest.mark.parametrize(
    ("body", "status", "opening"),
    [
        ({**HELLO, "top_logprobs": 2}, 400, "INVALID_ARGUMENT: top_logprobs: not available yet"),
        ({"messages": []}, 422, "messages: "),
        ({"messages": HELLO["messages"], "input": "x"}, 422, "messages, input: "),
        ({**HELLO, "stream_tokens": True}, 422, "stream_tokens: "),
        ({**HELLO, "background": True}, 422, "background: "),
        ({**HELLO, "include_pings": False}, 422, "include_pings: "),
        ({"messages": [], "streaming": True}, 422, "messages: "),
        ({"messages": [{"type": "approval", "approve": True}]}, 400, "INVALID_ARGUMENT: messages: "),
        ({**HELLO, "override_model": "offline/nothing"}, 404, "NOT_FOUND: model: "),
    ],
)
async def test_a_send_that_does_not_go_together_is_refused(
    client: httpx.AsyncClient, agent: dict[str, Any], body: dict[str, Any], status: int, opening: str
) -> None:
    answer = await client.post(path(agent), json=body, headers=MODERN)
    assert answer.status_code == status, answer.text
    assert list(answer.json()) == ["detail"]
    assert answer.json()["detail"].startswith(opening)


async def test_streaming_is_422_for_a_legacy_caller(client: httpx.AsyncClient, agent: dict[str, Any]) -> None:
    answer = await client.post(path(agent), json={**HELLO, "streaming": True})
    assert answer.status_code == 422


async def test_a_message_cannot_be_edited(client: httpx.AsyncClient, agent: dict[str, Any]) -> None:
    answer = await client.patch(path(agent, f"/{agent['message_ids'][0]}"), json={"content": "x"})
    assert (answer.status_code, answer.json()) == (405, {"detail": "Messages cannot be edited"})
