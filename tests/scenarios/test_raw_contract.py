"""The raw contract: a service follows changes in the store itself, told by the README and by nothing else.

The README's own program and commands are run, by processes and connections that know nothing of Blockwire.
"""

import asyncio
import json
import re
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.running import ROOT, bare_environ
from tests.scenarios.api import Api, turn, wait_until
from tests.scenarios.team import Team

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

_README = (ROOT / "README.md").read_text("utf-8")
SECTION = _README.partition("## Changes without HTTP\n")[2].partition("\n## ")[0]
PROGRAM = re.findall(r"```python\n(.*?)```", SECTION, re.DOTALL)[0]
COMMANDS = re.findall(r"^redis-cli (.*?)(?: +#.*)?$", SECTION, re.MULTILINE)
FIELDS = {
    name
    for row in re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", SECTION, re.MULTILINE)
    for name in re.findall(r"`(\w+)`", row)
}
AUTHOR = set(
    re.findall(r"`(\w+)`", next(line for line in SECTION.splitlines() if line.startswith("| `author`")))
)
HARNESS = """
import sys
REDIS_URL, last = sys.argv[1:]
{program}
for change, missed in follow(last):
    print(json.dumps([change, missed]), flush=True)
"""
STREAM = "bw:{default}:changes"


class Follower:
    """A process with the README's program in it."""

    def __init__(self, url: str, last: str, log: Path) -> None:
        self.log = log
        with log.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-I", "-c", HARNESS.format(program=PROGRAM), url, last],
                env=bare_environ(),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
            )

    def told(self) -> list[tuple[dict[str, Any], bool]]:
        assert self.process.poll() is None, self.log.read_text()
        return [tuple(json.loads(line)) for line in self.log.read_text().splitlines()]

    def ids(self) -> list[str]:
        return [change["id"] for change, _ in self.told()]

    async def has(self, ids: list[str]) -> None:
        async def all_there() -> bool:
            return len(self.ids()) >= len(ids)

        await wait_until(f"{len(ids)} changes were told", all_there)
        assert self.ids() == ids


@pytest.fixture
def store(team: Team) -> Iterator["redis.Redis"]:
    """A plain connection to the team's store, as any service has one."""
    with redis.Redis.from_url(str(team.settings.redis_url), decode_responses=True) as client:
        yield client


@contextmanager
def following(team: Team, last: str, name: str = "follower") -> Iterator[Follower]:
    follower = Follower(str(team.settings.redis_url), last, team.folder / f"{name}.out")
    try:
        yield follower
    finally:
        follower.process.kill()
        follower.process.wait(10)


def ids_in(store: "redis.Redis", after: str = "0-0") -> list[str]:
    return [id for id, _ in entries(store, after)]


def entries(store: "redis.Redis", after: str = "0-0") -> list[tuple[str, dict[str, str]]]:
    found: Any = store.xrange(STREAM, f"({after}")
    return list(found)


async def test_the_program_tells_every_change_once_over_cut_connections_and_a_restart(
    team: Team, team_api: Api, store: "redis.Redis"
) -> None:
    """What was there before it began, what comes while it listens, and what came while it could not."""
    assert "service" not in PROGRAM
    team.appendfsync = "always"
    team.start("worker 1")
    block = await team_api.block("board")
    begin = ids_in(store)[-1]
    await team_api.append(block, "before ")
    with following(team, begin) as follower:
        await follower.has(ids_in(store, begin))
        for round in range(3):
            for n in range(20):
                await team_api.append(block, f"{round}.{n} ")
                if n == 10:
                    store.client_kill_filter(_type="pubsub")
            await follower.has(ids_in(store, begin))
        team.kill("store")
        team.start_store()
        await wait_until("the web was back", lambda: appended(team_api, block))
        agent = await team_api.agent(block)
        run = await team_api.send(agent, turn("memory_insert", label="board", new_string="x"), {"text": "."})
        assert (await team_api.ended(run))["status"] == "completed"
        await team_api.http.patch(f"/v1/agents/{agent}/core-memory/blocks/detach/{block}")
        await team_api.http.delete(f"/v1/blocks/{block}")
        await follower.has(ids_in(store, begin))
        told = follower.told()
    assert [missed for _, missed in told] == [False] * len(told)
    for change, _ in told:
        assert set(change) <= FIELDS, "a field that the README does not tell of"
        assert set(change["author"]) <= AUTHOR
    assert {name for change, _ in told for name in change} == FIELDS
    assert {change["kind"] for change, _ in told} == {"edited", "attached", "detached", "deleted"}
    by_agent = [change["author"] for change, _ in told if "tool" in change["author"]]
    assert [one["agent_id"] for one in by_agent] == [agent]


