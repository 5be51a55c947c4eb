"""The extractive model: reads what it is given and works on blocks, with no key and no network.

It follows three instructions in plain English, the same that a provider's model
would, from the user's message or else from the system prompt:

- "Append what matters to the block `findings`": the weightiest sentences of the
  message go there, one call each.
- "Keep the block `summary` current from the block `findings`": the weightiest
  sentences of the one become the value of the other.
- "Remember that …": the fact goes to the block it fits best.

Without one of them it answers with the weightiest of what it was given. Every
answer is worked out anew from the conversation, so it does not matter which worker
asks. It edits no block that its prompt does not show or shows as read-only, does
nothing twice, and stops when a tool fails.

Elsewhere: picking sentences, blocks in a prompt (reading.py); pieces and usage (offline.py).
"""

import asyncio
import json
import re
from typing import Any, NamedTuple

from service.records.messages import Message, ToolCall
from service.records.runs import ModelReply
from workers.models.base import Emit, ModelRequest, ToolSpec, ignore
from workers.models.offline import hand_out, shown, summary_of
from workers.models.reading import PromptBlock, blocks_in, instructions_in, sentences, weightiest, words
from workers.models.turns import arguments_of

_PICKS = 5
_REWRITE = ("memory_rethink", "memory_replace", "core_memory_replace")
_TEXT_ARGUMENTS = ("new_string", "new_memory", "new_content", "content")


def _block_named(group: str) -> str:
    """A pattern for "the block `x`", "the block x" and "the `x` block"."""
    quoted = "[`'\"](?P<{0}>[^`'\"\\n]{{1,100}})[`'\"]"
    return (
        r"(?:the\s+)?(?:shared\s+)?(?:memory\s+)?(?:block\s+"
        + quoted.format(group)
        + r"|block\s+(?P<"
        + group
        + r"_bare>[\w/.-]*[\w/-])|"
        + quoted.format(f"{group}_first")
        + r"\s+block)"
    )


_APPEND = re.compile(r"\b(?:append|add)\b[^.\n]{0,200}?\bto\s+" + _block_named("target"), re.IGNORECASE)
_KEEP = re.compile(
    r"\bkeep\s+"
    + _block_named("target")
    + r"\s+(?:current|up\s+to\s+date)\b[^.\n]{0,200}?\b(?:from|with)\s+"
    + _block_named("source"),
    re.IGNORECASE,
)
_REMEMBER = re.compile(
    r"(?<!do you )\bremember(?:\s+that\b|:)\s*(?P<fact>.+?)(?=[.!?](?:\s|$)|\n|$)", re.IGNORECASE
)

_TOLD = re.compile(r"^ +[+-] .*$", re.MULTILINE)
"""Text that others have written, as a wake-up tells of it: nobody's instruction."""
_FRAME = re.compile(r"\A\[Message from the agent [^\]\n]*\]\s*")
"""What stands before another agent's words (workers/tools/agents.py): neither instruction nor material."""


class ExtractiveModel:
    """Answers from the conversation alone; the same conversation always gets the same answer."""

    async def answer(self, request: ModelRequest, emit: Emit = ignore) -> ModelReply:
        """The next call of the work at hand, or words that end the turn."""
        decide = summary_of if request.purpose == "summary" else _decide
        return await hand_out(request, await asyncio.to_thread(decide, request), emit)

    def payload(self, request: ModelRequest) -> dict[str, Any]:
        """The request, as it is."""
        return shown(request)


class _Turn(NamedTuple):
    """What there is to work with: the conversation since an answer last ended a turn."""

    request: ModelRequest
    task: str
    asked: int
    done: list[ToolCall]
    failure: str | None
    blocks: dict[str, PromptBlock]
    """As the prompt shows them or, where they changed since, as the latest note does."""

    def tool(self, *names: str) -> ToolSpec | None:
        """The first of these tools that may be called."""
        if self.request.tool_choice == "none":
            return None
        offered = {tool.name: tool for tool in self.request.tools}
        return next((offered[name] for name in names if name in offered), None)

    def written(self, label: str) -> list[str]:
        """The texts put into a block in this turn, in order."""
        arguments = [arguments_of(call) for call in self.done]
        return [
            str(one[name])
            for one in arguments
            if one.get("label") == label
            for name in _TEXT_ARGUMENTS
            if name in one
        ]

    def rewrote(self, label: str) -> bool:
        """Whether the block was written anew in this turn, not merely added to."""
        return any(call.name in _REWRITE and arguments_of(call).get("label") == label for call in self.done)

    def closed(self, label: str) -> str | None:
        """Why a block may not be written, None where it may."""
        block = self.blocks.get(label)
        if block is None:
            return f"I have no block `{label}`, so I wrote nothing there."
        return f"The block `{label}` is read-only, so I wrote nothing there." if block.read_only else None


