"""Lists: `blockwire blocks`, `agents` and `runs`: what a server holds, as a table or as JSON.

python -m service.commands.lists NOUN LIMIT FORMAT [NAME=VALUE…]    (cli.py starts it)
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.text import Text as Words

from service.client import Client
from service.commands.naming import agent_named
from service.commands.tables import Column, Row, table_of
from service.commands.terminal import ago, one_line, open_client, open_console, print_json, run

_COLOURS = {"completed": "green", "failed": "bold red", "cancelled": "yellow", "running": "cyan"}


@dataclass(frozen=True)
class Noun:
    """What is listed: its route, what the route is asked besides, and the columns."""

    path: str
    query: dict[str, Any]
    columns: Sequence[Column]


def _chars(block: Row) -> str:
    return f"{len(block['value']):,} of {block['limit']:,}"


def _labels(agent: Row) -> str:
    return ", ".join(sorted(one_line(block["label"]) for block in agent["memory"]["blocks"]))


def _paused(agent: Row) -> Words:
    since = agent.get("paused_at")
    return Words(ago(since) if since else "", "yellow")


def _status(run: Row) -> Words:
    return Words(run["status"], _COLOURS.get(run["status"], ""))


def _took(run: Row) -> str:
    return f"{run['total_duration_ns'] / 1e9:.1f} s" if run.get("total_duration_ns") else ""


NOUNS = {
    "blocks": Noun(
        "/v1/blocks/",
        {"order": "desc"},
        (
            Column("id", lambda block: block["id"]),
            Column("label", lambda block: one_line(block["label"]), least=12),
            Column("version", lambda block: str(block["version"]), right=True, spare=1),
            Column("characters", _chars, right=True, spare=3),
            Column("changed", lambda block: ago(block["updated_at"]), right=True, spare=2),
            Column("value", lambda block: one_line(block["value"][:400]), least=16, grows=True),
        ),
    ),
    "agents": Noun(
        "/v1/agents/",
        {"include_relationships": ["memory", "tags"]},
        (
            Column("id", lambda agent: agent["id"]),
            Column("name", lambda agent: one_line(agent["name"]), least=12),
            Column("model", lambda agent: one_line(agent["model"] or ""), least=20, spare=3),
            Column("paused", _paused),
            Column("last run", lambda agent: agent["last_stop_reason"] or "none yet"),
            Column("ended", lambda agent: ago(agent["last_run_completion"]), right=True, spare=1),
            Column("blocks", _labels, least=12, spare=2, grows=True),
        ),
    ),
    "runs": Noun(
        "/v1/runs/",
        {},
        (
            Column("id", lambda run: run["id"]),
            Column("agent", lambda run: run["agent_id"], spare=2),
            Column("status", _status),
            Column("stopped by", lambda run: run["stop_reason"] or "", least=10, spare=1),
            Column("began", lambda run: ago(run["created_at"]), right=True),
            Column("took", _took, right=True, spare=1),
        ),
    ),
}


async def show(
    client: Client, console: Console, noun: str, limit: int, asked: dict[str, str], plain: bool
) -> None:
    """One page, the newest first. `plain`: a JSON text per row. An `agent` is named by its id or its name."""
    what = NOUNS[noun]
    async with client:
        if "agent" in asked:
            asked = {"agent_id": await agent_named(client, asked["agent"])}
        rows = await client.get(what.path, limit=limit, **what.query, **asked)
    if plain:
        for row in rows:
            print_json(row)
    elif rows:
        console.print(table_of(what.columns, rows, console.width))
        if len(rows) == limit:
            console.print(Words(f"the newest {limit}; more with --limit", "dim"))
    else:
        console.print(Words(f"no {noun}", "dim"))


def main() -> None:
    noun, limit, form, *asked = sys.argv[1:]
    query = dict(one.split("=", 1) for one in asked)
    run(show(open_client(), open_console(), noun, int(limit), query, form == "json"))


if __name__ == "__main__":
    main()
