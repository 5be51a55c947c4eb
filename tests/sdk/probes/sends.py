"""Probes of sends: the forms of `create`, streams, approvals, tools of the client."""

import http.server
import json
import threading
from typing import Any

from tests.sdk.probes.agents import messages_of
from tests.sdk.probes.probe import Found, Probe, kinds, probe, saying, words

NOTE = {"name": "memory_insert", "arguments": {"label": "notes", "new_string": "Noted."}}
END = ["stop_reason", "usage_statistics"]
PACED = {"text": "I noted it, and I shall not forget it.", "pace_ms": 10}


@probe("agents.messages.create")
def create(p: Probe) -> None:
    block = p.block(label="notes", value="")
    agent = p.agent(block["id"])
    entries = {"reasoning": "Hm.", "calls": [NOTE]}, {"text": "Done."}
    answer = p.call(agent_id=agent["id"], messages=saying(*entries))
    called = ["reasoning_message", "tool_call_message", "tool_return_message", "assistant_message"]
    assert kinds(answer["messages"]) == called
    assert (answer["stop_reason"]["stop_reason"], answer["usage"]["step_count"]) == ("end_turn", 2)
    assert p.get(f"/v1/blocks/{block['id']}")["value"].strip() == "Noted."


@probe("agents.messages.create", "input=…")
def create_from_input(p: Probe) -> None:
    answer = p.call(agent_id=p.agent()["id"], input=saying({"text": "Heard."})[0]["content"])
    assert words(answer["messages"]) == "Heard."


@probe("agents.messages.create", "streaming=True")
def create_streaming(p: Probe) -> None:
    heard = p.call(agent_id=p.agent()["id"], messages=saying(PACED), streaming=True)
    assert kinds(heard) == ["ping", "assistant_message", *END]
    assert pieces(heard) == [PACED["text"]]


@probe("agents.messages.create", "streaming=True, stream_tokens=True")
def create_streaming_tokens(p: Probe) -> None:
    tokens(p, streaming=True)


@probe("agents.messages.create", "streaming=True, background=True")
def create_in_background(p: Probe) -> None:
    agent_id = p.agent()["id"]
    first = p.call(take=1, agent_id=agent_id, messages=saying(PACED), streaming=True, background=True)
    assert first[0]["seq_id"] == 1
    p.wait(f"/v1/runs/{first[0]['run_id']}", lambda run: run["status"] == "completed")
    assert words(messages_of(p, agent_id)) == PACED["text"]


@probe("agents.messages.create", "approval")
def create_approval(p: Probe) -> None:
    """Both answers to a tool that needs approval: one call is made, the other is not."""
    for approve in (True, False):
        block = p.block(label="notes", value="")
        rules = [{"type": "requires_approval", "tool_name": "memory_insert"}]
        agent_id = p.agent(block["id"], tool_rules=rules)["id"]
        asked = p.call(agent_id=agent_id, messages=saying({"calls": [NOTE]}, {"text": "Done."}))
        request = asked["messages"][-1]
        answer = p.call(agent_id=agent_id, messages=[_approval(p, request, approve)])
        assert asked["stop_reason"]["stop_reason"] == "requires_approval"
        assert request["message_type"] == "approval_request_message"
        assert words(answer["messages"]) == "Done."
        assert p.get(f"/v1/blocks/{block['id']}")["value"].strip() == ("Noted." if approve else "")


def _approval(p: Probe, request: Found, approve: bool) -> Found:
    if p.sdk.generation == "old":
        return {"type": "approval", "approve": approve, "approval_request_id": request["id"]}
    call_id = request.get("tool_call", {}).get("tool_call_id", "call_0")
    return {
        "type": "approval",
        "approvals": [{"type": "approval", "tool_call_id": call_id, "approve": approve}],
    }


