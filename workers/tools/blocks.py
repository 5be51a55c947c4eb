"""Blocks as tools: every memory tool becomes one or more edits through Blocks.edit.

Tabs in arguments are expanded, except where an argument has to match the text as
it is stored. A result shows the whole new value, so that the model sees what
others wrote in the meantime together with its own edit.
"""

import asyncio
import re

from service.errors import EditConflict, LabelTaken, ManyMatches, NoMatch
from service.patches import PatchFailed, PatchOperation, apply_patch, is_multi, parse_operations
from service.prompts import LINE_NUMBER_WARNING
from service.records.blocks import Block, BlockFields, Edit
from service.tools.arguments import (
    AppendArguments,
    CoreReplaceArguments,
    FinishArguments,
    InsertArguments,
    MemoryArguments,
    PatchArguments,
    ReplaceArguments,
    RethinkArguments,
)
from workers.tools.context import Handler, ToolContext, ToolFailed

PATCH_TRIES = 10
_REWRITE_AGAIN = (
    "Rewrite it again so that what they wrote is kept where it matters, or change only your part of it."
)
_NUMBERED = re.compile(r"^\s*\d+→", re.MULTILINE)
_NUMBERED_IN_PATCH = re.compile(r"^[-+ ]?\s*\d+→", re.MULTILINE)


async def core_memory_append(context: ToolContext, given: AppendArguments) -> str:
    block = await context.editable(given.label)
    outcome = await context.edit(block, Edit(operation="append", text=f"\n{given.content}"))
    return outcome.block.value


async def core_memory_replace(context: ToolContext, given: CoreReplaceArguments) -> str:
    block = await context.editable(given.label)
    return await _replace(context, block, given.old_content, given.new_content, all=True)


async def memory_insert(context: ToolContext, given: InsertArguments) -> str:
    block = await context.editable(given.label)
    text = _clean("new_string", given.new_string).expandtabs()
    edit = Edit(operation="insert", text=text, line=given.insert_line)
    return (await context.edit(block, edit)).block.value


async def memory_replace(context: ToolContext, given: ReplaceArguments) -> str:
    block = await context.editable(given.label)
    _clean("old_string", given.old_string)
    new = _clean("new_string", given.new_string).expandtabs()
    return await _replace(context, block, given.old_string, new, all=False)


async def memory_rethink(context: ToolContext, given: RethinkArguments) -> str:
    block = await context.editable(given.label)
    text = _clean("new_memory", given.new_memory).expandtabs()
    if context.was_done():
        context.learn(block)
        return block.value
    edit = Edit(operation="set", text=text, expected_version=context.seen(block))
    try:
        return (await context.edit(block, edit)).block.value
    except EditConflict as conflict:
        now = block.model_copy(update={"value": conflict.value, "version": conflict.version})
        text = (
            f"Nothing was written to memory block {block.label!r}{_moved(context, now)}\n\n{_REWRITE_AGAIN}"
        )
        raise ToolFailed("ValueError", text) from None


async def memory_finish_edits(context: ToolContext, given: FinishArguments) -> str:
    return "None"


async def memory_apply_patch(context: ToolContext, given: PatchArguments) -> str:
    if not is_multi(given.patch):
        block = await context.editable(given.label, missing="ValueError")
        patch = _clean("patch", given.patch, _NUMBERED_IN_PATCH)
        return (await _patch(context, block, patch, shown=True)).value
    for operation in parse_operations(_clean("patch", given.patch, _NUMBERED_IN_PATCH)):
        context.parts.append(await _operate(context, operation))
    return f"Patch applied: {'; '.join(context.parts)}."


async def memory(context: ToolContext, given: MemoryArguments) -> str:
    return await _COMMANDS[given.command](context, given)


async def _operate(context: ToolContext, operation: PatchOperation) -> str:
    if operation.kind == "add":
        fields = BlockFields(
            label=operation.label, value=operation.text, description=operation.description or ""
        )
        try:
            await context.create(fields)
        except LabelTaken:
            raise PatchFailed(
                f"a block labelled {operation.label!r} exists already; update it instead"
            ) from None
        return f"added {operation.label}"
    if operation.kind == "delete":
        await context.detach(await context.labelled(operation.label, missing="ValueError"))
        return f"deleted {operation.label}"
    block = await context.editable(operation.label, missing="ValueError")
    if operation.text:
        block = await _patch(context, block, operation.text, shown=False)
    if operation.new_label is None:
        return f"updated {operation.label}"
    fields = BlockFields(label=operation.new_label)
    await context.edit(block, Edit(operation="configure", fields=fields), shown=False)
    return f"moved {operation.label} to {operation.new_label}"


