"""Versions over HTTP: a block's history; the block as it was; diffs; taking edits back.

Undoing and restoring are edits like any other: announced, kept, and able to be
taken back themselves.
"""

from starlette.responses import Response

from service.errors import EditConflict
from service.http.answers import json_answer
from service.http.blocks import edited_answer, expected_version
from service.http.calls import Call, Nothing
from service.http.errors import StaleMatch
from service.http.refusals import NOT_KEPT
from service.http.retries import edit_id_for
from service.http.routing import Route
from service.http.schemas.blocks import EditedBlock
from service.http.schemas.versions import (
    BlockDiff,
    BlockThenResponse,
    BlockVersions,
    DiffQuery,
    TakeBack,
    VersionListQuery,
    block_then,
    version_number,
    versions_response,
)
from service.records.blocks import EditOutcome


async def find(call: Call[VersionListQuery, Nothing]) -> Response:
    """List a block's versions

    One per edit: when, what, who (an agent with its run, step and tool, or a caller of the API), and the
    texts added and removed. The answer says how far back the history is kept.
    """
    history = await call.service.history.entries(call.ws, call.path["block_id"], call.query.page())
    return json_answer(versions_response(history))


async def retrieve(call: Call[Nothing, Nothing]) -> Response:
    """Read a block as it was at a version

    A version that is no longer kept is answered with 410.
    """
    then = await call.service.history.at(call.ws, call.path["block_id"], version_number(call.path["version"]))
    return json_answer(block_then(then))


async def diff(call: Call[DiffQuery, Nothing]) -> Response:
    """Compare two versions of a block"""
    block_id, newer = call.path["block_id"], call.query.to_version
    if newer is None:
        newer = (await call.service.blocks.read(call.ws, block_id)).version
    older = max(1, newer - 1) if call.query.from_version is None else call.query.from_version
    text = await call.service.history.diff(call.ws, block_id, older, newer)
    return json_answer(BlockDiff(from_version=older, to_version=newer, diff=text))


async def undo(call: Call[Nothing, TakeBack]) -> Response:
    """Undo one edit

    What the edit removed is put back where what it wrote stands, whatever was written elsewhere since. If
    that is no longer there exactly once the answer is 409 with both texts (`edit`) and the present one
    (`current`). With an `edit_id` or an `Idempotency-Key` it is done once, however often it is asked for.
    """
    return await _taken_back(call, restore=False)


async def restore(call: Call[Nothing, TakeBack]) -> Response:
    """Go back to a version

    The block becomes what it was then: value, label, description, limit, tags, metadata. What was written
    since stays in the history. With an `edit_id` or an `Idempotency-Key` it is done once, however often it is
    asked for.
    """
    return await _taken_back(call, restore=True)


async def _taken_back(call: Call[Nothing, TakeBack], *, restore: bool) -> Response:
    history, block_id, version = call.service.history, call.path["block_id"], call.path["version"]
    act = history.restore if restore else history.undo
    expected = expected_version(call.headers, call.body.expected_version)
    edit_id = await edit_id_for(call, call.body.edit_id, f"versions.{act.__name__}")
    try:
        outcome: EditOutcome = await act(
            call.ws, block_id, version_number(version), call.by, expected, edit_id
        )
    except EditConflict as conflict:
        if call.body.expected_version is not None or expected is None:
            raise
        raise StaleMatch(conflict.expected, conflict.version, conflict.value) from conflict
    return edited_answer(outcome)


_PATH = "/v1/blocks/{block_id}/versions"

ROUTES = [
    Route("GET", _PATH, find, "Blocks", BlockVersions),
    Route("GET", f"{_PATH}/{{version}}", retrieve, "Blocks", BlockThenResponse, refuses=NOT_KEPT),
    Route("POST", f"{_PATH}/{{version}}/undo", undo, "Blocks", EditedBlock, example={}, refuses=NOT_KEPT),
    Route(
        "POST", f"{_PATH}/{{version}}/restore", restore, "Blocks", EditedBlock, example={}, refuses=NOT_KEPT
    ),
    Route("GET", "/v1/blocks/{block_id}/diff", diff, "Blocks", BlockDiff, refuses=NOT_KEPT),
]
