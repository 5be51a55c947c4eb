"""The scripted model: says what a test or a demonstration tells it to.

The script travels in the conversation, so any client of the API can write one: it
is the list under `script` in a JSON object within the latest user message that
has such an object, else the list between `<script>` tags in the system prompt.
Turn k, counted in assistant messages since then, answers with entry k. Asked for a
summary it looks in the system prompt alone.

Elsewhere: pieces and usage (offline.py).
"""

import asyncio
import json
import re
from typing import Any, Literal

from pydantic import ValidationError

from service.records.base import Record
from service.records.messages import Message, Reasoning, ToolCall
from service.records.runs import ModelReply
from workers.models.base import Emit, ModelError, ModelRequest, ignore
from workers.models.offline import hand_out, heard, shown, summary_of

_BRACE = re.compile(r"\{")
_DECODER = json.JSONDecoder()


class ScriptedCall(Record):
    """A tool call of the script; arguments given as a string go out as they are, valid or not."""

    name: str
    arguments: dict[str, Any] | str = {}
    id: str | None = None


class Entry(Record):
    """One turn of the script."""

    text: str = ""
    calls: list[ScriptedCall] = []
    reasoning: str = ""
    finish: Literal["stop", "tool_calls", "length", "refusal"] | None = None
    sleep_ms: float = 0
    pace_ms: float = 0
    """A pause before each piece, so that a stream shows them one by one."""
    error: str | None = None
    """A ModelError of this type instead of an answer."""
    message: str = "the script says so"
    """The words of that error."""
    echo: Literal["system", "messages", "tools"] | None = None
    """What the model was given instead of `text`: the whole prompt, or JSON of the rest."""


class ScriptedModel:
    """Answers turn k with entry k, "done" past the end, "No script." without one.

    Calls without an id are call_0, call_1, … in every turn: at some providers ids do repeat.
    """

    async def answer(self, request: ModelRequest, emit: Emit = ignore) -> ModelReply:
        """The entry whose turn it is. Raises ModelError where the script says so or cannot be read."""
        script, turn = _script(request)
        if script is None and request.purpose == "summary":
            return await hand_out(request, await asyncio.to_thread(summary_of, request), emit)
        if script is None:
            return await hand_out(request, ModelReply(text="No script."), emit)
        entry = _entry(script, turn)
        if entry.sleep_ms:
            await asyncio.sleep(entry.sleep_ms / 1000)
        if entry.error is not None:
            raise ModelError(entry.error, entry.message)
        return await hand_out(request, _reply(entry, request), emit, entry.pace_ms / 1000)

    def payload(self, request: ModelRequest) -> dict[str, Any]:
        """The request, as it is."""
        return shown(request)


def _entry(script: list[Any], turn: int) -> Entry:
    if turn >= len(script):
        return Entry(text="done")
    try:
        return Entry.model_validate(script[turn])
    except ValidationError as error:
        raise ModelError(
            "llm_bad_request", f"entry {turn} of the script cannot be read", str(error)
        ) from error


def _script(request: ModelRequest) -> tuple[list[Any] | None, int]:
    """The script in force, None without one, and the turn it is at."""
    messages = [] if request.purpose == "summary" else _turns(request)
    for at in reversed(range(len(messages))):
        script = _script_in(messages[at].plain_text()) if messages[at].role == "user" else None
        if script is not None:
            return script, _answers(messages[at + 1 :])
    found = re.search(r"<script>(.*?)</script>", request.system, re.DOTALL)
    asked = [at for at, message in enumerate(messages) if message.role in ("user", "system")]
    since = asked[-1] + 1 if asked else 0
    return (_script_in(f'{{"script": {found[1]}}}') if found else None), _answers(messages[since:])


def _turns(request: ModelRequest) -> list[Message]:
    """Without summaries: a script in one of them has been played."""
    return [message for message in request.messages if message.compaction is None]


def _answers(messages: list[Message]) -> int:
    return sum(1 for message in messages if message.role == "assistant")


def _script_in(text: str) -> list[Any] | None:
    """The list under `script` in the first JSON object within the text that has one."""
    if '"script"' not in text:
        return None
    for brace in _BRACE.finditer(text):
        try:
            found, _ = _DECODER.raw_decode(text, brace.start())
        except (ValueError, RecursionError):
            continue
        if isinstance(found.get("script"), list):
            return list(found["script"])
    return None


def _reply(entry: Entry, request: ModelRequest) -> ModelReply:
    calls = [
        ToolCall(
            id=call.id or f"call_{index}",
            name=call.name,
            arguments=call.arguments if isinstance(call.arguments, str) else json.dumps(call.arguments),
        )
        for index, call in enumerate(entry.calls)
    ]
    return ModelReply(
        text=_echo(entry.echo, request) if entry.echo else entry.text,
        reasoning=[Reasoning(text=entry.reasoning)] if entry.reasoning else [],
        tool_calls=calls,
        finish=entry.finish or ("tool_calls" if calls else "stop"),
    )


def _echo(what: str, request: ModelRequest) -> str:
    if what == "system":
        return request.system
    if what == "tools":
        return json.dumps([tool.name for tool in request.tools])
    return json.dumps([{"role": message.role, "text": heard(message)} for message in request.messages])
