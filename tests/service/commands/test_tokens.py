"""`blockwire token`: the secret once and alone, the rest beside it; with a server and without one."""

import json
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from service.bootstrap import open_tokens
from service.commands import tokens as token_command
from service.commands.tokens import expiry_of, run
from service.entry import WONT_WORK
from service.errors import Unauthorized
from service.processes import store_for
from service.records.base import iso
from service.settings import Settings, environment_for

pytestmark = pytest.mark.anyio

NOON = round(datetime(2026, 11, 22, 12, tzinfo=UTC).timestamp() * 1e6)
Shown = Callable[[], "tuple[str, str]"]


@pytest.fixture(params=["embedded", "given"])
def told(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Both kinds of store, neither in use by anybody."""
    if request.param == "embedded":
        return Settings(data_dir=tmp_path / "data", log_level="error")
    request.getfixturevalue("real_store")
    return Settings(redis_url=request.getfixturevalue("redis_server"))


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Logs are somebody else's; what `main` sets up would outlive the test."""
    monkeypatch.setattr(token_command, "set_up_logs", lambda *_: None)
    with capture_logs():
        yield


@pytest.fixture
def shown(capsys: pytest.CaptureFixture[str]) -> Shown:
    """What was written since one last looked: to stdout, to stderr."""

    def shown() -> tuple[str, str]:
        captured = capsys.readouterr()
        return captured.out, captured.err

    return shown


async def create(told: Settings, shown: Shown, *more: str) -> tuple[str, str, str]:
    """The secret, the id, and what was said."""
    words = ["team-a", "write", "", "", ""]
    words[: len(more)] = more
    await run(told, ["create", *words])
    out, said = shown()
    secret, end = out.split("\n")
    assert end == ""
    return secret, said.split()[0], said


async def lets_in(told: Settings, secret: str) -> bool:
    async with store_for(told) as reachable, open_tokens(reachable) as tokens:
        try:
            return (await tokens.admit(secret)).token is not None
        except Unauthorized:
            return False


async def test_a_first_token_for_what_was_made_before_sends_nobody_to_make_another(
    told: Settings, shown: Shown
) -> None:
    _, _, said = await create(told, shown, "default")
    assert "It is the first one in" in said
    assert "from before" not in said


async def test_a_token_is_made_listed_and_revoked(told: Settings, shown: Shown) -> None:
    secret, id, said = await create(told, shown)
    assert "has the scope write in workspace team-a." in said
    assert "from now on nobody comes in to its servers without a token." in said
    assert "What is from before is in workspace default, which it does not reach" in said
    assert "`blockwire token create --workspace default …`" in said
    assert secret not in said
    other, other_id, said = await create(told, shown, "team-b", "admin", "import", "30d", "60")
    assert " until " in said
    assert "first" not in said
    assert "default" not in said
    assert await lets_in(told, secret)
    shown()

    await run(told, ["list", "json"])
    listed = json.loads(shown()[0])
    assert [(one["id"], one["workspace"], one["scope"], one["rate"]) for one in listed] == [
        (id, "team-a", "write", None),
        (other_id, "team-b", "admin", 60),
    ]
    assert [one["ends_with"] for one in listed] == [secret[-4:], other[-4:]]
    assert listed[0]["expires_at"] is None
    await run(told, ["list", ""])
    lines = shown()[0].splitlines()
    assert lines[0].split() == "id name workspace scope ends with made runs out per minute".split()
    assert lines[1].split()[:4] == [id, "team-a", "write", f"…{secret[-4:]}"]
    assert lines[1].split()[-3:] == ["never", "as", "set"]
    assert other_id in lines[2]
    assert "import" in lines[2]
    assert "60" in lines[2]

    await run(told, ["revoke", id])
    said = shown()[1]
    assert said == f"{id} ({id}, workspace team-a) is revoked.\n"
    assert not await lets_in(told, secret)
    shown()
    await run(told, ["revoke", other_id])
    assert "No token is left: from now on everybody on the server's machine" in shown()[1]
    await run(told, ["list", ""])
    assert shown()[0] == "There are no tokens.\n"


async def test_it_works_beside_what_uses_the_store(told: Settings, shown: Shown) -> None:
    async with store_for(told) as reachable, open_tokens(reachable) as tokens:
        secret, id, _ = await create(told, shown)
        permit = await tokens.admit(secret)
        assert permit.token is not None
        assert permit.token.id == id


async def test_a_token_that_ran_out_is_listed_as_such(told: Settings, shown: Shown) -> None:
    await create(told, shown, "team-a", "read", "", "1m", "0")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(token_command, "now", lambda: NOON * 2)
        await run(told, ["list", ""])
    line = shown()[0].splitlines()[1]
    assert "Z (over)" in line
    assert "no limit" in line


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["create", "Team A", "read", "", "", ""], "workspace: must be 1 to 40 of"),
        (["create", "a", "read", "", "soon", ""], "--expires: must be how long it lasts (30d, 12h, 45m)"),
        (["create", "a", "read", "", "0d", ""], "--expires: must be how long"),
        (["create", "a", "read", "", "9999-12-31", ""], "--expires: must be how long"),
        (["create", "a", "read", "", "2020-01-01", ""], "--expires: 2020-01-01 is over"),
        (["create", "a", "read", "", "2026-02-30", ""], "--expires: must be how long"),
        (["create", "a", "read", "", "", "many"], "--rate: must be a whole number"),
        (["create", "a", "read", "", "", "-1"], "--rate: must be a whole number"),
        (["create", "a", "read", "x" * 201, "", ""], "name: must be at most"),
    ],
)
def test_what_cannot_be_is_one_line(
    words: list[str],
    said: str,
    redis_server: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert said in refusal(Settings(redis_url=redis_server), words, monkeypatch, capsys)


def refusal(
    told: Settings, words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> str:
    """The last line of a command that ends with a refusal."""
    for name, value in environment_for(told).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "argv", ["token", *words])
    with pytest.raises(SystemExit) as ended:
        token_command.main()
    captured = capsys.readouterr()
    assert captured.out == ""
    line: str = captured.err.splitlines()[-1]
    assert line.startswith("blockwire: ")
    assert ended.value.code == (1 if "was not found" in line else WONT_WORK)
    return line


def test_an_id_that_is_none_is_one_line(
    redis_server: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    line = refusal(Settings(redis_url=redis_server), ["revoke", "token-1"], monkeypatch, capsys)
    assert "token token-1 was not found" in line


@pytest.mark.parametrize("words", [["list", ""], ["revoke", "token-1"]])
def test_where_there_is_no_store_none_is_made_for_looking(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("REDIS_URL", raising=False)
    line = refusal(Settings(data_dir=tmp_path / "data"), words, monkeypatch, capsys)
    assert f"data: there is no store in {tmp_path / 'data'}" in line
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("30d", "2026-12-22T12:00:00.000000Z"),
        ("12h", "2026-11-23T00:00:00.000000Z"),
        ("45m", "2026-11-22T12:45:00.000000Z"),
        ("2026-12-31", "2027-01-01T00:00:00.000000Z"),
        ("2026-11-22", "2026-11-23T00:00:00.000000Z"),
    ],
)
def test_an_expiry_is_a_time_from_now_or_the_end_of_a_day(text: str, end: str) -> None:
    assert iso(expiry_of(text, NOON)) == end
