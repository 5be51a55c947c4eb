"""Calling: one SDK in its own process, its methods called from here one after the other.

    with calling(sdk, command, url) as sdk:
        sdk.call("blocks.create", label="notes")
        sdk.client(token="bw_…").call("blocks.list")

Methods and answers have their Python names whichever SDK it is.

Elsewhere: the other end (python/calls.py, typescript/calls.ts); which methods (methods.toml).
"""

import contextlib
import json
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tests.sdk.drivers import error_class, plain_environ
from tests.sdk.environments import Sdk
from tests.sdk.methods import shown

_CALL_S = 60


class Refused(Exception):
    """The SDK raised its own error for a status, with words that say why."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(f"{status} {detail}")
        self.status = status
        self.detail = detail


class CalledSdk:
    """A client of an SDK that waits for calls."""

    def __init__(
        self, sdk: Sdk, process: "subprocess.Popen[str]", settings: Mapping[str, Any] | None = None
    ) -> None:
        self.sdk = sdk
        self._process = process
        self.settings = dict(settings or {})
        self.methods = frozenset(self._ask(None, {}, {}, None))

    def client(self, **settings: Any) -> "CalledSdk":
        """Another client in the same process: with a `token`, a `timeout_s`, `headers` of its own."""
        return CalledSdk(self.sdk, self._process, settings)

    def has(self, method: str) -> bool:
        return not self.methods.isdisjoint(shown()[method].names)

    def call(self, method: str, take: int | None = None, **args: Any) -> Any:
        """What the method answers, as plain JSON; lists page on by themselves up to `take` items.

        Raises Refused. Any other error of the SDK, and an answer that is not of its type, fails.
        """
        told = shown()[method]
        (name,) = self.methods.intersection(told.names)
        path = {parameter: args.pop(parameter) for parameter in told.path}
        return self._ask(name, path, args, take)

    def _ask(self, name: str | None, path: dict[str, str], args: dict[str, Any], take: int | None) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        watch = threading.Timer(_CALL_S, self._process.kill)
        watch.start()
        try:
            asked = {"method": name, "path": path, "args": args, "take": take, "client": self.settings}
            self._process.stdin.write(json.dumps(asked) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        finally:
            watch.cancel()
        assert line, f"{self.sdk.name} ended, or did not answer {name} within {_CALL_S} s"
        reply = json.loads(line)
        if "error" in reply:
            raise self._error(str(name), reply["error"])
        assert not reply["faults"], f"{name}: {'; '.join(reply['faults'])}"
        assert not reply["printed"], f"{name} printed: {reply['printed']}"
        return reply["answer"]

    def _error(self, name: str, error: dict[str, Any]) -> Exception:
        """Refused, if this is the SDK's own error for a status and says why."""
        status = error.get("status")
        detail = _detail(error.get("body"))
        if status is None or not detail or error["class"] != error_class(self.sdk, status):
            return AssertionError(f"{name} ended with {error['class']} {status}: {error['message']}")
        return Refused(status, detail)


@contextlib.contextmanager
def calling(sdk: Sdk, command: Sequence[str], url: str) -> Iterator[CalledSdk]:
    """The SDK, ready for calls to the Blockwire at this address."""
    process = subprocess.Popen(
        [*command, url, "--calls"],
        env=plain_environ(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        errors="replace",
    )
    with process:
        try:
            yield CalledSdk(sdk, process)
        finally:
            process.kill()


def _detail(body: Any) -> str:
    """The words of V1's error bodies."""
    if not isinstance(body, dict):
        return ""
    told = body.get("detail") or body.get("error", {})
    return str(told.get("message", "")) if isinstance(told, dict) else str(told)
