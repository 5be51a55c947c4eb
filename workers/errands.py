"""Errands: what is asked of an agent's worker besides an answer: sum up, or show what a model would be sent.

An errand waits in the agent's inbox as a run of its own kind, so it comes between
runs and never into one; what it gives is kept with the run, and whoever asked
waits for that (service/http/errands.py). It puts no message into the history.
"""

from collections.abc import Awaitable, Callable
from typing import Any

import structlog

from service.bootstrap import Service
from service.errors import Invalid, UnknownModel
from service.records.runs import Lease, RunError
from workers.compaction import Compactor
from workers.models.base import ModelError
from workers.models.registry import Models
from workers.request import request_of
from workers.transcript import Transcript

log = structlog.get_logger()

Result = dict[str, Any]


class Errands:
    """Carries them out; one instance per worker process."""

    def __init__(self, service: Service, models: Models, compactor: Compactor) -> None:
        self._service = service
        self._models = models
        self._compactor = compactor
        self._kinds: dict[str, Callable[[Lease, Transcript], Awaitable[Result]]] = {
            "compact": self._compact,
            "preview": self._preview,
        }

    async def carry(self, lease: Lease, transcript: Transcript) -> None:
        """One errand to its end, whatever came of it."""
        run = transcript.run
        try:
            result = await self._kinds[run.kind](lease, transcript)
        except ModelError as failure:
            await self._fail(lease, transcript, failure.as_run_error())
        except (Invalid, UnknownModel) as refusal:
            await self._fail(lease, transcript, RunError(type="llm_bad_request", message=str(refusal)))
        else:
            await self._service.leases.finish(lease, run.id, "end_turn", result=result)
            log.info("errand.done", kind=run.kind)

    async def _fail(self, lease: Lease, transcript: Transcript, error: RunError) -> None:
        log.error("errand.failed", kind=transcript.run.kind, error_type=error.type, error=error.message)
        await self._service.leases.finish(lease, transcript.run.id, "llm_api_error", error)

    async def _compact(self, lease: Lease, transcript: Transcript) -> Result:
        done = await self._compactor.make_room(lease, transcript, "asked", transcript.run.errand or {})
        return {} if done is None else done.model_dump()

    async def _preview(self, lease: Lease, transcript: Transcript) -> Result:
        handle = transcript.run.options.override_model or transcript.agent.model
        entry, model = await self._models.for_handle(handle)
        return {"request": model.payload(request_of(transcript, entry))}
