"""Runs in the store: record, what has become of it, and its parts, as everybody reads them."""

import json
from collections.abc import Mapping
from typing import Any

from pydantic_core import from_json

from service.errors import NotFound
from service.records.messages import Message
from service.records.runs import OutputEvent, Ready, ReadyReason, Run, Step
from service.store.client import Reply, StoreClient, flat
from service.store.keys import key

_JSON_FIELDS = ("usage", "error", "messages", "result")
_LIVE = {
    "status",
    "agent_type",
    "created_at",
    "started_at",
    "completed_at",
    "stop_reason",
    "error",
    "usage",
    "context_tokens",
    "step_count",
    "tries",
    "ttft_ns",
    "result",
    "callback_sent_at",
    "callback_status_code",
    "callback_error",
    "parked",
    "retried_by",
    "not_before",
}


Told = tuple[Run, list[Message]]
"""A run and what it put into its agent's history."""


def again(run: Run, id: str) -> Run:
    """The same task as a run of its own, that nothing has become of yet."""
    asked = run.model_dump(exclude=_LIVE)
    metadata = {**(run.metadata or {}), "retry_of": run.id}
    return Run.model_validate({**asked, "id": id, "metadata": metadata, "created_at": 0})


def record_of(run: Run) -> str:
    return run.model_dump_json(exclude=_LIVE)


def to_run(hash: Mapping[str, str]) -> Run:
    values: dict[str, Any] = from_json(hash["record"])
    for name, text in hash.items():
        if name in _JSON_FIELDS:
            values[name] = from_json(text)
        elif name in _LIVE or name == "depth":
            values[name] = text
    return Run.model_validate(values)


def woken(reply: Reply, reason: ReadyReason = "answered") -> list[Ready]:
    """The agents that became ready in a script whose reply names them behind its first word."""
    return [
        Ready(agent_id=reply[i], generation=int(reply[i + 1]), pool=reply[i + 2], reason=reason)
        for i in range(1, len(reply), 3)
    ]


def _event(id: str, fields: Mapping[str, str]) -> OutputEvent:
    seq = int(id.partition("-")[0])
    return OutputEvent.model_validate_json(fields["event"]).model_copy(update={"seq": seq})


def _told(reply: Reply) -> Told:
    hash, messages = reply
    return to_run(flat(hash)), [Message.model_validate_json(body) for body in messages]


def _with(ring: str) -> Any:
    """What came with the ring of a run's end (told.lua); None where nothing did."""
    _, _, told = (*ring.split(" ", 2), "")[:3]
    return from_json(told) if told else None


class RunStore:
    """Runs as everybody reads them."""

    def __init__(self, store: StoreClient) -> None:
        self._store = store

    async def read(self, ws: str, run_id: str) -> Run:
        hash = await self._store.hash(key(ws, "run", run_id))
        if not hash:
            raise NotFound("run", run_id)
        return to_run(hash)

    async def told(self, ws: str, run_id: str) -> Told:
        """A run and, once it has ended, what it put into its agent's history, in one round trip."""
        reply = await self._store.run("run_told", ws, run_id)
        if not reply:
            raise NotFound("run", run_id)
        return _told(reply)

    @staticmethod
    def told_with(ring: str) -> Told | None:
        """The same as it comes with the ring of a run's end, if it does."""
        told = _with(ring)
        return _told(told) if isinstance(told, list) else None

    @staticmethod
    def said_with(ring: str) -> tuple[list[OutputEvent], Run] | None:
        """What a run said last, up to its end, and the run as it is then: they may come with its ring."""
        told = _with(ring)
        if not isinstance(told, dict):
            return None
        said = told["said"]
        events = [_event(said[i], {"event": said[i + 1]}) for i in range(0, len(said), 2)]
        return events, to_run(flat(told["run"]))

    async def output(
        self, ws: str, run_id: str, after: int, limit: int, *, ended: bool
    ) -> tuple[list[OutputEvent], Run | None]:
        """What a run said behind an event; and the run, if it has `ended`, in the same round trip."""
        stream, behind = key(ws, "run_output", run_id), f"({after}-0"
        if not ended:
            return [_event(*entry) for entry in await self._store.entries(stream, behind, limit=limit)], None
        found, hash = await self._store.entries_with_hash(stream, behind, limit, key(ws, "run", run_id))
        return [_event(*entry) for entry in found], to_run(hash) if hash else None

    async def message_ids(self, ws: str, run_id: str) -> list[str]:
        return await self._store.items(key(ws, "run_messages", run_id))

    async def steps(self, ws: str, run_id: str) -> list[Step]:
        ids = await self._store.items(key(ws, "run_steps", run_id))
        found = await self._store.together([("GET", key(ws, "step", id)) for id in ids]) if ids else []
        return [Step.model_validate_json(text) for text in found if text]

    async def open_ids(self, ws: str, agent_id: str) -> list[str]:
        """The runs of an agent that have not ended: the one begun, its inbox, those to come later."""
        state, inbox, later = await self._store.together(
            [
                ("HGETALL", key(ws, "agent_state", agent_id)),
                ("LRANGE", key(ws, "agent_inbox", agent_id), 0, -1),
                ("ZRANGE", key(ws, "agent_later", agent_id), 0, -1),
            ]
        )
        return [*([state["run_id"]] if "run_id" in state else []), *inbox, *later]

    async def cancel(self, ws: str, run_id: str, keep_seconds: int) -> tuple[bool, list[Ready]]:
        """False for a run that has ended already; and the agents that became ready."""
        reply = await self._store.run("run_cancel", ws, run_id, keep_seconds)
        if reply[0] == "missing":
            raise NotFound("run", run_id)
        return reply[0] != "ended", woken(reply)

    async def take_callbacks(self, ws: str, most: int, error: str) -> list[Run]:
        """Runs whose callback is due, for this caller alone; the error is theirs until it is settled."""
        ids = await self._store.run("callback_claim", ws, most, error)
        hashes = await self._store.hashes([key(ws, "run", id) for id in ids])
        return [to_run(hash) for hash in hashes if hash]

    async def settle_callback(self, ws: str, run_id: str, status: int | None, error: str | None) -> None:
        await self._store.run("callback_settle", ws, run_id, "" if status is None else status, error or "")

    async def trace(self, ws: str, step_id: str) -> dict[str, Any] | None:
        text = await self._store.get(key(ws, "trace", step_id))
        return None if text is None else dict(json.loads(text))

    async def is_cancelled(self, ws: str, run_id: str) -> bool:
        return await self._store.field(key(ws, "run", run_id), "cancel") == "1"

    async def delete(self, ws: str, run_id: str) -> bool:
        """False for a run that has not ended."""
        reply = await self._store.run("run_delete", ws, run_id)
        if reply[0] == "missing":
            raise NotFound("run", run_id)
        return bool(reply[0] == "ok")

    async def step(self, ws: str, step_id: str) -> Step:
        text = await self._store.get(key(ws, "step", step_id))
        if text is None:
            raise NotFound("step", step_id)
        return Step.model_validate_json(text)

    async def change_step(self, ws: str, step_id: str, **fields: object) -> Step:
        """A step with other fields, whoever else writes it meanwhile; it ends when it would have ended."""
        while True:
            text = await self._store.get(key(ws, "step", step_id))
            if text is None:
                raise NotFound("step", step_id)
            step = Step.model_validate({**json.loads(text), **fields})
            changed = step.model_dump_json(exclude_defaults=True)
            if (await self._store.run("step_change", ws, step_id, text, changed))[0] == "ok":
                return step
