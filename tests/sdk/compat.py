"""Compatibility: every method of every SDK tried against a real Blockwire, and the README's table of it.

    python -m tests.sdk.compat      # or `make compat`: writes the table anew

A cell says `works` (the effect was seen), `stored only`, `refused` (the SDK raised its own error, with
the reason below the table), `—` (the SDK has no such method). What does neither fails `make compat`
and the test that compares the table.

Elsewhere: what is tried (methods.toml, probes/).
"""

import re
import sys
import traceback
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import httpx

from tests.running import ROOT, running_blockwire
from tests.sdk.calling import CalledSdk, Refused, calling
from tests.sdk.drivers import EVERYTHING_ON
from tests.sdk.environments import SDKS, NodeMissing, Sdk, driver_command
from tests.sdk.methods import Row, is_classified, rows, shown
from tests.sdk.probes import PROBES, WORKS, Probe

README = ROOT / "README.md"
BEGIN, END = "<!-- compatibility: begin, made by `make compat` -->", "<!-- compatibility: end -->"
REFUSED, FAILS, ABSENT = "refused", "fails", "—"
_ID = re.compile(r"\b([a-z]+)-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")
_REASON_CHARS = 140


@dataclass(frozen=True)
class Outcome:
    """How a method does with an SDK, and why."""

    mark: str
    reason: str = ""


Column = Mapping[Row, Outcome]


@dataclass(frozen=True)
class Survey:
    """What all SDKs that can be run here told."""

    columns: Mapping[str, Column]
    """By the SDK's name."""
    unclassified: Mapping[str, list[str]]
    """Methods that methods.toml does not know, by the SDK's name."""
    missing: str = ""
    """Why some SDKs are not there."""

    @property
    def failures(self) -> list[str]:
        return [
            f"{name}: {_name(row)}: {outcome.reason}"
            for name, column in self.columns.items()
            for row, outcome in column.items()
            if outcome.mark == FAILS
        ]


def survey(url: str) -> Survey:
    """Tries everything with every SDK, all SDKs at once."""
    commands, missing = {}, ""
    for sdk in SDKS:
        try:
            commands[sdk] = driver_command(sdk)
        except NodeMissing as reason:
            missing = str(reason)
    with ThreadPoolExecutor(len(commands)) as threads:
        told = list(threads.map(lambda sdk: _told(sdk, commands[sdk], url), commands))
    columns = {sdk.name: column for sdk, (column, _) in zip(commands, told, strict=True)}
    unclassified = {sdk.name: names for sdk, (_, names) in zip(commands, told, strict=True) if names}
    return Survey(columns, unclassified, missing)


def _told(sdk: Sdk, command: list[str], url: str) -> tuple[Column, list[str]]:
    with (
        calling(sdk, command, url) as called,
        httpx.Client(base_url=url, trust_env=False, timeout=30) as http,
    ):
        column = {row: _outcome(row, called, http) for row in rows()}
        return column, sorted(name for name in called.methods if not is_classified(name))


def _outcome(row: Row, called: CalledSdk, http: httpx.Client) -> Outcome:
    if not (called.has(row.method) and row.is_known_to(called.sdk)):
        return Outcome(ABSENT)
    try:
        mark, _, reason = (PROBES[row](Probe(called, http, row)) or WORKS).partition(": ")
        return Outcome(mark, reason)
    except Refused as refusal:
        return Outcome(REFUSED, _reason(refusal))
    except Exception as error:  # noqa: BLE001 - whatever goes wrong is what the method does
        at = traceback.extract_tb(error.__traceback__)[-1]
        return Outcome(FAILS, f"{type(error).__name__}: {error} ({at.filename}:{at.lineno}: {at.line})")


def _reason(refusal: Refused) -> str:
    """The words of a refusal, without ids and shortened."""
    said = _ID.sub(r"\1-…", " ".join(refusal.detail.split())).replace("|", "\\|")
    if len(said) > _REASON_CHARS:
        said = f"{said[: _REASON_CHARS - 1].rstrip()}…"
    return f"{refusal.status}: {said}"


def table(columns: Mapping[str, Column]) -> str:
    """The table in Markdown, with the reasons of refusals below it; SDKs that do alike share a column."""
    groups = _alike(columns)
    notes: dict[str, int] = {}
    lines = [f"| method | route | {' | '.join(groups)} |", f"|---|---|{'---|' * len(groups)}"]
    for row in rows():
        cells = [_cell(columns[names[0]][row], notes) for names in groups.values()]
        lines.append(f"| {_name(row)} | {_route(row)} | {' | '.join(cells)} |")
    reasons = [f"{number}. {reason}" for reason, number in notes.items()]
    return "\n".join([*lines, "", *reasons]) if reasons else "\n".join(lines)


def _alike(columns: Mapping[str, Column]) -> dict[str, list[str]]:
    """Heading -> the SDKs of a column: neighbours of one language and generation that do alike."""
    groups: list[list[Sdk]] = []
    for sdk in (one for one in SDKS if one.name in columns):
        last = groups[-1][-1] if groups else sdk
        alike = (last.language, last.generation) == (sdk.language, sdk.generation)
        if groups and alike and columns[last.name] == columns[sdk.name]:
            groups[-1].append(sdk)
        else:
            groups.append([sdk])
    return {_heading(group): [sdk.name for sdk in group] for group in groups}


def _heading(group: list[Sdk]) -> str:
    language = "Python" if group[0].language == "python" else "TypeScript"
    return f"{language} {' and '.join(sdk.version for sdk in group)}"


def _cell(outcome: Outcome, notes: dict[str, int]) -> str:
    if outcome.mark == FAILS:
        return "**fails**"
    note = f" [{notes.setdefault(outcome.reason, len(notes) + 1)}]" if outcome.reason else ""
    return outcome.mark + note


def _name(row: Row) -> str:
    if row.form:
        return f"… `{row.form}`"
    return ", ".join(f"`{name}`" for name in shown()[row.method].names)


def _route(row: Row) -> str:
    return "" if row.form else f"`{shown()[row.method].route}`"


def in_readme() -> str:
    """The table as README.md has it."""
    return README.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0].strip()


def write_readme(made: str) -> None:
    before, _, rest = README.read_text(encoding="utf-8").partition(BEGIN)
    README.write_text(f"{before}{BEGIN}\n\n{made}\n\n{END}{rest.partition(END)[2]}", encoding="utf-8")


def main() -> str | None:
    """What went wrong, after the table was written if it could be."""
    with running_blockwire(environ=EVERYTHING_ON) as running:
        found = survey(running.url)
    if found.missing:
        return f"README.md is as it was: {found.missing}"
    write_readme(table(found.columns))
    wrong = [*found.failures, *(f"{name}: unknown: {', '.join(m)}" for name, m in found.unclassified.items())]
    return "\n".join(wrong) or None


if __name__ == "__main__":
    sys.exit(main())
