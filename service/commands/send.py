"""Send: `blockwire send AGENT TEXT`: a message to an agent, and its answer as it is written.

python -m service.commands.send FORMAT WAIT AGENT TEXT    (cli.py starts it)
"""

import json
import sys
from contextlib import aclosing
from typing import Any

from rich.console import Console
from rich.text import Text as Words

from service.client import Client, Refused
from service.commands.terminal import clean, one_line, open_client, open_console, print_json, run
from service.errors import Invalid

_ID = "agent-"
_SHOWN_CHARS = 300


async def send(client: Client, console: Console, who: str, text: str, *, wait: bool, plain: bool) -> None:
    """Sends; then shows the answer, or without `wait` the run's id. Raises Refused, Invalid."""
    body = {"messages": [{"role": "user", "content": text}]}
    async with client:
        agent_id = await agent_named(client, who)
        if not wait:
            begun = await client.post(f"/v1/agents/{agent_id}/messages/async", body)
            print_json(begun) if plain else console.print(begun["id"])
            return
        answer = Answer(console, plain)
        stream = client.events(f"/v1/agents/{agent_id}/messages/stream", body=body | {"stream_tokens": True})
        async with aclosing(stream) as events:
            async for event in events:
                if event.data and event.data != "[DONE]":
                    answer.add(json.loads(event.data))
        answer.end()


async def agent_named(client: Client, who: str) -> str:
    """The id of an agent, by its id or its name."""
    if who.startswith(_ID):
        return who
    found = await client.get("/v1/agents/", name=who, limit=2, include_relationships=["tags"])
    if len(found) != 1:
        several = "several agents are" if found else "no agent is"
        raise Invalid("AGENT", f"{several} named {who!r}; `blockwire agents` lists ids")
    return str(found[0]["id"])


class Answer:
    """What an agent says, piece by piece: thoughts are dim, tools are named, text is text."""

    def __init__(self, console: Console, plain: bool) -> None:
        self._console = console
        self._plain = plain
        self._part: tuple[str, str] = ("", "")
        self._call = ""

    def add(self, said: dict[str, Any]) -> None:
        if self._plain:
            print_json(said)
            return
        kind = said["message_type"]
        if kind == "error_message":
            raise Refused(one_line(f"{said['message']} {said.get('detail') or ''}"))
        if kind in ("reasoning_message", "assistant_message"):
            self._begin(kind, said["id"])
            text = said["reasoning"] if kind == "reasoning_message" else _text(said["content"])
            self._console.print(Words(clean(text), "dim" if kind == "reasoning_message" else ""), end="")
        elif kind == "tool_call_message":
            self._begin(kind, f"{said['id']} {said['tool_call'].get('tool_call_id')}")
            self._call += said["tool_call"].get("arguments") or ""
            self._name = said["tool_call"].get("name") or ""
        elif kind == "tool_return_message":
            self._begin(kind, said["id"])
            failed = said["status"] != "success"
            self._console.print(Words(f"  {_short(said['tool_return'])}", "red" if failed else "dim"))
        elif kind == "stop_reason" and said["stop_reason"] != "end_turn":
            self._begin(kind, "")
            self._console.print(Words(f"stopped: {said['stop_reason']}", "yellow"))

    def end(self) -> None:
        self._begin("", "")

    def _begin(self, kind: str, id: str) -> None:
        """Closes the part before, if this is another one."""
        if (kind, id) == self._part:
            return
        if self._part[0] in ("reasoning_message", "assistant_message"):
            self._console.print()
        if self._call:
            self._console.print(Words(f"{self._name} {_short(self._call)}", "cyan"))
            self._call = ""
        self._part = (kind, id)


def _text(content: str | list[dict[str, Any]]) -> str:
    return content if isinstance(content, str) else "".join(str(part.get("text", "")) for part in content)


def _short(text: str) -> str:
    line = one_line(text)
    return line if len(line) <= _SHOWN_CHARS else f"{line[:_SHOWN_CHARS]} …"


def main() -> None:
    form, wait, who, text = sys.argv[1:]
    plain = form == "json"
    run(send(open_client(), open_console(), who, text, wait=wait == "wait", plain=plain))


if __name__ == "__main__":
    main()
