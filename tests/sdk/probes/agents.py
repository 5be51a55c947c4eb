"""Probes of agents and of what they can be created with."""

from tests.sdk.calling import Refused
from tests.sdk.probes.blocks import identity_of, identity_seen
from tests.sdk.probes.probe import EMBEDDING, STORED, Found, Probe, ids, labels, probe, saying, unique, words

_BARE: Found = {"model": "offline/scripted", "embedding": EMBEDDING}
_TO_AGENT = "send_message_to_agent_and_wait_for_reply"


@probe("agents.create")
def create(p: Probe) -> None:
    block, tag = p.block(label="shared", value="Everybody's"), unique("tag")
    made = p.call(
        **_BARE,
        name=unique("agent"),
        tags=[tag],
        block_ids=[block["id"]],
        memory_blocks=[{"label": "persona", "value": "I help"}],
    )
    assert labels(made["memory"]["blocks"]) == ["persona", "shared"]
    assert "memory_insert" in [tool["name"] for tool in made["tools"]]
    assert ids(p.get("/v1/agents/", tags=tag)) == [made["id"]]
    prompt = p.prompt_of(made["id"])
    assert "I help" in prompt
    assert "Everybody's" in prompt


@probe("agents.create", "tool_rules=…")
def create_with_rules(p: Probe) -> None:
    block = p.block(label="notes", value="")
    rules = [{"type": "exit_loop", "tool_name": "memory_insert"}]
    made = p.call(**_BARE, block_ids=[block["id"]], tool_rules=rules)
    note = {"name": "memory_insert", "arguments": {"label": "notes", "new_string": "Noted."}}
    answer = p.tell(made["id"], {"calls": [note]}, {"text": "Never said."})
    assert answer["stop_reason"]["stop_reason"] == "tool_rule"
    assert words(answer["messages"]) == ""


@probe("agents.create", "include_multi_agent_tools=True")
def create_with_multi_agent_tools(p: Probe) -> str | None:
    """The tools are there, and one is really carried out."""
    other, made = p.agent(), p.call(**_BARE, include_multi_agent_tools=True)
    ask = {"message": "Are you there?", "other_agent_id": other["id"]}
    call = {"name": _TO_AGENT, "arguments": ask}
    answer = p.tell(made["id"], {"calls": [call]}, {"text": "Done."})
    (told,) = [one for one in answer["messages"] if one["message_type"] == "tool_return_message"]
    if "ToolConstraintError" in told["tool_return"]:
        return STORED  # it has the tool, and may not call it
    assert told["status"] == "success", told
    assert any("Are you there?" in str(one.get("content")) for one in messages_of(p, other["id"]))
    return None


@probe("agents.create", "initial_message_sequence=…")
def create_with_messages(p: Probe) -> None:
    first = [{"role": "user", "content": "My name is Ada."}]
    made = p.call(**_BARE, initial_message_sequence=first)
    assert "My name is Ada." in [one.get("content") for one in messages_of(p, made["id"])]
    assert "My name is Ada." in words(p.tell(made["id"], {"echo": "messages"})["messages"])


@probe("agents.create", "identity_ids=…")
def create_with_identities(p: Probe) -> str | None:
    identity = identity_of(p)
    made = p.call(**_BARE, identity_ids=[identity])
    return identity_seen(p, made["id"], identity)


@probe("agents.create", "enable_sleeptime=True")
def create_with_sleeptime(p: Probe) -> str:
    made = p.call(**_BARE, enable_sleeptime=True)
    found = p.shown(made["id"])
    assert found["enable_sleeptime"] is True
    assert "memory_insert" not in [tool["name"] for tool in found["tools"]]
    return (
        f"{STORED}: the agent gets V1's tools for it; no helper agent is made, nothing runs beside its turns"
    )


@probe("agents.create", "response_format=…")
def create_with_format(p: Probe) -> str:
    wanted = {"type": "json_object"}
    made = p.call(**_BARE, response_format=wanted)
    assert p.shown(made["id"])["response_format"] == wanted
    ask = {"messages": saying({"text": "Hello."})}
    assert "json_object" not in str(p.post(f"/v1/agents/{made['id']}/messages/preview-raw-payload", ask))
    return f"{STORED}: models are not told; `POST …/generate` asks for an answer of a given form"


@probe("agents.create", "message_buffer_autoclear=True")
def create_without_memory(p: Probe) -> None:
    """What was said before does not reach the model; it stays in the history."""
    made = p.call(**_BARE, message_buffer_autoclear=True)
    p.tell(made["id"], {"text": "Something to forget."})
    assert "to forget" not in words(p.tell(made["id"], {"echo": "messages"})["messages"])
    assert "Something to forget." in words(messages_of(p, made["id"]))


