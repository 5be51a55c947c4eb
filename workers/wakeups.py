"""Wake-ups: the change stream -> subscriptions -> messages in supervisors' inboxes.

Each workspace has one cursor. A dispatcher reads the changes behind it, decides
who is to be told, and one script records the wake-ups and moves the cursor, if
it is still where it was: many workers may try, one wins, and once a change is
acknowledged its wake-up survives the death of every process. When changes were
trimmed before they were told, every subscriber is woken and told of the gap,
with the blocks it watches as they are now.

An agent is not woken by its own edits, nor by a chain of wake-ups that has grown
too long.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress

import structlog

from service.bootstrap import Service
from service.errors import StoreUnreachable
from service.records.agents import Subscription
from service.records.base import Page, iso
from service.records.blocks import Block, BlockQuery, Change
from service.records.ids import derived_id
from service.records.messages import NewMessage
from service.records.runs import Run

log = structlog.get_logger()

READ_MOST = 500
PAUSE_S = 1.0
TELLING = ("created", "edited", "configured", "deleted")
PRESENT_CHARS = 4000
MISSED = "missed"
"""The operation of a change that stands in for those that were trimmed before they were told."""
TOLD_CHARS = 20_000
"""A wake-up's changes in full, at most about so much text; whatever came before is counted."""


