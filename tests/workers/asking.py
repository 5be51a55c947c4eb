"""Asking: scripted agents that write to each other, on a bench, carried until nobody is ready any more."""

import json
from typing import Any

from service.records.agents import Agent
from service.records.messages import NewMessage
from service.records.runs import Run
from service.store.keys import key
from tests.workers.bench import WS, Bench, Entry, call


def _id(other: Agent | str) -> str:
    return other if isinstance(other, str) else other.id


def ask(other: Agent | str, message: str = "What is it?") -> Entry:
    return call("send_message_to_agent_and_wait_for_reply", other_agent_id=_id(other), message=message)


def tell(other: Agent | str, message: str = "So it is.") -> Entry:
    return call("send_message_to_agent_async", other_agent_id=_id(other), message=message)


def ask_tagged(match_all: list[str], match_some: list[str]) -> Entry:
    name = "send_message_to_agents_matching_tags"
    return call(name, message="Who is there?", match_all=match_all, match_some=match_some)


class Asking:
    """A bench whose agents have the tools to write to each other."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench

    async def agent(self, *entries: Entry, **fields: Any) -> Agent:
        """An agent that answers other agents with these turns; a user's message may hold others."""
        given: dict[str, Any] = {
            "system": f"<script>{json.dumps(entries)}</script>",
            "include_multi_agent_tools": True,
            "initial_message_sequence": [],
            "parallel_tool_calls": True,
        }
        return await self.bench.agent(**given | fields)

    @staticmethod
    def message(text: str) -> NewMessage:
        return NewMessage(content=text)

    async def carry_all(self) -> None:
        """Every agent that is ready, as long as there is one; the one that has waited longest first."""
        while ready := await self.bench.service.store.range(key(WS, "ready")):
            await self.bench.carry(await self.bench.service.agents.read(WS, ready[0][0]))

    async def status(self, agent: Agent) -> str:
        return (await self.bench.state(agent))["status"]

    async def read(self, run: Run) -> Run:
        return await self.bench.service.runs.read(WS, run.id)
