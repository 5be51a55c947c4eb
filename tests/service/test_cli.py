"""The `blockwire` command: help for newcomers, one line for mistakes, the right process for the rest."""

import importlib.metadata
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from service import cli, entry
from service.cli import main
from service.errors import Invalid, StoreUnreachable, StoreUnreadable
from service.settings import Settings, read_settings, variables_of
from service.verbs import VERBS, Verb

HOME = Path(cli.__file__).parents[1]


class Started(BaseException):
    """Raised in the place of becoming another process."""

    def __init__(self, path: str, command: list[str], environ: Mapping[str, str]) -> None:
        super().__init__(command)
        assert path == command[0] == sys.executable
        self.command = command
        self.settings = read_settings(environ)


@pytest.fixture(autouse=True)
def _nothing_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    def become(path: str, command: list[str], environ: Mapping[str, str]) -> None:
        raise Started(path, command, environ)

    monkeypatch.setattr(os, "execve", become)
    monkeypatch.chdir(HOME)
    for field in Settings.model_fields:
        for variable in variables_of(field):
            monkeypatch.delenv(variable, raising=False)


def started(*argv: str) -> Started:
    with pytest.raises(Started) as became:
        main(argv)
    return became.value


def refused(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    """The one line with which a command is refused."""
    with pytest.raises(SystemExit) as ended:
        main(argv)
    assert ended.value.code == entry.WONT_WORK
    captured = capsys.readouterr()
    assert captured.out == ""
    [line] = captured.err.splitlines()
    assert line.startswith("blockwire: ")
    return line


def test_without_a_verb_it_lists_the_verbs(capsys: pytest.CaptureFixture[str]) -> None:
    main([])
    text = capsys.readouterr().out
    for verb in VERBS:
        assert verb.name in text
    assert "Example: blockwire up" in text


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.name)
def test_the_help_of_a_verb_explains_every_option_and_gives_an_example(
    verb: Verb, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([verb.name, "--help"])
    text = capsys.readouterr().out
    assert ended.value.code == 0
    assert f"Example: {verb.example}" in " ".join(text.split())
    for option in verb.options:
        assert option in text


def test_it_knows_its_version(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda name: f"1.2.3 of {name}")
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == "blockwire 1.2.3 of blockwire\n"


def test_it_runs_from_a_tree_that_is_not_installed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == "blockwire (not installed)\n"


def test_web_becomes_the_web_process() -> None:
    became = started("web", "--port", "9000", "--data", "my blocks")
    assert became.command[1:] == ["-m", "service.http.serve"]
    assert became.settings == Settings(port=9000, data_dir=Path("my blocks"))


def test_worker_becomes_a_worker_process() -> None:
    became = started("worker", "--slots", "64", "--pool", "fast")
    assert became.command[1:] == ["-m", "workers.main"]
    assert became.settings == Settings(slots=64, pool="fast")


def test_up_becomes_the_process_that_starts_the_others() -> None:
    assert started("up").command[1:] == ["-m", "service.processes", "2"]
    assert started("up", "--workers", "5").command[1:] == ["-m", "service.processes", "5"]


def test_token_becomes_the_command_that_knows_tokens() -> None:
    became = started("token", "create", "--workspace", "team-a", "--scope", "write", "--data", "my blocks")
    assert became.command[1:] == ["-m", "service.commands.tokens", "create", "team-a", "write", "", "", ""]
    assert became.settings == Settings(data_dir=Path("my blocks"))
    more = ("--name", "import", "--expires", "30d", "--rate", "60")
    assert started("token", "create", "--workspace", "a", "--scope", "admin", *more).command[3:] == [
        "create",
        "a",
        "admin",
        "import",
        "30d",
        "60",
    ]
    assert started("token", "list").command[3:] == ["list", ""]
    assert started("token", "list", "--json").command[3:] == ["list", "json"]
    assert started("token", "--data", "elsewhere", "revoke", "token-1").command[3:] == ["revoke", "token-1"]
    assert started("token", "--data", "elsewhere", "list").settings.data_dir == Path("elsewhere")


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ((), "required: ACT"),
        (("creat",), "invalid choice: 'creat'"),
        (("create", "--scope", "read"), "required: --workspace"),
        (("create", "--workspace", "a"), "required: --scope"),
        (("create", "--workspace", "a", "--scope", "all"), "invalid choice: 'all'"),
        (("revoke",), "required: ID"),
    ],
)
def test_a_token_command_that_lacks_something_is_one_line(
    argv: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said in refused(capsys, "token", *argv)


def test_elsewhere_our_modules_are_not_looked_for_in_the_present_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert started("worker").command[1:] == ["-P", "-m", "workers.main"]


def test_options_win_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "9000")
    monkeypatch.setenv("BLOCKWIRE_SLOTS", "7")
    settings = started("up", "--port", "9001").settings
    assert (settings.port, settings.slots) == (9001, 7)


