"""Blocks as records: the block, an edit to one, its outcome, and the change that announces it."""

from typing import Any, Literal

from pydantic import Field

from service.records.base import Micros, Record

DEFAULT_LIMIT = 100_000


class Author(Record):
    """Who made an edit: an agent within a step, or a caller of the API by name.

    A caller's name is V1's `user_id` if it sends one, else its token's; `token_id` is told in both cases.
    """

    name: str = "api"
    token_id: str | None = None
    agent_id: str | None = None
    run_id: str | None = None
    step_id: str | None = None
    tool: str | None = None
    call: int | None = None
    depth: int = 0
    undoes: int | None = None
    """The version whose edit this one takes back."""
    restores: int | None = None
    """The version that this edit goes back to."""


class BlockFields(Record):
    """What `configure` may change; None leaves a field as it is (V1's PATCH)."""

    label: str | None = None
    value: str | None = None
    description: str | None = None
    limit: int | None = None
    read_only: bool | None = None
    tags: list[str] | None = None
    metadata: dict[str, Any] | None = None
    hidden: bool | None = None
    project_id: str | None = None
    is_template: bool | None = None
    template_name: str | None = None
    template_id: str | None = None
    base_template_id: str | None = None
    deployment_id: str | None = None
    entity_id: str | None = None
    preserve_on_migration: bool | None = None


class Block(Record):
    """Shared text with a label and a version; a Redis hash."""

    id: str
    label: str
    value: str
    version: int
    chars: int
    limit: int = DEFAULT_LIMIT
    description: str | None = None
    read_only: bool = False
    tags: list[str] = Field(default_factory=list)
    metadata: dict[str, Any] = Field(default_factory=dict)
    hidden: bool | None = None
    project_id: str | None = None
    is_template: bool = False
    template_name: str | None = None
    template_id: str | None = None
    base_template_id: str | None = None
    deployment_id: str | None = None
    entity_id: str | None = None
    preserve_on_migration: bool | None = False
    identity_ids: list[str] = Field(default_factory=list)
    created_at: Micros
    updated_at: Micros
    created_by: str | None = None
    updated_by: str | None = None


class BlockQuery(Record):
    """Which blocks a list holds; None asks nothing. Searches are substrings, case ignored."""

    label: str | None = None
    tags: list[str] | None = None
    match_all_tags: bool = False
    name: str | None = None
    project_id: str | None = None
    templates_only: bool = False
    identity_id: str | None = None
    identifier_keys: list[str] | None = None
    label_search: str | None = None
    description_search: str | None = None
    value_search: str | None = None
    agents_gt: int | None = None
    agents_lt: int | None = None
    agents_in: list[int] | None = None
    show_hidden: bool = False


Operation = Literal["set", "append", "insert", "replace", "configure"]


class Edit(Record):
    """A request to apply one operation to a block's value as it is at that moment.

    `set` puts `text`; `append` adds `text` as it stands; `insert` adds `text` as
    lines after line `line` (0 = top, -1 = end); `replace` puts `text` for `old`,
    which must occur exactly once unless `all`; `configure` applies `fields`.
    """

    operation: Operation
    text: str = ""
    old: str = ""
    all: bool = False
    line: int = -1
    fields: BlockFields | None = None
    expected_version: int | None = None
    edit_id: str | None = None


class EditOutcome(Record):
    """What an edit did: the block after it and the version this edit made.

    `changed` is false for an edit that left everything as it was. `repeated`
    says that the same `edit_id` had been applied before, and `version` is the
    one made then; `block` is always the block as it is now.
    """

    block: Block
    version: int
    changed: bool
    repeated: bool = False


class Change(Record):
    """One applied edit as listeners see it. `id` is `<epoch>-<n>`, `prev` the one before."""

    id: str
    prev: str
    kind: Literal["created", "edited", "configured", "attached", "detached", "deleted"]
    block_id: str
    label: str
    version: int
    operation: str
    at: Micros
    chars: int
    author: Author = Field(default_factory=Author)
    tags: list[str] = Field(default_factory=list)
    added: str = ""
    removed: str = ""
    cut: bool = False
    agent_id: str | None = None
    """Of `attached` and `detached`: the agent the block was given to or taken from."""


def order(id: str) -> tuple[int, int]:
    """What ids of changes are ordered by."""
    epoch, _, n = id.partition("-")
    return int(epoch), int(n)


class Cause(Change):
    """A change as a woken agent is told it."""

    by: str = ""
    """The subscription that tells it."""
    held: Literal["depth", "rate"] | None = None
    """Why it did not wake the agent by itself: the chain of wake-ups was too long, or they were too many."""
    missed_from: int | None = None
    """It stands in for all changes since that version, which can no longer be told."""
