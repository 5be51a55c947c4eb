"""A blocking send that lasts longer than an SDK waits: it is carried out once, and its reply arrives.

SDKs of 1.x repeat it by themselves, twice; with older ones the caller does, who has to name it for that.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tests.running import Running
from tests.sdk.calling import CalledSdk, calling
from tests.sdk.environments import Sdk
from tests.sdk.probes.probe import EMBEDDING, saying, unique, words

pytestmark = pytest.mark.slow

WAITS_S = 1.0
LASTS_MS = 2000
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


@pytest.fixture(scope="module")
def http(blockwire: Running) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=blockwire.url, trust_env=False, timeout=30) as client:
        yield client


@pytest.fixture
def listener(http: httpx.Client) -> Listener:
    told = {"model": "offline/scripted", "embedding": EMBEDDING}
    return Listener(http.post("/v1/agents/", json=told).raise_for_status().json()["id"], http)


@pytest.fixture(scope="module")
def called(sdk: Sdk, command: Sequence[str], blockwire: Running) -> Iterator[CalledSdk]:
    with calling(sdk, command, blockwire.url) as ready:
        yield ready


def send(sdk: CalledSdk, listener: Listener) -> Any:
    slow = saying({"text": "At last.", "sleep_ms": LASTS_MS})
    return sdk.call("agents.messages.create", agent_id=listener.id, messages=slow)


@pytest.mark.parametrize("named", [False, True], ids=["unnamed", "named"])
def test_a_send_that_an_sdk_repeats_is_carried_out_once(
    called: CalledSdk, listener: Listener, named: bool
) -> None:
    headers = {"Idempotency-Key": unique("send")} if named else {}
    sdk = called.client(timeout_s=WAITS_S, headers=headers)
    if called.sdk.generation == "old":
        with pytest.raises(AssertionError, match=TIMED_OUT):
            send(sdk, listener)
    else:
        answer = send(sdk, listener)
        assert words(answer["messages"]) == "At last."
        assert [one["run_id"] for one in answer["messages"]] == listener.runs()
    assert len(listener.runs()) == 1


def test_a_send_with_a_name_is_repeated_by_hand(called: CalledSdk, listener: Listener) -> None:
    headers = {"Idempotency-Key": unique("send")}
    if called.sdk.generation == "old":
        with pytest.raises(AssertionError, match=TIMED_OUT):
            send(called.client(timeout_s=WAITS_S, headers=headers), listener)
    else:
        send(called.client(headers=headers), listener)
    answer = send(called.client(headers=headers), listener)
    assert words(answer["messages"]) == "At last."
    assert [one["run_id"] for one in answer["messages"]] == listener.runs()
    assert len(listener.told()) == 1
