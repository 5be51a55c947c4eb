"""Context: who acts, and the effects a tool may have; each happens once, whoever carries it out.

An effect's id is `<run>:<step>:<call>:<index in the call>`: a worker that takes a
step over repeats its calls, and what was done already is found done. The
provider's id of a call plays no part in it, for those repeat.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from service.bootstrap import Service
from service.errors import BlockReadOnly, BlockwireError
from service.records.blocks import Author, Block, BlockFields, Edit, EditOutcome
from service.records.ids import derived_id
from service.records.runs import Lease
from workers.transcript import Transcript


class ToolFailed(BlockwireError):
    """A tool could not do what it was asked; `kind` is the exception V1 would have shown."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


@dataclass
class ToolContext:
    """One tool call of one step of one run."""

    service: Service
    lease: Lease
    transcript: Transcript
    step_id: str
    tool: str
    call: int
    effects: int = field(default=0)
    parts: list[str] = field(default_factory=list)
    fenced: bool = True
    """Whether the lease is one that is held. Without, its agent is acted for beside whatever it does."""
    """Of a call that does several things: what is done, in words, should a later part fail."""

    async def labelled(self, label: str, *, missing: str = "KeyError") -> Block:
        """The attached block of a label. Its absence is a KeyError that names what there is.

        Where the coming effect was had before a takeover, it is the block of that effect,
        whatever became of its label.
        """
        ws = self.lease.workspace
        block_id = self.transcript.done.get(self._coming())
        if block_id is None:
            labels = await self.service.blocks.labels(ws, self.lease.agent_id)
            block_id = labels.get(label)
            if block_id is None:
                known = ", ".join(sorted(labels)) or "none"
                text = f"Block field {label} does not exist (available labels: {known})"
                raise ToolFailed(missing, f"'{text}'" if missing == "KeyError" else text)
        return await self.service.blocks.read(ws, block_id)

    async def editable(self, label: str, *, missing: str = "KeyError") -> Block:
        """The attached block of a label, for a change of its text; that it is read-only is said first."""
        block = await self.labelled(label, missing=missing)
        if block.read_only and self._coming() not in self.transcript.done:
            raise BlockReadOnly(block.label)
        return block

    def was_done(self) -> bool:
        """Whether the coming effect was had before a takeover; it then counts as had."""
        if self._coming() not in self.transcript.done:
            return False
        self.effects += 1
        return True

    async def edit(
        self, block: Block, edit: Edit, effect_id: str | None = None, *, shown: bool = True
    ) -> EditOutcome:
        """Applies an edit once, in this agent's name. An edit tried again keeps its effect id.

        `shown`: the tool's result shows the whole block, with what others wrote in it meanwhile.
        """
        numbered = edit.model_copy(update={"edit_id": effect_id or self.effect()})
        outcome = await self.service.blocks.edit(
            self.lease.workspace, block.id, numbered, self.author(), self._fence()
        )
        seen = self.transcript.seen.get(block.id, 0)
        if shown or outcome.block.version <= seen + (1 if outcome.changed else 0):
            self.learn(outcome.block)
        return outcome

    async def create(self, fields: BlockFields) -> Block:
        """Creates a block and attaches it to this agent, once."""
        block = await self.service.blocks.create(
            self.lease.workspace,
            fields,
            self.author(),
            block_id=derived_id("block", self.effect()),
            attach_to=self.lease.agent_id,
            lease=self._fence(),
        )
        self.learn(block)
        return block

    async def detach(self, block: Block) -> None:
        """Takes a block from this agent; the block itself stays."""
        await self.service.blocks.detach(
            self.lease.workspace, self.lease.agent_id, block.id, self.author(), self._fence(), self.effect()
        )
        self.transcript.seen.pop(block.id, None)

    def author(self) -> Author:
        run = self.transcript.run
        return Author(
            name=self.transcript.agent.name,
            agent_id=self.lease.agent_id,
            run_id=run.id if self.fenced else None,
            step_id=self.step_id if self.fenced else None,
            tool=self.tool,
            call=self.call,
            depth=run.depth,
        )

    def effect(self) -> str:
        """The id of the next effect of this call."""
        id = self._coming()
        self.effects += 1
        return id

    def _fence(self) -> Lease | None:
        return self.lease if self.fenced else None

    def _coming(self) -> str:
        run = self.transcript.run
        return f"{run.id}:{run.step_count}:{self.call}:{self.effects}"

    def seen(self, block: Block) -> int | None:
        """The version of a block that the model knew as it made the call; None for one it was not told of."""
        return self.transcript.knew.get(block.id, self.transcript.seen.get(block.id))

    def learn(self, block: Block) -> None:
        """The model knows the block as it is now, so it need not be told of it again."""
        self.transcript.knew.pop(block.id, None)
        self.transcript.seen[block.id] = block.version
        self.transcript.labels[block.id] = block.label


Handler = Callable[[ToolContext, Any], Awaitable[str]]
"""What carries a tool out: its context and parsed arguments in, the text of its result out."""
