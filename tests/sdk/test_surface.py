"""Every method of the shared-memory surface, through each SDK: what goes in comes back in its types."""

import pytest

from tests.sdk.drivers import Told

pytestmark = pytest.mark.slow


def test_a_block_is_created_read_and_changed(told: Told) -> None:
    facts = told.scene("blocks")
    created = {
        "id": facts["made"][0],
        "label": facts["label"],
        "value": "one",
        "description": "A note",
        "limit": 500,
        "read_only": True,
        "metadata": {},
    }
    changed = {"value": "two", "description": "Another", "limit": 600, "metadata": {"colour": "red"}}
    assert facts["created"] == created
    assert facts["changed"] == created | changed
    assert facts["retrieved"]["id"] == facts["made"][1]
    assert facts["retrieved"]["value"] == "0"


def test_blocks_are_listed_oldest_first_and_page_by_page(told: Told) -> None:
    facts = told.scene("blocks")
    assert facts["listed"] == facts["made"]
    if told.sdk.generation == "new":  # it asks for page after page by itself, in either direction
        assert facts["paged"] == facts["made"]
        assert facts["backwards"] == facts["made"][::-1]
    else:
        assert facts["paged"] == facts["made"][:4]


def test_a_deleted_block_is_gone_for_everybody(told: Told) -> None:
    facts = told.scene("blocks")
    assert facts["sharers"] == [facts["agent"]]
    assert facts["labels_after_delete"] == []
    told.check_refused(facts["after_delete"], 404, facts["made"][0])


def test_an_agent_is_created_read_changed_and_deleted(told: Told) -> None:
    facts = told.scene("agents")
    created = {
        "id": facts["made"][0],
        "name": facts["name"],
        "description": "A helper",
        "model": "offline/scripted",
        "tags": [facts["tag"]],
        "tools": ["conversation_search", "memory_insert", "memory_replace"],
        "labels": ["human", "persona"],
    }
    changed = created | {"name": f"{facts['name']}-renamed", "description": "Another"}
    assert facts["created"] == created
    assert sorted(facts["changed"].pop("tags")) == sorted([facts["tag"], "new"])
    assert sorted(facts["retrieved"].pop("tags")) == sorted([facts["tag"], "new"])
    changed.pop("tags")
    assert facts["changed"] == changed
    assert facts["retrieved"] == changed
    told.check_refused(facts["after_delete"], 404, facts["made"][0])


def test_agents_are_listed_newest_first_and_page_by_page(told: Told) -> None:
    facts = told.scene("agents")
    newest_first = facts["made"][::-1]
    assert facts["listed"] == newest_first
    assert facts["paged"] == (newest_first if told.sdk.generation == "new" else newest_first[:4])
    assert facts["named"] == [facts["made"][0]]


def test_the_old_generation_counts_and_reads_core_memory_as_a_whole(told: Told) -> None:
    is_old = told.sdk.generation == "old"
    assert told.scene("blocks").get("counted") == (5 if is_old else None)
    assert told.scene("agents").get("counted") == (5 if is_old else None)
    assert told.scene("core_memory").get("memory") == (["notes", "persona", "shared"] if is_old else None)


def test_the_new_generation_is_given_relations_of_an_agent_when_it_asks(told: Told) -> None:
    facts = told.scene("agents")
    bare = facts.get("retrieved_bare", {})
    shown = [name for name in ("tags", "tools", "labels") if bare.get(name)]
    assert shown == []
    assert facts["retrieved"]["labels"] == ["human", "persona"]


def test_blocks_are_attached_read_and_changed_by_label(told: Told) -> None:
    facts = told.scene("core_memory")
    assert facts["attached"] == facts["attached_again"] == facts["listed"] == ["notes", "persona", "shared"]
    assert facts["private"] == "I am private"
    assert facts["changed"] == facts["changed_for_all"] == "Ours, by label"
    assert "Ours, by label" in facts["prompt"]


