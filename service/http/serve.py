"""The web process: opens the store, listens, serves the app until SIGTERM or Ctrl-C.

`python -m service.http.serve`, told everything by the environment; the
command line (cli.py) and `blockwire up` (processes.py) start it so. What keeps
the app from starting is said in one line.
"""

import asyncio
import signal
import socket
from types import FrameType

import structlog
import uvicorn
from starlette.types import ASGIApp

from service.entry import one_line_errors, settings_or_exit
from service.http.app import create_app
from service.http.transport import HttpProtocol
from service.logs import set_up_logs
from service.processes import listen, store_for
from service.settings import Settings

log = structlog.get_logger()

_STREAMS_END_S = 5  # answers that are not complete after that are cut, well before `up` loses patience
_ARRIVES_S = 0.2  # so long requests that were on their way when we were told to stop are still taken
_KEEP_ALIVE_S = 75  # longer than clients keep an idle connection, so that they are the ones to close it


async def serve(settings: Settings, listener: socket.socket) -> None:
    """Serve until told to stop; every resource is closed again when this returns."""
    with listener:
        async with store_for(settings) as reachable:
            ending = asyncio.Event()
            app = create_app(reachable, ending=ending)
            # Here and not by uvicorn, which logs a refusal beside the one line that we end with.
            async with app.router.lifespan_context(app):
                await _serve(app, settings, listener, ending)
                log.info("web.stopped")


async def _serve(app: ASGIApp, settings: Settings, listener: socket.socket, ending: asyncio.Event) -> None:
    # uvicorn raises the signal that stopped it once more, and the store is still to be closed.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _already_stopping)
    host, port = listener.getsockname()[:2]
    log.info("web.started", host=host, port=port)
    if settings.insecure:
        log.warning(
            "web.exposed",
            host=host,
            port=port,
            risk="as long as there are no tokens, anybody who reaches it can read and change every block",
        )
    await _Server(_config(app), ending).serve(sockets=[listener])


def _config(app: ASGIApp) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="off",
        http=HttpProtocol,
        ws="none",
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=_STREAMS_END_S,
    )


class _Server(uvicorn.Server):
    """Tells streams to end before it waits for them; whoever has sent his request already is answered."""

    def __init__(self, config: uvicorn.Config, ending: asyncio.Event) -> None:
        super().__init__(config)
        self._ending = ending

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._ending.set()
        for server in self.servers:
            server.close()
        await asyncio.sleep(_ARRIVES_S)
        await super().shutdown(sockets)


def _already_stopping(_number: int, _frame: FrameType | None) -> None:
    pass


def main() -> None:
    settings = settings_or_exit()
    set_up_logs(settings, "web")
    runner = asyncio.Runner(loop_factory=uvicorn.Config("", log_config=None).get_loop_factory())
    with one_line_errors(), runner:
        listener = runner.run(listen(settings))
        runner.run(serve(settings, listener))


if __name__ == "__main__":
    main()
