"""Asks in the store: messages from agent to agent, who waits for whom, and what a step's calls did so far."""

import json
from collections.abc import Mapping, Sequence
from typing import cast

from service.errors import AskCircle, InboxFull, LeaseLost, NotFound, StoreFilling
from service.records.messages import ToolReturn
from service.records.runs import AskState, Lease, Ready, Run
from service.store.client import StoreClient
from service.store.keys import key
from service.store.messages import INBOX_MOST
from service.store.runs import record_of

_RESULT = "result:"


class AskStore:
    """What an agent under a lease asks of others. Every write carries the fence."""

    def __init__(self, store: StoreClient) -> None:
        self._store = store

    async def ask(
        self,
        lease: Lease,
        run_id: str,
        asked: Run,
        wait_ms: int | None,
        *,
        most: int = INBOX_MOST,
        filling: StoreFilling | None = None,
    ) -> tuple[AskState, list[Ready]]:
        """Sends once, and tells who became ready. Raises NotFound for the receiver, AskCircle, InboxFull.

        Raises `filling`, if it is given, for what was not sent before. A refusal is final: it is stored.
        """
        key(lease.workspace, "agent", asked.agent_id)  # a model writes ids of any kind
        reply = await self._store.run(
            "message_ask",
            lease.workspace,
            lease.agent_id,
            lease.generation,
            run_id,
            asked.agent_id,
            asked.id,
            record_of(asked),
            "" if wait_ms is None else wait_ms,
            most,
            "1" if filling else "",
        )
        match reply:
            case ["fence"]:
                raise LeaseLost(lease.agent_id)
            case ["missing"]:
                raise NotFound("agent", asked.agent_id)
            case ["circle", *agents]:
                raise AskCircle(agents)
            case ["full"]:
                raise InboxFull(asked.agent_id, most)
            case ["filling"]:
                raise filling or StoreFilling(0, 0)
            case ["sent", generation, pool] if generation:
                return "sent", [Ready(agent_id=asked.agent_id, generation=int(generation), pool=pool)]
        return cast(AskState, reply[0]), []

    async def decide(self, lease: Lease, run_id: str, call: int, decision: Sequence[str]) -> list[str]:
        """What this call decided when it was first carried out: now, or by a worker before."""
        reply = await self._store.run(
            "call_decide",
            lease.workspace,
            lease.agent_id,
            lease.generation,
            run_id,
            call,
            json.dumps(list(decision)),
        )
        if reply[0] == "fence":
            raise LeaseLost(lease.agent_id)
        return cast(list[str], json.loads(reply[1]))

    async def wait(
        self, lease: Lease, run_id: str, seen: Mapping[str, int], results: Mapping[int, ToolReturn]
    ) -> list[Ready]:
        """Ends the lease until the replies are there; the agent itself if they are there already."""
        done = [part for call, one in results.items() for part in (call, one.model_dump_json())]
        reply = await self._store.run(
            "run_wait",
            lease.workspace,
            lease.agent_id,
            lease.generation,
            run_id,
            json.dumps(dict(seen)),
            *done,
        )
        match reply:
            case ["fence"]:
                raise LeaseLost(lease.agent_id)
            case ["ready", generation, pool]:
                return [
                    Ready(agent_id=lease.agent_id, generation=int(generation), pool=pool, reason="answered")
                ]
        return []

    async def results(self, ws: str, run_id: str) -> dict[int, ToolReturn]:
        """Index of a call -> its result, of the step under way, as far as they were stored."""
        found = await self._store.hash(key(ws, "run_calls", run_id))
        return {
            int(name.removeprefix(_RESULT)): ToolReturn.model_validate_json(text)
            for name, text in found.items()
            if name.startswith(_RESULT)
        }
