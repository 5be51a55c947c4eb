"""Asking: one step's model call, passed on as it arrives; where it was too long, made again with a summary.

Elsewhere: what is asked (request.py); what a summary is (compaction.py).
"""

import asyncio
import json
from functools import partial
from typing import Any, NamedTuple

from service.bootstrap import Service
from service.records.runs import Lease, ModelReply, OutputEvent, Piece, Step
from workers.compaction import REFUSED, Compactor
from workers.models.base import PROMPT_TOO_LONG, Model, ModelError, ModelRequest
from workers.models.registry import Models
from workers.request import is_told_at_once, request_of, with_asked
from workers.transcript import Transcript
from workers.voice import Voice

COMPACTIONS = 3
"""So often a step makes room because its provider refuses it as too long."""
PROMPT_TOO_LONG_WORDS = (
    "the agent's system prompt and tools alone are longer than its context window; shorten its blocks or "
    "give it a model with a larger window"
)
TRACE_CHARS = 1_000_000
"""A trace that is longer loses its request."""


class Asked(NamedTuple):
    """What came of asking a model."""

    reply: ModelReply
    unsaid: list[OutputEvent]
    """The last pieces of it, for those who listen: they are stored with it."""
    sent: dict[str, Any] | None
    """What the provider was asked, if that is to be kept."""


class Asker:
    """Asks models for steps; one instance per worker process."""

    def __init__(self, service: Service, models: Models, compactor: Compactor) -> None:
        self._service = service
        self._models = models
        self._compactor = compactor

    async def ask(self, lease: Lease, transcript: Transcript, step: Step, handle: str) -> Asked:
        """The reply, where it must be after making room for it. Raises ModelError."""
        entry, model = await self._models.for_handle(handle)
        left = COMPACTIONS
        while True:
            request = request_of(transcript, entry)
            try:
                reply, unsaid = await self._once(lease, transcript, step, model, request)
                return Asked(reply, unsaid, model.payload(request) if self._service.settings.traces else None)
            except ModelError as refusal:
                if refusal.type != "llm_context_window":
                    raise
                await transcript.opened()
                if self._compactor.prompt_alone_is_too_long(transcript):
                    raise ModelError(PROMPT_TOO_LONG, PROMPT_TOO_LONG_WORDS, refusal.detail) from refusal
                if not left or not await self._compactor.make_room(lease, transcript, REFUSED):
                    raise
                left -= 1

    async def _once(
        self, lease: Lease, transcript: Transcript, step: Step, model: Model, request: ModelRequest
    ) -> tuple[ModelReply, list[OutputEvent]]:
        """The model's complete answer; passed on as it arrives where the sender asked for that."""
        run = transcript.run
        if run.options.output != "tokens":
            return await model.answer(request), []
        voice = Voice(self._service, lease, run, step, partial(is_told_at_once, transcript))

        async def emit(piece: Piece) -> None:
            await voice.emit(with_asked(transcript, piece))

        try:
            reply = await model.answer(request, emit)
            return reply, await voice.rest()
        finally:
            await voice.close()

    async def keep_trace(self, lease: Lease, step: Step, sent: dict[str, Any]) -> None:
        """What the provider was asked and answered, for those who want to see it; not if it is huge."""
        assert step.reply is not None
        kept = {"request": sent, "response": step.reply.model_dump()}
        text = await asyncio.to_thread(json.dumps, kept, ensure_ascii=False)
        if len(text) > TRACE_CHARS:
            text = json.dumps(
                {"request": {"left_out": f"{len(text)} characters"}, "response": kept["response"]}
            )
        await self._service.leases.store_trace(lease, step.id, text)