async def appended(api: Api, block: str) -> bool:
    edit = {"operation": "append", "text": "after ", "edit_id": "after the restart"}
    return (await api.http.post(f"/v1/blocks/{block}/edits", json=edit)).status_code == 200


async def test_the_program_says_when_what_lay_between_is_gone(
    team: Team, team_api: Api, store: "redis.Redis"
) -> None:
    """Trimmed, or never there: the id is another store's. From then on all is in step again."""
    team.start()
    block = await team_api.block("board")
    begin = ids_in(store)[-1]
    for n in range(5):
        await team_api.append(block, f"{n} ")
    store.xtrim(STREAM, maxlen=3, approximate=False)
    for name, last in (("late", begin), ("foreign", "1-7")):
        with following(team, last, name) as follower:
            await follower.has(ids_in(store))
            await team_api.append(block, "more ")
            await follower.has(ids_in(store))
            assert [missed for _, missed in follower.told()] == [True] + [False] * (len(follower.ids()) - 1)


def test_the_first_change_of_all_follows_nothing(team: Team) -> None:
    """So whoever begins at 0-0 is told of none that is gone."""
    team.start()
    with redis.Redis.from_url(str(team.settings.redis_url), decode_responses=True) as store:
        asyncio.run(one_block(team))
        entry = json.loads(entries(store)[0][1]["change"])
    assert (entry["prev"], entry["kind"]) == ("0-0", "created")


async def one_block(team: Team) -> None:
    api = Api(team.url)
    await api.block("board")
    await api.http.aclose()


async def test_the_commands_of_redis_cli_do_what_is_said_beside_them(
    team: Team, team_api: Api, store: "redis.Redis"
) -> None:
    team.start()
    block = await team_api.block("board", "one")
    subscribe, newest, after, read, user = COMMANDS
    with socket.socket(socket.AF_UNIX) as bell:
        bell.settimeout(10)
        bell.connect(f"{team.folder}/s")
        bell.sendall(spoken(shlex.split(subscribe)))
        heard = bell.makefile("rb")
        assert reply(heard) == ["subscribe", "bw:{default}:changed", 1]
        ((last, _),) = run(store, newest)
        assert run(store, after, last=last) == []
        await team_api.append(block, " two")
        kind, channel, rung = reply(heard)
        assert (kind, channel) == ("message", "bw:{default}:changed")
    ((id, fields),) = run(store, after, last=last)
    change = json.loads(fields[1])
    assert json.loads(rung) == change
    assert (change["id"], change["prev"], change["added"]) == (id, last, " two")
    assert run(store, read, block=block) == ["2", "one two"]

    run(store, user)
    with redis.Redis.from_url(
        str(team.settings.redis_url), username="follower", password="secret", decode_responses=True
    ) as follower:
        assert len(ids_in(follower)) == 2
        assert follower.execute_command("HMGET", f"bw:{{default}}:block:{block}", "version") == ["2"]
        listening = follower.pubsub()
        listening.subscribe("bw:{default}:changed")
        assert listening.get_message(timeout=10) is not None
        for forbidden in (
            "HMGET bw:{other}:block:x value",
            f"HSET bw:{{default}}:block:{block} value mine",
            "PUBLISH bw:{default}:changed mine",
            "SUBSCRIBE bw:{other}:changed",
            "SCAN 0",
            "FLUSHALL",
        ):
            with pytest.raises(redis.exceptions.NoPermissionError):
                follower.execute_command(*forbidden.split())


def run(store: "redis.Redis", command: str, **of: str) -> Any:
    words = [
        word.replace("<last>", of.get("last", ""))
        .replace("<block id>", of.get("block", ""))
        .replace("<password>", "secret")
        for word in shlex.split(command)
    ]
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(10)
        line.connect(store.connection_pool.connection_kwargs["path"])
        line.sendall(spoken(words))
        return reply(line.makefile("rb"))


def spoken(words: list[str]) -> bytes:
    """A command as redis-cli sends it."""
    parts = [f"${len(word.encode())}\r\n{word}\r\n" for word in words]
    return f"*{len(words)}\r\n{''.join(parts)}".encode()


def reply(line: Any) -> Any:
    """What the server says to that."""
    kind, rest = (head := line.readline().decode().rstrip("\r\n"))[:1], head[1:]
    if kind == "$":
        return None if rest == "-1" else line.read(int(rest) + 2)[:-2].decode()
    if kind == "*":
        return [reply(line) for _ in range(int(rest))]
    assert kind in (":", "+"), head
    return int(rest) if kind == ":" else rest