async def _patch(context: ToolContext, block: Block, patch: str, *, shown: bool) -> Block:
    """Read, compute, set with the version read; a block that has moved is read and patched anew."""
    if context.was_done():
        return block
    effect_id = context.effect()
    for _ in range(PATCH_TRIES):
        try:
            value = await asyncio.to_thread(apply_patch, block.value, patch)
        except PatchFailed as failed:
            raise ToolFailed("ValueError", f"{failed}{_moved(context, block)}") from None
        edit = Edit(operation="set", text=value, expected_version=block.version)
        try:
            return (await context.edit(block, edit, effect_id, shown=shown)).block
        except EditConflict as conflict:
            block = block.model_copy(update={"value": conflict.value, "version": conflict.version})
    raise PatchFailed(
        f"the block {block.label!r} kept changing while it was patched; look at it and try again"
    )


async def _replace(context: ToolContext, block: Block, old: str, new: str, *, all: bool) -> str:
    if not old:
        raise ToolFailed("ValueError", f"the text to replace in {block.label!r} must not be empty")
    try:
        outcome = await context.edit(block, Edit(operation="replace", old=old, text=new, all=all))
    except NoMatch:
        shown = old if len(old) <= 200 else f"{old[:200]}…"
        text = f"Old content {shown!r} not found in the memory block {block.label!r}; copy it exactly"
        text += _moved(context, await context.service.blocks.read(context.lease.workspace, block.id))
        raise ToolFailed("ValueError", text) from None
    except ManyMatches as several:
        lines = ", ".join(str(line) for line in several.lines)
        text = (
            f"The text occurs more than once in memory block {block.label!r} (lines {lines}); give more of it"
        )
        raise ToolFailed("ValueError", text) from None
    return outcome.block.value


def _moved(context: ToolContext, block: Block) -> str:
    """What a refusal adds where others changed the block behind the model's back: the block as it is now."""
    seen = context.seen(block)
    if seen is None or block.version <= seen:
        return ""
    context.learn(block)
    return f". Others have changed it since you last saw it; it now reads:\n{block.value}"


def _clean(argument: str, text: str, numbered: re.Pattern[str] = _NUMBERED) -> str:
    """Refuses what belongs to the display of a block and not to its text."""
    if numbered.search(text):
        raise ToolFailed(
            "ValueError", f"{argument} contains line numbers; they are for display only, leave them out"
        )
    if LINE_NUMBER_WARNING in text:
        raise ToolFailed(
            "ValueError", f"{argument} contains the note on line numbers; it is not part of the text"
        )
    return text


def _label(path: str) -> str:
    return path.removeprefix("/memories/").removeprefix("/")


def _flat_label(path: str) -> str:
    """insert, delete and rename take inner slashes for underscores (V1)."""
    return _label(path).replace("/", "_")


async def _create(context: ToolContext, given: MemoryArguments) -> str:
    label = _label(given.path or "")
    text = _clean("file_text", given.file_text or "").expandtabs()
    fields = BlockFields(label=label, value=text, description=given.description)
    await context.create(fields)
    return f"Created the memory block {label}."


async def _str_replace(context: ToolContext, given: MemoryArguments) -> str:
    block = await context.editable(_label(given.path or ""))
    _clean("old_string", given.old_string or "")
    new = _clean("new_string", given.new_string or "").expandtabs()
    return await _replace(context, block, given.old_string or "", new, all=False)


async def _insert(context: ToolContext, given: MemoryArguments) -> str:
    block = await context.editable(_flat_label(given.path or ""))
    text = _clean("insert_text", given.insert_text or "").expandtabs()
    edit = Edit(operation="insert", text=text, line=given.insert_line)
    return (await context.edit(block, edit)).block.value


async def _delete(context: ToolContext, given: MemoryArguments) -> str:
    block = await context.labelled(_flat_label(given.path or ""))
    await context.detach(block)
    return f"Detached the memory block {block.label}."


async def _rename(context: ToolContext, given: MemoryArguments) -> str:
    if given.old_path and given.new_path:
        block = await context.labelled(_flat_label(given.old_path))
        fields = BlockFields(label=_flat_label(given.new_path))
        await context.edit(block, Edit(operation="configure", fields=fields), shown=False)
        return f"Renamed the memory block {block.label} to {fields.label}."
    block = await context.labelled(_flat_label(given.path or ""))
    fields = BlockFields(description=given.description)
    await context.edit(block, Edit(operation="configure", fields=fields), shown=False)
    return f"Changed the description of the memory block {block.label}."


_COMMANDS = {
    "create": _create,
    "str_replace": _str_replace,
    "insert": _insert,
    "delete": _delete,
    "rename": _rename,
}

HANDLERS: dict[str, Handler] = {
    "core_memory_append": core_memory_append,
    "core_memory_replace": core_memory_replace,
    "memory_insert": memory_insert,
    "memory_replace": memory_replace,
    "memory_rethink": memory_rethink,
    "memory_finish_edits": memory_finish_edits,
    "memory_apply_patch": memory_apply_patch,
    "memory": memory,
}
