"""Time line: one line per edit, in order, as it happens.

A line says when the supervisor was told, which is known a moment after the edit
itself. Until then it waits: on a terminal in sight, below those that are settled;
elsewhere, where a line once written stays as it is, for two seconds at the most.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from time import monotonic
from typing import NamedTuple

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text as Words

from service.demo.cast import Cast
from service.demo.screen import clean, colour_of
from service.demo.tally import SeenChange, Tally

PATIENCE_S = 2.0
JOINED = "joined"
"""It went into a wake-up that the supervisor had been sent already and had not read yet."""
UNKNOWN = "?"
_DID = {"insert": "added to", "append": "added to", "set": "rewrote", "replace": "changed"}
_BELOW = 4


class _Waiting(NamedTuple):
    change: SeenChange
    what: str
    since: float


class Timeline:
    """Shows changes; `settle` is called whenever the tally may know more."""

    def __init__(self, console: Console, tally: Tally, cast: Cast, zero: float) -> None:
        self._console = console
        self._tally = tally
        self._cast = cast
        self._zero = zero
        self._waiting: list[_Waiting] = []

    def open(self) -> None:
        self._console.print()
        self._console.print(_line("seconds", "who", "did", "block", "told after", "what", style="dim"))

    @contextmanager
    def live(self, status: Callable[[], str]) -> Iterator[None]:
        """On a terminal, keeps what waits and a status in sight below the settled lines."""
        spinner = Spinner("dots")

        def below() -> RenderableType:
            room = max(self._console.height - _BELOW, 1)
            lines = [self._rendered(one, self._told(one.change) or "…") for one in self._waiting[-room:]]
            spinner.update(text=Words(status(), "dim"))
            return Group(*lines, spinner)

        shown = Live(console=self._console, get_renderable=below, transient=True, refresh_per_second=12)
        with shown if self._console.is_terminal else nullcontext():
            yield

    def add(self, change: SeenChange, what: str) -> None:
        """A change, and the line of it to show."""
        self._waiting.append(_Waiting(change, what, monotonic()))
        self.settle()

    def settle(self, closing: bool = False) -> None:
        """Writes the lines of which all is known, up to the first that still waits."""
        while self._waiting:
            first = self._waiting[0]
            told = self._told(first.change)
            patient = self._console.is_terminal or monotonic() - first.since < PATIENCE_S
            if told is None and patient and not closing:
                return
            del self._waiting[0]
            self._console.print(self._rendered(first, UNKNOWN if told is None else told))

    def _told(self, change: SeenChange) -> str | None:
        """How long it took to tell the supervisor; empty where it is not told, None if not known yet."""
        if change.block_id != self._cast.findings:
            return ""
        notice = self._tally.notice(change, self._cast.supervisor)
        if notice is None:
            return None
        return JOINED if notice.ms is None else f"{notice.ms:.1f} ms"

    def _rendered(self, waiting: _Waiting, told: str) -> RenderableType:
        change, what, _ = waiting
        who = self._cast.name_of(change.author.agent_id)
        seconds = change.at.timestamp() - self._zero
        return _line(
            f"{seconds:.3f}",
            who,
            _DID.get(change.operation, change.operation),
            f"{change.label} v{change.version}",
            told,
            clean(what).strip().removeprefix("- "),
            colour_of(who),
        )


def _line(
    seconds: str, who: str, did: str, block: str, told: str, what: str, colour: str = "", style: str = ""
) -> RenderableType:
    grid = Table.grid(padding=(0, 2, 0, 0), expand=True)
    grid.add_column(width=7, justify="right")
    grid.add_column(width=10, no_wrap=True)
    grid.add_column(width=8, no_wrap=True)
    grid.add_column(width=13, no_wrap=True)
    grid.add_column(width=10, justify="right", no_wrap=True)
    grid.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    grid.add_row(
        Words(seconds, "dim"),
        Words(who, colour),
        did,
        Words(block, "bold" if colour else ""),
        Words(told, "" if told.endswith("ms") else "dim"),
        what,
        style=style,
    )
    return grid
