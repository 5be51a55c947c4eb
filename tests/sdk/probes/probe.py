"""Probe: what a probe is given, and the table of all of them."""

import json
import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import httpx

from tests.sdk.calling import CalledSdk, Refused
from tests.sdk.methods import Row

Found = dict[str, Any]

WORKS = "works"
STORED = "stored only"
"""Kept and given back as it was, but not acted on."""
EMBEDDING = "openai/text-embedding-3-small"
_WAIT_S = 15


class Probe:
    """One method of one SDK, and a plain client of the same Blockwire."""

    def __init__(self, sdk: CalledSdk, http: httpx.Client, row: Row) -> None:
        self._called = sdk
        self._http = http
        self._row = row
        self.sdk = sdk.sdk

    def call(self, take: int | None = None, **args: Any) -> Any:
        """Call the method that this is about."""
        return self._called.call(self._row.method, take, **args)

    def api(self, method: str, path: str, body: Any = None, **query: Any) -> Any:
        """Anything else, over HTTP. Raises Refused, saying what was needed."""
        answer = self._http.request(method, path, json=body, params=query)
        if answer.is_error:
            why = answer.json().get("detail", answer.text)
            raise Refused(answer.status_code, f"{why} (needs {method} {_bare(path)})")
        return answer.json()

    def get(self, path: str, **query: Any) -> Any:
        return self.api("GET", path, **query)

    def post(self, path: str, body: Found) -> Any:
        return self.api("POST", path, body)

    def block(self, **fields: Any) -> Found:
        found: Found = self.post("/v1/blocks/", {"label": "notes", "value": "one"} | fields)
        return found

    def agent(self, *block_ids: str, **fields: Any) -> Found:
        """A new agent whose messages tell it what to say."""
        told = {"model": "offline/scripted", "embedding": EMBEDDING, "block_ids": block_ids}
        found: Found = self.post("/v1/agents/", told | fields)
        return found

    def tell(self, agent_id: str, *entries: Found) -> Found:
        """A blocking send that makes the agent answer so."""
        found: Found = self.post(f"/v1/agents/{agent_id}/messages", {"messages": saying(*entries)})
        return found

    def ran(self, *entries: Found) -> tuple[str, str]:
        """A new agent and the run that it has behind it."""
        agent_id = self.agent()["id"]
        self.tell(agent_id, *(entries or ({"text": "Hello."},)))
        return agent_id, self.get("/v1/runs/", agent_id=agent_id)[0]["id"]

    def running(self) -> tuple[str, str]:
        """A new agent and a run that it is in the middle of."""
        agent_id = self.agent()["id"]
        slow = saying({"text": "Late.", "sleep_ms": 60_000})
        run_id = self.post(f"/v1/agents/{agent_id}/messages/async", {"messages": slow})["id"]
        self.wait(f"/v1/runs/{run_id}", lambda run: run["status"] == "running")
        return agent_id, run_id

    def wait(self, path: str, holds: Callable[[Any], bool]) -> Any:
        """What is at a path, as soon as it is so."""
        deadline = time.monotonic() + _WAIT_S
        while not holds(found := self.get(path)):
            assert time.monotonic() < deadline, f"waited in vain for {path}; last seen: {found}"
            time.sleep(0.02)
        return found

    def shown(self, agent_id: str) -> Found:
        """An agent with all its relations."""
        found: Found = self.get(f"/v1/agents/{agent_id}")
        return found

    def prompt_of(self, agent_id: str) -> str:
        """The system prompt that an agent's next model call has."""
        return words(self.tell(agent_id, {"echo": "system"})["messages"])


"""How a method does, with `: why` if that needs words; None for WORKS."""
Check = Callable[[Probe], str | None]
PROBES: dict[Row, Check] = {}


def probe(method: str, form: str = "") -> Callable[[Check], Check]:
    def keep(check: Check) -> Check:
        assert Row(method, form) not in PROBES, f"two probes for {method} {form}"
        PROBES[Row(method, form)] = check
        return check

    return keep


def saying(*entries: Found, **fields: Any) -> list[Found]:
    """A message that makes an `offline/scripted` agent answer like this."""
    return [{"role": "user", "content": json.dumps({"script": entries})} | fields]


def words(messages: list[Found]) -> str:
    """What an agent said, pieces put together."""
    return "".join(str(one["content"]) for one in messages if one["message_type"] == "assistant_message")


def kinds(messages: list[Found]) -> list[str]:
    """The types of messages; neighbours of one type are one."""
    found: list[str] = []
    for one in messages:
        if found[-1:] != [one["message_type"]]:
            found.append(one["message_type"])
    return found


def labels(blocks: list[Found]) -> list[str]:
    return sorted(str(block["label"]) for block in blocks)


def ids(things: list[Found]) -> list[str]:
    return [thing["id"] for thing in things]


def unique(word: str) -> str:
    return f"{word}-{uuid4().hex[:8]}"


def _bare(path: str) -> str:
    """The path without ids."""
    return "/".join(
        "…" if "-" in part and any(c.isdigit() for c in part) else part for part in path.split("/")
    )
