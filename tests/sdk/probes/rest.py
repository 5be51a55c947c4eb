"""Probes of tags, health and models."""

from tests.sdk.probes.probe import Probe, probe, unique


@probe("tags.list")
def tags(p: Probe) -> None:
    of_agent, of_block = unique("tag"), unique("tag")
    p.agent(tags=[of_agent])
    p.block(tags=[of_block])
    assert {of_agent, of_block} <= set(p.call(limit=1000))


@probe("health.check")
def health(p: Probe) -> None:
    found = p.call()
    assert found["status"] == "ok"
    assert found["version"]


@probe("models.list")
def models(p: Probe) -> None:
    found = p.call()
    assert {"offline/extractive", "offline/scripted"} <= {model["handle"] for model in found}


@probe("models.embeddings.list")
def embeddings(p: Probe) -> None:
    assert "text-embedding-3-small" in str(p.call())
