"""Agents in the store: one record as JSON, with the times and counters that scripts keep beside it."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic_core import from_json

from service.errors import Invalid, LabelTaken, NotFound
from service.records.agents import Agent
from service.records.blocks import Author, BlockFields
from service.records.budgets import Budget
from service.records.runs import Ready
from service.store.blocks import new_hash
from service.store.client import StoreClient
from service.store.keys import WORKSPACES_KEY, key
from service.store.runs import woken
from service.store.terms import agent_places

_LIVE = {
    "created_at",
    "updated_at",
    "last_run_completion",
    "last_run_duration_ms",
    "last_stop_reason",
    "paused_at",
    "message_ids",
    "identity_ids",
}

_TOLD = ("last_run_completion", "last_run_duration_ms", "last_stop_reason")
"""Kept by scripts at the end of each run; a client may overwrite them until the next one."""


def record_of(agent: Agent) -> str:
    """What of an agent is kept as it was given; the rest is kept by scripts."""
    return agent.model_dump_json(exclude=_LIVE)


def to_agent(hash: Mapping[str, str], message_ids: Sequence[str]) -> Agent:
    values: dict[str, Any] = from_json(hash["record"])
    values |= {name: hash[name] for name in _LIVE if name in hash}
    values["message_ids"] = list(message_ids)
    values["identity_ids"] = from_json(hash["identity_ids"])
    return Agent.model_validate(values)


async def read_agents(store: StoreClient, ws: str, agent_ids: Sequence[str]) -> list[Agent]:
    """Those of the agents that exist, in order."""
    if not agent_ids:
        return []
    commands: list[tuple[str | int, ...]] = [("HGETALL", key(ws, "agent", id)) for id in agent_ids]
    commands += [("ZRANGE", key(ws, "agent_context", id), 0, -1) for id in agent_ids]
    found = await store.together(commands)
    pairs = zip(found[: len(agent_ids)], found[len(agent_ids) :], strict=True)
    return [to_agent(hash, context) for hash, context in pairs if hash]


def _limits(agent: Agent) -> dict[str, str]:
    """An agent's budget as scripts read it."""
    budget = agent.budget or Budget()
    return {
        "tokens_per_hour": str(budget.tokens_per_hour or ""),
        "steps_per_hour": str(budget.steps_per_hour or ""),
    }


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


class AgentStore:
    """One door to the scripts on agents."""

    def __init__(self, store: StoreClient, history_kept: str, change_count: int, run_seconds: int) -> None:
        self._store = store
        self._history_kept = history_kept
        self._change_count = change_count
        self._run_seconds = run_seconds

    async def create(
        self,
        ws: str,
        agent: Agent,
        new_blocks: Sequence[tuple[str, BlockFields]],
        block_ids: Sequence[str],
        messages: Sequence[tuple[str, str]],
        by: Author,
    ) -> None:
        """All or nothing. Raises NotFound for an unknown block or identity. Messages are (id, JSON).

        Its workspace is put on the sweeper's list first: an agent that nobody looks after is worse
        than a name too many.
        """
        await self._store.add_member(WORKSPACES_KEY, ws)
        reply = await self._store.run(
            "agent_create",
            ws,
            agent.id,
            record_of(agent),
            agent.name,
            _json(agent_places(agent)),
            agent.pool,
            by.model_dump_json(exclude_none=True, exclude_defaults=True),
            by.name,
            _json([(id, new_hash(fields)) for id, fields in new_blocks]),
            _json(list(block_ids)),
            _json(list(messages)),
            self._change_count,
            self._history_kept,
            "1" if agent.hidden else "",
            _json(agent.identity_ids),
            _json(_limits(agent)),
        )
        if reply[0] == "noidentity":
            raise NotFound("identity", reply[1])
        if reply[0] != "ok":
            raise NotFound("block", reply[1])

    async def exists(self, ws: str, agent_id: str) -> bool:
        return await self._store.score(key(ws, "agents"), agent_id) is not None

    async def type_of(self, ws: str, agent_id: str) -> str | None:
        record = await self._store.field(key(ws, "agent", agent_id), "record")
        return None if record is None else json.loads(record)["agent_type"]

    async def read_with_rev(self, ws: str, agent_id: str) -> tuple[Agent, str]:
        """The agent, and the number that an update must still find."""
        hash, context = await self._store.together(
            [("HGETALL", key(ws, "agent", agent_id)), ("ZRANGE", key(ws, "agent_context", agent_id), 0, -1)]
        )
        if not hash:
            raise NotFound("agent", agent_id)
        return to_agent(hash, context), hash["rev"]

    async def read_many(self, ws: str, agent_ids: Sequence[str]) -> list[Agent]:
        """Those of the agents that exist, in order."""
        return await read_agents(self._store, ws, agent_ids)

    async def update(
        self,
        ws: str,
        before: Agent,
        rev: str,
        after: Agent,
        block_ids: Sequence[str] | None,
        message_ids: Sequence[str] | None,
        by: Author,
        identity_ids: Sequence[str] | None = None,
    ) -> bool:
        """False when the agent was changed by somebody else since it was read."""
        told = {
            name: str(getattr(after, name)) for name in _TOLD if getattr(after, name) != getattr(before, name)
        }
        reply = await self._store.run(
            "agent_update",
            ws,
            after.id,
            rev,
            record_of(after),
            _json(agent_places(after)),
            after.name,
            "1" if after.hidden else "",
            "" if identity_ids is None else _json(list(identity_ids)),
            after.pool,
            "" if block_ids is None else _json(list(block_ids)),
            "" if message_ids is None else _json(list(message_ids)),
            by.model_dump_json(exclude_none=True, exclude_defaults=True),
            self._change_count,
            _json(told | _limits(after)),
        )
        match reply:
            case ["missing"]:
                raise NotFound("agent", after.id)
            case ["noidentity", identity_id]:
                raise NotFound("identity", identity_id)
            case ["noblock", block_id]:
                raise NotFound("block", block_id)
            case ["nomessage", message_id]:
                raise Invalid("message_ids", f"{message_id} is not a message of this agent")
            case ["label", label, holder]:
                raise LabelTaken(label, holder)
        return bool(reply[0] == "ok")

    async def delete(self, ws: str, agent_id: str, by: Author) -> list[Ready]:
        """Gives back the agents that waited for a reply of this one."""
        reply = await self._store.run(
            "agent_delete",
            ws,
            agent_id,
            by.model_dump_json(exclude_none=True, exclude_defaults=True),
            self._change_count,
            self._run_seconds,
        )
        if reply[0] != "ok":
            raise NotFound("agent", agent_id)
        return woken(reply)
