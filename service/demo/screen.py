"""Screen: what is shown before and after the time line, and how text from elsewhere is made safe to show.

Colours and boxes on a terminal; piped, the same words without control codes.
"""

from collections.abc import Sequence
from typing import NamedTuple

from rich import box
from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text as Words

from service.demo.texts import Part, Text

WIDTH_ELSEWHERE = 110
_COLOURS = {"supervisor": "bold green", "worker 1": "cyan", "worker 2": "magenta", "worker 3": "blue"}


class Count(NamedTuple):
    """A line of the final table."""

    what: str
    how_many: str
    good: bool | None = None


def open_console() -> Console:
    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = WIDTH_ELSEWHERE
    return console


def colour_of(who: str) -> str:
    return _COLOURS.get(who, "")


def clean(text: str) -> str:
    """The text without anything that could steer a terminal; line ends stay."""
    return "".join(one if one.isprintable() or one == "\n" else " " for one in text.expandtabs(4))


def show_opening(
    console: Console, model: str, key: str | None, store: str, texts: Sequence[Text], parts: Sequence[Part]
) -> None:
    """Model, store, files, and who reads what. `key` is where a provider's key came from."""
    about = Table.grid(padding=(0, 2))
    about.add_column()
    about.add_column()
    hint = (
        f"a provider's model, by {key}"
        if key
        else "offline, no key needed; with ANTHROPIC_API_KEY or OPENAI_API_KEY set, a provider's"
    )
    about.add_row(Words("model", "dim"), Words.assemble((clean(model), "bold"), (f"  {hint}", "dim")))
    about.add_row(Words("store", "dim"), store)
    words = sum(part.words for part in parts)
    names = ", ".join(clean(text.name) for text in texts)
    about.add_row(Words("text", "dim"), Words.assemble((names, "bold"), (f"  {words:,} words", "dim")))
    for number, part in enumerate(parts, 1):
        who = f"worker {number}"
        some = ", ".join(clean(name) for name in part.names)
        about.add_row(Words(who, colour_of(who)), Words(f"{part.words:,} words of {some}", "dim"))
    console.print(Panel(about, title="Blockwire demo", title_align="left", box=box.ROUNDED, padding=(0, 1)))


def show_block(console: Console, label: str, version: int, value: str, keeper: str) -> None:
    """A block as it is at the end; its items stand out."""
    lines = Table.grid(padding=(0, 1, 0, 0))
    lines.add_column()
    lines.add_column()
    for line in clean(value).splitlines() or ["(empty)"]:
        if line.strip():
            lines.add_row("-" if line.startswith("- ") else "", line.removeprefix("- "))
    title = Words.assemble((label, "bold"), f" version {version}", (f", {keeper}", "dim"))
    console.print(Panel(lines, title=title, title_align="left", box=box.ROUNDED, padding=(0, 1)))


def show_counts(console: Console, counts: Sequence[Count]) -> None:
    table = Table.grid(padding=(0, 2))
    table.add_column(justify="left")
    table.add_column(justify="left")
    styles = {True: "bold green", False: "bold red", None: "bold"}
    for count in counts:
        table.add_row(count.what, Words(count.how_many, styles[count.good]))
    console.print(Panel(table, title="counted", title_align="left", box=box.ROUNDED, padding=(0, 1)))


def show_log(console: Console, lines: Sequence[str]) -> None:
    """What the processes said last, when something went wrong."""
    console.print()
    for line in lines:
        console.print(clean(line), style="dim", soft_wrap=True)
