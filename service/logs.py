"""Logs: one event per fact, dotted past-tense names, ids as fields.

    log = structlog.get_logger()
    log.info("run.finished", run_id=run.id, agent_id=run.agent_id)

Context names, a fixed list, bound once where they are known: workspace
agent_id run_id step_id block_id job_id worker_id request_id. Never a block's
value, a key of a provider or the text of a message; tracebacks come without
local variables for the same reason.

Lines go to stderr: readable and coloured on a terminal, JSON otherwise. What
uvicorn, arq and redis say through the standard library arrives here too, from
warnings upwards: their facts have events of our own.
"""

import asyncio
import atexit
import json
import logging
import sys
import time
from threading import Lock
from typing import TextIO, cast

import structlog
from pydantic_core import PydanticSerializationError, to_json
from structlog.typing import EventDict, Processor, WrappedLogger

from service.settings import Settings

_QUIET = ("uvicorn", "uvicorn.error", "arq", "redis", "asyncio", "httpx", "httpcore", "anthropic", "openai")
_SILENT = ("uvicorn.access",)
_LATE_S = 0.005


def set_up_logs(settings: Settings, process: str) -> None:
    """Send this process's events to stderr; `process` says which of Blockwire's it is."""
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    json_lines = not sys.stderr.isatty() if settings.json_logs is None else settings.json_logs

    def name_process(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        event["process"] = process
        return event

    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        _Stamp() if json_lines else structlog.processors.TimeStamper("%H:%M:%S", utc=False),
        name_process,
    ]
    rendering = _json_lines() if json_lines else _readable_lines()
    structlog.configure(
        processors=[*shared, *rendering],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(cast(TextIO, _Lines(sys.stderr))),
        cache_logger_on_first_use=False,
    )
    _route_standard_library(shared, rendering, level)


class _Lines:
    """Lines on their way out: those of a few milliseconds go in one write.

    A busy web process writes thousands a second, and a write costs as much as making the line. A
    process that is killed loses those of the last _LATE_S; one that ends does not.
    """

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._waiting: list[str] = []
        self._due_in: asyncio.AbstractEventLoop | None = None
        self._lock = Lock()
        atexit.register(self._go)

    def write(self, text: str) -> None:
        with self._lock:
            self._waiting.append(text)

    def flush(self) -> None:
        """Out with them: in a moment, or at once where there is no loop."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self._go()
            return
        if self._due_in is not loop:  # one that was closed before the moment came does not count
            self._due_in = loop
            loop.call_later(_LATE_S, self._go)

    def _go(self) -> None:
        with self._lock:
            text, self._due_in = "".join(self._waiting), None
            self._waiting.clear()
        if text:
            self._out.write(text)
            self._out.flush()


class _Stamp:
    """The time as ISO 8601 in UTC. Its seconds are written out once for all lines of a second."""

    def __init__(self) -> None:
        self._last = (0, "")

    def __call__(self, _logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        now, rest = divmod(time.time_ns() // 1000, 1_000_000)
        second, text = self._last
        if second != now:
            text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now))
            self._last = (now, text)
        event["timestamp"] = f"{text}.{rest:06d}Z"
        return event


def _json_lines() -> list[Processor]:
    return [structlog.processors.format_exc_info, _as_json]


def _as_json(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    """Not by structlog's renderer: each request is a line, and this takes a tenth of the time."""
    try:
        return to_json(event, fallback=repr).decode()
    except PydanticSerializationError:  # half a character, as a foreign name may hold
        return json.dumps(event, default=repr)


def _readable_lines() -> list[Processor]:
    colours = sys.stderr.isatty()
    return [structlog.dev.ConsoleRenderer(colors=colours, exception_formatter=structlog.dev.plain_traceback)]


def _route_standard_library(shared: list[Processor], rendering: list[Processor], level: int) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for name in _QUIET:
        library = logging.getLogger(name)
        library.setLevel(max(level, logging.WARNING))
        library.handlers, library.propagate = [], True  # a library's own set-up would go round ours
    for name in _SILENT:
        logging.getLogger(name).disabled = True
