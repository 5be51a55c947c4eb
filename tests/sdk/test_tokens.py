"""Tokens through each SDK: what one may do, and the SDK's own error for what it may not."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tests.running import Running, make_token, running_blockwire
from tests.sdk.calling import CalledSdk, Refused, calling
from tests.sdk.environments import Sdk
from tests.sdk.probes.probe import EMBEDDING, saying, unique, words

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Guarded:
    """A Blockwire with tokens of two teams."""

    running: Running
    admin: httpx.Client
    """Of the one team."""
    foreign: str
    """A token of the other team."""

    def token(self, scope: str) -> tuple[str, str]:
        """A new token of the first team, and its id."""
        made = self.admin.post("/v1/tokens/", json={"scope": scope}).raise_for_status().json()
        return made["token"], made["id"]

    def block(self) -> dict[str, Any]:
        body = {"label": unique("guarded"), "value": "Ours"}
        made: dict[str, Any] = self.admin.post("/v1/blocks/", json=body).raise_for_status().json()
        return made


@pytest.fixture(scope="session")
def guarded() -> Iterator[Guarded]:
    with running_blockwire(workers=1) as running:
        with ThreadPoolExecutor(2) as threads:
            (first, _), (foreign, _) = threads.map(
                lambda team: make_token(running, team, "admin"), ("team-a", "team-b")
            )
        bearer = {"authorization": f"Bearer {first}"}
        with httpx.Client(base_url=running.url, headers=bearer, trust_env=False, timeout=30) as admin:
            yield Guarded(running, admin, foreign)


@pytest.fixture(scope="session")
def stranger(sdk: Sdk, command: Sequence[str], guarded: Guarded) -> Iterator[CalledSdk]:
    """An SDK whose clients have no token of this Blockwire unless they are given one."""
    with calling(sdk, command, guarded.running.url) as ready:
        yield ready


def test_a_token_that_may_write_does_everything_in_its_workspace(
    guarded: Guarded, stranger: CalledSdk
) -> None:
    sdk = stranger.client(token=guarded.token("write")[0])
    block = guarded.block()
    agent = sdk.call("agents.create", model="offline/scripted", embedding=EMBEDDING, block_ids=[block["id"]])
    answer = sdk.call("agents.messages.create", agent_id=agent["id"], messages=saying({"echo": "system"}))
    assert "Ours" in words(answer["messages"])
    sdk.call("blocks.update", block_id=block["id"], value="Changed")
    assert guarded.admin.get(f"/v1/blocks/{block['id']}").json()["value"] == "Changed"


def test_a_token_that_may_read_does_no_more_than_that(guarded: Guarded, stranger: CalledSdk) -> None:
    sdk, block = stranger.client(token=guarded.token("read")[0]), guarded.block()
    assert [one["id"] for one in sdk.call("blocks.list", label=block["label"])] == [block["id"]]
    with pytest.raises(Refused, match="scope write; yours has the scope read") as refused:
        sdk.call("blocks.update", block_id=block["id"], value="Changed")
    assert refused.value.status == 403
    assert guarded.admin.get(f"/v1/blocks/{block['id']}").json()["value"] == "Ours"


def test_a_revoked_token_is_refused_from_the_next_call_on(guarded: Guarded, stranger: CalledSdk) -> None:
    secret, token_id = guarded.token("write")
    sdk, block = stranger.client(token=secret), guarded.block()
    assert sdk.call("blocks.retrieve", block_id=block["id"])["value"] == "Ours"
    guarded.admin.delete(f"/v1/tokens/{token_id}").raise_for_status()
    with pytest.raises(Refused, match="Unauthorized") as refused:
        sdk.call("blocks.retrieve", block_id=block["id"])
    assert refused.value.status == 401


def test_a_token_that_was_never_made_is_refused(stranger: CalledSdk) -> None:
    with pytest.raises(Refused, match="Unauthorized") as refused:
        stranger.client(token="LETTA_API_KEY").call("blocks.list")
    assert refused.value.status == 401


def test_what_is_in_another_workspace_is_not_there(guarded: Guarded, stranger: CalledSdk) -> None:
    sdk, block = stranger.client(token=guarded.foreign), guarded.block()
    assert sdk.call("blocks.list", label=block["label"]) == []
    for act in ("blocks.retrieve", "blocks.update", "blocks.delete"):
        told: dict[str, Any] = {"value": "Theirs"} if act == "blocks.update" else {}
        with pytest.raises(Refused, match="not found in this workspace") as refused:
            sdk.call(act, block_id=block["id"], **told)
        assert refused.value.status == 404
    assert guarded.admin.get(f"/v1/blocks/{block['id']}").json()["value"] == "Ours"
