"""Watch: `blockwire watch`: every edit as it is made, with what it added and removed, until Ctrl-C.

A server that goes away is waited for; the feed goes on where it was cut.

python -m service.commands.watch FORMAT [NAME=VALUE…]    (cli.py starts it)
"""

import asyncio
import json
import sys
from collections.abc import Callable
from contextlib import aclosing
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.text import Text as Words

from service.client import Client, Event, Refused
from service.commands.naming import is_id
from service.commands.terminal import clean, one_line, open_client, open_console, print_json, run
from service.errors import Invalid

SHOWN_LINES = 8
"""Of each of the two texts."""
_FIRST_PAUSE_S = 0.25
_LONGEST_PAUSE_S = 5.0
_DID = {"append": "appended to", "insert": "inserted into", "replace": "replaced in", "set": "rewrote"}
_INDENT = 14


class Watch:
    """One feed, shown line by line; `asked`: of a block (its id), a label, an agent (id or name), or all."""

    def __init__(self, client: Client, console: Console, asked: dict[str, str], plain: bool) -> None:
        self._client = client
        self._console = console
        self._agent = asked.pop("agent", None)
        self._query: dict[str, Any] = asked
        self._plain = plain
        self._names: dict[str, str] = {}
        self._after: str | None = None

    async def follow(self, on_event: Callable[[], None] = lambda: None) -> None:
        """For ever; a refusal that waiting cannot cure is raised. `on_event` is called after each event."""
        pause = _FIRST_PAUSE_S
        async with self._client:
            await self._find_out()
            while True:
                try:
                    feed = self._client.events("/v1/changes", after=self._after, **self._query)
                    async with aclosing(feed) as events:
                        async for event in events:
                            pause = _FIRST_PAUSE_S
                            self._say_so()
                            self._after = event.id or self._after
                            await self._show(event)
                            on_event()
                except Refused as refusal:
                    if (refusal.status and refusal.status < 500) or self._after is None:
                        raise
                    self._say(f"{refusal}; trying again")
                await asyncio.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE_S)

    async def _find_out(self) -> None:
        """Whether what was asked for is there: a feed of nothing would be silent for ever."""
        block_id, who = self._query.get("block_id"), self._agent
        if block_id is not None:
            if not block_id.startswith("block-"):
                raise Invalid("--block", f"{block_id!r} is no block's id (block-…); --label takes labels")
            await self._client.get(f"/v1/blocks/{block_id}")
        if who is None:
            return
        if is_id(who):
            found = [await self._client.get(f"/v1/agents/{who}", include_relationships=["tags"])]
        else:
            found = await self._client.get("/v1/agents/", name=who, include_relationships=["tags"])
        if not found:
            raise Invalid("--agent", f"no agent is named {who!r}; `blockwire agents` lists them")
        self._names |= {agent["id"]: one_line(agent["name"]) for agent in found}
        self._query["agent_id"] = [agent["id"] for agent in found]

    def _say_so(self) -> None:
        """Once, to a person: from here on nothing is missed."""
        if self._after is None and self._console.is_terminal and not self._plain:
            self._console.print(Words("listening; every edit is shown as it is made, until Ctrl-C", "dim"))

    async def _show(self, event: Event) -> None:
        if event.name == "resync":
            self._say("some changes are no longer kept and cannot be shown; going on from here")
        if event.name != "change":
            return
        change = json.loads(event.data)
        who = await self._name_of(change["author"])
        if self._plain:
            print_json(change)
        else:
            self._console.print(told(change, who), soft_wrap=True)

    async def _name_of(self, author: dict[str, Any]) -> str:
        agent_id = author.get("agent_id")
        if agent_id is None:
            return one_line(author["name"])
        if agent_id not in self._names:
            try:
                agent = await self._client.get(f"/v1/agents/{agent_id}", include_relationships=["tags"])
                self._names[agent_id] = one_line(agent["name"])
            except Refused:
                self._names[agent_id] = agent_id
        return self._names[agent_id]

    def _say(self, text: str) -> None:
        if not self._plain:
            self._console.print(Words(f"{'':{_INDENT}}{one_line(text)}", "yellow"))


def told(change: dict[str, Any], who: str) -> Words:
    """A change as it is shown: one line, then what it removed and added."""
    at = datetime.fromisoformat(change["at"]).astimezone().strftime("%H:%M:%S.%f")[:-3]
    did = _DID.get(change["operation"], change["kind"])
    words = Words.assemble(
        (at, "dim"),
        "  ",
        (who, "bold cyan"),
        f" {did} ",
        (one_line(change["label"]), "bold"),
        (f" v{change['version']}", "dim"),
        (f"  {change['chars']:,} characters", "dim"),
        (f"  {change['block_id']}", "dim"),
    )
    for text, sign, colour in ((change["removed"], "-", "red"), (change["added"], "+", "green")):
        _add_lines(words, text, sign, colour, cut=change["cut"])
    return words


def _add_lines(words: Words, text: str, sign: str, colour: str, *, cut: bool) -> None:
    lines = clean(text).strip("\n").split("\n") if text.strip("\n") else []
    for line in lines[:SHOWN_LINES]:
        words.append(f"\n{'':{_INDENT}}{sign} {line}", colour)
    if len(lines) > SHOWN_LINES or (cut and lines):
        words.append(f"\n{'':{_INDENT}}{sign} …", f"dim {colour}")


def main() -> None:
    form, *asked = sys.argv[1:]
    query = dict(one.split("=", 1) for one in asked)
    run(Watch(open_client(), open_console(), query, form == "json").follow())


if __name__ == "__main__":
    main()
