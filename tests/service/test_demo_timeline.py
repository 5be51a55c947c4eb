"""The time line: a line per edit in order, complete if that can be waited for, safe to show anywhere."""

import io
import re

import pytest
from rich.console import Console

from service.demo import screen, timeline
from service.demo.cast import Cast
from service.demo.screen import Count, clean, show_block, show_counts, show_opening
from service.demo.tally import SeenChange, Tally
from service.demo.texts import Part, Text
from service.demo.timeline import Timeline
from tests.service.test_demo_tally import BEGIN, BOSS, change, wakeup

CAST = Cast(
    supervisor=BOSS,
    workers=["agent-worker", "agent-2", "agent-3"],
    findings="block-findings",
    first_version=1,
    summary="block-summary",
)


class Stage:
    """A time line on a screen of its own."""

    def __init__(self, terminal: bool = False) -> None:
        self.tally = Tally()
        self.output = io.StringIO()
        console = Console(
            file=self.output, force_terminal=terminal, width=100, height=20, highlight=False, markup=False
        )
        self.console = console
        self.timeline = Timeline(console, self.tally, CAST, BEGIN.timestamp())

    def lines(self) -> list[str]:
        return [line.rstrip() for line in self.output.getvalue().splitlines()]

    def see(self, seen: SeenChange, what: str = "- a finding") -> None:
        self.tally.changes.append(seen)
        self.timeline.add(seen, what)

    def told(self, name: str, at_ms: float, version: int) -> None:
        moment = wakeup(name, at_ms)
        self.tally.saw([moment], BEGIN.timestamp(), BEGIN.timestamp())
        self.tally.told[name] = version
        self.timeline.settle()


def test_a_line_says_when_who_did_what_to_which_version_and_how_soon_that_was_told() -> None:
    stage = Stage()
    stage.see(change(2, at_ms=1210))
    assert stage.lines() == []
    stage.told("first", 1214.5, version=2)
    [line] = stage.lines()
    assert re.fullmatch(r" +1\.210  worker 1 +added to  findings v2 +4\.5 ms  a finding", line)


def test_lines_stay_in_order_and_a_summary_has_nobody_to_tell() -> None:
    stage = Stage()
    stage.see(change(2, at_ms=10))
    stage.see(change(3, at_ms=12))
    stage.see(change(7, at_ms=30, label="summary"))
    stage.told("first", 11, version=2)
    assert len(stage.lines()) == 1
    stage.told("second", 15, version=3)
    assert [re.findall(r"(\w+ v\d+)", line) for line in stage.lines()] == [
        ["findings v2"],
        ["findings v3"],
        ["summary v7"],
    ]


def test_an_edit_that_joined_an_unread_wake_up_says_so() -> None:
    stage = Stage()
    stage.told("first", 11, version=3)
    stage.see(change(3, at_ms=12))
    assert " joined " in stage.lines()[0]


def test_piped_a_line_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage()
    monkeypatch.setattr(timeline, "PATIENCE_S", 0.0)
    stage.see(change(2, at_ms=10))
    assert " ? " in stage.lines()[0]


def test_on_a_terminal_a_line_waits_in_sight_and_comes_out_at_the_end() -> None:
    stage = Stage(terminal=True)
    with stage.timeline.live(lambda: "worker 1 at work"):
        stage.see(change(2, at_ms=10), "- waits")
    shown = stage.output.getvalue()
    assert "worker 1 at work" in shown
    assert "…" in shown
    assert "\x1b[" in shown
    before = len(shown)
    stage.timeline.settle(closing=True)
    assert "waits" in stage.output.getvalue()[before:]


def test_piped_there_is_no_control_code_and_no_status() -> None:
    stage = Stage()
    stage.timeline.open()
    with stage.timeline.live(lambda: "worker 1 at work"):
        stage.see(change(2, at_ms=10), "- \x1b[31mred\x07 [bold]x[/]")
        stage.timeline.settle(closing=True)
    shown = stage.output.getvalue()
    assert "\x1b" not in shown
    assert "\x07" not in shown
    assert "[31mred  [bold]x[/]" in shown
    assert "at work" not in shown


def test_whoever_is_not_of_the_cast_is_somebody_else() -> None:
    assert [CAST.name_of(id) for id in (BOSS, "agent-3", "agent-9", None)] == [
        "supervisor",
        "worker 3",
        "somebody else",
        "somebody else",
    ]


def test_what_could_steer_a_terminal_is_taken_out() -> None:
    assert clean("a\x1b]0;title\x07b\r\nc\u202ed\te") == "a ]0;title b \nc d e"


def test_the_pages_around_it_show_texts_as_they_are() -> None:
    stage = Stage()
    parts = [Part(["[red].md"], "some words"), Part(["[red].md", "b.md"], "more words here")]
    show_opening(stage.console, "offline/extractive", None, "here", [Text("[red].md", "")], parts)
    show_block(stage.console, "findings", 3, "\n- [one]\nand more\n\n- two", "by the workers")
    show_block(stage.console, "summary", 1, "", "by the supervisor")
    show_counts(stage.console, [Count("lines", "3", True), Count("lost", "1", False), Count("time", "2 s")])
    screen.show_log(stage.console, ["x" * 150])
    shown = stage.output.getvalue()
    for told in (
        "offline, no key needed",
        "5 words",
        "3 words of [red].md, b.md",
        "findings version 3",
        "- [one]",
    ):
        assert told in shown
    assert "and more" in shown
    assert "(empty)" in shown
    assert "x" * 150 in shown


def test_with_a_key_it_says_which() -> None:
    stage = Stage()
    show_opening(stage.console, "anthropic/claude", "ANTHROPIC_API_KEY", "here", [], [])
    assert "a provider's model, by ANTHROPIC_API_KEY" in stage.output.getvalue()


def test_elsewhere_than_on_a_terminal_lines_are_of_one_width(capsys: pytest.CaptureFixture[str]) -> None:
    assert screen.open_console().width == screen.WIDTH_ELSEWHERE
