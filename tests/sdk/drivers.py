"""Drivers: programs that use one SDK each, run by their own interpreter, and what they report.

A driver plays all its scenes in one process and prints one JSON object; tests
read the facts of a scene, which have the same names whichever SDK found them.

Elsewhere: where drivers run (environments.py); the drivers (python/, typescript/).
"""

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tests.running import Running, bare_environ
from tests.sdk.environments import HERE, Sdk

Facts = dict[str, Any]
_RUN_S = 90

EVERYTHING_ON = {"BLOCKWIRE_CUSTOM_TOOLS": "process", "BLOCKWIRE_TRACES": "1"}
"""Settings of the Blockwire that SDKs are tried against."""

_OLD_CLASSES = {"python": "ApiError", "typescript": "LettaError"}
_NEW_CLASSES = {
    400: "BadRequestError",
    401: "AuthenticationError",
    403: "PermissionDeniedError",
    404: "NotFoundError",
    409: "ConflictError",
    422: "UnprocessableEntityError",
    429: "RateLimitError",
}


@dataclass(frozen=True)
class Told:
    """What a driver told of its SDK."""

    sdk: Sdk
    scenes: dict[str, Facts]
    faults: list[str]
    """What was wrong with answers as objects of the SDK's types; TypeScript's compiler sees to those."""
    printed: str
    """Whatever it printed besides: SDKs print where an answer is not what they know."""

    def scene(self, name: str) -> Facts:
        """The facts of a scene; fails with the driver's own traceback if it did not get to its end."""
        facts = self.scenes[name]
        assert "failed" not in facts, f"{self.sdk.name}, scene {name}:\n{facts['failed']}"
        return facts

    def check_refused(self, refusal: Facts, status: int, *words: str) -> None:
        """The error was the SDK's own for this status, at once (so not repeated), and said these words."""
        assert refusal["class"] == error_class(self.sdk, status), refusal
        assert refusal["status"] == status, refusal
        said = json.dumps(refusal["body"])
        assert all(word in said for word in words), said
        assert refusal["seconds"] < 3, refusal


def error_class(sdk: Sdk, status: int) -> str:
    """The class of an SDK's own error for a status."""
    if sdk.generation == "old" and status != 422:
        return _OLD_CLASSES[sdk.language]
    if status >= 500:
        return "InternalServerError"
    return _NEW_CLASSES.get(status, {"python": "APIStatusError", "typescript": "APIError"}[sdk.language])


def run_driver(sdk: Sdk, command: Sequence[str], running: Running) -> Told:
    """Everything an SDK's driver has to tell of a running Blockwire."""
    try:
        done = subprocess.run(
            [*command, running.url],
            env=plain_environ(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_RUN_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise AssertionError(
            f"{sdk.name}: its driver was not done after {_RUN_S} s\n{running.log()}"
        ) from None
    printed, opening, report = done.stdout.partition('{"faults"')
    if done.returncode != 0 or not opening:
        said = f"{done.stdout}\n{done.stderr}\n{running.log()}"
        raise AssertionError(f"{sdk.name}: its driver ended with {done.returncode}:\n{said}")
    told = json.loads(opening + report)
    return Told(sdk, told["scenes"], told["faults"], printed + done.stderr)


def plain_environ() -> dict[str, str]:
    """Nothing that steers the SDKs, the interpreters or the way to a local address."""
    meant_for_others = ("LETTA_", "PYTHON", "NODE_", "COVERAGE_")
    bare = {
        name: value
        for name, value in bare_environ().items()
        if not name.startswith(meant_for_others) and not name.lower().endswith("_proxy")
    }
    return bare | {"PYTHONPATH": str(HERE / "python"), "PYTHONDONTWRITEBYTECODE": "1"}
