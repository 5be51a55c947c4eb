"""Terminal: how the commands write: a console, words that cannot steer it, and times as people say them."""

import asyncio
import io
import json
import signal
import sys
from collections.abc import Coroutine
from datetime import UTC, datetime
from typing import Any, cast

from rich.console import Console

from service.client import Client
from service.entry import INTERRUPTED, WONT_WORK, end_in_one_line, one_line_errors, settings_or_exit

WIDTH_ELSEWHERE = 140


def open_console() -> Console:
    """Colours and the terminal's width; piped, plain words."""
    cast(io.TextIOWrapper, sys.stdout).reconfigure(errors="replace")
    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = WIDTH_ELSEWHERE
    return console


def clean(text: str) -> str:
    """The text without anything that could steer a terminal; line ends stay."""
    return "".join(one if one.isprintable() or one == "\n" else " " for one in text.expandtabs(4))


def one_line(text: str) -> str:
    return " ".join(clean(text).split())


def print_json(content: object) -> None:
    """One JSON text on one line, as programs read it."""
    sys.stdout.write(json.dumps(content, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def ago(at: str | None, now: datetime | None = None) -> str:
    """How long ago an ISO time was."""
    if at is None:
        return ""
    then = datetime.fromisoformat(at)
    seconds = (
        (now or datetime.now(UTC)) - (then if then.tzinfo else then.replace(tzinfo=UTC))
    ).total_seconds()
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{int(seconds // size)} {unit} ago"
    return f"{max(0, int(seconds))} s ago"


def open_client() -> Client:
    settings = settings_or_exit()
    if not settings.server_url.startswith(("http://", "https://")):
        end_in_one_line(
            f"--url: {settings.server_url!r} does not begin with http:// or https://; "
            f"write http://{settings.server_url.rpartition('://')[2]}",
            WONT_WORK,
        )
    return Client(settings.server_url, settings.token)


def run(work: Coroutine[Any, Any, None]) -> None:
    """The work, to its end or to Ctrl-C; what is refused is one line."""

    async def until_told_to_stop() -> None:
        task = asyncio.current_task()
        assert task is not None
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
        await work

    with one_line_errors():
        try:
            asyncio.run(until_told_to_stop())
        except asyncio.CancelledError:
            raise SystemExit(INTERRUPTED) from None
        except BrokenPipeError:  # whoever reads us has read enough
            sys.stderr.close()
