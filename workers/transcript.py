"""Transcript: what a run's model calls are made of, gathered from the store and kept in step with it.

System prompt, the messages in context, the run's input, what the run produced so
far, and the notes about others' edits, each where it came to be known. A run that
is taken over by another worker is gathered to the same transcript: ids of input
messages are derived from the run, notes are stored with it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from service.agent_types import type_of
from service.bootstrap import Service
from service.prompts import note_of_changes, with_skills
from service.records.agents import Agent
from service.records.base import Page
from service.records.blocks import Cause
from service.records.ids import derived_id
from service.records.messages import CallAnswer, Message, ToolReturn
from service.records.open_runs import Following, Opening, OpenRun
from service.records.runs import Lease, OutputEvent, Run, Usage
from service.records.tools import Tool
from service.toolbox import offered
from workers.approvals import client_tools, request_answered, turn_of, words
from workers.opening import Opener
from workers.wake_messages import wake_message


@dataclass
class Transcript:
    """One run as the loop sees it; changed by the loop alone, after the store has taken the change.

    What it starts from is on its way to the store while the first model call is made (`opening`).
    """

    agent: Agent
    run: Run
    prompt: str
    messages: list[Message]
    seen: dict[str, int]
    """block id -> the version that the transcript tells of."""
    pending_step: str | None
    usage: Usage
    input: list[Message] = field(default_factory=list)
    """The run's own."""
    done: dict[str, str] = field(default_factory=dict)
    """effect id -> block id of what another worker did before this one took over."""
    results: dict[int, ToolReturn] = field(default_factory=dict)
    """index of a call -> its result, of the pending step, where the run waited after it was done."""
    labels: dict[str, str] = field(default_factory=dict)
    """block id -> the label under which the transcript tells of it."""
    called: list[str] = field(default_factory=list)
    """Names of the tools called in this run, in order."""
    tools: dict[str, Tool] = field(default_factory=dict)
    """By name, what the agent may call in this run, whatever the rules say at the moment."""
    turn: frozenset[str] = frozenset()
    """The runs that are one turn with this one, itself among them."""
    request: Message | None = None
    """The request for the caller's word that this run answers."""
    knew: dict[str, int] = field(default_factory=dict)
    """block id -> the version its calls were made for, until one of them shows a later one."""
    words: dict[str, CallAnswer] = field(default_factory=dict)
    """By call, what the caller said to that request."""
    unsaid: list[OutputEvent] = field(default_factory=list)
    """Pieces of the answer under way that those who listen are told with its step."""
    opening: Opener | None = None
    """What the run starts from, until it is stored."""
    following: Following | None = None
    """What the agent does next, if that came with the end of this run."""

    async def opened(self) -> None:
        """Until it is stored what the run starts from; before anything that it goes on from.

        Raises LeaseLost, StoreUnreachable.
        """
        if self.opening is not None:
            opening, self.opening = self.opening, None
            await opening.stored()

    async def unopened(self) -> Opening | None:
        """What the run starts from, if it is to be stored along with the step. Raises as `opened`."""
        if self.opening is None:
            return None
        opening, self.opening = self.opening, None
        return await opening.left()

    def is_client(self, tool: str) -> bool:
        """Whether the sender of the run carries this tool out himself."""
        return any(tool == given.name for given in self.run.options.client_tools)

    def is_note(self, message: Message) -> bool:
        """Whether a message is a note of others' edits: those are of the transcript alone."""
        return message.created_at == 0 and message.id not in {one.id for one in self.input}

    def last_result(self) -> str | None:
        """The text of the last tool result of this turn, for rules that depend on it."""
        for message in reversed(self.messages):
            results = [given for given in message.tool_returns if not given.refused]
            if message.run_id in self.turn and results:
                return results[-1].text
        return None


def input_of(run: Run, step_id: str | None = None) -> list[Message]:
    """A run's input as messages, with ids that follow from the run; stored with a step, they are of it."""
    return [
        Message(
            id=derived_id("message", run.id, "input", index),
            agent_id=run.agent_id,
            created_at=0,
            run_id=run.id,
            step_id=step_id,
            **message.model_dump(exclude_none=True),
        )
        for index, message in enumerate(run.messages)
    ]


async def gather(service: Service, lease: Lease, open_run: OpenRun) -> Transcript:
    """The transcript of a run: opened now, or as the worker before left it."""
    ws, run = lease.workspace, open_run.run
    agent, context = open_run.material.agent, open_run.material.context
    prompt, seen = open_run.prompt, dict(open_run.seen)
    message_0: Message | None = None
    if prompt is None:
        run, prompt, seen = await _begun(service, ws, open_run)
        message_0 = await opening_prompt(service, ws, agent.id, context, prompt)
        blocks = open_run.material.blocks
    else:
        blocks = await service.blocks.existing(ws, list(seen))
    messages = context[1:] if _opens_with_prompt(context) else context
    turn = turn_of(run, context)
    leaving: list[str] = []
    if agent.message_buffer_autoclear or type_of(agent.agent_type).autoclear:
        leaving = [message.id for message in messages if message.run_id not in turn]
        messages = [message for message in messages if message.run_id in turn]
    request_id = request_answered(run)
    requests = await service.messages.read_many(ws, agent.id, [request_id] if request_id else [])
    open_request = request_id if run.step_count == 0 else None
    own = [message for message in messages if message.run_id in turn]
    if any(message.compaction is not None for message in own):
        before = [message for message in own if message.run_id != run.id]
        own = [*before, *await service.runs.messages(ws, run.id)]
    transcript = Transcript(
        agent=agent,
        run=run,
        input=input_of(run),
        prompt=prompt_for(run, prompt),
        messages=messages,
        seen=seen,
        pending_step=open_run.step_id,
        usage=run.usage,
        labels={block.id: block.label for block in blocks},
        called=_called([message for message in own if message.id != open_request]),
        tools=await _tools_of(service, ws, agent) | client_tools(run),
        turn=turn,
        request=requests[0] if requests else None,
        words=words(run),
    )
    if open_run.step_id is not None:
        transcript.done = await service.blocks.effects(ws, run.id)
        transcript.results = await service.asks.results(ws, run.id)
    if run.step_count == 0:
        transcript.messages += transcript.input
        transcript.knew = dict(requests[0].knew) if requests else {}
    for note in open_run.material.notes:
        _place(transcript.messages, note)
    if message_0 is not None:
        transcript.opening = Opener(service.leases, lease, Opening(run, prompt, seen, message_0, leaving))
    return transcript


