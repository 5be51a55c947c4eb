"""Run: the demo from its first line to its exit code.

python -m service.demo.run KEEP MODEL FILE…    (cli.py starts it; KEEP and MODEL may be empty)
"""

import asyncio
import io
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from service.catalog import Catalog
from service.demo import machine
from service.demo.cast import WORKERS, create_cast
from service.demo.screen import open_console, show_log, show_opening
from service.demo.story import Story
from service.demo.texts import own_texts, parts_of, texts_of
from service.entry import FAILED, INTERRUPTED, one_line_errors, settings_or_exit
from service.errors import BlockwireError, Invalid, UnknownModel
from service.settings import Settings

OFFLINE = "offline/extractive"
OFFLINE_S = 55.0
PROVIDER_S = 600.0
_MODELS = {"anthropic": "anthropic/claude-haiku-4-5", "openai": "openai/gpt-5.4-mini"}
"""The small model of each provider, as in service/catalog.py: a demo should cost next to nothing."""


@dataclass(frozen=True)
class Wish:
    """What the command line asked for."""

    files: Sequence[Path] = ()
    keep: bool = False
    model: str | None = None


@dataclass(frozen=True)
class Choice:
    """The model to use, and the variable that holds its provider's key."""

    model: str
    key: str | None

    @property
    def deadline_s(self) -> float:
        return OFFLINE_S if self.model.startswith("offline/") else PROVIDER_S


def choose_model(settings: Settings, asked: str | None) -> Choice:
    """The model asked for, else one that a key is set for, else the offline one. Raises Invalid."""
    keys = {"anthropic": settings.anthropic_api_key, "openai": settings.openai_api_key}
    having = [provider for provider, key in keys.items() if key]
    given = asked or (settings.default_model if having else None)
    model = given or (_MODELS[having[0]] if having else OFFLINE)
    try:
        provider = Catalog(settings).resolve(model).provider
    except UnknownModel as error:
        raise Invalid("--model", str(error)) from None
    if provider == "offline":
        return Choice(model, None)
    variable = f"{provider.upper()}_API_KEY"
    if not keys.get(provider) and not (provider == "openai" and settings.openai_base_url):
        raise Invalid("--model", f"{model!r} needs {variable} to be set; {OFFLINE} needs no key")
    return Choice(model, variable)


async def run(wish: Wish, settings: Settings) -> int:
    """The whole demo; its exit code. Raises Invalid before anything has started."""
    began = time.monotonic()
    choice = choose_model(settings, wish.model)
    texts = texts_of(wish.files) if wish.files else own_texts()
    parts = parts_of(texts, WORKERS)
    console = open_console()
    with machine.folder(wish.keep) as place:
        kept = f"kept in {place}" if wish.keep else "in a temporary folder, removed at the end"
        show_opening(console, choice.model, choice.key, f"embedded Valkey, {kept}", texts, parts)
        async with machine.started(settings, place) as running:
            try:
                await running.ready()
                up_s = time.monotonic() - began
                console.print(f"Blockwire is up after {up_s:.1f} s.", style="dim")
                story = Story(running, console, await create_cast(running.client, choice.model))
                await story.play(parts, choice.deadline_s - up_s)
                done = await story.end(began)
            except asyncio.CancelledError:
                console.print("\nStopping Blockwire; steps under way may take a few seconds to end.")
                raise
            except BlockwireError:
                show_log(console, machine.last_words(place))
                raise
        if wish.keep:
            again = f"blockwire up --data {machine.data_in(place)}"
            console.print(f"Look at it again with: {again}", soft_wrap=True)
    return 0 if done else FAILED


async def _until_told_to_stop(wish: Wish, settings: Settings) -> int:
    """SIGTERM ends the demo as Ctrl-C does: in order; also where whoever started it ignores Ctrl-C."""
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    return await run(wish, settings)


def main() -> None:
    keep, model, *files = sys.argv[1:]
    # A terminal without box characters is no reason to fail.
    cast(io.TextIOWrapper, sys.stdout).reconfigure(errors="replace")
    settings = settings_or_exit()
    wish = Wish([Path(file) for file in files], bool(keep), model or None)
    with one_line_errors():
        try:
            code = asyncio.run(_until_told_to_stop(wish, settings))
        except asyncio.CancelledError:
            code = INTERRUPTED
    raise SystemExit(code)


if __name__ == "__main__":
    main()
