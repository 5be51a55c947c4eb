"""Probes of identities: references that are kept, found and found by."""

from tests.sdk.probes.blocks import identity_of
from tests.sdk.probes.probe import Found, Probe, ids, probe, unique


def told() -> Found:
    return {"identifier_key": unique("ada"), "name": "Ada", "identity_type": "user"}


def shown(p: Probe, identity_id: str) -> Found:
    found: Found = p.get(f"/v1/identities/{identity_id}")
    return found


@probe("identities.create")
def create(p: Probe) -> None:
    agent, asked = p.agent(), told()
    made = p.call(**asked, agent_ids=[agent["id"]])
    found = shown(p, made["id"])
    assert {name: found[name] for name in asked} == asked
    assert p.shown(agent["id"])["identity_ids"] == [made["id"]]


@probe("identities.upsert")
def upsert(p: Probe) -> None:
    asked = told()
    first, second = p.call(**asked), p.call(**asked | {"name": "Grace"})
    assert first["id"] == second["id"]
    assert shown(p, first["id"])["name"] == "Grace"


@probe("identities.retrieve")
def retrieve(p: Probe) -> None:
    assert p.call(identity_id=identity_of(p))["name"] == "Ada"


@probe("identities.update")
def update(p: Probe) -> None:
    identity = identity_of(p)
    p.call(identity_id=identity, name="Grace")
    assert shown(p, identity)["name"] == "Grace"


@probe("identities.delete")
def delete(p: Probe) -> None:
    identity = identity_of(p)
    agent = p.agent(identity_ids=[identity])
    p.call(identity_id=identity)
    assert p.shown(agent["id"])["identity_ids"] == []


@probe("identities.list")
def find(p: Probe) -> None:
    asked = told()
    made = p.post("/v1/identities/", asked)
    assert ids(p.call(identifier_key=asked["identifier_key"])) == [made["id"]]


@probe("identities.count")
def count(p: Probe) -> None:
    before = p.call()
    identity_of(p)
    assert p.call() > before  # others make identities meanwhile, and delete one


@probe("identities.properties.upsert")
def upsert_properties(p: Probe) -> None:
    identity, plan = identity_of(p), {"key": "plan", "value": "free", "type": "string"}
    p.call(identity_id=identity, request=[plan])
    assert shown(p, identity)["properties"] == [plan]


@probe("identities.agents.list")
def agents(p: Probe) -> None:
    identity = identity_of(p)
    agent = p.agent(identity_ids=[identity])
    assert ids(p.call(identity_id=identity)) == [agent["id"]]


@probe("identities.blocks.list")
def blocks(p: Probe) -> None:
    identity, block = identity_of(p), p.block()
    p.api("PATCH", f"/v1/blocks/{block['id']}/identities/attach/{identity}")
    assert ids(p.call(identity_id=identity)) == [block["id"]]
