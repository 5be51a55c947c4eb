"""Report: what a driver found out, as one JSON object on standard output.

Used by both Python drivers, each in the environment of its own generation; so
only the standard library and pydantic, which either generation brings, are here.
"""

import json
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticSerializationError

Answer = TypeVar("Answer")
Facts = dict[str, Any]

WAIT_S = 20.0
POLL_S = 0.05


class Report:
    """Facts of each scene, and whatever was wrong with the answers as typed objects."""

    def __init__(self, absent: Mapping[str, Sequence[str]]) -> None:
        """`absent` are the fields, by class, that V1's last version does not send, or not always."""
        self._absent = absent
        self._scenes: dict[str, Facts] = {}
        self._faults: list[str] = []

    def play(self, scene: Callable[[], Facts]) -> None:
        """Run a scene; one that fails is reported with its traceback and the others go on."""
        name = scene.__name__
        try:
            self._scenes[name] = scene()
        except Exception:  # noqa: BLE001 - the test that reads the scene fails with it
            self._scenes[name] = {"failed": traceback.format_exc()}

    def checked(self, answer: Answer) -> Answer:
        """The same answer, after a look at each object in it: is every field there, and of its type?

        The SDKs themselves accept whatever arrives.
        """
        if isinstance(answer, list):
            for one in answer:
                self.checked(one)
        elif isinstance(answer, BaseModel):
            self._check(answer)
        return answer

    def _check(self, answer: BaseModel) -> None:
        kind = type(answer)
        absent = self._absent.get(kind.__name__, ())
        missing = sorted(set(kind.model_fields) - answer.model_fields_set - set(absent))
        if missing:
            self._faults.append(f"{kind.__name__} came without {', '.join(missing)}")
        try:
            kind.model_validate(answer.model_dump(by_alias=True, warnings="error"))
        except (ValidationError, PydanticSerializationError) as error:
            self._faults.append(f"{kind.__name__} is not what its type says: {error}")
        for name in kind.model_fields:
            self.checked(getattr(answer, name, None))

    def take_faults(self) -> list[str]:
        """The faults found since this was asked last."""
        found, self._faults = self._faults, []
        return found

    def write(self) -> None:
        sys.stdout.write(json.dumps({"faults": self._faults, "scenes": self._scenes}, default=str))


def refused(act: Callable[[], object]) -> Facts:
    """The error that an act ends with: its class, its status, its body, and how long it took."""
    began = time.monotonic()
    try:
        answer = act()
    except Exception as error:  # noqa: BLE001 - whatever the SDK raises is the fact
        status = getattr(error, "status_code", None)
        return {
            "class": type(error).__name__,
            "status": status,
            "body": getattr(error, "body", None),
            "message": str(error),
            "seconds": time.monotonic() - began,
        }
    return {"class": None, "answer": str(answer)}


def wait_for(what: str, read: Callable[[], Answer], done: Callable[[Answer], bool]) -> Answer:
    """What `read` returns as soon as it is `done`."""
    deadline = time.monotonic() + WAIT_S
    while not done(answer := read()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not happen within {WAIT_S:.0f} s; last seen: {answer}")
        time.sleep(POLL_S)
    return answer


def script(*entries: Facts) -> str:
    """Words that make an `offline/scripted` agent answer like this."""
    return json.dumps({"script": entries})