@probe("agents.messages.create", "client_tools=…")
def create_with_client_tools(p: Probe) -> None:
    schema = {"type": "object", "properties": {"question": {"type": "string"}}, "required": ["question"]}
    tool = {"name": "ask_person", "description": "Ask a person.", "parameters": schema}
    agent_id = p.agent()["id"]
    call = {"name": "ask_person", "arguments": {"question": "Why?"}}
    asked = p.call(
        agent_id=agent_id, client_tools=[tool], messages=saying({"calls": [call]}, {"echo": "messages"})
    )
    assert asked["stop_reason"]["stop_reason"] == "requires_approval"
    request = asked["messages"][-1]["tool_call"]
    assert (request["name"], json.loads(request["arguments"])) == ("ask_person", {"question": "Why?"})
    returned = {"type": "tool", "tool_call_id": request["tool_call_id"], "status": "success"}
    returns = [{"type": "tool_return", "tool_returns": [returned | {"tool_return": "Because it rains."}]}]
    answer = p.call(agent_id=agent_id, client_tools=[tool], messages=returns)
    assert "Because it rains." in words(answer["messages"])


@probe("agents.messages.create", "override_model=…")
def create_with_another_model(p: Probe) -> None:
    """An agent of a model without any key answers by another."""
    agent_id = p.agent(model="anthropic/claude-3-5-sonnet-20241022")["id"]
    answer = p.call(agent_id=agent_id, override_model="offline/scripted", messages=saying({"text": "Here."}))
    assert words(answer["messages"]) == "Here."


@probe("agents.messages.create", "override_system=…")
def create_with_another_prompt(p: Probe) -> None:
    agent_id = p.agent()["id"]
    answer = p.call(agent_id=agent_id, override_system="Be a cat.", messages=saying({"echo": "system"}))
    assert "Be a cat." in words(answer["messages"])
    assert "Be a cat." not in p.prompt_of(agent_id)


@probe("agents.messages.create", "max_steps=…")
def create_with_few_steps(p: Probe) -> None:
    agent_id = p.agent(p.block(label="notes")["id"])["id"]
    entries = {"calls": [NOTE]}, {"calls": [NOTE]}, {"text": "Never said."}
    answer = p.call(agent_id=agent_id, max_steps=2, messages=saying(*entries))
    assert (answer["stop_reason"]["stop_reason"], answer["usage"]["step_count"]) == ("max_steps", 2)


@probe("agents.messages.create", "include_return_message_types=…")
def create_with_chosen_answers(p: Probe) -> None:
    answer = p.call(
        agent_id=p.agent()["id"],
        include_return_message_types=["reasoning_message"],
        messages=saying({"reasoning": "Hm.", "text": "Done."}),
    )
    assert kinds(answer["messages"]) == ["reasoning_message"]


@probe("agents.messages.stream")
def stream(p: Probe) -> None:
    heard = p.call(agent_id=p.agent()["id"], messages=saying(PACED))
    assert kinds(heard) == ["ping", "assistant_message", *END]
    assert pieces(heard) == [PACED["text"]]


@probe("agents.messages.stream", "stream_tokens=True")
def stream_tokens(p: Probe) -> None:
    tokens(p)


def tokens(p: Probe, **options: Any) -> None:
    agent_id = p.agent()["id"]
    heard = p.call(agent_id=agent_id, messages=saying(PACED | {"pace_ms": 40}), stream_tokens=True, **options)
    assert kinds(heard) == ["ping", "assistant_message", *END]
    assert len(pieces(heard)) > 1
    assert words(heard) == words(messages_of(p, agent_id)) == PACED["text"]


def pieces(heard: list[Found]) -> list[str]:
    return [one["content"] for one in heard if one["message_type"] == "assistant_message"]


@probe("agents.messages.create_async")
def create_async(p: Probe) -> None:
    agent_id = p.agent()["id"]
    run = p.call(agent_id=agent_id, messages=saying({"text": "Later."}))
    p.wait(f"/v1/runs/{run['id']}", lambda found: found["status"] == "completed")
    assert words(messages_of(p, agent_id)) == "Later."


@probe("agents.messages.create_async", "callback_url=…")
def create_async_with_callback(p: Probe) -> None:
    """Somebody listens at the address, and is told of the run's end."""
    told: list[Found] = []
    arrived = threading.Event()

    class Listener(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200)
            self.end_headers()
            arrived.set()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Listener) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            url = f"http://127.0.0.1:{server.server_port}/told"
            run = p.call(agent_id=p.agent()["id"], messages=saying({"text": "Later."}), callback_url=url)
            assert arrived.wait(15), "nobody called back"
        finally:
            server.shutdown()
    assert (told[0]["run_id"], told[0]["status"]) == (run["id"], "completed")
