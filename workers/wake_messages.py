"""Wake messages: what a woken agent is told: who changed what and how, and the text of what it cannot see."""

from collections import Counter
from collections.abc import Sequence

from service.bootstrap import Service
from service.records.base import iso
from service.records.blocks import Block, Cause
from service.records.messages import NewMessage
from service.wake_words import fill
from workers.gaps import MISSED

PRESENT_CHARS = 4000
TOLD_CHARS = 20_000
"""A wake-up's changes in full, at most about so much text; of what came before the versions are told."""
EARLIER_BLOCKS = 200
"""Of more blocks than that the earlier changes are only counted."""


async def wake_message(
    service: Service, ws: str, causes: Sequence[Cause], in_prompt: set[str], over: int = 0
) -> NewMessage:
    """Each change with who and what, and the text of blocks it lacks; or in its subscription's words."""
    subscriptions = await service.subscriptions.read_many(ws, list(dict.fromkeys(one.by for one in causes)))
    templates = {one.id: one.template for one in subscriptions if one.template}
    plain = [cause for cause in causes if cause.by not in templates]
    blocks = {
        block.id: block
        for block in await service.blocks.existing(ws, sorted({cause.block_id for cause in causes}))
    }
    lines = [f"- {over} earlier change(s) are not listed"] if over else []
    if plain or over:
        lines = ["Blocks that you watch have changed:", "", *lines, *_told_all(plain)]
    for id in sorted({cause.block_id for cause in plain} - in_prompt):
        lines += _present(blocks[id]) if id in blocks else _gone(id, plain)
    for id, template in templates.items():
        own = [cause for cause in causes if cause.by == id]
        for block_id in dict.fromkeys(cause.block_id for cause in own):
            of_block = [cause for cause in own if cause.block_id == block_id]
            lines += ["", fill(template, _facts(of_block, blocks.get(block_id)))]
    lines += _cut(causes, service.settings.wake_depth)
    return NewMessage(role="user", content="\n".join(lines).strip())


def _cut(causes: Sequence[Cause], depth: int) -> list[str]:
    """Of what was told now, what had not woken the agent by itself, and why."""
    counts = Counter(cause.held for cause in causes)
    lines = []
    if counts["depth"]:
        why = f"agents had woken each other {depth} times"
        lines.append(f"{counts['depth']} of these change(s) did not wake you: {why}.")
    if counts["rate"]:
        lines.append(f"{counts['rate']} of these change(s) did not wake you: you had been woken too often.")
    return ["", *lines] if lines else []


def _facts(causes: Sequence[Cause], block: Block | None) -> dict[str, str]:
    """What a template may name, of the changes of one block.

    Of a range nobody knows any more who wrote it; it counts as many as it has versions.
    """
    last, ranges = causes[-1], [cause for cause in causes if cause.operation == MISSED]
    in_ranges = sum(cause.version - (cause.missed_from or cause.version) + 1 for cause in ranges)
    return {
        "label": last.label,
        "block_id": last.block_id,
        "version": str(last.version),
        "count": str(len(causes) - len(ranges) + in_ranges),
        "who": ", ".join(dict.fromkeys(_whoever(cause) for cause in causes)),
        "operations": ", ".join(dict.fromkeys(cause.operation for cause in causes)),
        "at": iso(last.at),
        "diff": "\n".join(_told_all(causes)),
        "value": "" if block is None else _text_of(block),
    }


def _told_all(causes: Sequence[Cause]) -> list[str]:
    """The newest changes in full, as many as fit; of earlier ones which versions, and by whom."""
    told: list[list[str]] = []
    room = TOLD_CHARS
    for change in reversed(causes):
        lines = _told(change)
        room -= sum(len(line) + 1 for line in lines)
        if room < 0 and told:
            break
        told.append(lines)
    earlier = _earlier(causes[: len(causes) - len(told)])
    return earlier + [line for lines in reversed(told) for line in lines]


def _earlier(causes: Sequence[Cause]) -> list[str]:
    blocks: dict[str, list[Cause]] = {}
    for cause in causes:
        blocks.setdefault(cause.block_id, []).append(cause)
    lines = []
    for of_block in list(blocks.values())[:EARLIER_BLOCKS]:
        known = [one for one in of_block if one.operation != MISSED]
        by = ", ".join(f"{who} ({count})" for who, count in Counter(one.author.name for one in known).items())
        what = f"{len(known)} earlier change(s) by {by}" if known else "can no longer be told one by one"
        lines.append(f"- `{of_block[-1].label}` version {_range(of_block)}: {what}")
    more = [len(of_block) for of_block in list(blocks.values())[EARLIER_BLOCKS:]]
    return [*lines, f"- {sum(more)} earlier change(s) of {len(more)} other blocks"] if more else lines


def _range(causes: Sequence[Cause]) -> str:
    """The versions that these causes, of one block, are of."""
    first = causes[0].missed_from if causes[0].operation == MISSED else causes[0].version
    return f"up to {causes[-1].version}" if first is None else f"{first} to {causes[-1].version}"


def _told(change: Cause) -> list[str]:
    if change.operation == MISSED:
        return [f"- `{change.label}` version {_range([change])}: can no longer be told one by one"]
    who, at = _who(change), iso(change.at)
    what = f"- `{change.label}` version {change.version}: {change.operation} by {who} at {at}"
    lines = [f"{what} (shortened)" if change.cut else what]
    lines += [f"  - {line}" for line in change.removed.splitlines() if line]
    lines += [f"  + {line}" for line in change.added.splitlines() if line]
    return lines


def _who(change: Cause) -> str:
    name, agent_id = change.author.name, change.author.agent_id
    return f"{name} ({agent_id})" if agent_id else name


def _whoever(change: Cause) -> str:
    return "others" if change.operation == MISSED else _who(change)


def _present(block: Block) -> list[str]:
    return ["", f"`{block.label}` as it is now (version {block.version}):", _text_of(block)]


def _gone(id: str, causes: Sequence[Cause]) -> list[str]:
    """Where the change that deleted it cannot be told."""
    own = [cause for cause in causes if cause.block_id == id]
    told = any(cause.kind == "deleted" and cause.operation != MISSED for cause in own)
    return [] if told else ["", f"`{own[-1].label}` does not exist any more."]


def _text_of(block: Block) -> str:
    if len(block.value) <= PRESENT_CHARS:
        return block.value
    return f"{block.value[:PRESENT_CHARS]}\n[cut: the first {PRESENT_CHARS} of {block.chars} characters]"
