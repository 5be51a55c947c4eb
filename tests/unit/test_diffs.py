"""Diffs: what two texts differ in, as `patch` would take it."""

import random
import shutil
import subprocess
from pathlib import Path

import pytest

from service.diffs import MOST_LINES, unified_diff


def diff(old: str, new: str) -> str:
    return unified_diff(old, new, "version 1", "version 2")


def test_equal_texts_have_no_diff() -> None:
    assert diff("a\nb", "a\nb") == ""


def test_a_changed_line_stands_between_its_neighbours() -> None:
    old = "\n".join("abcdefghi") + "\n"
    assert diff(old, old.replace("e", "E")) == (
        "--- version 1\n+++ version 2\n@@ -2,7 +2,7 @@\n b\n c\n d\n-e\n+E\n f\n g\n h\n"
    )


def test_a_last_line_without_a_newline_says_so() -> None:
    assert diff("a", "a\n") == (
        "--- version 1\n+++ version 2\n@@ -1 +1 @@\n-a\n\\ No newline at end of file\n+a\n"
    )


def test_from_nothing_and_to_nothing() -> None:
    assert diff("", "a\n") == "--- version 1\n+++ version 2\n@@ -0,0 +1 @@\n+a\n"
    assert diff("a\n", "") == "--- version 1\n+++ version 2\n@@ -1 +0,0 @@\n-a\n"


def test_what_differs_in_too_many_lines_is_one_replacement() -> None:
    old = "".join(f"{number}\n" for number in range(MOST_LINES + 2))
    new = "".join(f"{number + 1}\n" for number in range(MOST_LINES + 2))
    lines = diff(f"same\n{old}end\n", f"same\n{new}end\n").splitlines()
    assert lines[2] == f"@@ -1,{MOST_LINES + 4} +1,{MOST_LINES + 4} @@"
    assert lines[3:5] == [" same", "-0"]
    assert lines[-2:] == [f"+{MOST_LINES + 2}", " end"]


@pytest.mark.skipif(shutil.which("patch") is None, reason="there is no `patch` on this machine")
@pytest.mark.parametrize("seed", range(20))
def test_patch_makes_the_new_text_of_the_old(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    old = "".join(rng.choice("ab\n") for _ in range(60))
    new = "".join(rng.choice("ab\n") if rng.random() < 0.2 else letter for letter in old) + rng.choice(
        ["", "x"]
    )
    (tmp_path / "text").write_text(old)
    done = subprocess.run(
        ["patch", "-s", "text"],
        cwd=tmp_path,
        input=diff(old, new),
        text=True,
        check=False,
        capture_output=True,
    )
    assert done.returncode == 0 or old == new, done.stdout
    assert (tmp_path / "text").read_text() == new
