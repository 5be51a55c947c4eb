"""Blocks over HTTP: create, read, list, change and delete, and who sees a block.

Changing has two doors to the same room: V1's PATCH, and the operations under
`…/edits`. Both may name the version they were made from, in the body (409 if it
has moved) or in `If-Match` (412).
"""

from starlette.responses import Response

from service.errors import EditConflict, Invalid
from service.http.agents import agents_answer
from service.http.answers import json_answer
from service.http.calls import Call, Headers, Nothing
from service.http.errors import StaleMatch
from service.http.retries import edit_id_for, id_for
from service.http.routing import Route
from service.http.schemas.agent_state import AgentState
from service.http.schemas.agents import BlockAgentsQuery
from service.http.schemas.blocks import (
    BlockCountQuery,
    BlockEdit,
    BlockListQuery,
    BlockResponse,
    BlockUpdate,
    CreateBlock,
    EditedBlock,
    block_response,
    edit_of,
    edited_block,
    fields_of,
    update_of,
)
from service.records.blocks import Block, Edit, EditOutcome

EDIT_EXAMPLE = {"operation": "append", "text": "\n- the tests pass", "edit_id": "report-17"}
_NEW_BLOCK = {"label": "organization", "description": "What we all know", "value": "Nothing decided yet."}


async def create(call: Call[Nothing, CreateBlock]) -> Response:
    """Create a block

    It always gets a fresh id; two blocks may share a label. With an `Idempotency-Key` the same request makes
    one block, however often it comes.
    """
    block_id = await id_for(call, "block", "blocks.create")
    made = await call.service.blocks.create(call.ws, fields_of(call.body), call.by, block_id=block_id)
    return block_answer(made)


async def retrieve(call: Call[Nothing, Nothing]) -> Response:
    """Read a block"""
    return block_answer(await call.service.blocks.read(call.ws, call.path["block_id"]))


async def find(call: Call[BlockListQuery, Nothing]) -> Response:
    """List blocks

    Oldest first unless asked otherwise. Hidden blocks are left out.
    """
    found = await call.service.blocks.find(call.ws, call.query.block_query(), call.query.page())
    return json_answer([block_response(block) for block in found])


async def count(call: Call[BlockCountQuery, Nothing]) -> Response:
    """Count blocks"""
    return json_answer(await call.service.blocks.count(call.ws, call.query.block_query()))


async def update(call: Call[Nothing, BlockUpdate]) -> Response:
    """Change a block

    Only fields that are there and not null are applied. With `expected_version`, or the header `If-Match`,
    nothing is applied unless the block is still at that version: the answer is then 409 (or 412) with the
    current version and value.
    """
    return await update_block(call, call.path["block_id"])


async def edit(call: Call[Nothing, BlockEdit]) -> Response:
    """Edit a block's value

    `set` puts the text; `append` adds it as it stands; `insert` adds it as lines after a line; `replace`
    puts it in place of `old`, which must occur exactly once unless `all`; `configure` changes any field.
    Each works on the value as it is at that moment, so appends and inserts by many writers all survive.
    With an `edit_id` or an `Idempotency-Key` an edit is made once, however often it comes.
    """
    return await edit_block(call, call.path["block_id"])


async def delete(call: Call[Nothing, Nothing]) -> Response:
    """Delete a block

    It is detached from every agent first. The answer is `null`.
    """
    await call.service.blocks.delete(call.ws, call.path["block_id"], call.by)
    return json_answer(None)


async def agents(call: Call[BlockAgentsQuery, Nothing]) -> Response:
    """List the agents a block is attached to"""
    ids = await call.service.blocks.agents_of(call.ws, call.path["block_id"], call.query.page())
    found = await call.service.agents.read_many(call.ws, ids)
    return await agents_answer(call, found, call.query.relations(call.headers))


async def update_block(call: Call[Nothing, BlockUpdate], block_id: str) -> Response:
    """Applies a PATCH; one that names nothing at all only reads."""
    expected = expected_version(call.headers, call.body.expected_version)
    asked = update_of(call.body, expected)
    if expected is None and asked.fields is not None and not asked.fields.model_fields_set:
        return block_answer(await call.service.blocks.read(call.ws, block_id))
    outcome = await _edit(call, block_id, asked)
    return block_answer(outcome.block)


async def edit_block(call: Call[Nothing, BlockEdit], block_id: str) -> Response:
    """Applies an edits body to a block."""
    asked = edit_of(call.body, expected_version(call.headers, call.body.expected_version))
    edit_id = await edit_id_for(call, call.body.edit_id, "blocks.edits")
    return edited_answer(await _edit(call, block_id, asked.model_copy(update={"edit_id": edit_id})))


def edited_answer(outcome: EditOutcome) -> Response:
    return json_answer(edited_block(outcome), headers=_etag(outcome.block))


def block_answer(block: Block) -> Response:
    return json_answer(block_response(block), headers=_etag(block))


def expected_version(headers: Headers, in_body: int | None) -> int | None:
    """The version a change was made from: of the body, or of `If-Match` (`"5"`, `5`, or `*` for any)."""
    header = headers.get(b"if-match", b"").decode("latin-1").strip()
    if header in ("", "*"):
        return in_body
    if header.startswith("W/"):
        raise Invalid("If-Match", 'a weak tag cannot guard a change; send the version alone, such as "5"')
    bare = header[1:-1] if len(header) > 2 and header[0] == header[-1] == '"' else header
    if not (bare.isascii() and bare.isdigit() and len(bare) < 20):
        raise Invalid("If-Match", 'must be one version, such as "5", or *')
    if in_body is not None and in_body != int(bare):
        raise Invalid("If-Match", "names another version than expected_version; send one of them")
    return int(bare)


async def _edit(
    call: Call[Nothing, BlockUpdate] | Call[Nothing, BlockEdit], block_id: str, asked: Edit
) -> EditOutcome:
    try:
        return await call.service.blocks.edit(call.ws, block_id, asked, call.by)
    except EditConflict as conflict:
        if call.headers.get(b"if-match", b"").strip() in (b"", b"*"):
            raise
        raise StaleMatch(conflict.expected, conflict.version, conflict.value) from conflict


def _etag(block: Block) -> dict[str, str]:
    return {"etag": f'"{block.version}"'}


ROUTES = [
    Route("POST", "/v1/blocks/", create, "Blocks", BlockResponse, example=_NEW_BLOCK),
    Route("GET", "/v1/blocks/", find, "Blocks", list[BlockResponse]),
    Route("GET", "/v1/blocks/count", count, "Blocks", int),
    Route("GET", "/v1/blocks/{block_id}", retrieve, "Blocks", BlockResponse),
    Route(
        "PATCH",
        "/v1/blocks/{block_id}",
        update,
        "Blocks",
        BlockResponse,
        example={"value": "We ship on Friday."},
    ),
    Route("DELETE", "/v1/blocks/{block_id}", delete, "Blocks"),
    Route("POST", "/v1/blocks/{block_id}/edits", edit, "Blocks", EditedBlock, example=EDIT_EXAMPLE),
    Route("GET", "/v1/blocks/{block_id}/agents", agents, "Blocks", list[AgentState]),
]
