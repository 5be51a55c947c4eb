"""The checker of linear.py finds what it is for, and is silent about what may happen."""

from dataclasses import replace
from typing import Any

import pytest

from tests.faults.linear import Done, Splice, applied, violations

FIRST = "a"


def append(began: float, ended: float, version: int, text: str, value: str | None) -> Done:
    return Done(began, ended, "append", version, value, text=text)


def read(began: float, ended: float, version: int, value: str) -> Done:
    return Done(began, ended, "read", version, value, changed=False)


GOOD = [
    append(0, 3, 2, "b", "ab"),
    append(1, 2, 3, "c", "abc"),
    read(2.5, 4, 3, "abc"),
    read(0, 9, 1, "a"),
    Done(5, 6, "replace", 5, "aB-", old="bc-", text="B-"),
    Done(7, 8, "insert", 6, "top\naB-", text="top", line=0),
    Done(9, 10, "undo", 7, "top\naB", old="-", text=""),
]
KEPT = {
    2: Splice(1, b"", b"b"),
    3: Splice(2, b"", b"c"),
    4: Splice(3, b"", b"-"),
    5: Splice(1, b"bc-", b"B-"),
    6: Splice(0, b"", b"top\n"),
    7: Splice(6, b"-", b""),
}


def test_what_can_have_happened_is_not_complained_of() -> None:
    """Edits that overlap in time, a slow read of an old version, an edit nobody was answered for."""
    assert violations(FIRST, GOOD, KEPT) == []


@pytest.mark.parametrize(
    ("at", "planted", "complaint"),
    [
        (1, {"version": 2, "value": None}, "version 2 was made by 2 acknowledged edits"),
        (2, {"began": 6.5, "ended": 7}, "read saw version 3 after 5 had been told"),
        (3, {"began": 3.5}, "read saw version 1 after 3 had been told"),
        (1, {"began": 20, "ended": 21}, "append made version 3 after 7 had been told"),
        (2, {"value": "ab"}, "read was told another value of version 3"),
        (0, {"value": "ab!"}, "append was told another value of version 2"),
        (1, {"text": "x", "value": None}, "the history tells version 3 otherwise than its append"),
        (4, {"old": "zz"}, "replace of version 5 does not fit the version before it"),
        (5, {"version": 9}, "version 8 was neither acknowledged nor kept"),
    ],
)
def test_a_planted_violation_is_found(at: int, planted: dict[str, Any], complaint: str) -> None:
    done = [replace(one, **planted) if i == at else one for i, one in enumerate(GOOD)]
    assert complaint in violations(FIRST, done, KEPT)


def test_an_acknowledged_edit_that_was_lost_is_found() -> None:
    """Its version was made a second time by another edit, as after a store that forgot."""
    done = [append(0, 1, 2, "b", "ab"), append(2, 3, 2, "c", "ac")]
    assert violations(FIRST, done, {2: Splice(1, b"", b"c")}) == [
        "version 2 was made by 2 acknowledged edits",
        "append made version 2 after 2 had been told",
        "the history tells version 2 otherwise than its append",
    ]


def test_a_history_that_does_not_fit_is_found() -> None:
    [said] = violations(FIRST, [], {2: Splice(0, b"z", b"")})
    assert said == "the history's entry of version 2 does not fit the version before it"


def test_an_edit_that_is_missing_from_history_and_answers_is_found() -> None:
    kept = {version: splice for version, splice in KEPT.items() if version != 4}
    assert violations(FIRST, GOOD, kept) == ["version 4 was neither acknowledged nor kept"]


def test_the_model_knows_the_operations() -> None:
    def op(operation: str, **more: Any) -> Done:
        return Done(0, 0, operation, 2, **more)

    assert applied("x", op("set", text="y")) == "y"
    assert applied("a\nb", op("insert", text="-", line=1)) == "a\n-\nb"
    assert applied("a\nb", op("insert", text="-")) == "a\nb\n-"
    assert applied("a\nb", op("insert", text="-", line=3)) is None
    assert applied("aa", op("replace", old="a", text="b")) is None