def _called(messages: list[Message]) -> list[str]:
    """The names of the tools that were called, in order; a call that was refused is none."""
    names: list[str] = []
    for message in messages:
        names += [call.name for call in message.tool_calls]
        for refused in (given for given in message.tool_returns if given.refused):
            if refused.name in names:
                del names[len(names) - 1 - names[::-1].index(refused.name)]
    return names


async def _tools_of(service: Service, ws: str, agent: Agent) -> dict[str, Tool]:
    """The agent's tools that can be run at all, as they are now."""
    return {tool.name: tool for tool in await service.agent_tools.of(ws, agent) if offered(tool)}


async def _begun(service: Service, ws: str, open_run: OpenRun) -> tuple[Run, str, dict[str, int]]:
    """The run with its input, the prompt from the blocks as they were read with it, and their versions."""
    agent, blocks = open_run.material.agent, open_run.material.blocks
    prompt = service.agents.compile(agent, blocks)
    seen = {block.id: block.version for block in blocks}
    run = open_run.run.model_copy(update={"agent_type": agent.agent_type})
    if open_run.causes:
        depth = _depth(run, open_run.causes)
        shown = set(seen) if type_of(agent.agent_type).memory_in_prompt else set()
        text = await wake_message(service, ws, open_run.causes, shown, open_run.over)
        run = run.model_copy(update={"messages": [text], "depth": depth})
        service.metrics.wakeups.add("begun")
    return run, prompt, seen


def _depth(run: Run, causes: Sequence[Cause]) -> int:
    """One more than the deepest cause; what was held back for its depth is told, but caused nothing.

    A chain that is resumed begins anew.
    """
    resumed = "resumed" in (run.metadata or {})
    deep = [0 if resumed or cause.held == "depth" else cause.author.depth for cause in causes]
    return max(deep) + 1


async def opening_prompt(
    service: Service, ws: str, agent_id: str, context: list[Message], prompt: str
) -> Message:
    """Message 0 with a prompt that was compiled anew; it is the first of the history, in context or not."""
    if _opens_with_prompt(context):
        message_0 = context[0]
    else:
        message_0 = (await service.messages.find(ws, agent_id, Page(limit=1)))[0]
    return message_0.model_copy(update={"content": prompt})


def prompt_for(run: Run, prompt: str) -> str:
    """The compiled prompt as this run wants it: another one, or with its caller's skills."""
    told = run.options.override_system or prompt
    return with_skills(told, run.options.client_skills) if run.options.client_skills else told


class Recompiled(NamedTuple):
    """A prompt and what it shows."""

    prompt: str
    seen: dict[str, int]
    labels: dict[str, str]


async def recompiled(service: Service, ws: str, agent_id: str) -> Recompiled:
    """The prompt from the agent and its blocks as they are now."""
    agent = await service.agents.read(ws, agent_id)
    blocks = await service.blocks.of_agent(ws, agent_id)
    return Recompiled(
        service.agents.compile(agent, blocks),
        {block.id: block.version for block in blocks},
        {block.id: block.label for block in blocks},
    )


def _opens_with_prompt(context: list[Message]) -> bool:
    """Whether message 0 is in context; whoever sets the messages in context may leave it out."""
    return bool(context) and context[0].role == "system" and context[0].run_id is None


async def refresh(service: Service, lease: Lease, transcript: Transcript) -> None:
    """Adds one note on what others changed since the transcript was last told, if anything was."""
    versions = await service.blocks.versions(lease.workspace, transcript.agent.id)
    moved = [id for id, version in versions.items() if transcript.seen.get(id, 0) < version]
    gone = [id for id in transcript.seen if id not in versions]
    if not moved and not gone:
        return
    blocks = await service.blocks.of_agent(lease.workspace, transcript.agent.id)
    changed = [(block, transcript.seen.get(block.id, 0)) for block in blocks if block.id in moved]
    after = next((m.step_id for m in reversed(transcript.messages) if m.run_id == transcript.run.id), None)
    note = Message(
        id=derived_id("message", transcript.run.id, "note", transcript.run.step_count),
        agent_id=transcript.agent.id,
        role="system",
        content=note_of_changes(changed, detached=[transcript.labels.get(id, id) for id in gone]),
        created_at=0,
        run_id=transcript.run.id,
        step_id=after,
    )
    seen = {id: version for id, version in transcript.seen.items() if id not in gone}
    seen |= {block.id: block.version for block, _ in changed}
    await service.leases.add_note(lease, transcript.run.id, note, seen)
    transcript.seen = seen
    transcript.labels |= {block.id: block.label for block, _ in changed}
    transcript.messages.append(note)


def _place(messages: list[Message], note: Message) -> None:
    """Puts a stored note behind the step after which it was made."""
    at = [i for i, m in enumerate(messages) if m.run_id == note.run_id and m.step_id == note.step_id]
    messages.insert(at[-1] + 1 if at else len(messages), note)
