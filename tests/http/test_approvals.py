"""Approvals and client-side tools over HTTP: requests, answers of both generations, and what is refused."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import httpx
import pytest

from service.bootstrap import Service
from service.http.app import create_app
from service.records.agents import Agent
from service.records.messages import NewMessage
from service.settings import Settings
from tests.http.conftest import MODERN, WS
from tests.http.listening import Sent, listening, of_kind, outline
from tests.workers.bench import Bench, Entry, call, calls, says, wait_until

NOTE = call("memory_insert", label="notes", new_string="seen")
REPLACE = call("memory_replace", label="notes", old_string="top", new_string="TOP")
ASKS = {"type": "requires_approval", "tool_name": "memory_insert"}
LS = {"name": "ls", "description": "List files.", "parameters": {"type": "object", "properties": {}}}
HELLO = {"messages": [{"role": "user", "content": "hello"}]}
UNKNOWN = "message-123e4567-e89b-42d3-8456-426614174000"


@pytest.fixture
def settings() -> Settings:
    """Nobody renews leases here, and a machine may be slow."""
    return Settings(lease_ms=60_000)


@pytest.fixture
def bench(service: Service) -> Bench:
    return Bench(service)


@pytest.fixture
async def agent(bench: Bench) -> Agent:
    """It has to ask before it inserts."""
    fields: dict[str, Any] = {"tool_rules": [ASKS], "parallel_tool_calls": True}
    return await bench.agent({"notes": "top"}, include_base_tool_rules=False, **fields)


Post = Callable[..., Awaitable[httpx.Response]]


@pytest.fixture
def post(client: httpx.AsyncClient, bench: Bench) -> Post:
    """A blocking send, carried to its end by a worker if it gets that far."""

    async def post(agent: Agent, carried: bool = True, headers: dict[str, str] = {}, **body: Any) -> Any:  # noqa: B006
        replies: list[httpx.Response] = []

        async def send() -> None:
            path = f"/v1/agents/{agent.id}/messages"
            replies.append(await client.post(path, json=body, headers=headers))

        async def ready() -> bool:
            return (await bench.state(agent)).get("status") == "ready"

        async with anyio.create_task_group() as group:
            group.start_soon(send)
            if carried:
                await wait_until("the message was sent", ready)
                await bench.carry(agent)
        return replies[0]

    return post


async def ask(post: Post, agent: Agent, *script: Entry, **body: Any) -> dict[str, Any]:
    """A send whose run stops; the request it ends with."""
    sent = [{"role": "user", "content": json.dumps({"script": script or (calls(NOTE), says("Done."))})}]
    reply = await post(agent, messages=sent, **body)
    assert reply.status_code == 200, reply.text
    assert reply.json()["stop_reason"]["stop_reason"] == "requires_approval"
    request: dict[str, Any] = reply.json()["messages"][-1]
    return request


def approves(*ids: str, approve: bool = True, **fields: Any) -> dict[str, Any]:
    given = [{"type": "approval", "tool_call_id": id, "approve": approve, **fields} for id in ids]
    return {"type": "approval", "approvals": given}


def kinds(reply: httpx.Response) -> list[str]:
    return [one["message_type"].removesuffix("_message") for one in reply.json()["messages"]]


async def listed(client: httpx.AsyncClient, agent: Agent, **query: Any) -> list[dict[str, Any]]:
    found = await client.get(f"/v1/agents/{agent.id}/messages", params=query)
    return list(found.json())


async def test_a_send_ends_with_the_calls_that_ask(post: Post, agent: Agent, bench: Bench) -> None:
    script = json.dumps({"script": [calls(REPLACE, NOTE, NOTE, text="May I?", reasoning="Hm.")]})
    reply = await post(agent, messages=[{"role": "user", "content": script}])
    assert kinds(reply) == ["reasoning", "assistant", "tool_call", "approval_request"]
    request = reply.json()["messages"][-1]
    inserted = {"name": "memory_insert", "arguments": json.dumps(NOTE["arguments"]), "tool_call_id": "call_1"}
    assert request["tool_call"] == inserted
    assert request["tool_calls"] == [inserted, inserted | {"tool_call_id": "call_2"}]
    assert reply.json()["usage"]["step_count"] == 1
    assert await bench.text("notes") == "top"


ANSWERS: dict[str, tuple[dict[str, Any], str]] = {
    "allowed": (approves("call_0"), "success"),
    "denied": (approves("call_0", approve=False, reason="not now"), "error"),
    "allowed, old form": ({"approve": True, "approval_request_id": "the request"}, "success"),
    "denied, old form": (
        {"type": "approval", "approve": False, "approval_request_id": "the request", "reason": "not now"},
        "error",
    ),
    "with its result": (
        {"type": "tool_return", "tool_returns": [
            {"tool_call_id": "call_0", "tool_return": "by hand", "status": "success"}
        ]},
        "success",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", ANSWERS)
async def test_an_answer_lets_the_turn_go_on(
    client: httpx.AsyncClient, post: Post, agent: Agent, bench: Bench, case: str
) -> None:
    entry, status = ANSWERS[case]
    request = await ask(post, agent)
    if "approval_request_id" in entry:
        entry = entry | {"approval_request_id": request["id"]}
    reply = await post(agent, messages=[entry])
    assert reply.status_code == 200, reply.text
    assert kinds(reply) == ["tool_return", "assistant"]
    returned, said = reply.json()["messages"]
    assert (returned["status"], said["content"]) == (status, "Done.")
    assert await bench.text("notes") == ("top\nseen" if "allowed" in case else "top")
    if "denied" in case:
        assert "not now" in returned["tool_return"]
    shown = await listed(client, agent)
    answer = next(one for one in shown if one["message_type"] == "approval_response_message")
    assert answer["approval_request_id"] == request["id"]
    assert answer["approve"] is ("denied" not in case)
    assert [one["tool_call_id"] for one in answer["approvals"]] == ["call_0"]
    assert [one["message_type"].removesuffix("_message") for one in shown][1:] == [
        "user", "approval_request", "approval_response", "tool_return", "assistant",
    ]  # fmt: skip


async def test_lists_show_only_requests_where_only_those_are_wanted(
    client: httpx.AsyncClient, post: Post, agent: Agent
) -> None:
    request = await ask(post, agent)
    types = ["approval_request_message", "approval_response_message"]
    shown = await listed(client, agent, include_return_message_types=types)
    assert shown == [request]
    reply = await post(agent, messages=[approves("call_0")], include_return_message_types=types)
    assert reply.json()["messages"] == []
    assert len(await listed(client, agent, include_return_message_types=types)) == 2


async def test_a_tool_of_the_caller_needs_no_switch(
    client: httpx.AsyncClient, post: Post, bench: Bench
) -> None:
    agent = await bench.agent()
    request = await ask(
        post, agent, calls(call("ls", path="/")), says("Two files."), client_tools=[LS], headers=MODERN
    )
    assert request["tool_call"] == {"name": "ls", "arguments": '{"path": "/"}', "tool_call_id": "call_0"}
    given = {"tool_call_id": "call_0", "status": "success", "stdout": ["a", "b"]}
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    entry = {"type": "approval", "approvals": [{"type": "tool", "tool_return": parts, **given}]}
    reply = await post(agent, messages=[entry], client_tools=[LS])
    returned, said = reply.json()["messages"]
    assert (returned["name"], returned["tool_return"], returned["stdout"]) == ("ls", "a\nb", ["a", "b"])
    assert said["content"] == "Two files."
    answer = (await listed(client, agent))[3]
    assert answer["approvals"][0]["type"] == "tool"
    assert (answer["approve"], answer["approval_request_id"]) == (True, request["id"])


PENDING_ROUTES = ["", "/async"]


@pytest.mark.parametrize("rest", PENDING_ROUTES)
async def test_another_send_is_409_while_a_request_is_pending(
    client: httpx.AsyncClient, post: Post, agent: Agent, rest: str
) -> None:
    request = await ask(post, agent)
    runs = (await client.get("/v1/runs/")).json()
    answer = await client.post(f"/v1/agents/{agent.id}/messages{rest}", json=HELLO)
    assert answer.status_code == 409
    assert answer.headers["x-should-retry"] == "false"
    detail = answer.json()["detail"]
    assert answer.json() == {"detail": detail}
    assert detail.keys() == {"code", "message", "pending_request_id"}
    assert (detail["code"], detail["pending_request_id"]) == ("PENDING_APPROVAL", request["id"])
    assert request["id"] in detail["message"]
    assert (await client.get("/v1/runs/")).json() == runs


@pytest.mark.parametrize(("rest", "more"), [("/stream", {}), ("", {"streaming": True})])
async def test_another_stream_says_so_with_status_200(
    client: httpx.AsyncClient, post: Post, agent: Agent, rest: str, more: dict[str, Any]
) -> None:
    request = await ask(post, agent)
    path = f"/v1/agents/{agent.id}/messages{rest}"
    answer = await client.post(path, json=HELLO | more, headers=MODERN)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    stop, error, done, end = answer.text.split("\n\n")
    assert json.loads(stop.removeprefix("data: ")) == {"message_type": "stop_reason", "stop_reason": "error"}
    event, data = error.split("\n")
    told = json.loads(data.removeprefix("data: "))
    assert (event, told["error_type"]) == ("event: error", "internal_error")
    assert request["id"] in told["message"]
    assert told["run_id"] == request["run_id"]
    assert (done, end) == ("data: [DONE]", "")


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        (approves("call_1"), "messages.0: must answer exactly the calls"),
        (approves("call_0", "call_1"), "not asked for: call_1"),
        (approves(), "missing: call_0"),
        ({"approve": True, "approval_request_id": UNKNOWN}, "messages.0.approval_request_id: "),
        ({"type": "approval"}, "messages.0.approvals: is missing"),
    ],
)
@pytest.mark.parametrize("rest", ["", "/stream", "/async"])
async def test_an_answer_that_does_not_fit_is_400_and_leaves_the_request(
    client: httpx.AsyncClient, post: Post, agent: Agent, rest: str, entry: dict[str, Any], told: str
) -> None:
    request = await ask(post, agent)
    answer = await client.post(f"/v1/agents/{agent.id}/messages{rest}", json={"messages": [entry]})
    assert answer.status_code == 400, answer.text
    assert answer.json()["detail"].startswith("INVALID_ARGUMENT: messages.0")
    assert told in answer.json()["detail"]
    state = (await client.get(f"/v1/agents/{agent.id}")).json()
    assert state["pending_approval"] == request


async def test_leave_for_a_tool_of_the_caller_is_400(post: Post, bench: Bench) -> None:
    agent = await bench.agent()
    await ask(post, agent, calls(call("ls")), client_tools=[LS])
    reply = await post(agent, carried=False, messages=[approves("call_0")])
    assert reply.status_code == 400
    assert "is of ls, a tool of yours" in reply.json()["detail"]


async def test_an_answer_to_nothing_is_400(client: httpx.AsyncClient, agent: Agent) -> None:
    path = f"/v1/agents/{agent.id}/messages"
    answer = await client.post(path, json={"messages": [approves("call_0")]})
    assert answer.status_code == 400
    assert "no approval request of this agent is pending" in answer.json()["detail"]
    unknown = path.replace(agent.id, "agent-123e4567-e89b-42d3-8456-426614174000")
    assert (await client.post(unknown, json={"messages": [approves("call_0")]})).status_code == 404


async def test_the_same_answer_again_is_answered_as_before(
    client: httpx.AsyncClient, post: Post, agent: Agent, bench: Bench
) -> None:
    await ask(post, agent)
    first = await post(agent, messages=[approves("call_0")])
    again = await post(agent, carried=False, messages=[approves("call_0")])
    assert (again.status_code, again.json()) == (200, first.json())
    other = await post(agent, carried=False, messages=[approves("call_0", approve=False)])
    assert other.status_code == 400
    assert await bench.text("notes") == "top\nseen"
    assert len((await client.get("/v1/runs/", params={"agent_id": agent.id})).json()) == 2


async def test_an_agent_shows_what_it_asks(
    client: httpx.AsyncClient, post: Post, agent: Agent, bench: Bench
) -> None:
    path = f"/v1/agents/{agent.id}"
    assert (await client.get(path)).json()["pending_approval"] is None
    request = await ask(post, agent)
    asked = {"include": "agent.pending_approval"}
    assert (await client.get(path)).json()["pending_approval"] == request
    assert (await client.get(path, headers=MODERN)).json()["pending_approval"] is None
    assert (await client.get(path, headers=MODERN, params=asked)).json()["pending_approval"] == request
    [one] = (await client.get("/v1/agents/", headers=MODERN, params=asked)).json()
    assert one["pending_approval"] == request
    await post(agent, messages=[approves("call_0")])
    assert (await client.get(path)).json()["pending_approval"] is None


@pytest.mark.parametrize("named", [False, True])
async def test_cancelling_denies_what_is_asked(
    client: httpx.AsyncClient, post: Post, agent: Agent, bench: Bench, named: bool
) -> None:
    request = await ask(post, agent)
    waiting = await bench.service.messages.send(WS, agent.id, [NewMessage(content="from a job")], waits=True)
    body = {"run_ids": [request["run_id"]]} if named else {}
    told = await client.post(f"/v1/agents/{agent.id}/messages/cancel", json=body)
    cancelled = {request["run_id"]: "cancelled"} | ({} if named else {waiting.id: "cancelled"})
    assert (told.status_code, told.json()) == (200, cancelled)
    last = (await listed(client, agent))[-1]
    assert (last["message_type"], last["status"]) == ("tool_return_message", "error")
    assert last["run_id"] == request["run_id"]
    assert (await client.get(f"/v1/agents/{agent.id}")).json()["pending_approval"] is None
    assert (await bench.state(agent))["status"] == ("ready" if named else "idle")
    if named:
        await bench.carry(agent)
    reply = await post(agent, messages=[{"role": "user", "content": "hello"}])
    assert reply.status_code == 200
    nothing = await client.post(f"/v1/agents/{agent.id}/messages/cancel", json={})
    assert nothing.status_code == 409


async def test_cancelling_another_run_leaves_the_request(
    client: httpx.AsyncClient, post: Post, agent: Agent
) -> None:
    request = await ask(post, agent)
    path = f"/v1/agents/{agent.id}/messages/cancel"
    told = await client.post(path, json={"run_ids": ["run-other"]})
    assert told.json() == {"run-other": "failed"}
    assert (await client.get(f"/v1/agents/{agent.id}")).json()["pending_approval"] == request


async def test_cancelling_an_answer_that_has_not_begun_denies_its_calls(
    client: httpx.AsyncClient, post: Post, agent: Agent, bench: Bench
) -> None:
    request = await ask(post, agent)
    path = f"/v1/agents/{agent.id}/messages"
    run = (await client.post(f"{path}/async", json={"messages": [approves("call_0")]})).json()
    told = await client.post(f"{path}/cancel", json={})
    assert told.json() == {run["id"]: "cancelled", request["run_id"]: "cancelled"}
    await bench.carry(agent)
    assert await bench.text("notes") == "top"
    assert (await listed(client, agent))[-1]["message_type"] == "tool_return_message"


async def test_runs_and_steps_show_who_asked_and_who_answered(
    client: httpx.AsyncClient, post: Post, agent: Agent
) -> None:
    asked = (await ask(post, agent))["run_id"]
    run = (await client.get(f"/v1/runs/{asked}")).json()
    assert (run["status"], run["stop_reason"]) == ("completed", "requires_approval")
    [step] = (await client.get(f"/v1/runs/{asked}/steps")).json()
    assert (step["status"], step["stop_reason"]) == ("success", "requires_approval")
    assert (await client.get(f"/v1/runs/{asked}/metrics")).json()["tools_used"] == []
    reply = await post(agent, messages=[approves("call_0")])
    answered = reply.json()["messages"][0]["run_id"]
    shown = (await client.get(f"/v1/runs/{answered}/messages")).json()
    assert shown[0]["message_type"] == "approval_response_message"
    assert (await client.get(f"/v1/runs/{answered}/metrics")).json()["tools_used"] == ["memory_insert"]
    first, last = (await client.get(f"/v1/runs/{answered}/steps", params={"order": "asc"})).json()
    assert (first["total_tokens"], first["model_handle"], first["status"]) == (0, None, "success")
    assert (await client.get(f"/v1/steps/{first['id']}/metrics")).json()["llm_request_ns"] == 0
    usage = (await client.get(f"/v1/runs/{answered}/usage")).json()
    assert usage["total_tokens"] == last["total_tokens"] > 0
    of_step = (await client.get(f"/v1/steps/{first['id']}/messages")).json()
    assert [one["message_type"] for one in of_step] == ["approval_response_message", "tool_return_message"]


async def test_a_run_that_the_answer_ends_tells_no_tokens_in_context(
    client: httpx.AsyncClient, post: Post, agent: Agent
) -> None:
    await ask(post, agent)
    reply = await post(agent, messages=[approves("call_0")], max_steps=1)
    assert reply.json()["stop_reason"]["stop_reason"] == "max_steps"
    assert reply.json()["usage"]["total_tokens"] == 0


Hear = Callable[..., Awaitable[list[Sent]]]


@pytest.fixture
async def hear(service: Service, settings: Settings, bench: Bench) -> Hear:
    """All that an agent says to a streaming send."""
    app = create_app(settings, service)

    async def hear(agent: Agent, *messages: dict[str, Any], **body: Any) -> list[Sent]:
        path = f"/v1/agents/{agent.id}/messages/stream"
        local = {"host": "localhost"}
        async with listening(app, path, {"messages": list(messages), **body}, local) as listener:
            first = await listener.next()
            await bench.carry(agent)
            return [first, *await listener.rest()]

    return hear


ENDED = ["usage_statistics", "[DONE]"]


@pytest.mark.parametrize("tokens", [False, True], ids=["steps", "tokens"])
async def test_a_stream_ends_with_the_request_and_another_goes_on(
    hear: Hear, agent: Agent, tokens: bool
) -> None:
    asking = calls(REPLACE, NOTE, text="May I, or may I not, insert it?")
    script = json.dumps({"script": [asking | {"pace_ms": 40}, says("Done.")]})
    heard = await hear(agent, {"role": "user", "content": script}, stream_tokens=tokens)
    requests = of_kind(heard, "approval_request_message")
    told = "".join(one["tool_call"].get("arguments", "") for one in requests)
    assert told == json.dumps(NOTE["arguments"])
    assert {one["tool_call"]["tool_call_id"] for one in requests} == {"call_1"}
    assert len({(one["id"], one["otid"]) for one in requests}) == 1
    assert (len(requests) > 1) is tokens
    assert isinstance(requests[0]["tool_calls"], dict if tokens else list)
    assert len(of_kind(heard, "tool_call_message")) >= 1
    assert [line for line in outline(heard) if line.startswith("stop")] == ["stop_reason requires_approval"]
    assert outline(heard)[-2:] == ENDED
    heard = await hear(agent, approves("call_1"), stream_tokens=tokens)
    assert outline(heard) == [
        "ping",
        "tool_return memory_replace success",
        "assistant: Done.",
        "stop_reason end_turn",
        *ENDED,
    ]


async def test_a_call_whose_id_was_used_before_comes_whole_under_its_own(hear: Hear, agent: Agent) -> None:
    script = json.dumps({"script": [calls(REPLACE), calls(NOTE), says("Done.")]})
    heard = await hear(agent, {"role": "user", "content": script}, stream_tokens=True)
    [request] = of_kind(heard, "approval_request_message")
    id = request["tool_call"]["tool_call_id"]
    assert id != "call_0"
    heard = await hear(agent, approves(id))
    assert "assistant: Done." in outline(heard)
