"""History: one entry per edit, from which every version is rebuilt, forward and backward, byte for byte."""

import json
import random
from typing import Any

import pytest

from service.errors import BlockwireError
from service.records.blocks import Author, Block
from service.settings import Settings
from tests.store.team import WS, Team

pytestmark = pytest.mark.anyio

ALPHABET = ["a", "b", "\n", "é", "ñ", "→", "😀", "🇨🇭", "e\u0301", "\u00ff"]


def forward(value: bytes, entry: dict[str, str]) -> bytes:
    """The value after an entry, from the one before it."""
    at, removed, added = int(entry["position"]), entry["removed"].encode(), entry["added"].encode()
    assert value[at : at + len(removed)] == removed
    return value[:at] + added + value[at + len(removed) :]


def backward(value: bytes, entry: dict[str, str]) -> bytes:
    at, removed, added = int(entry["position"]), entry["removed"].encode(), entry["added"].encode()
    assert value[at : at + len(added)] == added
    return value[:at] + removed + value[at + len(added) :]


def some_text(rng: random.Random, most: int) -> str:
    return "".join(rng.choice(ALPHABET) for _ in range(rng.randint(0, most)))


def some_edit(rng: random.Random, value: str) -> tuple[str, dict[str, Any]]:
    """An operation as likely as not to fit the value."""
    operation = rng.choice(["set", "set", "append", "insert", "replace", "replace", "configure"])
    text = some_text(rng, 6)
    if operation == "set":
        cut = rng.randint(0, len(value))
        return operation, {"text": value[:cut] + text + value[cut + rng.randint(0, 5) :]}
    if operation == "insert":
        return operation, {"text": text, "line": rng.randint(-1, value.count("\n") + 1)}
    if operation == "replace":
        start = rng.randint(0, len(value))
        return operation, {"old": value[start : start + 2] or "a", "text": text, "all": rng.random() < 0.5}
    if operation == "configure":
        return operation, {"fields": {"description": text, "value": some_text(rng, 20)}}
    return operation, {"text": text}


async def edited_at_random(team: Team, block: Block, rng: random.Random, edits: int) -> list[str]:
    """All values the block has had, the first one first."""
    values = [block.value]
    for _ in range(edits):
        operation, asked = some_edit(rng, values[-1])
        try:
            outcome = await team.edit(block, operation, **asked)
        except BlockwireError:
            continue
        assert outcome.block.chars == len(outcome.block.value)
        if outcome.changed:
            values.append(outcome.block.value)
        else:
            assert outcome.block.value == values[-1]
    return values


@pytest.mark.parametrize("seed", range(8))
async def test_history_replays_to_every_value_forward_and_backward(team: Team, seed: int) -> None:
    rng = random.Random(seed)
    block = await team.block(some_text(rng, 20))
    values = await edited_at_random(team, block, rng, 120)
    entries = await team.history(block)
    assert [entry["id"] for entry in entries] == [f"{version}-0" for version in range(1, len(values) + 1)]
    value = values[0].encode()
    for entry, expected in zip(entries[1:], values[1:], strict=True):
        value = forward(value, entry)
        assert value == expected.encode()
        assert (int(entry["before"]), int(entry["after"])) == (
            len(backward(value, entry).decode()),
            len(expected),
        )
    for entry, expected in zip(reversed(entries[1:]), reversed(values[:-1]), strict=True):
        value = backward(value, entry)
        assert value == expected.encode()


async def test_splices_end_between_characters(team: Team) -> None:
    """é, è and ê share their first byte; 😀 and 😁 their first three: neither is ever cut in two."""
    block = await team.block("aé😀b")
    for value in ("aè😀b", "aè😁b", "aê😁b", "aééb", "a👍😁b"):
        await team.edit(block, "set", value)
    entries = (await team.history(block))[1:]
    assert [(entry["removed"], entry["added"]) for entry in entries] == [
        ("é", "è"),
        ("😀", "😁"),
        ("è", "ê"),
        ("ê😁", "éé"),
        ("éé", "👍😁"),
    ]


async def test_a_repeated_text_is_told_as_one_splice(team: Team) -> None:
    block = await team.block("aaaa")
    await team.edit(block, "set", "aa")
    await team.edit(block, "set", "aaaaaa")
    entries = (await team.history(block))[1:]
    assert [(entry["removed"], entry["added"]) for entry in entries] == [("aa", ""), ("", "aaaa")]


async def test_an_entry_says_who_did_what(team: Team) -> None:
    block = await team.block("one")
    author = Author(name="bob", agent_id="agent-1", run_id="run-1", step_id="step-1", tool="memory", call=2)
    await team.edit(block, "append", "!", by=author)
    entry = (await team.history(block))[1]
    assert entry["operation"] == "append"
    assert Author.model_validate_json(entry["author"]) == author
    assert int(entry["at"]) == (await team.service.blocks.read(WS, block.id)).updated_at


async def test_configuring_keeps_what_was_and_what_is(team: Team) -> None:
    block = await team.block("one", description="old", tags=["a"])
    await team.configure(block, description="new", tags=["b"], limit=100_000, metadata={"x": None})
    entry = (await team.history(block))[1]
    assert json.loads(entry["were"]) == {"description": "old", "tags": '["a"]', "metadata": "{}"}
    assert json.loads(entry["fields"])["description"] == "new"
    assert (entry["position"], entry["removed"], entry["added"]) == ("0", "", "")


async def test_a_full_value_stands_at_the_first_and_every_fiftieth_version(team: Team) -> None:
    block = await team.block("0")
    for number in range(1, 102):
        await team.edit(block, "append", f",{number}")
    entries = await team.history(block)
    whole = {int(entry["id"].split("-")[0]): entry["value"] for entry in entries if "value" in entry}
    assert set(whole) == {1, 51, 101}
    assert whole[51] == ",".join(str(number) for number in range(51))


class TestWithLittleRoom:
    @pytest.fixture
    def settings(self) -> Settings:
        return Settings(history_count=10)

    async def test_only_so_many_entries_are_kept(self, team: Team) -> None:
        block = await team.block()
        for _ in range(300):
            await team.edit(block, "append", "x")
        entries = await team.history(block)
        assert 10 <= len(entries) < 200
        assert entries[-1]["id"] == "301-0"