class Dispatcher:
    """Tells subscribers, for every workspace, until it is cancelled."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def run(self) -> None:
        """Every change is looked at when the bell rings for it, or a second later."""
        async with asyncio.TaskGroup() as group:
            known: set[str] = set()
            while True:
                with suppress(StoreUnreachable):
                    for ws in await self._service.subscriptions.workspaces():
                        if ws not in known:
                            known.add(ws)
                            group.create_task(self._watch(ws))
                await asyncio.sleep(PAUSE_S)

    async def _watch(self, ws: str) -> None:
        async with self._service.changes.rings(ws) as rings:
            while True:
                try:
                    behind = True
                    while behind:
                        behind = await self.dispatch(ws)
                except StoreUnreachable as failure:
                    log.warning("wakeups.deferred", workspace=ws, error=str(failure))
                with suppress(TimeoutError):
                    async with asyncio.timeout(PAUSE_S):  # wait_for may lose a cancellation
                        await rings.get()
                while not rings.empty():
                    rings.get_nowait()

    async def dispatch(self, ws: str) -> bool:
        """Tells one range of changes; true when there may be more."""
        rooms = self._service.subscriptions
        cursor = await rooms.cursor(ws)
        changes = await rooms.changes_after(ws, cursor, READ_MOST)
        if not changes:
            return False
        subscriptions = [one for one in await rooms.all(ws) if one.active]
        missed = {}
        if changes[0].prev != cursor:
            log.warning("changes.missed", workspace=ws, after=cursor, before=changes[0].id)
            missed = {one.id: await self._missed(ws, one, changes[0]) for one in subscriptions}
        wakes = self._wakes(changes, subscriptions, missed)
        told = await rooms.wake(ws, cursor, changes[-1].id, wakes)
        if told:
            for run, causes in wakes:
                log.info(
                    "wakeup.recorded", workspace=ws, agent_id=run.agent_id, run_id=run.id, changes=len(causes)
                )
        return not told or len(changes) == READ_MOST

    async def _missed(self, ws: str, subscription: Subscription, first: Change) -> list[Change]:
        """What stands in for changes that are gone: every block the subscription covers, as it is now."""
        if _order(subscription.since) >= _order(first.prev):
            return []
        blocks = self._service.blocks
        if subscription.block_id is not None:
            found = await blocks.existing(ws, [subscription.block_id])
        else:
            query = BlockQuery(label=subscription.label, show_hidden=True)
            found = await blocks.find(ws, query, Page(limit=None))
        return [_gap(block, first) for block in found]

    def _wakes(
        self,
        changes: Sequence[Change],
        subscriptions: Sequence[Subscription],
        missed: Mapping[str, Sequence[Change]],
    ) -> list[tuple[Run, list[Change]]]:
        """Who is to be told what; in order of agents, so that every dispatcher decides the same."""
        wakes = []
        for agent_id in sorted({one.agent_id for one in subscriptions}):
            own = [one for one in subscriptions if one.agent_id == agent_id]
            gaps = {gap.block_id: gap for one in own for gap in missed.get(one.id, ())}
            causes = [change for change in changes if self._concerns(change, agent_id, own)]
            causes = [*gaps.values(), *causes]
            if causes:
                wakes.append((_wake_run(agent_id, changes[-1].id), causes))
        return wakes

    def _concerns(self, change: Change, agent_id: str, subscriptions: Sequence[Subscription]) -> bool:
        if change.kind not in TELLING or change.author.agent_id == agent_id:
            return False
        if not any(_covers(one, change) for one in subscriptions):
            return False
        if change.author.depth >= self._service.settings.wake_depth:
            log.warning("wakeup.cut", agent_id=agent_id, block_id=change.block_id, depth=change.author.depth)
            return False
        return True


def _covers(subscription: Subscription, change: Change) -> bool:
    if _order(change.id) <= _order(subscription.since):
        return False
    if subscription.block_id is not None:
        return change.block_id == subscription.block_id
    return change.label == subscription.label


def _gap(block: Block, first: Change) -> Change:
    return Change(
        id=first.prev,
        prev="0-0",
        kind="edited",
        block_id=block.id,
        label=block.label,
        version=block.version,
        operation=MISSED,
        at=block.updated_at,
        chars=block.chars,
        cut=True,
    )


def _order(id: str) -> tuple[int, int]:
    epoch, _, n = id.partition("-")
    return int(epoch), int(n)


def _wake_run(agent_id: str, upto: str) -> Run:
    return Run(
        id=derived_id("run", "wakeup", agent_id, upto),
        agent_id=agent_id,
        kind="wakeup",
        background=True,
        metadata={"run_type": "wakeup"},
        created_at=0,
    )


async def wake_message(
    service: Service, ws: str, causes: Sequence[Change], in_prompt: set[str], over: int = 0
) -> NewMessage:
    """What a woken agent is told: each change with who and what, and the text of blocks it does not have."""
    lines = ["Blocks that you watch have changed:", ""]
    if over:
        lines.append(f"- {over} earlier change(s) are not listed")
    lines += _told_all(causes)
    others = sorted({change.block_id for change in causes} - in_prompt)
    for block in await service.blocks.existing(ws, others):
        lines += _present(block)
    return NewMessage(role="user", content="\n".join(lines).rstrip())


def _told_all(causes: Sequence[Change]) -> list[str]:
    """The newest changes in full, as many as fit; of earlier ones who changed what, and how often."""
    told: list[list[str]] = []
    room = TOLD_CHARS
    for change in reversed(causes):
        lines = _told(change)
        room -= sum(len(line) + 1 for line in lines)
        if room < 0 and told:
            break
        told.append(lines)
    earlier = causes[: len(causes) - len(told)]
    counts = Counter((change.label, change.author.name) for change in earlier)
    lines = [f"- `{label}`: {count} earlier change(s) by {who}" for (label, who), count in counts.items()]
    return lines + [line for lines in reversed(told) for line in lines]


def _told(change: Change) -> list[str]:
    if change.operation == MISSED:
        return [
            f"- `{change.label}` is at version {change.version}; some of its changes can no longer be told"
        ]
    who = f"{change.author.name} ({change.author.agent_id})" if change.author.agent_id else change.author.name
    what = f"- `{change.label}` version {change.version}: {change.operation} by {who} at {iso(change.at)}"
    lines = [f"{what} (shortened)" if change.cut else what]
    lines += [f"  - {line}" for line in change.removed.splitlines() if line]
    lines += [f"  + {line}" for line in change.added.splitlines() if line]
    return lines


def _present(block: Block) -> list[str]:
    text = block.value
    if len(text) > PRESENT_CHARS:
        text = f"{text[:PRESENT_CHARS]}\n[cut: the first {PRESENT_CHARS} of {block.chars} characters]"
    return ["", f"`{block.label}` as it is now (version {block.version}):", text]
