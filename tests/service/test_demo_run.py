"""Starting the demo: the model it takes, what it refuses before anything runs, the machine it starts."""

import asyncio
import os
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from service import cli, entry
from service.demo import machine, run
from service.demo.machine import Stopped
from service.demo.run import OFFLINE, OFFLINE_S, PROVIDER_S, Choice, choose_model
from service.errors import Invalid
from service.settings import Settings, variables_of

KEYS = {"anthropic_api_key": "a", "openai_api_key": "o"}


def chosen(asked: str | None = None, **fields: str) -> Choice:
    return choose_model(Settings.model_validate(fields), asked)


def test_without_a_key_the_offline_model_is_taken() -> None:
    assert chosen() == Choice(OFFLINE, None)
    assert chosen(default_model="anthropic/claude-haiku-4-5") == Choice(OFFLINE, None)
    assert chosen().deadline_s == OFFLINE_S


@pytest.mark.parametrize("provider", ["anthropic", "openai"])
def test_with_a_key_its_providers_model_is_taken(provider: str) -> None:
    choice = chosen(**{f"{provider}_api_key": "secret"})
    assert choice.model.startswith(f"{provider}/")
    assert choice.key == f"{provider.upper()}_API_KEY"
    assert choice.deadline_s == PROVIDER_S


def test_a_default_model_is_taken_where_there_is_a_key() -> None:
    assert chosen(**KEYS, default_model="openai/gpt-4o").model == "openai/gpt-4o"


def test_the_model_asked_for_wins() -> None:
    assert chosen("offline/extractive", **KEYS) == Choice("offline/extractive", None)
    assert chosen("openai/gpt-4o", **KEYS) == Choice("openai/gpt-4o", "OPENAI_API_KEY")
    assert chosen("openai/mine", openai_base_url="http://127.0.0.1:9/v1").model == "openai/mine"


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("nonsense", "provider/model"),
        ("offline/nonsense", "no model answers to the handle"),
        ("anthropic/claude-haiku-4-5", "needs ANTHROPIC_API_KEY to be set"),
        ("openai/gpt-4o", "needs OPENAI_API_KEY to be set"),
    ],
)
def test_a_model_that_cannot_be_used_is_refused(asked: str, told: str) -> None:
    with pytest.raises(Invalid, match=told):
        chosen(asked)


class Started(BaseException):
    """Raised in the place of becoming the demo's process."""


@pytest.mark.parametrize(
    ("argv", "arguments"),
    [
        (["demo"], ["", ""]),
        (["demo", "--keep", "a.md", "b c.md"], ["keep", "", "a.md", "b c.md"]),
        (["demo", "--model", "offline/extractive", "a.md"], ["", "offline/extractive", "a.md"]),
    ],
)
def test_the_command_line_becomes_the_demo(
    argv: list[str], arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def become(path: str, command: list[str], environ: Mapping[str, str]) -> None:
        raise Started(command)

    monkeypatch.setattr(os, "execve", become)
    monkeypatch.chdir(Path(cli.__file__).parents[1])
    with pytest.raises(Started) as started:
        cli.main(argv)
    assert started.value.args[0] == [sys.executable, "-m", "service.demo.run", *arguments]


def test_a_file_that_is_not_there_ends_it_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for field in Settings.model_fields:
        for variable in variables_of(field):
            monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(sys, "argv", ["demo", "", "", str(tmp_path / "missing.md")])
    with pytest.raises(SystemExit) as ended:
        run.main()
    assert ended.value.code == entry.WONT_WORK
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("blockwire: FILE: ")
    assert len(captured.err.splitlines()) == 1


def test_its_folder_is_private_and_goes_unless_it_is_kept() -> None:
    with machine.folder(keep=False) as place:
        assert place.stat().st_mode & 0o777 == 0o700
        (place / "data").mkdir()
    assert not place.exists()
    with machine.folder(keep=True) as place:
        pass
    assert place.is_dir()
    place.rmdir()


async def test_blockwire_that_does_not_start_is_said_with_its_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(module: str, *arguments: str) -> list[str]:
        said = "\n".join(
            [*(f"line {number}" for number in range(20)), "request.answered status=200", "the end"]
        )
        return [sys.executable, "-c", f"print({said!r})"]

    monkeypatch.setattr(machine, "python_module", broken)
    async with machine.started(Settings(), tmp_path) as running:
        with pytest.raises(Stopped, match="has stopped by itself"):
            await asyncio.wait_for(running.ended(), 20)
        with pytest.raises(Stopped, match="did not start"):
            await running.ready()
    assert machine.last_words(tmp_path, most=3) == ["line 18", "line 19", "the end"]
