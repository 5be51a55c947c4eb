"""The example that V1's users know, through each SDK, on a machine without any provider's key."""

import pytest

from tests.sdk.drivers import Told

pytestmark = pytest.mark.slow


def test_the_example_runs_unchanged_but_for_its_base_url(told: Told) -> None:
    made = told.scene("example")
    block, supervisor, worker = made["block"], made["supervisor"], made["worker"]
    assert block["label"] == "organization"
    assert block["value"] == "There is nothing to know yet; write here what there is."
    assert block["description"] == "What everybody in the organization has to know."
    for agent in (supervisor, worker):
        assert agent["model"] == "anthropic/claude-3-5-sonnet-20241022"
        assert agent["labels"] == ["organization", "persona"]
        assert "memory_insert" in agent["tools"]


def test_both_agents_of_the_example_share_its_block(told: Told) -> None:
    made = told.scene("example")
    assert sorted(made["sharers"]) == sorted([made["supervisor"]["id"], made["worker"]["id"]])


def test_running_the_examples_agent_ends_at_once_and_names_the_key_it_lacks(told: Told) -> None:
    told.check_refused(told.scene("example")["run"], 401, "ANTHROPIC_API_KEY", "llm_authentication")
