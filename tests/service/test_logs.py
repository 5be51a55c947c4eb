"""Logs: one line per fact, for a person or for a machine."""

import asyncio
import io
import json
import logging
import sys
from collections.abc import Iterator

import pytest
import structlog

from service.logs import set_up_logs
from service.settings import Settings
from tests.store.team import wait_until

log = structlog.get_logger()

NAMES = ("uvicorn", "uvicorn.access", "arq.worker", "redis", "service.anything")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _logs_as_they_were() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers, root.level = handlers, level
    for name in (*NAMES, "arq", "asyncio", "httpx", "httpcore", "anthropic", "openai"):
        logging.getLogger(name).setLevel(logging.NOTSET)
        logging.getLogger(name).disabled = False
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


Output = pytest.CaptureFixture[str]


def lines(output: Output) -> list[dict[str, object]]:
    return [json.loads(line) for line in output.readouterr().err.splitlines()]


def test_away_from_a_terminal_an_event_is_a_line_of_json(capsys: Output) -> None:
    set_up_logs(Settings(), "worker")
    log.info("run.finished", run_id="run-1", agent_id="agent-1")
    [line] = lines(capsys)
    assert str(line.pop("timestamp")).endswith("Z")
    assert line == {
        "event": "run.finished",
        "level": "info",
        "process": "worker",
        "run_id": "run-1",
        "agent_id": "agent-1",
    }


def test_on_a_terminal_an_event_is_readable_and_coloured(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    set_up_logs(Settings(), "web")
    log.info("run.finished", run_id="run-1")
    text = terminal.getvalue()
    assert "run.finished" in text
    assert "\x1b[" in text
    assert not text.startswith("{")


def test_the_setting_decides_against_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    set_up_logs(Settings(json_logs=True), "web")
    log.info("run.finished")
    assert json.loads(terminal.getvalue())["event"] == "run.finished"


def test_the_setting_decides_against_a_file(capsys: Output) -> None:
    set_up_logs(Settings(json_logs=False), "web")
    log.info("run.finished", run_id="run-1")
    text = capsys.readouterr().err
    assert "run_id=run-1" in text
    assert "\x1b[" not in text


def test_context_is_bound_once_and_comes_with_every_event(capsys: Output) -> None:
    set_up_logs(Settings(), "web")
    with structlog.contextvars.bound_contextvars(workspace="default", request_id="req-1"):
        log.info("block.edited", block_id="block-1")
        logging.getLogger("service.anything").info("something was said")
    for line in lines(capsys):
        assert (line["workspace"], line["request_id"]) == ("default", "req-1")


def test_what_is_below_the_level_is_not_said(capsys: Output) -> None:
    set_up_logs(Settings(log_level="warning"), "web")
    log.info("run.finished")
    logging.getLogger("service.anything").info("run.finished")
    log.warning("run.failed")
    assert [line["event"] for line in lines(capsys)] == ["run.failed"]


def test_libraries_are_heard_from_warnings_upwards(capsys: Output) -> None:
    set_up_logs(Settings(log_level="debug"), "worker")
    for name in ("uvicorn.error", "arq.worker", "redis"):
        logging.getLogger(name).info("said too much")
        logging.getLogger(name).warning("said by %s", name)
    assert [(line["event"], line["logger"], line["level"]) for line in lines(capsys)] == [
        (f"said by {name}", name, "warning") for name in ("uvicorn.error", "arq.worker", "redis")
    ]


def test_a_stricter_level_holds_for_libraries_too(capsys: Output) -> None:
    set_up_logs(Settings(log_level="error"), "worker")
    logging.getLogger("arq.worker").warning("said too much")
    assert lines(capsys) == []


def test_requests_are_not_logged_by_the_web_server(capsys: Output) -> None:
    set_up_logs(Settings(), "web")
    logging.getLogger("uvicorn.access").error("GET /")
    assert lines(capsys) == []


@pytest.mark.parametrize("json_logs", [True, False])
def test_a_traceback_comes_without_the_values_of_variables(json_logs: bool, capsys: Output) -> None:
    set_up_logs(Settings(json_logs=json_logs), "web")
    value = "what the block " + "says"
    assert value
    try:
        raise LookupError("nothing there")
    except LookupError:
        log.exception("edit.failed")
        logging.getLogger("uvicorn.error").exception("it broke")
    text = capsys.readouterr().err
    assert text.count("LookupError: nothing there") == 2
    assert "what the block says" not in text


def test_a_line_holds_whatever_it_is_given(capsys: Output) -> None:
    set_up_logs(Settings(json_logs=True), "web")
    log.info("tool.failed", error=ValueError("ü"), half="\ud83d")
    log.info("tool.failed", error=ValueError("ü"), half="whole")
    odd, plain = lines(capsys)
    assert (odd["error"], odd["half"]) == ("ValueError('ü')", "\ud83d")
    assert (plain["error"], plain["half"]) == ("ValueError('ü')", "whole")


@pytest.mark.anyio
async def test_lines_of_a_few_milliseconds_are_one_write(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Counting(io.StringIO):
        writes = 0

        def write(self, text: str, /) -> int:
            self.writes += 1
            return super().write(text)

    out = Counting()
    monkeypatch.setattr(sys, "stderr", out)
    set_up_logs(Settings(), "web")
    log.info("request.answered", status=200)
    log.info("request.answered", status=404)
    assert out.getvalue() == ""

    async def written() -> bool:
        return out.writes > 0

    await wait_until("the lines are written", written)
    assert [json.loads(line)["status"] for line in out.getvalue().splitlines()] == [200, 404]
    assert out.writes == 1
    await asyncio.to_thread(log.info, "step.answered")
    assert json.loads(out.getvalue().splitlines()[-1])["event"] == "step.answered"


@pytest.mark.parametrize("json_logs", [True, False])
@pytest.mark.anyio
async def test_a_line_that_cannot_be_rendered_takes_no_other_with_it(
    json_logs: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Odd:
        def __repr__(self) -> str:
            raise LookupError("nothing to show")

    out = io.StringIO()
    monkeypatch.setattr(sys, "stderr", out)
    set_up_logs(Settings(json_logs=json_logs), "web")
    for event, value in (("first", 1), ("odd", Odd()), ("last", 2)):
        log.info(event, value=value)
    for handler in logging.getLogger().handlers:
        handler.flush()
    first, odd, last = out.getvalue().splitlines()
    assert "first" in first
    assert json.loads(odd) == {"event": "odd", "unprintable": "LookupError"}
    assert "last" in last


def test_what_waited_in_a_loop_that_was_closed_comes_with_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    async def saying(event: str, then: float = 0) -> None:
        log.info(event)
        await asyncio.sleep(then)

    out = io.StringIO()
    monkeypatch.setattr(sys, "stderr", out)
    set_up_logs(Settings(), "web")
    asyncio.run(saying("first"))
    asyncio.run(saying("second", 0.1))
    assert [json.loads(line)["event"] for line in out.getvalue().splitlines()] == ["first", "second"]


@pytest.mark.parametrize("json_logs", [True, False])
@pytest.mark.anyio
async def test_a_traceback_is_kept_until_it_is_written(json_logs: bool, capsys: Output) -> None:
    set_up_logs(Settings(json_logs=json_logs), "web")
    try:
        raise LookupError("nothing there")
    except LookupError:
        log.exception("edit.failed")
    await asyncio.sleep(0.05)
    assert "LookupError: nothing there" in capsys.readouterr().err