class _Next(NamedTuple):
    """What a piece of work wants now: a call, or nothing more; and a sentence on what was done so far."""

    sentence: str
    tool: ToolSpec | None = None
    arguments: dict[str, Any] = {}


def _decide(request: ModelRequest) -> ModelReply:
    turn = _turn(request)
    steps = _steps(turn)
    calls = [step for step in steps if step.tool is not None]
    if calls and turn.failure is None:
        return _asking(turn, calls[0])
    said = [step.sentence for step in steps] if steps else [_answer(turn)]
    if turn.failure is not None:
        said.append(f"I stopped there, because a tool failed: {turn.failure}")
    return _closing(turn, " ".join(sentence for sentence in said if sentence))


def _turn(request: ModelRequest) -> _Turn:
    told = [one for one in request.messages if one.compaction is None]  # a summary asks for nothing
    mine = told[_beginning(told) :]
    first = next((at for at, one in enumerate(mine) if one.role == "assistant"), len(mine))
    returns = [one for message in mine for one in message.tool_returns]
    failures = [_unpacked(one.text).strip() or "no reason given" for one in returns if one.status == "error"]
    succeeded = {one.tool_call_id for one in returns if one.status == "success"}
    calls = [call for message in mine for call in message.tool_calls]
    notes = "\n".join(one.plain_text() for one in mine[first:] if one.role in ("user", "system"))
    return _Turn(
        request=request,
        task="\n\n".join(_FRAME.sub("", _unpacked(one.plain_text())) for one in mine[:first]),
        asked=len(calls),
        done=[call for call in calls if call.id in succeeded],
        failure=failures[-1].splitlines()[0][:200] if failures else None,
        blocks=blocks_in(request.system) | blocks_in(notes),
    )


def _beginning(messages: list[Message]) -> int:
    """Where this turn began: behind an answer without calls, or with words of another run behind calls."""
    begin = 0
    for at, message in enumerate(messages):
        if message.role == "assistant" and not message.tool_calls:
            begin = at + 1
        elif message.role in ("user", "system") and at and messages[at - 1].role == "tool":
            begin = at if _another_run(messages[at - 1], message) else begin
    return begin


def _another_run(before: Message, message: Message) -> bool:
    """Where runs are not known, the user's own words begin one; notes and heartbeats come in between."""
    if before.run_id is not None and message.run_id is not None:
        return before.run_id != message.run_id
    return message.role == "user" and _unpacked(message.plain_text()) != ""


def _unpacked(text: str) -> str:
    """The words of a message or a result that may be packed in JSON; of an event, which has none, nothing."""
    try:
        packed = json.loads(text)
    except (ValueError, RecursionError):
        return text
    if not isinstance(packed, dict) or not {"message", "type"} & packed.keys():
        return text
    return str(packed.get("message", ""))


def _steps(turn: _Turn) -> list[_Next]:
    """Where the work stands that the user asked for or, if none, that the system prompt lays down."""
    orders = _TOLD.sub("", _orders(turn.task))
    asked = _work(turn, orders)
    asked += [_remember(turn, found["fact"].strip()) for found in _REMEMBER.finditer(orders)]
    return asked or _work(turn, instructions_in(turn.request.system))


def _orders(task: str) -> str:
    """The part of a message that may hold instructions; what the colon of one opens is material."""
    found = [one for one in (_APPEND.search(task), _KEEP.search(task)) if one is not None]
    for one in sorted(found, key=lambda one: one.start()):
        if colon := re.match(r"[^.:!?\n]*:", task[one.end() :]):
            return task[: one.end() + colon.end()]
    return task


def _work(turn: _Turn, text: str) -> list[_Next]:
    appended = [_append(turn, _label(found, "target")) for found in _APPEND.finditer(text)]
    kept = [_keep(turn, _label(found, "target"), _label(found, "source")) for found in _KEEP.finditer(text)]
    return appended + kept


def _label(found: re.Match[str], group: str) -> str:
    return str(found[group] or found[f"{group}_bare"] or found[f"{group}_first"])


def _append(turn: _Turn, label: str) -> _Next:
    closed = turn.closed(label)
    if closed is not None:
        return _Next(closed)
    done = turn.written(label)
    known = _plain(turn.blocks[label].value)
    for pick in weightiest(_material(turn.task), _PICKS):
        line = f"- {pick}"
        if line not in done and _plain(pick) not in known:
            return _adding(turn, label, line, _added(done, label))
    return _Next(_added(done, label) or f"What I was given holds nothing new for the block `{label}`.")


def _added(done: list[str], label: str) -> str:
    return f"I added {_count(len(done), 'sentence')} to the block `{label}`." if done else ""


