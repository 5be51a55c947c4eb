"""The example that V1's users know, through each SDK, on a machine without any provider's key."""

import subprocess

import httpx
import pytest

from tests.running import ROOT, Running, bare_environ
from tests.sdk.drivers import Told
from tests.sdk.environments import Sdk

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


def test_the_readmes_first_program_runs(
    sdk: Sdk, command: list[str], blockwire: Running, http: httpx.Client
) -> None:
    if sdk.language != "python":
        pytest.skip("the program is Python")
    start = (ROOT / "README.md").read_text("utf-8").partition("\n## Start it\n")[2]
    program = start.partition("```python\n")[2].partition("```")[0]
    assert "http://localhost:8283" in program
    program = program.replace("http://localhost:8283", blockwire.url)
    if sdk.generation == "old":  # as its comment says
        assert "# 0.1.x: token=" in program
        program = program.replace("api_key=", "token=")
    program += "print(supervisor.id, worker.id)\n"
    ran = subprocess.run(
        [command[0], "-c", program], env=bare_environ(), capture_output=True, text=True, timeout=60
    )
    made = ran.stdout.split()
    assert (ran.returncode, len(made)) == (0, 2), ran.stderr
    for id in made:
        blocks = http.get(f"/v1/agents/{id}/core-memory/blocks").json()
        assert {block["label"] for block in blocks} == {"organization", "persona"}
