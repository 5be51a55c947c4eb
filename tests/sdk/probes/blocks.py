"""Probes of blocks, by id and as an agent's core memory."""

from uuid import uuid4

from tests.sdk.calling import Refused
from tests.sdk.probes.probe import STORED, Found, Probe, ids, labels, probe, unique


@probe("blocks.create")
def create(p: Probe) -> None:
    made = p.call(label="notes", value="one", description="A note", limit=500, read_only=True)
    found = p.get(f"/v1/blocks/{made['id']}")
    assert found["value"] == made["value"] == "one"
    assert (found["label"], found["description"], found["limit"]) == ("notes", "A note", 500)
    assert found["read_only"] is True


@probe("blocks.create", "project_id=…, hidden=…")
def create_with_what_is_kept(p: Probe) -> str:
    made = p.call(label="notes", value="", project_id="project-1", hidden=True)
    found = p.get(f"/v1/blocks/{made['id']}")
    assert (found["project_id"], found["hidden"]) == ("project-1", True)
    assert made["id"] in ids(p.get("/v1/blocks/", project_id="project-1", show_hidden_blocks=True))
    assert made["id"] not in ids(p.get("/v1/blocks/", project_id="project-1"))
    return "works"


@probe("blocks.retrieve")
def retrieve(p: Probe) -> None:
    block = p.block(value="one")
    assert p.call(block_id=block["id"])["value"] == "one"


@probe("blocks.update")
def update(p: Probe) -> None:
    block = p.block(value="one")
    told: Found = {"value": "two", "description": "Another", "metadata": {"colour": "red"}, "limit": 600}
    changed = p.call(block_id=block["id"], **told)
    found = p.get(f"/v1/blocks/{block['id']}")
    for name, value in told.items():
        assert found[name] == changed[name] == value
    assert found["label"] == "notes"


@probe("blocks.delete")
def delete(p: Probe) -> None:
    label = unique("gone")
    block = p.block(label=label)
    agent = p.agent(block["id"])
    p.call(block_id=block["id"])
    assert p.get("/v1/blocks/", label=label) == []
    assert labels(p.shown(agent["id"])["blocks"]) == []


@probe("blocks.list")
def find(p: Probe) -> None:
    label = unique("listed")
    made = [p.block(label=label)["id"] for _ in range(3)]
    assert ids(p.call(label=label)) == made
    assert ids(p.call(take=1, label=label, after=made[0], limit=1)) == made[1:2]


@probe("blocks.count")
def count(p: Probe) -> None:
    before = p.call()
    for _ in range(20):
        p.block()
    assert p.call() >= before + 10  # others make blocks meanwhile, and delete a few
    assert p.get("/v1/blocks/count", label=unique("none")) == 0


@probe("blocks.agents.list")
def agents(p: Probe) -> None:
    block = p.block()
    sharers = [p.agent(block["id"])["id"] for _ in range(2)]
    assert sorted(ids(p.call(block_id=block["id"]))) == sorted(sharers)


@probe("agents.core_memory.retrieve")
def core_memory(p: Probe) -> None:
    agent = p.agent(p.block(label="notes")["id"], memory_blocks=[{"label": "persona", "value": "I help"}])
    assert labels(p.call(agent_id=agent["id"])["blocks"]) == ["notes", "persona"]


@probe("agents.blocks.list")
def blocks_of(p: Probe) -> None:
    agent = p.agent(p.block(label="notes")["id"], memory_blocks=[{"label": "persona", "value": "I help"}])
    assert labels(p.call(agent_id=agent["id"])) == ["notes", "persona"]


@probe("agents.blocks.retrieve")
def retrieve_by_label(p: Probe) -> None:
    agent = p.agent(memory_blocks=[{"label": "persona", "value": "I help"}])
    assert p.call(agent_id=agent["id"], block_label="persona")["value"] == "I help"


@probe("agents.blocks.update")
def update_by_label(p: Probe) -> None:
    block = p.block(label="shared")
    agent, other = p.agent(block["id"]), p.agent(block["id"])
    assert p.call(agent_id=agent["id"], block_label="shared", value="For all")["value"] == "For all"
    assert p.get(f"/v1/blocks/{block['id']}")["value"] == "For all"
    assert "For all" in p.prompt_of(other["id"])


@probe("agents.blocks.attach")
def attach(p: Probe) -> None:
    agent, block = p.agent(), p.block(label="shared", value="Everybody's")
    answer = p.call(agent_id=agent["id"], block_id=block["id"])
    assert labels(answer["memory"]["blocks"]) == ["shared"]
    assert "Everybody's" in p.prompt_of(agent["id"])


@probe("agents.blocks.detach")
def detach(p: Probe) -> None:
    block = p.block(label="shared", value="Everybody's")
    agent = p.agent(block["id"])
    answer = p.call(agent_id=agent["id"], block_id=block["id"])
    assert labels(answer["memory"]["blocks"]) == []
    assert "Everybody's" not in p.prompt_of(agent["id"])
    assert p.get(f"/v1/blocks/{block['id']}")["value"] == "Everybody's"


@probe("agents.identities.attach")
def attach_identity(p: Probe) -> str | None:
    agent, identity = p.agent(), identity_of(p)
    p.call(agent_id=agent["id"], identity_id=identity)
    return identity_seen(p, agent["id"], identity)


@probe("agents.identities.detach")
def detach_identity(p: Probe) -> str | None:
    identity = identity_of(p)
    agent = p.agent(identity_ids=[identity])
    seen = identity_seen(p, agent["id"], identity)
    p.call(agent_id=agent["id"], identity_id=identity)
    assert p.shown(agent["id"])["identity_ids"] == []
    return seen


def identity_of(p: Probe) -> str:
    """A new identity's id; any will do where there are none."""
    told = {"identifier_key": unique("ada"), "name": "Ada", "identity_type": "user"}
    try:
        return str(p.post("/v1/identities/", told)["id"])
    except Refused:
        return f"identity-{uuid4()}"


def identity_seen(p: Probe, agent_id: str, identity: str) -> str | None:
    """Whether agents are found by it, or just show it."""
    assert p.shown(agent_id)["identity_ids"] == [identity]
    return None if ids(p.get("/v1/agents/", identity_id=identity)) == [agent_id] else STORED
