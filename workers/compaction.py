"""Compaction: one summary takes the place of the older messages in an agent's context.

It happens when the last call passed the context window (GPT-5 models: 90 % of it),
when a provider refuses a request as too long, or when somebody asks. A summariser
writes the summary, by default a small model of the same provider; in the `self_…`
modes it is the agent's own, which sees its own prompt and tools. What leaves the
context stays in the history. A call and its results leave together or not at all.

The prompt is compiled anew with it. That tells of every edit the run had notes
of, so those go too.

Elsewhere: when the loop asks for it (loop.py); what one script stores of it
(service/leases.py); how it is asked for over HTTP (http/errands.py).
"""

import time
from collections.abc import Sequence
from itertools import accumulate
from typing import Any, NamedTuple

import structlog

from service.bootstrap import Service
from service.estimates import (
    BYTES_PER_TOKEN,
    estimate,
    estimate_json,
    estimate_message,
    estimate_messages,
)
from service.prompts import summary_event
from service.records.ids import derived_id
from service.records.messages import Compaction, Message
from service.records.models import ModelEntry
from service.records.runs import Lease, ModelReply
from workers.models.base import ModelError, ModelRequest
from workers.models.registry import Models
from workers.request import request_of
from workers.transcript import Transcript, opening_prompt, prompt_for, recompiled

log = structlog.get_logger()

SHARE = 0.3
"""Of the messages, what a sliding window lets go of at least; of the window, what it leaves free."""
EARLY = 0.9
EARLY_MODELS = "gpt-5"
CLIP_CHARS = 50_000
SUMMARISER_SHARE = 0.7
"""Of the summariser's own window, what the conversation may take."""
REFUSED = "provider_refused"
"""The trigger of a summary that a provider made necessary."""
ALONE = "Answer with the summary alone: no greeting, no comment on the task."
ASK = (
    "The conversation so far becomes too long to be kept before you. Do not go on with it now. {prompt}\n"
    "Write that summary as your answer and call no tool."
)


class _Plan(NamedTuple):
    """What is to leave, and who sums it up."""

    leaving: list[Message]
    handle: str
    settings: dict[str, Any]

    @property
    def by_itself(self) -> bool:
        """The agent's own model sums up, in its own words."""
        return str(self.settings.get("mode", "")).startswith("self_compact")


class Compactor:
    """Makes room in contexts; one instance per worker process."""

    def __init__(self, service: Service, models: Models) -> None:
        self._service = service
        self._models = models

    def is_due(self, transcript: Transcript) -> bool:
        """Whether the last call took more than the model's window is good for, and a summary could help."""
        used = transcript.run.context_tokens
        full = used is not None and used > self._limit(transcript)
        return full and not self.prompt_alone_is_too_long(transcript)

    def prompt_alone_is_too_long(self, transcript: Transcript) -> bool:
        """Whether no summary could help, by an estimate."""
        tools = [tool.json_schema for tool in transcript.tools.values()]
        return estimate(transcript.prompt) + estimate_json(tools) > self._window(transcript)

    async def make_room(
        self,
        lease: Lease,
        transcript: Transcript,
        trigger: str,
        asked: dict[str, Any] | None = None,
    ) -> Compaction | None:
        """Sums up and stores; None where nothing can leave. Raises ModelError of the summariser."""
        plan = self._plan(transcript, trigger, asked)
        if plan is None:
            return None
        log.info("context.compacting", trigger=trigger, leaving=len(plan.leaving), model=plan.handle)
        entry, model = await self._models.for_handle(plan.handle)
        reply = await model.answer(_question(transcript, plan, entry))
        text = _clipped(reply.text.strip(), plan.settings.get("clip_chars"))
        if not text:
            raise ModelError(
                "llm_empty_response", f"{plan.handle} wrote no summary; the context stays as it is"
            )
        return await self._store(lease, transcript, plan, reply, text, trigger)

    def _plan(self, transcript: Transcript, trigger: str, asked: dict[str, Any] | None) -> _Plan | None:
        given = {name: value for name, value in (asked or {}).items() if value is not None}
        settings = (transcript.agent.compaction_settings or {}) | given
        stored = [message for message in transcript.messages if message.created_at > 0]
        share = settings.get("sliding_window_percentage")
        share = SHARE if share is None else float(share)
        if stored and (keep := settings.get("keep")) is not None:
            share = max(share, 1 - keep / len(stored))
        mode = str(settings.get("mode") or "sliding_window")
        room = self._window(transcript)
        if trigger == REFUSED:  # the provider counts more than is estimated, or has a smaller window
            room = min(room, estimate_messages(stored))
        goal = int((1 - share) * room) if mode.endswith("sliding_window") else -1
        least = 2 if asked is not None else 1
        cut = cut_of(stored, share, goal, least)
        if cut == 0:
            return None
        own = transcript.run.options.override_model or transcript.agent.model
        plan = _Plan(stored[:cut], own, settings)
        return plan if plan.by_itself else plan._replace(handle=str(settings.get("model") or own))

    async def _store(
        self,
        lease: Lease,
        transcript: Transcript,
        plan: _Plan,
        reply: ModelReply,
        text: str,
        trigger: str,
    ) -> Compaction | None:
        run, agent = transcript.run, transcript.agent
        gone = {message.id for message in plan.leaving}
        context = await self._service.messages.context(lease.workspace, agent.id)
        before = len(context)
        used = run.context_tokens or estimate(transcript.prompt) + estimate_messages(transcript.messages)
        fresh = await recompiled(self._service, lease.workspace, agent.id)
        stays = [message for message in transcript.messages if message.id not in gone]
        told = Compaction(
            summary=text,
            trigger=trigger,
            context_window=self._window(transcript),
            context_tokens_before=used,
            context_tokens_after=estimate(fresh.prompt) + estimate(text) + estimate_messages(stays),
            messages_count_before=before,
            messages_count_after=before - len(plan.leaving) + 1,
        )
        now = time.time_ns() // 1000
        summary = Message(
            id=derived_id("message", run.id, "summary", plan.leaving[-1].id),
            agent_id=agent.id,
            role="user",
            content=summary_event(text, len(plan.leaving), now, agent.timezone),
            created_at=now,
            run_id=run.id,
            compaction=told,
        )
        message_0 = await opening_prompt(self._service, lease.workspace, agent.id, context, fresh.prompt)
        usage = transcript.usage.plus(reply.usage)
        stored = await self._service.leases.compact(
            lease,
            run.id,
            [message.id for message in plan.leaving],
            summary,
            message_0,
            prompt=fresh.prompt,
            seen=fresh.seen,
            usage=usage,
            context_tokens=told.context_tokens_after or 0,
        )
        if not stored:
            return None
        transcript.usage = usage
        transcript.messages = [summary, *(one for one in stays if not transcript.is_note(one))]
        transcript.prompt = prompt_for(run, fresh.prompt)
        transcript.seen, transcript.labels = fresh.seen, transcript.labels | fresh.labels
        transcript.run = run.model_copy(update={"context_tokens": told.context_tokens_after})
        log.info("context.compacted", messages=told.messages_count_after, tokens=told.context_tokens_after)
        return told

    def _limit(self, transcript: Transcript) -> int:
        window = self._window(transcript)
        early = str(transcript.agent.llm_config.get("model", "")).startswith(EARLY_MODELS)
        return int(EARLY * window) if early else window

    def _window(self, transcript: Transcript) -> int:
        agent = transcript.agent
        given = agent.llm_config.get("context_window")
        return int(given or self._service.catalog.resolve(agent.model).window)


