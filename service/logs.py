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
from collections.abc import Sequence
from threading import RLock
from typing import Any, TextIO, cast

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
        _stamp if json_lines else structlog.processors.TimeStamper("%H:%M:%S", utc=False),
        name_process,
    ]
    rendering = _json_lines() if json_lines else _readable_lines()
    lines = _Lines(sys.stderr, rendering)
    structlog.configure(
        processors=[*shared, _as_it_is],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: lines,
        cache_logger_on_first_use=False,
    )
    _route_standard_library(shared, rendering, level, lines)


def _stamp(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    event["timestamp"] = time.time_ns()
    return event


def _as_it_is(_logger: WrappedLogger, _method: str, event: EventDict) -> tuple[tuple[EventDict], EventDict]:
    return (event,), {}


class _Lines:
    """The logger below: events become lines on their way out, those of a few milliseconds at once.

    What an event names is looked at then: nobody changes it after he has said it.

    A busy web process has thousands a second. One by one each line costs four times as much, and its
    write as much again. A process that is killed loses those of the last _LATE_S; one that ends does not.
    """

    def __init__(self, out: TextIO, rendering: Sequence[Processor]) -> None:
        self._out = out
        self._rendering = rendering
        self._waiting: list[EventDict | str] = []
        self._due_in: asyncio.AbstractEventLoop | None = None
        self._lock = RLock()
        atexit.register(self.flush)

    def info(self, event: EventDict) -> None:
        """Out with it: in a moment, or at once where there is no loop."""
        # What is being raised is known only now.
        what = self._line(event) if event.get("exc_info") else event
        with self._lock:
            self._waiting.append(what)
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.flush()
            return
        if self._due_in is not loop:  # one that was closed before the moment came does not count
            self._due_in = loop
            loop.call_later(_LATE_S, self.flush)

    debug = warning = error = critical = info

    def write(self, line: str) -> None:
        """For the standard library's handler, which ends each of its lines with a flush."""
        with self._lock:
            self._waiting.append(line.removesuffix("\n"))

    def flush(self) -> None:
        """Out with all that waits."""
        with self._lock:
            waiting, self._waiting, self._due_in = self._waiting, [], None
        if waiting:
            lines = [one if isinstance(one, str) else self._line(one) for one in waiting]
            self._out.write("\n".join([*lines, ""]))
            self._out.flush()

    def _line(self, event: EventDict) -> str:
        told: Any = event
        name = event.get("event")
        try:
            for processor in self._rendering:
                told = processor(self, "", told)
        except Exception as failure:  # noqa: BLE001, the lines beside it are not to go with it
            told = json.dumps({"event": str(name), "unprintable": type(failure).__name__})
        return cast(str, told)


class _Times:
    """Moments as ISO 8601 in UTC; a second is written out once for all lines of it."""

    def __init__(self) -> None:
        self._last = (0, "")

    def __call__(self, _logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        second, rest = divmod(event["timestamp"] // 1000, 1_000_000)
        of, text = self._last
        if of != second:
            text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
            self._last = (second, text)
        event["timestamp"] = f"{text}.{rest:06d}Z"
        return event


def _json_lines() -> list[Processor]:
    return [_Times(), structlog.processors.format_exc_info, _as_json]


def _as_json(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    """Not by structlog's renderer: each request is a line, and this takes a tenth of the time."""
    try:
        return to_json(event, fallback=repr).decode()
    except PydanticSerializationError:  # half a character, as a foreign name may hold
        return json.dumps(event, default=repr)


def _readable_lines() -> list[Processor]:
    colours = sys.stderr.isatty()
    return [structlog.dev.ConsoleRenderer(colors=colours, exception_formatter=structlog.dev.plain_traceback)]


def _route_standard_library(
    shared: list[Processor], rendering: list[Processor], level: int, lines: _Lines
) -> None:
    handler = logging.StreamHandler(cast(TextIO, lines))
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
