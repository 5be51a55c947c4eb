"""Errors: everything that may be refused, by name. The text of an error is its message.

No HTTP status here (service/http/errors.py maps names to statuses) and no words
for a model (workers/tools). Messages name the field and the remedy and never
carry a block's value unless the caller is told it on purpose.
"""

from collections.abc import Sequence


class BlockwireError(Exception):
    """Something was refused, and nothing was written unless a child says so."""


class NotFound(BlockwireError):
    """No such thing in this workspace."""

    def __init__(self, kind: str, id: str) -> None:
        super().__init__(f"{kind} {id} was not found in this workspace")
        self.kind = kind
        self.id = id


class Invalid(BlockwireError):
    """A field's value cannot be used; `field` names it and the text says what would do."""

    def __init__(self, field: str, remedy: str) -> None:
        super().__init__(f"{field}: {remedy}")
        self.field = field


class EditConflict(BlockwireError):
    """The edit named a version that has moved; the current one and its value come with it."""

    def __init__(self, expected: int, version: int, value: str) -> None:
        super().__init__(
            f"expected_version: the block is at version {version}, not {expected}; "
            "read it again and repeat the edit with its present version"
        )
        self.expected = expected
        self.version = version
        self.value = value


class BlockReadOnly(BlockwireError):
    """Agents may not edit this block."""

    def __init__(self, label: str) -> None:
        super().__init__(f"block {label!r} is read-only for agents")
        self.label = label


class BlockFull(BlockwireError):
    """The edit would lengthen the value past the block's limit (characters)."""

    def __init__(self, length: int, limit: int) -> None:
        super().__init__(
            f"value: would have {length} characters, the block's limit is {limit}; "
            f"cut at least {length - limit} characters or raise the limit"
        )
        self.length = length
        self.limit = limit


class NoMatch(BlockwireError):
    """The text to replace does not occur in the value."""

    def __init__(self) -> None:
        super().__init__(
            "old: the text does not occur in the block's value; read the block and copy it exactly"
        )


class ManyMatches(BlockwireError):
    """The text to replace occurs more than once; `lines` are where (first 20, from 1)."""

    def __init__(self, lines: Sequence[int]) -> None:
        where = ", ".join(str(line) for line in lines)
        super().__init__(
            f"old: the text occurs more than once (lines {where}); give more of it, or set all to true"
        )
        self.lines = list(lines)


class LineOutOfRange(BlockwireError):
    """The line to insert after does not exist."""

    def __init__(self, lines: int) -> None:
        super().__init__(f"line: must be between 0 (top) and {lines} (end), or -1 for the end")
        self.lines = lines


class LabelTaken(BlockwireError):
    """An agent already has another block with this label."""

    def __init__(self, label: str, agent_id: str) -> None:
        super().__init__(f"label: agent {agent_id} already has another block labelled {label!r}")
        self.label = label
        self.agent_id = agent_id


class NotAttached(BlockwireError):
    """The block is not attached to this agent."""

    def __init__(self, agent_id: str, block: str) -> None:
        super().__init__(f"block {block!r} is not attached to agent {agent_id}")
        self.agent_id = agent_id
        self.block = block


class IdReused(BlockwireError):
    """An id that names a finished request came again with another content."""

    def __init__(self, field: str, id: str) -> None:
        super().__init__(f"{field}: {id!r} was used before for a different request; choose a new one")
        self.field = field
        self.id = id


class InboxFull(BlockwireError):
    """An agent has as many unread messages as it may have; it has to answer some first."""

    wait_s = 5

    def __init__(self, agent_id: str, most: int) -> None:
        super().__init__(
            f"the inbox of agent {agent_id} is full: {most} messages wait in it, as many as may; "
            "send again when it has answered some (is a worker running, and the agent not paused?)"
        )
        self.agent_id = agent_id


class StoreFilling(BlockwireError):
    """The store's memory is nearly full: blocks can be edited, new messages and agents are refused."""

    wait_s = 5

    def __init__(self, used: int, bound: int) -> None:
        filled = f"{used / 1e6:,.0f} of {bound / 1e6:,.0f} MB" if bound else "all it has"
        super().__init__(
            f"the store's memory is nearly full ({filled}): new messages and agents are refused, edits are "
            "not; try again later, delete agents or runs, or raise maxmemory (or BLOCKWIRE_MAX_MEMORY_MB)"
        )


class NobodyCame(BlockwireError):
    """No worker took what was asked for; it was taken back and will not be done."""


class NoAnswerYet(BlockwireError):
    """A worker took what was asked for and has not answered in time; it may still be done."""


class LeaseLost(BlockwireError):
    """Another worker has this agent now; nothing of ours may be written."""

    def __init__(self, agent_id: str) -> None:
        super().__init__(f"the lease on agent {agent_id} is held by another worker")
        self.agent_id = agent_id


class AskCircle(BlockwireError):
    """Agents would wait for each other; `agents` are those of the circle, each waiting for the next."""

    def __init__(self, agents: Sequence[str]) -> None:
        way = " -> ".join([*agents, agents[0]])
        super().__init__(
            f"nothing was sent: these agents would wait for each other ({way}). Answer without asking back, "
            "or write with send_message_to_agent_async, which does not wait"
        )
        self.agents = list(agents)


