"""Probes of an agent's messages: reading them, and what is done to the whole."""

from tests.sdk.probes.agents import messages_of
from tests.sdk.probes.probe import Probe, kinds, probe, saying, words


@probe("agents.messages.list")
def find(p: Probe) -> None:
    agent_id = p.agent()["id"]
    p.tell(agent_id, {"reasoning": "Hm.", "text": "Hello."})
    found = p.call(agent_id=agent_id)
    assert kinds(found) == ["system_message", "user_message", "reasoning_message", "assistant_message"]
    assert words(found) == "Hello."


@probe("messages.list")
def find_of_all(p: Probe) -> None:
    agent_id = p.agent()["id"]
    p.tell(agent_id, {"text": "Hello."})
    (said,) = [one["id"] for one in messages_of(p, agent_id) if one["message_type"] == "assistant_message"]
    assert said in [one["id"] for one in p.call(take=200, limit=100)]


@probe("messages.retrieve")
def retrieve(p: Probe) -> None:
    """A list: what is stored as one message may show as several."""
    agent_id = p.agent()["id"]
    p.tell(agent_id, {"reasoning": "Hm.", "text": "Hello."})
    last = messages_of(p, agent_id)[-1]["id"]
    assert kinds(p.call(message_id=last)) == ["reasoning_message", "assistant_message"]


@probe("messages.search")
def search_all(p: Probe) -> None:
    search(p)


@probe("agents.context.retrieve")
def context(p: Probe) -> None:
    agent_id = p.agent(p.block(label="shared", value="Everybody's")["id"])["id"]
    p.tell(agent_id, {"text": "Hello."})
    found = p.call(agent_id=agent_id)
    assert "Everybody's" in found["core_memory"]
    assert found["context_window_size_current"] > found["num_tokens_core_memory"] > 0


@probe("agents.messages.modify")
def modify(p: Probe) -> None:
    agent_id = p.agent()["id"]
    p.tell(agent_id, {"text": "Hello."})
    last = messages_of(p, agent_id)[-1]["id"]
    p.call(agent_id=agent_id, message_id=last, message_type="assistant_message", content="Bye.")
    assert words(messages_of(p, agent_id)) == "Bye."


@probe("agents.messages.reset")
def reset(p: Probe) -> None:
    agent_id = p.agent()["id"]
    p.tell(agent_id, {"text": "Something to forget."})
    p.call(agent_id=agent_id, add_default_initial_messages=False)
    assert len(p.shown(agent_id)["message_ids"]) == 1
    assert "to forget" not in words(p.tell(agent_id, {"echo": "messages"})["messages"])
    assert "Something to forget." in words(messages_of(p, agent_id))


@probe("agents.messages.cancel")
def cancel(p: Probe) -> None:
    agent_id, run_id = p.running()
    assert p.call(agent_id=agent_id) == {run_id: "cancelled"}
    p.wait(f"/v1/runs/{run_id}", lambda run: run["status"] == "cancelled")


@probe("agents.messages.compact")
def compact(p: Probe) -> None:
    """What an agent's model is given becomes shorter. `offline/extractive` makes the summary."""
    agent_id = p.agent(model="offline/extractive")["id"]
    for day in ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"):
        body = {"messages": [{"role": "user", "content": f"The plan of {day}. " * 30}]}
        p.post(f"/v1/agents/{agent_id}/messages", body)
    before = p.shown(agent_id)["message_ids"]
    p.call(agent_id=agent_id, **({"max_message_length": 4} if p.sdk.generation == "old" else {}))
    assert len(p.shown(agent_id)["message_ids"]) < len(before)


@probe("agents.messages.preview")
def preview(p: Probe) -> None:
    agent_id = p.agent(p.block(label="shared", value="Everybody's")["id"])["id"]
    asked = saying({"text": "Never asked."})
    shown = str(p.call(agent_id=agent_id, messages=asked))
    assert "Everybody's" in shown
    assert "Never asked." in shown
    assert words(messages_of(p, agent_id)) == ""


@probe("agents.messages.search")
def search(p: Probe) -> None:
    agent_id = p.agent()["id"]
    p.tell(agent_id, {"text": "The heron stands in the reeds."})
    found = p.call(query="heron", search_mode="fts")
    assert "heron" in str(found)
