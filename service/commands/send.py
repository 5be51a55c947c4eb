"""Send: `blockwire send AGENT TEXT`: a message to an agent, and its answer as it is written.

Where the agent stops to ask for leave, the calls are named, and `--approve` or `--deny` answers them.

python -m service.commands.send FORMAT WAIT AGENT TEXT WORD    (cli.py starts it; WORD: approve, deny or '')
"""

import json
import sys
from contextlib import aclosing
from typing import Any

from rich.console import Console
from rich.text import Text as Words

from service.client import Client, Refused
from service.commands.naming import agent_named
from service.commands.terminal import clean, one_line, open_client, open_console, print_json, run
from service.errors import Invalid

_SHOWN_CHARS = 300


async def send(
    client: Client, console: Console, who: str, text: str, *, wait: bool, plain: bool, word: str = ""
) -> None:
    """Sends; then shows the answer, or without `wait` the run's id. Raises Refused, Invalid.

    `word`: `approve` or `deny` (with the text as its reason) answers what the agent asks leave for.
    """
    async with client:
        agent_id = await agent_named(client, who)
        body = {"messages": await _messages(client, agent_id, text, word)}
        if not wait:
            begun = await client.post(f"/v1/agents/{agent_id}/messages/async", body)
            print_json(begun) if plain else console.print(begun["id"])
            return
        answer = Answer(console, plain)
        path = f"/v1/agents/{agent_id}/messages/stream"
        try:
            async with aclosing(client.events(path, body=body | {"stream_tokens": True})) as events:
                async for event in events:
                    if event.data and event.data != "[DONE]":
                        answer.add(json.loads(event.data))
        except Refused:
            if not plain:
                _show_asked(console, who, await _asked(client, agent_id))
            raise
        answer.end()
        if answer.asks and not plain:
            _show_asked(console, who, await _asked(client, agent_id))


async def _messages(client: Client, agent_id: str, text: str, word: str) -> list[dict[str, Any]]:
    said = {"role": "user", "content": text}
    if not word:
        if not text:
            raise Invalid("TEXT", "is missing; give the message, or --approve or --deny")
        return [said]
    calls = await _asked(client, agent_id)
    if not calls:
        raise Invalid("AGENT", "the agent asks for nothing; send it a message")
    given: dict[str, Any] = {"type": "approval", "approve": word == "approve"}
    if word == "deny" and text:
        given["reason"] = text
    approvals = [given | {"tool_call_id": call["tool_call_id"]} for call in calls]
    more = [said] if word == "approve" and text else []
    return [{"type": "approval", "approvals": approvals}, *more]


async def _asked(client: Client, agent_id: str) -> list[dict[str, Any]]:
    """The calls that an agent asks leave for."""
    agent = await client.get(f"/v1/agents/{agent_id}", include=["agent.pending_approval"])
    request = agent.get("pending_approval")
    return list(request["tool_calls"]) if request else []


def _show_asked(console: Console, who: str, calls: list[dict[str, Any]]) -> None:
    for call in calls:
        asked = f"it asks to call {one_line(call['name'])} {_short(call['arguments'])}"
        console.print(Words(asked, "bold yellow"))
    if calls:
        answer = f'blockwire send {one_line(who)} --approve    or    --deny "why not"'
        console.print(Words(f"answer with:  {answer}", "yellow"), soft_wrap=True)


class Answer:
    """What an agent says, piece by piece: thoughts are dim, tools are named, text is text."""

    def __init__(self, console: Console, plain: bool) -> None:
        self._console = console
        self._plain = plain
        self._part: tuple[str, str] = ("", "")
        self._call = ""
        self.asks = False
        """Whether it stopped to ask for leave."""

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
        elif kind in ("tool_call_message", "approval_request_message"):
            self._begin(kind, f"{said['id']} {said['tool_call'].get('tool_call_id')}")
            self._call += said["tool_call"].get("arguments") or ""
            self._name = said["tool_call"].get("name") or ""
        elif kind == "tool_return_message":
            self._begin(kind, said["id"])
            failed = said["status"] != "success"
            self._console.print(Words(f"  {_short(said['tool_return'])}", "red" if failed else "dim"))
        elif kind == "stop_reason" and said["stop_reason"] == "requires_approval":
            self.asks = True
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
    form, wait, who, text, word = sys.argv[1:]
    plain = form == "json"
    run(send(open_client(), open_console(), who, text, wait=wait == "wait", plain=plain, word=word))


if __name__ == "__main__":
    main()
