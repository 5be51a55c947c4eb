"""Plain: blocks, attachments and subscriptions as a few dictionaries; what the real thing is measured by.

It does one thing at a time, forgets nothing and knows no store. Refusals are the real classes of
service.errors, so that the same words can be expected of both.
"""

from dataclasses import dataclass, field, replace

from service.errors import (
    BlockFull,
    BlockwireError,
    EditConflict,
    LabelTaken,
    LineOutOfRange,
    ManyMatches,
    NoMatch,
    NotAttached,
)
from service.records.blocks import Edit

Refusal = type[BlockwireError]


@dataclass(frozen=True)
class Fields:
    """What configuring changes, the value aside."""

    label: str
    description: str | None = None
    limit: int = 100_000
    tags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Version:
    """A block at a version. `added` is the text that its edit put where `removed` was."""

    value: str
    fields: Fields
    added: str = ""
    removed: str = ""
    configured: bool = False


@dataclass
class PlainBlock:
    """All versions of a block, the first one at index 0."""

    id: str
    versions: list[Version]

    @property
    def now(self) -> Version:
        return self.versions[-1]

    @property
    def version(self) -> int:
        return len(self.versions)

    def at(self, version: int) -> Version:
        return self.versions[version - 1]


@dataclass(frozen=True)
class Told:
    """A change as subscribers hear of it."""

    block_id: str
    version: int
    label: str
    kind: str


@dataclass
class Plain:
    """Everything there is."""

    blocks: dict[str, PlainBlock] = field(default_factory=dict)
    agents: dict[str, dict[str, str]] = field(default_factory=dict)
    """agent -> label -> block."""
    changes: list[Told] = field(default_factory=list)
    watching: dict[str, list[tuple[str, int]]] = field(default_factory=dict)
    """agent -> block id or label, and how many changes there had been by then."""

    def create(self, id: str, label: str, value: str, limit: int) -> None:
        self.blocks[id] = PlainBlock(id, [Version(value, Fields(label, limit=limit))])
        self._tell(self.blocks[id], "created")

    def delete(self, id: str) -> None:
        block = self.blocks.pop(id)
        for attached in self.agents.values():
            attached.pop(block.now.fields.label, None) if block.id in attached.values() else None
        self._tell(block, "deleted")

    def edit(self, id: str, edit: Edit) -> Refusal | int:
        """The version it made, or the present one if it changed nothing; or why not."""
        block = self.blocks[id]
        if edit.expected_version not in (None, block.version):
            return EditConflict
        made = _made(block.now, edit)
        return made if isinstance(made, type) else self.become(id, made)

    def become(self, id: str, made: Version) -> Refusal | int:
        """A block's next version, if it differs and may be."""
        block = self.blocks[id]
        now, label = block.now, made.fields.label
        if len(made.value) > max(made.fields.limit, len(now.value)):
            return BlockFull
        having = [attached for attached in self.agents.values() if id in attached.values()]
        if any(attached.get(label, id) != id for attached in having):
            return LabelTaken
        if (made.value, made.fields) == (now.value, now.fields):
            return block.version
        for attached in having:
            del attached[now.fields.label]
            attached[label] = id
        block.versions.append(replace(made, configured=made.configured and made.fields != now.fields))
        self._tell(block, "configured" if made.fields != now.fields else "edited")
        return block.version

    def attach(self, agent: str, id: str) -> Refusal | None:
        label = self.blocks[id].now.fields.label
        if self.agents[agent].get(label, id) != id:
            return LabelTaken
        self.agents[agent][label] = id
        return None

    def detach(self, agent: str, id: str) -> Refusal | None:
        if id not in self.agents[agent].values():
            return NotAttached
        del self.agents[agent][self.blocks[id].now.fields.label]
        return None

    def watch(self, agent: str, block_or_label: str) -> None:
        self.watching.setdefault(agent, []).append((block_or_label, len(self.changes)))

    def told(self, agent: str) -> list[Told]:
        """What an agent is to have been told by now."""
        own = self.watching.get(agent, [])
        return [
            change
            for n, change in enumerate(self.changes)
            if any(n >= since and what in (change.block_id, change.label) for what, since in own)
        ]

    def _tell(self, block: PlainBlock, kind: str) -> None:
        self.changes.append(Told(block.id, block.version, block.now.fields.label, kind))


def _made(now: Version, edit: Edit) -> Refusal | Version:
    """What an edit makes of a block, limits and labels aside."""
    if edit.operation == "configure":
        return _configured(now, edit)
    if edit.operation == "set":
        return spliced(now, edit.text)
    if edit.operation == "append":
        return Version(now.value + edit.text, now.fields, edit.text, "")
    if edit.operation == "insert":
        return _inserted(now, edit)
    count = now.value.count(edit.old)
    if count == 0:
        return NoMatch
    if count > 1 and not edit.all:
        return ManyMatches
    if count > 1:
        return spliced(now, now.value.replace(edit.old, edit.text))
    return Version(now.value.replace(edit.old, edit.text), now.fields, edit.text, edit.old)


def _inserted(now: Version, edit: Edit) -> Refusal | Version:
    lines = now.value.split("\n")
    if edit.line > len(lines):
        return LineOutOfRange
    at = len(lines) if edit.line == -1 else edit.line
    added = f"\n{edit.text}" if at == len(lines) else f"{edit.text}\n"
    return Version("\n".join([*lines[:at], edit.text, *lines[at:]]), now.fields, added, "")


def _configured(now: Version, edit: Edit) -> Version:
    assert edit.fields is not None
    given = edit.fields.model_dump(exclude_none=True)
    value = given.pop("value", now.value)
    if "tags" in given:
        given["tags"] = tuple(given["tags"])
    return replace(spliced(now, value), fields=replace(now.fields, **given), configured=True)


def spliced(now: Version, value: str) -> Version:
    """A whole new value, told as the text between what both have at their ends."""
    old, head = now.value, 0
    while head < min(len(old), len(value)) and old[head] == value[head]:
        head += 1
    tail = 0
    while tail < min(len(old), len(value)) - head and old[-1 - tail] == value[-1 - tail]:
        tail += 1
    return Version(value, now.fields, value[head : len(value) - tail], old[head : len(old) - tail])
