"""Wake-ups: the change stream -> subscriptions -> messages in supervisors' inboxes.

Each workspace has one cursor. A dispatcher reads the changes behind it, decides
who is to be told, and one script records the wake-ups and moves the cursor, if
it is still where it was: many workers may try, one wins, and once a change is
acknowledged its wake-up survives the death of every process. When changes were
trimmed before they were told, subscribers are told of the gap instead (gaps.py).

An agent is not woken by its own edits unless it asks, nor by a chain of wake-ups
that has grown too long; what was held back so is told in its next wake-up, and the
subscription says that it was cut.

The same act marks the webhooks that the changes concern.

Elsewhere: who is concerned (service/matches.py); what is said (wake_messages.py); webhooks (webhooks.py).
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress

import structlog

from service.bootstrap import Service
from service.errors import StoreUnreachable
from service.records.blocks import Cause, Change
from service.records.ids import derived_id
from service.records.runs import Run
from service.records.subscriptions import Subscription, WakeUp
from service.subscriptions import wake_run
from workers.gaps import gaps
from workers.workspaces import in_each

log = structlog.get_logger()

READ_MOST = 500
PAUSE_S = 1.0


class Dispatcher:
    """Tells subscribers, for every workspace, until it is cancelled."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def run(self) -> None:
        """Every change is looked at when the bell rings for it, or a second later."""
        await in_each(self._service, self._watch)

    async def _watch(self, ws: str) -> None:
        async with self._service.changes.rings(ws) as rings:
            while True:
                pause = PAUSE_S
                try:
                    behind = True
                    while behind:
                        behind = await self.dispatch(ws)
                    soonest = await self._service.subscriptions.wake_due(ws)
                    pause = PAUSE_S if soonest is None else min(PAUSE_S, soonest)
                except StoreUnreachable as failure:
                    log.warning("wakeups.deferred", workspace=ws, error=str(failure))
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await rings.get()
                while not rings.empty():
                    rings.get_nowait()

    async def dispatch(self, ws: str) -> bool:
        """Tells one range of changes; true when there may be more."""
        rooms = self._service.subscriptions
        cursor = await rooms.cursor(ws)
        changes = await self._service.changes.after(ws, cursor, READ_MOST)
        if not changes:
            return False
        missed: list[tuple[Subscription, Cause]] = []
        if changes[0].prev != cursor:
            log.warning("changes.missed", workspace=ws, after=cursor, before=changes[0].id)
            missed = await gaps(self._service, ws, changes)
        concerned, webhooks = await asyncio.gather(
            rooms.concerned(ws, changes),
            self._service.webhooks.concerned(ws, changes, gap=changes[0].prev != cursor),
        )
        wakes = self._wakes(changes, concerned, missed)
        told = await rooms.wake(ws, cursor, changes[-1].id, wakes, webhooks)
        if told:
            for wake in wakes:
                self._tell(ws, wake)
        return not told or len(changes) == READ_MOST

    def _wakes(
        self,
        changes: Sequence[Change],
        concerned: Mapping[str, Sequence[Subscription]],
        missed: Sequence[tuple[Subscription, Cause]],
    ) -> list[WakeUp]:
        """Who is to be told what: each change once, however many subscriptions of an agent it concerns."""
        causes: dict[str, list[Cause]] = {}
        by: dict[str, dict[str, Subscription]] = {}
        for one, gap in missed:
            causes.setdefault(one.agent_id, []).append(gap)
            by.setdefault(one.agent_id, {})[one.id] = one
        for change in changes:
            for agent_id, one in _tellers(concerned.get(change.id, ())).items():
                causes.setdefault(agent_id, []).append(self._cause(change, one))
                by.setdefault(agent_id, {})[one.id] = one
        return [
            WakeUp(
                run=_run(agent_id, changes[-1].id), causes=causes[agent_id], by=list(by[agent_id].values())
            )
            for agent_id in sorted(causes)
        ]

    def _tell(self, ws: str, wake: WakeUp) -> None:
        held = sum(cause.held is not None for cause in wake.causes)
        agent_id, told = wake.run.agent_id, len(wake.causes) - held
        metrics = self._service.metrics
        if told:
            log.info("wakeup.recorded", workspace=ws, agent_id=agent_id, run_id=wake.run.id, changes=told)
            metrics.wakeups.add("recorded")
            metrics.wakeup_changes.add("told", by=told)
        if held:
            log.warning("wakeup.cut", workspace=ws, agent_id=agent_id, changes=held)
            metrics.wakeups.add("cut")
            metrics.wakeup_changes.add("held", by=held)

    def _cause(self, change: Change, by: Subscription) -> Cause:
        too_deep = change.author.depth >= self._service.settings.wake_depth
        return Cause(**vars(change), by=by.id, held="depth" if too_deep else None)


def _tellers(subscriptions: Sequence[Subscription]) -> dict[str, Subscription]:
    """By agent the subscription that tells it: one that may wake it, the soonest, the oldest of those."""
    tellers: dict[str, Subscription] = {}
    for one in sorted(subscriptions, key=lambda one: (not one.awake, one.debounce_ms)):
        tellers.setdefault(one.agent_id, one)
    return tellers


def _run(agent_id: str, upto: str) -> Run:
    return wake_run(agent_id, derived_id("run", "wakeup", agent_id, upto))
