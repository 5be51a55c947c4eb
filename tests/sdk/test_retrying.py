"""A blocking send that lasts longer than an SDK waits: it is carried out once, and its reply arrives.

SDKs of 1.x repeat it by themselves, twice; with older ones the caller does, who has to name it for that.
"""

from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tests.sdk.calling import CalledSdk
from tests.sdk.probes.probe import EMBEDDING, saying, unique, words

pytestmark = pytest.mark.slow

WAITS_S = 0.6
LASTS_MS = 1200
"""Longer than the SDK waits, and over before it has given up: it tries thrice."""
TIMED_OUT = r"(?i)time(d )?out"


@dataclass(frozen=True)
class Listener:
    """An agent whose answer takes its time."""

    id: str
    http: httpx.Client

    def told(self) -> list[dict[str, Any]]:
        """What it was told."""
        listed = self.http.get(f"/v1/agents/{self.id}/messages", params={"limit": 100}).json()
        return [one for one in listed if one["message_type"] == "user_message"]

    def runs(self) -> list[str]:
        return [run["id"] for run in self.http.get("/v1/runs/", params={"agent_id": self.id}).json()]


@pytest.fixture
def listener(http: httpx.Client) -> Listener:
    told = {"model": "offline/scripted", "embedding": EMBEDDING}
    return Listener(http.post("/v1/agents/", json=told).raise_for_status().json()["id"], http)


def send(sdk: CalledSdk, listener: Listener) -> Any:
    slow = saying({"text": "At last.", "sleep_ms": LASTS_MS})
    return sdk.call("agents.messages.create", agent_id=listener.id, messages=slow)


@pytest.mark.parametrize("named", [False, True], ids=["unnamed", "named"])
def test_a_send_that_an_sdk_repeats_by_itself_is_carried_out_once(
    called: CalledSdk, listener: Listener, named: bool
) -> None:
    if called.sdk.generation == "old":
        return  # it repeats nothing that timed out
    headers = {"Idempotency-Key": unique("send")} if named else {}
    check_heard(send(called.client(timeout_s=WAITS_S, headers=headers), listener), listener)


def test_a_send_with_a_name_may_be_repeated_by_hand(called: CalledSdk, listener: Listener) -> None:
    patient = called.client(headers={"Idempotency-Key": unique("send")})
    if called.sdk.generation == "old":
        hasty = called.client(timeout_s=WAITS_S, headers=patient.settings["headers"])
        with pytest.raises(AssertionError, match=TIMED_OUT):
            send(hasty, listener)
    else:
        check_heard(send(patient, listener), listener)
    check_heard(send(patient, listener), listener)


def check_heard(answer: Any, listener: Listener) -> None:
    """It is the answer of the only run, which the only message began."""
    assert words(answer["messages"]) == "At last."
    assert [one["run_id"] for one in answer["messages"]] == listener.runs()
    assert len(listener.told()) == 1