def cut_of(messages: Sequence[Message], share: float, goal: int, least: int) -> int:
    """How many of the oldest messages leave: the share, and more until the rest fits the goal; 0: none can.

    A summary alone is not summed up again. `goal` below zero: all that can.
    """
    places = [place for place in range(least, len(messages) + 1) if _may_cut(messages, place)]
    places = [place for place in places if any(one.compaction is None for one in messages[:place])]
    wanted = max(least, round(share * len(messages)))
    stays = [0, *accumulate(map(estimate_message, reversed(messages)))]  # by how many of the newest do
    fitting = (place for place in places if place >= wanted and stays[len(messages) - place] <= goal)
    return next(fitting, places[-1] if places else 0)


def _may_cut(messages: Sequence[Message], place: int) -> bool:
    """Not between a call and its results, nor behind a call that waits for them."""
    follows = messages[place].role == "tool" if place < len(messages) else False
    return not follows and not messages[place - 1].tool_calls


def _question(transcript: Transcript, plan: _Plan, entry: ModelEntry) -> ModelRequest:
    """What the summariser is asked."""
    prompt = str(plan.settings.get("prompt") or "Sum up the conversation.")
    if plan.settings.get("prompt_acknowledgement"):
        prompt = f"{prompt}\n{ALONE}"
    if plan.by_itself:
        asking = _said(ASK.format(prompt=prompt))
        shown = request_of(transcript, entry)
        told = {"messages": [*plan.leaving, asking], "tool_choice": "none", "purpose": "summary"}
        return shown.model_copy(update=told | {"thinking_tokens": None})
    chosen = plan.settings.get("model_settings") or {}
    return ModelRequest(
        model=entry.name,
        system=prompt,
        messages=[_said(_conversation(plan.leaving, entry))],
        max_tokens=min(int(chosen.get("max_output_tokens") or entry.max_output), entry.max_output),
        temperature=chosen.get("temperature"),
        purpose="summary",
    )


def _said(text: str) -> Message:
    return Message(id="", agent_id="", role="user", content=text, created_at=0)


def _conversation(messages: Sequence[Message], entry: ModelEntry) -> str:
    """The messages as text, its middle left out where it is too long for who is to read it."""
    text = "\n".join(line for message in messages for line in _lines(message))
    most = int(SUMMARISER_SHARE * entry.window * BYTES_PER_TOKEN)
    if len(text) <= most:
        return text
    half = most // 2
    return f"{text[:half]}\n[{len(text) - 2 * half} characters are left out here]\n{text[-half:]}"


def _lines(message: Message) -> list[str]:
    text = message.compaction.summary if message.compaction else message.plain_text()
    who = "summary of what was before" if message.compaction else message.role
    lines = [f"{who}: {text}"] if text else []
    lines += [f"assistant calls {call.name}: {call.arguments}" for call in message.tool_calls]
    return lines + [f"{given.name} gives ({given.status}): {given.text}" for given in message.tool_returns]


def _clipped(text: str, most: object) -> str:
    limit = most if isinstance(most, int) and most > 0 else CLIP_CHARS
    return (
        text if len(text) <= limit else f"{text[:limit]}\n[cut: the first {limit} of {len(text)} characters]"
    )
