"""Cast: the agents of the demo, what they are told, and the blocks they share.

The same plain English for a provider's model and for the offline one, which
follows it too (workers/models/extractive.py).
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from service.client import Client
from service.demo.texts import Part

WORKERS = 3
FINDINGS = "findings"
SUMMARY = "summary"

_WORKER = f"""\
You are one of {WORKERS} workers who read a long text together: each reads one part, all at the same time. \
You share the block `{FINDINGS}` with them and with a supervisor, who sums it up.

Read the text you are given and append what matters to the block `{FINDINGS}`. What matters is what a \
newcomer must know: what this is for, what it promises, figures, limits, decisions. Choose at most five \
findings. For each call `memory_insert` once, with one line that begins with "- ", and leave out \
`insert_line`: then it goes to the end. Leave out what `{FINDINGS}` says already. When you are done, end \
your turn with one short sentence."""

_SUPERVISOR = f"""\
You are the supervisor of {WORKERS} workers who read a text and note what matters in a block that you share \
with them. You are woken whenever they have changed it.

Keep the block `{SUMMARY}` current from the block `{FINDINGS}`: each time you are woken, rewrite it with \
`memory_rethink`, the most important first, at most five lines that begin with "- ". Say nothing there that \
`{FINDINGS}` does not say. Then end your turn with one short sentence."""


@dataclass(frozen=True)
class Cast:
    """Who takes part: agent ids, and the ids of the two blocks."""

    supervisor: str
    workers: list[str]
    findings: str
    first_version: int
    """Of the findings, before anybody wrote."""
    summary: str

    def name_of(self, agent_id: str | None) -> str:
        if agent_id == self.supervisor:
            return "supervisor"
        return f"worker {self.workers.index(agent_id) + 1}" if agent_id in self.workers else "somebody else"


async def create_cast(client: Client, model: str) -> Cast:
    """Creates blocks and agents, and subscribes the supervisor to the findings."""
    shared = {
        "label": FINDINGS,
        "description": "What the workers found in the text, one line each.",
        "value": "",
    }
    findings = await client.post("/v1/blocks/", shared)
    summary = {
        "label": SUMMARY,
        "description": f"The essence of `{FINDINGS}`, kept by the supervisor.",
        "value": "",
    }
    common = {"model": model, "include_base_tools": False, "block_ids": [findings["id"]]}
    supervisor = await client.post(
        "/v1/agents/",
        {
            **common,
            "name": "supervisor",
            "system": _SUPERVISOR,
            "tools": ["memory_rethink"],
            "memory_blocks": [summary],
        },
    )
    await client.post(f"/v1/agents/{supervisor['id']}/subscriptions", {"block_id": findings["id"]})
    workers = [
        await client.post(
            "/v1/agents/",
            {**common, "name": f"worker {number}", "system": _WORKER, "tools": ["memory_insert"]},
        )
        for number in range(1, WORKERS + 1)
    ]
    own = {block["label"]: block["id"] for block in supervisor["memory"]["blocks"]}
    return Cast(
        supervisor=supervisor["id"],
        workers=[worker["id"] for worker in workers],
        findings=findings["id"],
        first_version=findings["version"],
        summary=own[SUMMARY],
    )


async def hand_out(client: Client, cast: Cast, parts: Sequence[Part]) -> list[str]:
    """Sends each worker its part, to all at the same time; the ids of their runs, in order."""
    sends = [
        client.post(f"/v1/agents/{agent_id}/messages/async", {"messages": [_task(part)]})
        for agent_id, part in zip(cast.workers, parts, strict=True)
    ]
    return [run["id"] for run in await asyncio.gather(*sends)]


def _task(part: Part) -> dict[str, str]:
    order = f"Append what matters in the following text to the block `{FINDINGS}`:"
    return {"role": "user", "content": f"{order}\n\n{part.content}"}