def _keep(turn: _Turn, target: str, source: str) -> _Next:
    closed = turn.closed(target)
    if closed is not None:
        return _Next(closed)
    if source not in turn.blocks:
        return _Next(f"I have no block `{source}` to read from.")
    picks = weightiest(sentences(turn.blocks[source].value), _PICKS)
    if not picks:
        return _Next(f"The block `{source}` holds nothing yet.")
    done = turn.written(target)
    now = done[-1] if done else turn.blocks[target].value
    summary = "\n".join(f"- {pick}" for pick in picks)
    how = "rewrote" if turn.rewrote(target) else "filled"
    sentence = f"I {how} the block `{target}` from the block `{source}`." if done else ""
    if _plain(summary) != _plain(now):
        return _rewriting(turn, target, now, summary, sentence)
    return _Next(sentence or f"The block `{target}` already says what the block `{source}` holds.")


def _remember(turn: _Turn, fact: str) -> _Next:
    for label in turn.blocks:
        if fact in turn.written(label):
            return _Next(f"I noted that in the block `{label}`.")
    open_blocks = [block for block in turn.blocks.values() if not block.read_only]
    if not open_blocks:
        return _Next("I have no block that I may write, so I could not note that.")
    about = words(fact)
    fitting = max(
        open_blocks, key=lambda block: (len(about & words(block.subject)), block.label != "persona")
    )
    if _plain(fact) in _plain(fitting.value):
        return _Next(f"That is in the block `{fitting.label}` already.")
    return _adding(turn, fitting.label, fact, "")


def _adding(turn: _Turn, label: str, text: str, sentence: str) -> _Next:
    """The call that adds one line to a block."""
    tool = turn.tool("memory_insert", "core_memory_append")
    if tool is None:
        return _Next(f"I may call no tool that adds to the block `{label}`.")
    name = "new_string" if tool.name == "memory_insert" else "content"
    return _Next(sentence, tool, {"label": label, name: text})


def _rewriting(turn: _Turn, label: str, old: str, new: str, sentence: str) -> _Next:
    """The call that replaces a block's whole value."""
    arguments = {
        "memory_rethink": {"label": label, "new_memory": new},
        "memory_replace": {"label": label, "old_string": old, "new_string": new},
        "core_memory_replace": {"label": label, "old_content": old, "new_content": new},
    }
    tool = turn.tool(*(arguments if old else ["memory_rethink"]))
    if tool is not None:
        return _Next(sentence, tool, arguments[tool.name])
    if not old:
        return _adding(turn, label, new, sentence)
    return _Next(f"I may call no tool that rewrites the block `{label}`.")


def _material(task: str) -> list[str]:
    """The sentences of a message without instructions and questions.

    An instruction goes with the rest of its sentence, up to a colon: what follows that is material.
    """
    orders = _orders(task)
    material = task[len(orders) :]
    for order in (_APPEND, _KEEP):
        while (found := order.search(orders)) is not None:
            begin = max(orders.rfind(end, 0, found.start()) for end in ".:!?\n") + 1
            rest = re.search(r"[.:!?\n]|$", orders[found.end() :])
            orders = orders[:begin] + orders[found.end() + (rest.end() if rest else 0) :]
    return [one for one in sentences(orders + material) if not one.endswith("?")]


def _answer(turn: _Turn) -> str:
    """The weightiest of what was given; to a question, what the blocks hold that is nearest in words."""
    kept = [one for block in turn.blocks.values() for one in sentences(block.value)]
    about = words(turn.task)
    related = [one for one in kept if about & words(one)]
    if related and turn.task.rstrip().endswith("?"):
        return max(related, key=lambda one: (len(about & words(one)), -len(one)))
    picks = weightiest(_material(turn.task), 2) or weightiest(kept, 2)
    return " ".join(picks) or "I was given nothing to read."


def _asking(turn: _Turn, step: _Next) -> ModelReply:
    assert step.tool is not None
    return _calling(turn, step.tool, step.arguments, going_on=True)


def _closing(turn: _Turn, text: str) -> ModelReply:
    """The last words: plain text, or a message sent where a tool must be called."""
    tool = turn.tool("send_message") if turn.request.tool_choice == "required" else None
    return ModelReply(text=text) if tool is None else _calling(turn, tool, {"message": text}, going_on=False)


def _calling(turn: _Turn, tool: ToolSpec, arguments: dict[str, Any], going_on: bool) -> ModelReply:
    """One call, with what older agents' tools require besides (a heartbeat, a thought) filled in."""
    filled = dict(arguments)
    for name in tool.parameters.get("required", []):
        filled.setdefault(name, going_on if name == "request_heartbeat" else "")
    call = ToolCall(id=f"call_{turn.asked}", name=tool.name, arguments=json.dumps(filled, ensure_ascii=False))
    return ModelReply(tool_calls=[call], finish="tool_calls")


def _plain(text: str) -> str:
    return " ".join(text.split()).casefold()


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
