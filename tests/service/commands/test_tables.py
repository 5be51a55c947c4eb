"""Tables fit the terminal: ids are whole, the rest is shortened or left out."""

import io
from typing import Any

import pytest
from rich.console import Console

from service.commands.lists import NOUNS
from service.commands.tables import Column, table_of

AT = "2026-01-31T05:59:26.811268Z"
UUID = "4711b91d-56ac-4c69-9eac-47e01301e8aa"
ROWS: dict[str, dict[str, Any]] = {
    "blocks": {
        "id": f"block-{UUID}",
        "label": "team/plans/of/somebody",
        "version": 31,
        "limit": 100_000,
        "updated_at": AT,
        "value": "Acme builds bridges. " * 20,
    },
    "agents": {
        "id": f"agent-{UUID}",
        "name": "a worker with a rather long name 你好",
        "model": "anthropic/claude-3-5-sonnet-20241022",
        "last_stop_reason": "end_turn",
        "last_run_completion": AT,
        "memory": {"blocks": [{"label": "persona"}, {"label": "organization"}]},
    },
    "runs": {
        "id": f"run-{UUID}",
        "agent_id": f"agent-{UUID}",
        "status": "completed",
        "stop_reason": "llm_api_error",
        "created_at": AT,
        "total_duration_ns": 150_000_000_000,
    },
}


def shown(columns: Any, row: dict[str, Any], width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width, highlight=False)
    console.print(table_of(columns, [row], width))
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines() if line.strip()]


@pytest.mark.parametrize("width", range(80, 201, 7))
@pytest.mark.parametrize("noun", NOUNS)
def test_an_id_can_be_copied_at_any_usual_width(noun: str, width: int) -> None:
    head, _, line = shown(NOUNS[noun].columns, ROWS[noun], width)
    assert ROWS[noun]["id"] in line.split()
    assert not any(word.endswith("…") for word in head.split())
    assert max(map(len, (head, line))) <= width


@pytest.mark.parametrize("noun", NOUNS)
def test_a_wide_terminal_shows_every_column(noun: str) -> None:
    head = shown(NOUNS[noun].columns, ROWS[noun], 220)[0]
    assert all(column.name in head for column in NOUNS[noun].columns)


def test_what_is_cut_says_so_and_what_is_spare_goes_first() -> None:
    columns = [
        Column("id", lambda row: row["id"]),
        Column("a", lambda row: "a" * 30, least=5, grows=True),
        Column("b", lambda row: "b" * 10, spare=1),
        Column("c", lambda row: "c" * 10, spare=2),
    ]
    for width, wanted in ((70, "abc"), (40, "abc"), (30, "ab"), (17, "a")):
        line = shown(columns, {"id": "x"}, width)[2]
        assert "".join(dict.fromkeys(line.replace("…", "").replace(" ", ""))) == f"x{wanted}", width
        assert ("…" in line) == (width < 60)
