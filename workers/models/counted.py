"""Counted: a model whose calls are counted and timed, whoever asks it and for what."""

from time import perf_counter
from typing import Any

from service.metrics.process import Metrics
from service.records.models import ModelEntry
from service.records.runs import ModelReply
from workers.models.base import Emit, Model, ModelError, ModelRequest, ignore


class Counted:
    """A model as it is, with its calls counted."""

    def __init__(self, model: Model, entry: ModelEntry, metrics: Metrics) -> None:
        self.model = model
        self._entry = entry
        self._metrics = metrics

    async def answer(self, request: ModelRequest, emit: Emit = ignore) -> ModelReply:
        """The model's own answer; a call that is given up counts as `stopped`."""
        began, outcome, usage = perf_counter(), "stopped", None
        try:
            reply = await self.model.answer(request, emit)
            outcome, usage = "ok", reply.usage
            return reply
        except ModelError as failure:
            outcome = failure.type
            raise
        finally:
            took = perf_counter() - began
            self._metrics.model_called(self._entry.provider, self._entry.name, took, outcome, usage)

    def payload(self, request: ModelRequest) -> dict[str, Any]:
        return self.model.payload(request)
