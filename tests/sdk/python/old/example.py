"""The example that V1's users know, as they wrote it for `letta-client` 0.1; only the base URL is ours."""

from typing import NamedTuple

from letta_client import Letta
from letta_client.types import AgentState, Block


class Team(NamedTuple):
    client: Letta
    block: Block
    supervisor: AgentState
    worker: AgentState


def make_team(base_url: str) -> Team:
    client = Letta(base_url=base_url, token="LETTA_API_KEY")

    # a block of its own, to be shared
    block = client.blocks.create(
        label="organization",
        description="What everybody in the organization has to know.",
        value="There is nothing to know yet; write here what there is.",
    )

    # a supervisor and a worker, both attached to it
    supervisor = client.agents.create(
        model="anthropic/claude-3-5-sonnet-20241022",
        embedding="openai/text-embedding-3-small",
        memory_blocks=[{"label": "persona", "value": "I am a supervisor"}],
        block_ids=[block.id],
    )
    worker = client.agents.create(
        model="anthropic/claude-3-5-sonnet-20241022",
        embedding="openai/text-embedding-3-small",
        memory_blocks=[{"label": "persona", "value": "I am a worker"}],
        block_ids=[block.id],
    )
    return Team(client, block, supervisor, worker)
