"""The program inside a sandbox, as far as it can be looked at from this process.

That it keeps its bounds is shown where it really runs: test_sandbox.py.
"""

import ctypes
import io
import json
import os
import resource
import signal
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from workers.tools import sandboxed


class Exited(Exception):
    """Instead of the end of the process."""


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Runs the program here, with all that would change this process kept away; what it says."""
    limits: list[int] = []

    def limit(kind: int, most: tuple[int, int]) -> None:
        limits.append(kind)
        if kind == resource.RLIMIT_AS:
            raise ValueError("not on this system")

    def leave(code: int) -> None:
        raise Exited(code)

    monkeypatch.setattr(resource, "setrlimit", limit)
    monkeypatch.setattr(os, "_exit", leave)
    monkeypatch.setattr(sandboxed, "_close_input", lambda: None)
    monkeypatch.setattr(os, "environ", {"OLD": "x"})
    monkeypatch.setattr(sandboxed, "_die_with", lambda parent: None)

    def run(source: str, most: int = 1000, **arguments: Any) -> dict[str, Any]:
        payload = {
            "source": source,
            "function": "f",
            "arguments": arguments,
            "environ": {"NEW": "y"},
            "most_chars": most,
            "cpu_seconds": 1,
            "bytes": 1,
        }
        sent = SimpleNamespace(buffer=io.BytesIO(json.dumps(payload).encode()))
        monkeypatch.setattr(sys, "stdin", sent)
        result = os.open(tmp_path / "result", os.O_CREAT | os.O_RDWR | os.O_TRUNC)
        with pytest.raises(Exited, match="0"):
            sandboxed.main(os.getppid(), result)
        assert dict(os.environ) == {"NEW": "y"}
        assert resource.RLIMIT_NPROC in limits
        said: dict[str, Any] = json.loads((tmp_path / "result").read_text())
        return said

    return run


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("'abc'", {"text": "abc", "chars": 3, "json": False}),
        ("'x' * 2000", {"text": "x" * 1000, "chars": 2000, "json": False}),
        ("[1]", {"text": "[1]", "chars": 3, "json": True}),
        ("None", {"text": "None", "chars": 4, "json": False}),
        ("{2}", {"text": "{2}", "chars": 3, "json": False}),
    ],
)
def test_it_says_what_the_function_gave(told: Any, body: str, said: dict[str, Any]) -> None:
    assert told(f"def f(): return {body}") == said


def test_it_awaits_and_falls_back_to_the_last_function(told: Any) -> None:
    assert told("async def f(): return 'awaited'")["text"] == "awaited"
    assert told("f = 1\ndef a(): return 'a'\ndef b(): return 'b'")["text"] == "b"
    assert told("x = 1")["error"] == "NameError"


def test_it_says_what_was_raised_from_the_tools_first_line_on(told: Any) -> None:
    said = told("def f(a): raise ValueError(a)", a="no")
    assert (said["error"], said["text"]) == ("ValueError", "no")
    assert said["trace"].splitlines()[1] == '  File "<tool>", line 1, in f'
    odd = told(
        "class Odd(Exception):\n  def __str__(self): raise ValueError\ndef f(): raise Odd\nf.__module__ = 1"
    )
    assert odd == {"error": "Odd", "text": "", "trace": ""}


def test_it_asks_to_die_with_its_parent_and_ends_if_that_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int]] = []
    library = SimpleNamespace(prctl=lambda option, number: asked.append((option, number.value)))
    monkeypatch.setattr(ctypes, "CDLL", lambda name: library)

    def leave(code: int) -> None:
        raise Exited(code)

    monkeypatch.setattr(os, "_exit", leave)
    monkeypatch.setattr(sys, "platform", "linux")
    sandboxed._die_with(os.getppid())
    assert asked == [(1, signal.SIGKILL)]
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(Exited, match="1"):
        sandboxed._die_with(-1)
    assert len(asked) == 1
