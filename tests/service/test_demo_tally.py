"""What the demo counts: which wake-up told of which edit, how late, and whether a line was lost."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from service.demo.tally import (
    Author,
    SeenChange,
    SeenRun,
    Tally,
    Work,
    lost,
    median_of,
    new_line,
    version_told,
    work_of,
)

BEGIN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
BOSS = "agent-boss"


def moment(ms: float) -> datetime:
    return BEGIN + timedelta(milliseconds=ms)


def change(version: int, at_ms: float, label: str = "findings", kind: str = "edited") -> SeenChange:
    return SeenChange(
        id=f"1-{version}",
        block_id=f"block-{label}",
        label=label,
        version=version,
        operation="insert",
        kind=kind,
        at=moment(at_ms),
        author=Author(agent_id="agent-worker"),
    )


def wakeup(name: str, at_ms: float, status: str = "completed", agent_id: str = BOSS) -> SeenRun:
    return SeenRun(id=name, agent_id=agent_id, status=status, created_at=moment(at_ms))


def tally_of(*runs: SeenRun, told: dict[str, int], looked_ms: float = 0) -> Tally:
    tally = Tally()
    tally.saw(runs, moment(looked_ms).timestamp(), moment(looked_ms).timestamp())
    tally.told.update(told)
    return tally


def notice(tally: Tally, seen: SeenChange) -> tuple[str, float | None] | None:
    found = tally.notice(seen, BOSS)
    return None if found is None else (found.run_id, None if found.ms is None else round(found.ms, 3))


def test_a_wake_up_recorded_after_the_edit_says_how_late_it_was() -> None:
    tally = tally_of(wakeup("first", 14), wakeup("second", 30), told={"first": 3, "second": 4})
    assert notice(tally, change(2, at_ms=10)) == ("first", 4)
    assert notice(tally, change(3, at_ms=12.5)) == ("first", 1.5)
    assert notice(tally, change(4, at_ms=27)) == ("second", 3)


def test_an_edit_told_by_an_earlier_wake_up_has_joined_it() -> None:
    tally = tally_of(wakeup("first", 14), told={"first": 5})
    assert notice(tally, change(5, at_ms=16)) == ("first", None)


def test_nothing_is_certain_without_a_wake_up() -> None:
    assert notice(tally_of(told={}), change(2, at_ms=10)) is None
    assert notice(tally_of(wakeup("others", 14, agent_id="agent-x"), told={}), change(2, at_ms=10)) is None


def test_a_wake_up_behind_the_edit_is_certain_before_its_message_is_known() -> None:
    tally = tally_of(wakeup("first", 14, "running"), told={})
    assert notice(tally, change(2, at_ms=10)) == ("first", 4)


def test_between_two_wake_ups_it_is_certain_once_the_first_was_read_before_the_edit() -> None:
    first, second = wakeup("first", 14, "running"), wakeup("second", 30, "created")
    assert notice(tally_of(first, second, told={}, looked_ms=25), change(4, at_ms=27)) == ("second", 3)
    assert notice(tally_of(first, second, told={}, looked_ms=28), change(4, at_ms=27)) is None


def test_it_is_certain_that_an_edit_joined_a_wake_up_that_is_unread_a_second_later() -> None:
    waiting = wakeup("first", 14, "created")
    assert notice(tally_of(waiting, told={}, looked_ms=900), change(4, at_ms=27)) is None
    assert notice(tally_of(waiting, told={}, looked_ms=1027), change(4, at_ms=27)) == ("first", None)


def test_latencies_are_those_of_edits_of_the_findings_that_caused_a_wake_up() -> None:
    tally = tally_of(wakeup("first", 14), told={"first": 4})
    tally.changes += [
        change(1, 1, kind="created"),
        change(2, 10),
        change(2, 11, label="summary"),
        change(3, 12),
        change(4, 16),
    ]
    assert [round(ms, 3) for ms in tally.latencies(BOSS)] == [4, 2]
    assert tally.edits_by() == {"agent-worker": 4}


def test_only_finished_wake_ups_count_for_the_summary() -> None:
    tally = tally_of(wakeup("first", 14), wakeup("second", 20, "running"), told={"first": 4, "second": 9})
    assert tally.summed_up() == 4
    assert Tally().summed_up() == 0


def test_a_failed_run_says_why() -> None:
    error = {"error": {"type": "llm_error", "message": "no such model"}}
    failed = SeenRun(id="r", agent_id="a", status="failed", created_at=BEGIN, metadata=error)
    assert failed.failure == "no such model"
    assert wakeup("r", 0, "cancelled").failure == "cancelled"
    assert wakeup("r", 0, "running").failure is None
    assert wakeup("r", 0).failure is None


def test_the_newest_version_is_read_from_a_wake_ups_message() -> None:
    text = (
        "Blocks that you watch have changed:\n\n"
        "- `findings` version 2 to 4: 3 earlier change(s) by worker 1 (3)\n"
        "- `findings` version 8: insert by worker 1 (agent-1) at noon\n  + - `findings` version 99: a quote\n"
        "- `findings` version 9: insert by worker 2 (agent-2) at noon\n"
        "- `summary` version 12: set by api at one"
    )
    told = [{"message_type": "user_message", "content": text}]
    assert version_told([*told, {"message_type": "assistant_message", "content": text}]) == 9
    assert version_told([]) == 0


def called(id: str, name: str, **arguments: Any) -> dict[str, Any]:
    call = {"tool_call_id": id, "name": name, "arguments": json.dumps(arguments)}
    return {"message_type": "tool_call_message", "tool_call": call, "tool_calls": [call]}


def returned(id: str, status: str = "success") -> dict[str, Any]:
    result = {"tool_call_id": id, "status": status, "tool_return": "…"}
    return {"message_type": "tool_return_message", **result, "tool_returns": [result]}


def test_what_was_acknowledged_is_what_successful_inserts_put_in() -> None:
    messages = [
        {"message_type": "user_message", "content": "go"},
        called("call_0", "memory_insert", label="findings", new_string="- one\n\n- two\tmore"),
        returned("call_0"),
        called("call_0", "memory_insert", label="findings", new_string="- refused"),
        returned("call_0", "error"),
        called("call_0", "memory_insert", label="findings", new_string="- three"),
        returned("call_0"),
        called("call_1", "memory_rethink", label="summary", new_memory="- all"),
        returned("call_1"),
    ]
    assert work_of(messages) == Work(["- one", "- two   more", "- three"], refused=1)


@pytest.mark.parametrize(
    ("acknowledged", "missing"),
    [([], []), (["a", "b"], []), (["a", "c", "b"], ["c"]), (["a", "a", "b"], ["a"])],
)
def test_a_line_is_lost_that_was_acknowledged_and_is_not_there(
    acknowledged: list[str], missing: list[str]
) -> None:
    assert lost(acknowledged, "\na\nb") == missing


def test_of_a_rewrite_the_first_new_line_is_shown() -> None:
    assert new_line("- a\n- b", "- a\n\n- c\n- b") == "- c"
    assert new_line("- a\n- b", "- b\n- a") == "- b"
    assert new_line("- a", "") == ""


def test_the_median_and_the_longest_are_told() -> None:
    assert median_of([3.04, 1.0, 9.96]) == "median 3.0 ms, longest 10.0 ms"
    assert median_of([]) == "none"