def test_an_unknown_option_is_one_line_that_says_where_help_is(capsys: pytest.CaptureFixture[str]) -> None:
    line = refused(capsys, "web", "--prot", "9000")
    assert "unrecognized arguments: --prot 9000" in line
    assert "blockwire --help" in line


def test_an_unknown_verb_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert "invalid choice: 'wrok'" in refused(capsys, "wrok")


@pytest.mark.parametrize("count", ["0", "-1", "two"])
def test_a_number_of_workers_that_cannot_be_is_one_line(
    count: str, capsys: pytest.CaptureFixture[str]
) -> None:
    line = refused(capsys, "up", f"--workers={count}")
    assert f"--workers: must be a whole number of at least 1, not '{count}'" in line


def test_a_bad_variable_is_named(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BLOCKWIRE_SLOTS", "many")
    line = refused(capsys, "worker")
    assert line.startswith("blockwire: BLOCKWIRE_SLOTS: ")
    assert line.endswith("got 'many'")


def test_a_bad_variable_with_two_names_is_named_by_both(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORT", "99999")
    assert "BLOCKWIRE_PORT or PORT: " in refused(capsys, "web")


def test_a_bad_option_is_named(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "9000")
    assert "blockwire: --port: " in refused(capsys, "web", "--port", "many")
    assert "blockwire: --pool: " in refused(capsys, "worker", "--pool", "Pool One")


@pytest.mark.parametrize("verb", ["web", "up"])
def test_insecure_is_a_setting_of_the_process_that_listens(
    verb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert started(verb).settings.insecure is False
    assert started(verb, "--insecure").settings.insecure is True
    monkeypatch.setenv("BLOCKWIRE_INSECURE", "1")
    assert started(verb).settings.insecure is True


def test_a_worker_listens_nowhere_and_cannot_be_insecure(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--insecure" in refused(capsys, "worker", "--insecure")


def test_help_loads_neither_the_web_nor_redis() -> None:
    script = (
        "import sys; from service import cli\n"
        "heavy = {'uvicorn', 'starlette', 'redis', 'arq', 'structlog', 'asyncio'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


def test_it_runs_as_a_module() -> None:
    command = [sys.executable, "-m", "service.cli", "--version"]
    shown = subprocess.run(command, check=True, timeout=60, capture_output=True, text=True)
    assert shown.stdout.startswith("blockwire ")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Invalid("port", "9000 is taken"), entry.WONT_WORK),
        (StoreUnreachable("the store does not\nanswer"), entry.FAILED),
        (StoreUnreadable("the store holds data of schema 99"), entry.WONT_WORK),
    ],
)
def test_what_a_process_is_refused_is_one_line(
    error: Exception, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended, entry.one_line_errors():
        raise error
    assert ended.value.code == code
    assert capsys.readouterr().err == f"blockwire: {' '.join(str(error).split())}\n"


def test_ctrl_c_ends_a_process_without_a_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended, entry.one_line_errors():
        raise KeyboardInterrupt
    assert ended.value.code == entry.INTERRUPTED
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("argv", "module", "arguments"),
    [
        (["blocks", "--label", "a b"], "service.commands.lists", ["blocks", "50", "table", "label=a b"]),
        (["agents", "--json"], "service.commands.lists", ["agents", "50", "json"]),
        (
            ["runs", "--agent", "x", "--limit", "5"],
            "service.commands.lists",
            ["runs", "5", "table", "agent=x"],
        ),
        (
            ["watch", "--block", "b", "--agent", "reader"],
            "service.commands.watch",
            ["table", "block_id=b", "agent=reader"],
        ),
        (["send", "reader", "Hello"], "service.commands.send", ["table", "wait", "reader", "Hello", ""]),
        (["send", "reader", "-x", "--no-wait", "--json"], "service.commands.send", None),
        (
            ["send", "--no-wait", "--json", "reader", "Hi"],
            "service.commands.send",
            ["json", "", "reader", "Hi", ""],
        ),
        (
            ["send", "reader", "--approve"],
            "service.commands.send",
            ["table", "wait", "reader", "", "approve"],
        ),
        (
            ["send", "reader", "no", "--deny"],
            "service.commands.send",
            ["table", "wait", "reader", "no", "deny"],
        ),
        (["send", "reader", "--deny", "--approve"], "service.commands.send", None),
        (["doctor", "--json"], "service.commands.doctor", ["json"]),
        (["doctor"], "service.commands.doctor", []),
    ],
)
def test_a_command_that_asks_becomes_its_module(
    argv: list[str], module: str, arguments: list[str] | None, capsys: pytest.CaptureFixture[str]
) -> None:
    if arguments is None:  # a text that looks like an option
        refused(capsys, *argv)
        return
    assert started(*argv).command[1:] == ["-m", module, *arguments]


def test_a_command_asks_the_server_it_is_told() -> None:
    assert started("blocks", "--url", "https://elsewhere").settings.server_url == "https://elsewhere"
    assert started("blocks").settings.server_url == "http://127.0.0.1:8283"
