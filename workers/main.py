"""Main: one worker process: opens the service, takes jobs, keeps leases, tells subscribers; ends in order."""

import asyncio
import os
import signal
import socket
from typing import Any

import structlog
from arq.connections import ArqRedis
from arq.worker import func

from service.bootstrap import Service, open_service
from service.entry import one_line_errors, settings_or_exit
from service.logs import set_up_logs
from service.pickup import DoorbellWorker
from service.processes import store_for
from service.queue import connect
from service.records.ids import new_id
from service.settings import Settings
from workers import jobs, tool_jobs
from workers.callbacks import Caller
from workers.keeper import Keeper
from workers.loop import Loop
from workers.models.registry import Models
from workers.posts import Poster
from workers.questions import Questioner
from workers.reporter import Reporter
from workers.shrinker import Shrinker
from workers.tools import agents, blocks, messages
from workers.tools.custom import CustomTools
from workers.tools.registry import Tools
from workers.tools.sandbox import Sandbox
from workers.wakeups import Dispatcher
from workers.webhooks import Deliverer

try:
    from uvloop import new_event_loop as _new_loop
except ImportError:  # where it is not installed, as on Windows
    from asyncio import new_event_loop as _new_loop  # type: ignore[assignment]

log = structlog.get_logger()

GRACE_S = 8.0
"""How long steps under way may take to end once the worker was asked to stop; then they are handed back."""
RESULT_S = 3600


def tools(settings: Settings) -> Tools:
    handlers = {**blocks.HANDLERS, **messages.HANDLERS, **agents.HANDLERS}
    return Tools(handlers, CustomTools(Sandbox(settings)))


async def serve(settings: Settings) -> None:
    """Works until SIGTERM or SIGINT."""
    async with store_for(settings) as reachable:
        pool = await connect(reachable)
        try:
            async with open_service(reachable, arq=pool) as service:
                await _work(service, pool)
        finally:
            await pool.aclose()


async def _work(service: Service, pool: ArqRedis) -> None:
    models = Models(service.settings, service.catalog, service.metrics)
    keeper = Keeper(service)
    worker_id = f"{socket.gethostname()}:{os.getpid()}:{new_id('worker')[-6:]}"
    able = tools(service.settings)
    loop = Loop(service, models, able)
    ctx: dict[str, Any] = {
        "service": service,
        "worker_id": worker_id,
        "keeper": keeper,
        "loop": loop,
        "tools": able,
        "questioner": Questioner(service, models),
    }
    worker = _worker(service, pool, ctx)

    def stop(*_: object) -> None:
        worker.ask_to_stop()
        loop.ask_to_stop()

    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stop)
    poster = Poster()
    reporter = Reporter(service, worker_id, worker)
    running = (
        keeper.run(),
        Dispatcher(service).run(),
        Caller(service, poster).run(),
        Deliverer(service, poster).run(),
        Shrinker(service).run(),
        reporter.run(),
    )
    beside = [asyncio.create_task(one) for one in running]
    for task in beside:  # they never end by themselves; without them the process had better start anew
        task.add_done_callback(stop)
    log.info("worker.started", worker_id=worker_id, pool=service.settings.pool, slots=service.settings.slots)
    try:
        await worker.main()
        log.info("worker.stopping", worker_id=worker_id, jobs=len(worker.tasks))
        await worker.finish_jobs(GRACE_S)
    finally:
        for task in beside:
            task.cancel()
        ends = await asyncio.gather(*beside, return_exceptions=True)
        await poster.aclose()
        await models.aclose()
        log.info("worker.stopped", worker_id=worker_id)
    for end in ends:
        if isinstance(end, Exception):
            raise end


def _worker(service: Service, pool: ArqRedis, ctx: dict[str, Any]) -> DoorbellWorker:
    queue, settings = service.queue, service.settings
    if settings.queue_is_in_store and not settings.wait_replicas:  # a replica is waited for by each lease
        queue = queue.on_terms(service.leases.terms(ctx["worker_id"]))
    return DoorbellWorker(
        [
            func(jobs.step, name="step", keep_result=0),
            func(tool_jobs.run_tool, name="run_tool", keep_result=0),
            func(jobs.answer, name="answer", keep_result=0),
            func(jobs.send_message, name="send_message", keep_result=RESULT_S),
        ],
        pool,
        queue,
        worker_pool=settings.pool,
        slots=settings.slots,
        ctx=ctx,
        give_back=jobs.give_back,
    )


def main() -> None:
    settings = settings_or_exit()
    set_up_logs(settings, "worker")
    with one_line_errors(), asyncio.Runner(loop_factory=_new_loop) as runner:
        runner.run(serve(settings))


if __name__ == "__main__":
    main()
