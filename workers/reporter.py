"""Reporter: tells the store every few seconds how this worker is doing, for whoever asks a web process."""

import asyncio

import structlog

from service.bootstrap import Service
from service.errors import StoreUnreachable
from service.figures import REPORT_S
from service.pickup import DoorbellWorker

log = structlog.get_logger()


class Reporter:
    """The reports of one worker."""

    def __init__(self, service: Service, worker_id: str, worker: DoorbellWorker) -> None:
        self._service = service
        self._id = worker_id
        self._worker = worker

    async def run(self) -> None:
        """Reports until it is cancelled; then once more, with no slots."""
        try:
            await self._forget_the_gone()
            while True:
                await self._report(self._service.settings.slots)
                await asyncio.sleep(REPORT_S)
        finally:
            await self._report(0)

    async def _report(self, slots: int) -> None:
        try:
            settings = self._service.settings
            await self._service.figures.report(self._id, settings.pool, slots, len(self._worker.tasks))
        except StoreUnreachable as failure:
            log.info("report.deferred", error=str(failure))

    async def _forget_the_gone(self) -> None:
        try:
            await self._service.figures.forget_the_gone()
        except StoreUnreachable as failure:
            log.info("report.deferred", error=str(failure))
