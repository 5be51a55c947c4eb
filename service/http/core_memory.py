"""An agent's blocks over HTTP (V1: core memory): by label, and attaching and detaching.

A label may hold slashes: in these paths it is everything up to the end, or up to
`/edits`. One that would read as something else (`attach/…`) is reached by writing
its slashes as %2F.
"""

from starlette.responses import Response

from service.http.agents import whole_agent
from service.http.answers import json_answer
from service.http.blocks import EDIT_EXAMPLE, block_answer, edit_block, update_block
from service.http.calls import Call, Nothing
from service.http.paging import part_by_id
from service.http.routing import Route
from service.http.schemas.agent_state import AgentState, Memory, memory
from service.http.schemas.blocks import (
    AgentBlocksQuery,
    BlockEdit,
    BlockResponse,
    BlockUpdate,
    EditedBlock,
    block_response,
)


async def core_memory(call: Call[Nothing, Nothing]) -> Response:
    """Read an agent's memory

    The older form; the blocks alone are under `…/core-memory/blocks`.
    """
    agent = await call.service.agents.read(call.ws, call.path["agent_id"])
    return json_answer(memory(agent, await call.service.blocks.of_agent(call.ws, agent.id)))


async def find(call: Call[AgentBlocksQuery, Nothing]) -> Response:
    """List an agent's blocks

    Sorted by id, not by time.
    """
    agent_id = call.path["agent_id"]
    attached = await call.service.blocks.of_agent(call.ws, agent_id)
    if not attached:
        await call.service.agents.read(call.ws, agent_id)
    part = part_by_id(attached, call.query.page(), lambda block: block.id)
    return json_answer([block_response(block) for block in part])


async def retrieve(call: Call[Nothing, Nothing]) -> Response:
    """Read an agent's block by its label"""
    labelled = await call.service.blocks.labelled(call.ws, call.path["agent_id"], call.path["block_label"])
    return block_answer(labelled)


async def update(call: Call[Nothing, BlockUpdate]) -> Response:
    """Change an agent's block by its label

    The block is shared: everybody who has it sees the change at once.
    """
    return await update_block(call, await _labelled_id(call))


async def edit(call: Call[Nothing, BlockEdit]) -> Response:
    """Edit the value of an agent's block by its label

    The operations of `POST /v1/blocks/{block_id}/edits`.
    """
    return await edit_block(call, await _labelled_id(call))


async def attach(call: Call[Nothing, Nothing]) -> Response:
    """Attach a block to an agent

    Attaching it again changes nothing; another block with a label the agent already has is refused with 409.
    """
    agent_id = call.path["agent_id"]
    await call.service.blocks.attach(call.ws, agent_id, call.path["block_id"], call.by)
    return await whole_agent(call, await call.service.agents.read(call.ws, agent_id))


async def detach(call: Call[Nothing, Nothing]) -> Response:
    """Detach a block from an agent

    The block itself stays.
    """
    agent_id = call.path["agent_id"]
    await call.service.blocks.detach(call.ws, agent_id, call.path["block_id"], call.by)
    return await whole_agent(call, await call.service.agents.read(call.ws, agent_id))


async def _labelled_id(call: Call[Nothing, BlockUpdate] | Call[Nothing, BlockEdit]) -> str:
    return await call.service.blocks.labelled_id(call.ws, call.path["agent_id"], call.path["block_label"])


_AGENT = "/v1/agents/{agent_id}/core-memory"
_LABEL = f"{_AGENT}/blocks/{{block_label:path}}"
_TAG = "An agent's blocks"

ROUTES = [
    Route("GET", _AGENT, core_memory, _TAG, Memory),
    Route("GET", f"{_AGENT}/blocks", find, _TAG, list[BlockResponse]),
    Route("PATCH", f"{_AGENT}/blocks/attach/{{block_id}}", attach, _TAG, AgentState),
    Route("PATCH", f"{_AGENT}/blocks/detach/{{block_id}}", detach, _TAG, AgentState),
    Route("POST", f"{_LABEL}/edits", edit, _TAG, EditedBlock, example=EDIT_EXAMPLE),
    Route("GET", _LABEL, retrieve, _TAG, BlockResponse),
    Route("PATCH", _LABEL, update, _TAG, BlockResponse, example={"value": "I am the supervisor now."}),
]
