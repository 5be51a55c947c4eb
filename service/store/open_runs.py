"""Open runs in the store: the reply that hands a run out -> OpenRun."""

from collections.abc import Mapping

from pydantic_core import from_json

from service.records.base import unchecked
from service.records.blocks import Cause
from service.records.messages import Message
from service.records.open_runs import Material, OpenRun
from service.store.agents import to_agent
from service.store.blocks import to_block
from service.store.budgets import spent_of
from service.store.client import Reply, flat
from service.store.runs import to_run


def to_open_run(reply: Reply) -> OpenRun | None:
    """What `run_next` gave; None where the agent has nothing to do."""
    if reply[0] != "run":
        return None
    hash: Mapping[str, str] = flat(reply[2])
    return unchecked(
        OpenRun,
        {
            "run": to_run(hash),
            "material": _material(reply[3]),
            "prompt": hash.get("prompt"),
            "seen": {id: int(version) for id, version in from_json(hash.get("seen", "{}")).items()},
            "step_id": hash.get("step_id"),
            "causes": [Cause.model_validate(change) for change in from_json(hash.get("causes", "[]"))],
            "over": int(hash.get("over", "0")),
            "stop": hash.get("stop"),
            "cancelled": hash.get("cancel") == "1",
            "spent": spent_of(reply[4:]) if reply[4:] else None,
        },
    )


def _material(reply: Reply) -> Material:
    agent, context, bodies, blocks, notes = reply
    return unchecked(
        Material,
        {
            "agent": to_agent(flat(agent), context),
            "context": [Message.model_validate_json(body) for body in bodies],
            "blocks": [to_block(flat(block)) for block in blocks],
            "notes": [Message.model_validate_json(note) for note in notes],
        },
    )
