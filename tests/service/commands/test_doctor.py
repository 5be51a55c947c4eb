"""Doctor: what could lose data is said first, and what takes the room after it."""

import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console
from structlog.testing import capture_logs

from service.commands import doctor
from service.commands.doctor import Finding, as_json, show, size
from service.entry import WONT_WORK
from service.pressure import Filling
from service.settings import Settings
from service.store.census import Kind
from tests.store.team import Team
from tests.store.test_examine import user_without_info

pytestmark = pytest.mark.anyio
KINDS = [Kind("block:<id>", "hash", "when deleted", 2, 3000), Kind("agents", "zset", "never", 1, 100, True)]


def shown(findings: list[Finding], kinds: list[Kind]) -> str:
    console = Console(file=io.StringIO(), width=100, highlight=False, emoji=False)
    show(console, findings, kinds)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1500, "1.5 kB"),
        (20_000, "20 kB"),
        (3_200_000, "3.2 MB"),
        (5 * 10**12, "5.0 TB"),
    ],
)
def test_bytes_are_said_as_people_say_them(count: int, words: str) -> None:
    assert size(count) == words


def test_the_table_tells_kinds_shares_and_ends() -> None:
    text = shown([Finding("risk", "it forgets", good=False)], KINDS)
    assert "✗  risk  it forgets" in text
    assert "block:<id>        2   3.0 kB     97%   when deleted" in text
    assert "~100 B" in text
    assert "all" in text.splitlines()[-2]


def test_an_empty_store_has_no_shares() -> None:
    assert "%" not in shown([], [])


def test_programs_get_json() -> None:
    told = json.loads(as_json([Finding("risk", "it forgets", good=False)], KINDS))
    assert told["findings"] == [{"what": "risk", "found": "it forgets", "good": False}]
    assert told["keys"][1] == {
        "pattern": "agents",
        "keys": 1,
        "bytes": 100,
        "estimated": True,
        "ends": "never",
    }


@pytest.mark.parametrize(
    ("told", "sync", "bad"),
    [
        ({"aof_enabled": 1}, "always", []),
        ({"aof_enabled": 1}, None, []),
        ({"aof_enabled": 1}, "no", ["appendfsync no"]),
        ({"aof_enabled": 0}, "everysec", ["appendonly no"]),
        ({"aof_enabled": 1, "maxmemory_policy": "allkeys-lru"}, "always", ["allkeys-lru"]),
        ({"aof_enabled": 1, "aof_last_write_status": "err"}, "always", ["last write to disk failed"]),
    ],
)
def test_what_could_lose_data_is_bad(told: dict[str, object], sync: str | None, bad: list[str]) -> None:
    findings = doctor._findings(told, schema="1", workspaces=["default"], sync=sync, filling=Filling())
    found = [finding.found for finding in findings if finding.good is False]
    assert len(found) == len(bad)
    assert all(word in text for word, text in zip(bad, found, strict=True))


def test_the_only_copy_and_the_bound_are_facts() -> None:
    told = {"connected_slaves": 2, "valkey_version": "9.1"}
    findings = doctor._findings(
        told, schema=None, workspaces=[], sync=None, filling=Filling(500_000, 1_000_000)
    )
    facts = {finding.what: finding.found for finding in findings}
    assert facts == {
        "server": "Valkey 9.1, standalone",
        "schema": "none yet: nothing has been written here",
        "workspaces": "none",
        "memory": "500 kB of 1.0 MB (50%)",
        "replicas": "2",
    }


@pytest.mark.parametrize(
    ("filling", "words", "good"),
    [
        (Filling(79, 100), "79 B of 100 B (79%)", True),
        (Filling(80, 100), "80 B of 100 B (80%): histories shrink", False),
        (
            Filling(90, 100),
            "90 B of 100 B (90%): histories shrink, new messages and agents are refused",
            False,
        ),
        (Filling(90), "90 B, without a bound: nothing is given up before", None),
        (Filling(), "the store does not tell", None),
    ],
)
def test_how_full_the_store_is_and_what_is_given_up_for_it(
    filling: Filling, words: str, good: bool | None
) -> None:
    finding = doctor._memory(filling)
    assert finding.found.startswith(words)
    assert finding.good is good


class TestTheCommand:
    @pytest.fixture(autouse=True)
    def _settings(self, monkeypatch: pytest.MonkeyPatch, redis_server: str, tmp_path: Path) -> Iterator[None]:
        self.settings = Settings(redis_url=redis_server, data_dir=tmp_path)
        monkeypatch.setattr(doctor, "settings_or_exit", lambda: self.settings)
        monkeypatch.setattr(doctor, "set_up_logs", lambda settings, process: None)
        with capture_logs():
            yield

    @pytest.fixture
    def store(self, real_store: object) -> object:
        return real_store

    async def _filled(self, team: Team) -> None:
        await team.agent(await team.block("text"))

    def _run(self, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["doctor", *arguments])
        with pytest.raises(SystemExit) as ended:
            doctor.main()
        assert isinstance(ended.value.code, int)
        return ended.value.code

    def test_a_store_that_forgets_is_reported_and_the_command_fails(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert self._run(monkeypatch) == 1
        text = capsys.readouterr().out
        assert "appendonly no" in text
        assert "keys of" in text

    @pytest.mark.parametrize("name", ["nowhere", "empty"])
    def test_where_there_is_no_store_none_is_made_for_looking(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str
    ) -> None:
        (tmp_path / "empty").mkdir()
        self.settings = Settings(data_dir=tmp_path / name)
        assert self._run(monkeypatch) == WONT_WORK
        told = capsys.readouterr()
        assert f"data: there is no store in {tmp_path / name}; name its folder, or set REDIS_URL" in told.err
        assert told.out == ""
        assert list(tmp_path.rglob("*")) == [tmp_path / "empty"]

    async def test_it_counts_what_is_there(self, team: Team) -> None:
        await self._filled(team)
        findings, kinds = await doctor.examine_store(self.settings)
        assert ("workspaces", "default") in [(finding.what, finding.found) for finding in findings]
        assert {"block:<id>", "agent:<id>"} <= {kind.pattern for kind in kinds}

    async def test_a_user_who_may_not_ask_is_told_what_that_can_cost(
        self, team: Team, redis_server: str
    ) -> None:
        await self._filled(team)
        async with user_without_info(redis_server) as url:
            findings, kinds = await doctor.examine_store(self.settings.model_copy(update={"redis_url": url}))
        [bad] = [finding.found for finding in findings if finding.good is False]
        assert "would pass unseen" in bad
        assert "+info" in bad
        assert ("server", "it does not tell (INFO)") in [(one.what, one.found) for one in findings]
        assert {"block:<id>", "agent:<id>"} <= {kind.pattern for kind in kinds}

    def test_json_is_printed_alone(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert self._run(monkeypatch, "json") == 1
        assert json.loads(capsys.readouterr().out)["findings"]