@probe("agents.create", "include_base_tools=False, tools=…")
def create_with_chosen_tools(p: Probe) -> None:
    made = p.call(**_BARE, include_base_tools=False, tools=["memory_insert"])
    assert [tool["name"] for tool in p.shown(made["id"])["tools"]] == ["memory_insert"]
    assert words(p.tell(made["id"], {"echo": "tools"})["messages"]) == '["memory_insert"]'


_TELLS_TOKEN = '''
def tell_token() -> str:
    """Tell the token.

    Returns:
        str: the token
    """
    import os

    return os.environ.get("TOKEN", "none")
'''


@probe("agents.create", "tool_exec_environment_variables=…")
def create_with_secrets(p: Probe) -> str | None:
    """Tools that run code are given them, where there are such tools."""
    return secrets_seen(p, p.call(**_BARE, tool_exec_environment_variables={"TOKEN": "abc"}))


@probe("agents.create", "secrets=…")
def create_with_secrets_by_their_new_name(p: Probe) -> str | None:
    return secrets_seen(p, p.call(**_BARE, secrets={"TOKEN": "abc"}))


def secrets_seen(p: Probe, made: Found) -> str | None:
    """Whether a tool of the agent's finds the secret, or it is just kept."""
    kept = p.shown(made["id"])["secrets"]
    assert [(one["key"], one["value"]) for one in kept] == [("TOKEN", "abc")]
    try:
        tool = p.api("PUT", "/v1/tools/", {"source_code": _TELLS_TOKEN, "source_type": "python"})
        p.api("PATCH", f"/v1/agents/{made['id']}/tools/attach/{tool['id']}")
    except Refused:
        return STORED
    answer = p.tell(made["id"], {"calls": [{"name": "tell_token"}]}, {"text": "Done."})
    (told,) = [one for one in answer["messages"] if one["message_type"] == "tool_return_message"]
    return None if told["tool_return"] == "abc" else STORED


@probe("agents.create", "compaction_settings=…")
def create_with_compaction(p: Probe) -> str | None:
    """Of a context that is summed up as a whole nothing is left but the prompt and the summary."""
    wanted = {"mode": "all", "clip_chars": 1000}
    made = p.call(**_BARE | {"model": "offline/extractive"}, compaction_settings=wanted)
    kept = p.shown(made["id"])["compaction_settings"]
    assert {name: kept[name] for name in wanted} == wanted
    for day in ("Monday", "Tuesday", "Wednesday", "Thursday"):
        body = {"messages": [{"role": "user", "content": f"The plan of {day}. " * 30}]}
        p.post(f"/v1/agents/{made['id']}/messages", body)
    try:
        p.post(f"/v1/agents/{made['id']}/summarize", {})
    except Refused:
        return STORED
    return None if len(p.shown(made["id"])["message_ids"]) == 2 else STORED


@probe("agents.retrieve")
def retrieve(p: Probe) -> None:
    agent = p.agent(p.block(label="shared")["id"], tags=["one"])
    wanted: Found = {"include": ["agent.blocks", "agent.tags"]} if p.sdk.generation == "new" else {}
    found = p.call(agent_id=agent["id"], **wanted)
    assert (found["name"], found["tags"]) == (agent["name"], ["one"])
    assert labels(found["memory"]["blocks"] or found["blocks"]) == ["shared"]


@probe("agents.update")
def update(p: Probe) -> None:
    agent, name = p.agent(), unique("renamed")
    p.call(agent_id=agent["id"], name=name, description="Another", tags=["new"], system="Be brief.")
    found = p.shown(agent["id"])
    assert (found["name"], found["description"], found["tags"]) == (name, "Another", ["new"])
    assert "Be brief." in p.prompt_of(agent["id"])


@probe("agents.delete")
def delete(p: Probe) -> None:
    agent, block = p.agent(name=unique("gone")), p.block()
    p.call(agent_id=agent["id"])
    assert p.get("/v1/agents/", name=agent["name"]) == []
    assert p.get(f"/v1/blocks/{block['id']}")["id"] == block["id"]


@probe("agents.list")
def find(p: Probe) -> None:
    tag = unique("tag")
    made = [p.agent(tags=[tag])["id"] for _ in range(3)]
    assert ids(p.call(tags=[tag])) == made[::-1]
    assert ids(p.call(take=1, tags=[tag], after=made[2], limit=1)) == [made[1]]


@probe("agents.count")
def count(p: Probe) -> None:
    before = p.call()
    for _ in range(20):
        p.agent()
    assert p.call() >= before + 10  # others make agents meanwhile, and delete a few


@probe("agents.recompile")
def recompile(p: Probe) -> None:
    block = p.block(label="shared", value="Everybody's")
    agent = p.agent(block["id"])
    assert "Everybody's" in p.call(agent_id=agent["id"])


def messages_of(p: Probe, agent_id: str) -> list[Found]:
    found: list[Found] = p.get(f"/v1/agents/{agent_id}/messages", limit=100)
    return found