class KeyTaken(BlockwireError):
    """Another identity of the project has this key."""

    def __init__(self, identifier_key: str, identity_id: str) -> None:
        super().__init__(
            f"identifier_key: {identifier_key!r} is the key of {identity_id}; change that one instead"
        )
        self.identity_id = identity_id


class NothingActive(BlockwireError):
    """The agent has no run that could be cancelled."""

    def __init__(self, agent_id: str) -> None:
        super().__init__(f"agent {agent_id} has no active run to cancel")


class PendingApproval(BlockwireError):
    """The agent waits for its caller's word on calls it wants to make; `run_id` is the run that asked."""

    def __init__(self, request_id: str, run_id: str) -> None:
        super().__init__(
            f"the agent waits for an answer to its approval request {request_id}; "
            "send one that approves or denies its calls, or cancel it"
        )
        self.request_id = request_id
        self.run_id = run_id


class NotBegun(BlockwireError):
    """A run that somebody waits for was begun by no worker."""

    def __init__(self, run_id: str, seconds: float) -> None:
        super().__init__(
            f"no worker has begun run {run_id} within {seconds:g} s: is one running and free, and the agent "
            f"not paused? The run stays in its agent's inbox; GET /v1/runs/{run_id} tells what becomes of it"
        )


class TooLate(BlockwireError):
    """Somebody waited for an answer that did not come in time."""


class AgentPaused(BlockwireError):
    """The step is stored, the run is open, and its agent is to go no further until it is resumed."""

    def __init__(self, agent_id: str) -> None:
        super().__init__(f"agent {agent_id} is paused; POST /v1/agents/{agent_id}/resume lets it go on")


class BudgetSpent(BlockwireError):
    """An agent or its workspace has used what it may use in an hour; the words are those of the record."""


class AgentBusy(BlockwireError):
    """The agent is in the middle of a run, which what is asked would cut off from its own past."""

    def __init__(self, agent_id: str, run_id: str) -> None:
        super().__init__(
            f"agent {agent_id} is in the middle of run {run_id}; ask again when it has ended, or cancel it"
        )


class Expired(BlockwireError):
    """It was there and is no longer kept."""


class VersionGone(Expired):
    """The version was once, and its history is no longer kept."""

    def __init__(self, block_id: str, version: int, oldest: int) -> None:
        super().__init__(
            f"version {version} of block {block_id} is no longer kept; its history begins at version {oldest}"
        )
        self.oldest = oldest


class CannotUndo(BlockwireError):
    """What the edit wrote is no longer in the block exactly once; both texts come with it."""

    def __init__(self, version: int, added: str, removed: str, current: int, value: str, why: str) -> None:
        super().__init__(f"version: the edit that made version {version} cannot be undone by itself: {why}")
        self.version = version
        self.added = added
        self.removed = removed
        self.current = current
        self.value = value


class Unauthorized(BlockwireError):
    """No token, or one that is unknown, revoked or has run out; which of these is not told."""


class ScopeTooSmall(BlockwireError):
    """The token may not do this; `needed` is the scope that may. Without tokens nobody is an admin."""

    def __init__(self, needed: str, has: str | None) -> None:
        if has is None:
            reason = "there are no tokens yet; make the first with `blockwire token create`"
        else:
            reason = f"yours has the scope {has}"
        super().__init__(f"this needs a token of scope {needed}; {reason}")
        self.needed = needed


class TooManyRequests(BlockwireError):
    """The token has spent its rate; the next request is let in after `wait_s` seconds."""

    def __init__(self, rate: int, wait_s: int) -> None:
        super().__init__(f"this token may send {rate} requests per minute; try again in {wait_s} s")
        self.wait_s = wait_s


class LastToken(BlockwireError):
    """Revoking it would open the server to everybody who is let in without tokens."""

    def __init__(self, token_id: str) -> None:
        super().__init__(
            f"{token_id} is the last token of this server, which would be open to everybody on its machine "
            f"without it; make another one first, or use `blockwire token revoke {token_id}` there"
        )


class TooWide(BlockwireError):
    """A query that no index answers looked at as many rows as one request may, and has nothing to show.

    `go_on` is the parameter with which the next request looks further; None for a count.
    """

    def __init__(self, looked: int, go_on: str | None) -> None:
        more = "" if go_on is None else f", or look further with {go_on}"
        nothing = "not all was looked at" if go_on is None else "none of them is what was asked for"
        super().__init__(
            f"query: {looked} rows were read and {nothing}; narrow it (label, name or tags){more}"
        )
        self.looked = looked
        self.go_on = go_on


class UnknownModel(BlockwireError):
    """No such model handle. `embedding` says which of the two lists was searched."""

    def __init__(self, handle: str, embedding: bool, remedy: str) -> None:
        field = "embedding" if embedding else "model"
        super().__init__(f"{field}: no model answers to the handle {handle!r}; {remedy}")
        self.handle = handle
        self.embedding = embedding


class StoreUnreadable(BlockwireError):
    """The store was written by another schema than this code reads."""


class StoreUnreachable(BlockwireError):
    """The store does not answer."""


class Unconfirmed(StoreUnreachable):
    """Written, but by too few servers: a failover just now could lose it."""

    def __init__(self, wanted: int, reached: int, ms: int) -> None:
        super().__init__(
            f"it was carried out, but {reached} of {wanted} replicas confirmed it within {ms} ms: "
            "a failover could still lose it; look whether it is there, or repeat it under the same edit_id, "
            "otid or Idempotency-Key, which does nothing twice"
        )