def test_a_second_block_of_the_same_label_is_a_conflict_that_is_not_repeated(told: Told) -> None:
    told.check_refused(told.scene("core_memory")["clash"], 409, "CONFLICT", "notes")


def test_a_detached_block_leaves_the_agent_and_its_prompt_but_stays(told: Told) -> None:
    facts = told.scene("core_memory")
    assert facts["detached"] == ["notes", "persona"]
    assert "<shared>" in facts["prompt"]
    assert "<shared>" not in facts["prompt_after_detach"]
    assert facts["detached_block"] == "Ours, by label"
    told.check_refused(facts["detach_again"], 404, "not attached")


def test_a_send_that_waits_answers_with_messages_reason_and_usage(told: Told) -> None:
    facts = told.scene("messages")
    assert facts["types"] == ["reasoning_message", "assistant_message"]
    assert facts["reasoning"] == "Let me think."
    assert facts["words"] == "Good morning."
    assert facts["stop_reason"] == "end_turn"
    assert facts["steps"] == 1
    prompt, completion, total = facts["tokens"]
    assert prompt > 0
    assert completion > 0
    assert total == prompt + completion


def test_a_send_that_does_not_wait_answers_with_a_run_that_ends(told: Told) -> None:
    facts = told.scene("messages")
    run, ended = facts["run"], facts["ended"]
    assert run["id"].startswith("run-")
    assert run["status"] == "created"
    assert run.get("agent_id", facts["agent_id"]) == facts["agent_id"]
    assert run.get("background", True) is True
    assert ended["id"] == run["id"]
    assert ended["status"] == "completed"
    assert ended.get("stop_reason", "end_turn") == "end_turn"
    assert ended["took"] >= 0


def test_what_was_said_is_listed_oldest_first(told: Told) -> None:
    facts = told.scene("messages")
    first = ["system_message", "user_message", "reasoning_message", "assistant_message"]
    assert facts["listed"] == [*first, "user_message", "assistant_message"]
    assert facts["said"] == ["Good morning.", "In the background."]
    assert facts["latest"] == "In the background."
    assert facts["whole_seconds"] is True


def test_a_run_under_way_is_cancelled(told: Told) -> None:
    if told.sdk.language != "python":
        return  # its drivers do not have these scenes yet
    facts = told.scene("cancelling")
    assert facts["told"] == {facts["run"]: "cancelled"}
    assert facts["status"] == "cancelled"
    told.check_refused(facts["again"], 409, "CONFLICT", "no active run")


def test_runs_and_their_steps_are_listed_and_judged(told: Told) -> None:
    if told.sdk.language != "python":
        return
    facts = told.scene("steps")
    prompt, completion, total = facts["tokens"]
    assert 0 < prompt < prompt + completion == total
    assert facts["run_agent"] == facts["agent"]
    assert facts["listed"] == facts["of_run"]
    assert len(facts["listed"]) == 1
    assert facts["said"] == ["user_message", "assistant_message"]
    assert facts["feedback"] == facts["retrieved"] == "positive"


def test_models_embeddings_and_health_are_told(told: Told) -> None:
    facts = told.scene("models")
    assert {"offline/extractive", "offline/scripted"} <= set(facts["handles"])
    assert any(handle.startswith("anthropic/") for handle in facts["handles"])
    assert all(window > 0 for window in facts["windows"])
    known = dict(zip(facts["embeddings"], facts["dimensions"], strict=True))
    assert known["openai/text-embedding-3-small"] == 1536
    assert facts["health"] == "ok"
    assert facts["version"]


def test_answers_hold_every_field_of_the_sdks_types(told: Told) -> None:
    assert sorted(set(told.faults)) == []


def test_the_sdk_finds_nothing_to_complain_about(told: Told) -> None:
    """The old TypeScript SDKs print "Failed to validate" where an answer is not what they know."""
    assert told.printed == ""
