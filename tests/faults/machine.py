"""Machine: any sequence of acts on blocks, on the real rooms and on a plain model at once (plain.py).

After each act both must have said the same: the same version, value and fields, or the same
refusal; at the end every version, every diff, every attachment and every wake-up agree.
"""

import asyncio
import json
from collections.abc import Awaitable
from dataclasses import replace
from typing import Any, ClassVar

import fakeredis
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, precondition, rule
from redis.asyncio import Redis

from service.bootstrap import assemble, prepare
from service.errors import BlockwireError, CannotUndo, IdReused, Invalid
from service.queue import PREFIXES
from service.records.agents import NewAgent
from service.records.blocks import BlockFields, Edit, EditOutcome
from service.records.subscriptions import SubscriptionFields
from service.settings import Settings
from service.store.client import StoreClient
from service.store.keys import key
from service.store.queue import QueueStore
from tests.faults.plain import Plain, Refusal, Told, Version
from tests.store.team import ALICE, WS, raw
from workers.wakeups import Dispatcher

TEXT = st.text(st.sampled_from("abc\né😀"), max_size=6)
LABEL = st.sampled_from(["notes", "plan", "facts"])
LIMIT = st.sampled_from([5, 20, 100_000])
TAGS = st.lists(st.sampled_from(["x", "y"]), unique=True, max_size=2)
OPERATION = st.sampled_from(["set", "append", "append", "insert", "insert", "replace", "replace"])


class BlockMachine(RuleBasedStateMachine):
    """On a fake store, or on the one at `url`, which this run of tests has started and may empty."""

    url: ClassVar[str | None] = None
    blocks: "Bundle[str]" = Bundle("blocks")
    agents: "Bundle[str]" = Bundle("agents")

    def __init__(self) -> None:
        super().__init__()
        self.plain = Plain()
        self.named: list[tuple[str, Edit, int]] = []
        self.runner = asyncio.Runner()
        self.do(self._open())

    def do(self, act: Awaitable[Any]) -> Any:
        async def done() -> Any:
            return await act

        return self.runner.run(done())

    async def _open(self) -> None:
        if self.url is None:
            fake = fakeredis.FakeAsyncRedis(server=fakeredis.FakeServer(), decode_responses=True)
            self.store = StoreClient(fake)
        else:
            self.store = StoreClient.connect(self.url)
            await raw(self.store).flushall()
        self.queue: Redis = fakeredis.FakeAsyncRedis(server=fakeredis.FakeServer())
        await prepare(self.store)
        self.rooms = assemble(Settings(), self.store, QueueStore(self.queue, PREFIXES))

    def teardown(self) -> None:
        try:
            for id in self.plain.blocks:
                self._every_version_is_right(id)
            self._subscribers_were_told()
        finally:
            self.do(self._close())
            self.runner.close()

    async def _close(self) -> None:
        await self.rooms.bell.close()
        await self.queue.aclose()
        await self.store.close()

    # Blocks.

    @initialize(target=blocks, value=TEXT)
    def first_block(self, value: str) -> str:
        return self._create("notes", value, 100_000)

    @initialize(target=agents)
    def first_agent(self) -> str:
        return self._agent()

    @rule(target=blocks, label=LABEL, value=st.text("ab\n", max_size=5), limit=LIMIT)
    def create(self, label: str, value: str, limit: int) -> str:
        return self._create(label, value, limit)

    def _create(self, label: str, value: str, limit: int) -> str:
        fields = BlockFields(label=label, value=value, limit=limit)
        block = self.do(self.rooms.blocks.create(WS, fields, ALICE))
        self.plain.create(block.id, label, value, limit)
        return str(block.id)

    @precondition(lambda self: len(self.plain.blocks) > 1)
    @rule(id=blocks)
    def delete(self, id: str) -> None:
        if id in self.plain.blocks:
            self.do(self.rooms.blocks.delete(WS, id, ALICE))
            self.plain.delete(id)

    @rule(id=blocks, operation=OPERATION, text=TEXT, data=st.data())
    def edit(self, id: str, operation: Any, text: str, data: st.DataObject) -> None:
        if id not in self.plain.blocks:
            return
        value, version = self.plain.blocks[id].now.value, self.plain.blocks[id].version
        given: dict[str, Any] = {"operation": operation, "text": text}
        if operation == "replace":
            start = data.draw(st.integers(0, len(value)))
            given |= {"old": value[start : start + 2] or "z", "all": data.draw(st.booleans())}
        if operation == "insert":
            given["line"] = data.draw(st.integers(-1, value.count("\n") + 2))
        given["expected_version"] = data.draw(st.sampled_from([None, None, version, max(1, version - 1)]))
        if data.draw(st.booleans()):
            given["edit_id"] = f"edit-{len(self.named)}"
        self._edit(id, Edit(**given))

    @rule(
        id=blocks,
        value=st.none() | TEXT,
        label=st.none() | LABEL,
        limit=st.none() | LIMIT,
        tags=st.none() | TAGS,
        description=st.none() | st.sampled_from(["", "What it is for."]),
    )
    def configure(self, id: str, **given: Any) -> None:
        if id in self.plain.blocks:
            self._edit(id, Edit(operation="configure", fields=BlockFields(**given)))

    def _edit(self, id: str, edit: Edit) -> None:
        expected = self.plain.edit(id, edit)
        outcome = self._same(expected, self.rooms.blocks.edit(WS, id, edit, ALICE))
        if outcome is not None and edit.edit_id is not None:
            self.named.append((id, edit, outcome.version))

    def _same(self, expected: Refusal | int, act: Awaitable[EditOutcome]) -> EditOutcome | None:
        """What the rooms said, which must be what was expected."""
        said = self._said(act)
        if isinstance(said, EditOutcome):
            assert said.version == expected, f"version {said.version}, expected {expected}"
            return said
        assert type(said) is expected, f"{said!r}, expected {expected}"
        return None

    def _said(self, act: Awaitable[Any]) -> Any:
        """What came of it: its result, or the refusal."""
        try:
            return self.do(act)
        except BlockwireError as refusal:
            return refusal

    @precondition(lambda self: self.named)
    @rule(data=st.data(), otherwise=st.booleans())
    def edit_again(self, data: st.DataObject, otherwise: bool) -> None:
        """The same request once more is answered as before; another one under its id is refused."""
        id, edit, version = data.draw(st.sampled_from(self.named))
        if id not in self.plain.blocks:
            return
        again = edit.model_copy(update={"text": edit.text + "!"}) if otherwise else edit
        outcome = self._same(IdReused if otherwise else version, self.rooms.blocks.edit(WS, id, again, ALICE))
        assert outcome is None or outcome.repeated

    # The past.

    @rule(id=blocks, data=st.data())
    def restore(self, id: str, data: st.DataObject) -> None:
        if id not in self.plain.blocks:
            return
        version = data.draw(st.integers(1, self.plain.blocks[id].version))
        then = self.plain.blocks[id].at(version)
        fields, present = then.fields, self.plain.blocks[id].now.fields
        if fields.description is None:  # nothing is made absent again
            fields = replace(fields, description="" if present.description else present.description)
        made = Version(then.value, fields, configured=True)
        self._same(self.plain.become(id, made), self.rooms.history.restore(WS, id, version, ALICE))

    @rule(id=blocks, data=st.data())
    def undo(self, id: str, data: st.DataObject) -> None:
        """Exactly what is promised where an edit wrote something; otherwise what can be said of it at all."""
        if id not in self.plain.blocks:
            return
        block = self.plain.blocks[id]
        version = data.draw(st.integers(1, block.version))
        then, now = block.at(version), block.now
        act = self.rooms.history.undo(WS, id, version, ALICE)
        if version == 1:
            self._same(Invalid, act)
        elif then.added and not self._was_configured(id, version):
            if now.value.count(then.added) != 1:
                self._same(CannotUndo, act)
            else:
                value = now.value.replace(then.added, then.removed)
                self._same(self.plain.become(id, Version(value, now.fields, then.removed, then.added)), act)
        else:
            self._undo_something_else(id, version, act)

    def _was_configured(self, id: str, version: int) -> bool:
        entry = self.do(self.rooms.history.at(WS, id, version)).entry
        return bool(entry.operation == "configure")

    def _undo_something_else(self, id: str, version: int, act: Awaitable[EditOutcome]) -> None:
        """A deletion or a configuration may be refused. If not, and nothing came after, all is as before."""
        block = self.plain.blocks[id]
        before, newest = block.at(version - 1), version == block.version
        outcome = self._said(act)
        if not isinstance(outcome, EditOutcome):
            return
        made = self._as_version(outcome)
        if newest:
            empty = replace(before.fields, description=before.fields.description or "")
            assert (made.value, replace(made.fields, description=made.fields.description or "")) == (
                before.value,
                empty,
            )
        assert self.plain.become(id, made) == outcome.version

    def _as_version(self, outcome: EditOutcome) -> Version:
        block, entry = outcome.block, None
        fields = self.plain.blocks[block.id].now.fields
        made = type(fields)(block.label, block.description, block.limit, tuple(block.tags))
        if outcome.changed:
            entry = self.do(self.rooms.history.at(WS, block.id, outcome.version)).entry
        return Version(block.value, made, entry.added if entry else "", entry.removed if entry else "", True)

    def _every_version_is_right(self, id: str) -> None:
        block = self.plain.blocks[id]
        for version, wanted in enumerate(block.versions, 1):
            then = self.do(self.rooms.history.at(WS, id, version)).block
            assert (then.value, then.label, then.limit) == (
                wanted.value,
                wanted.fields.label,
                wanted.fields.limit,
            )
            assert (then.description, tuple(then.tags)) == (
                wanted.fields.description,
                wanted.fields.tags,
            )
        same = block.at(1).value == block.now.value
        diff = self.do(self.rooms.history.diff(WS, id, 1, block.version))
        assert (diff == "") == same

    # Agents.

    @rule(target=agents)
    def create_agent(self) -> str:
        return self._agent()

    def _agent(self) -> str:
        agent = self.do(self.rooms.agents.create(WS, NewAgent(model="offline/scripted"), ALICE))
        self.plain.agents[agent.id] = {}
        return str(agent.id)

    @rule(agent=agents, id=blocks, away=st.booleans())
    def attach(self, agent: str, id: str, away: bool) -> None:
        if id not in self.plain.blocks:
            return
        rooms = self.rooms.blocks
        expected = self.plain.detach(agent, id) if away else self.plain.attach(agent, id)
        act = rooms.detach(WS, agent, id, ALICE) if away else rooms.attach(WS, agent, id, ALICE)
        said = self._said(act)
        assert expected is (None if said is None else type(said))

    @rule(agent=agents, id=blocks, label=st.none() | LABEL)
    def subscribe(self, agent: str, id: str, label: str | None) -> None:
        if id not in self.plain.blocks:
            return
        what = {"block_id": id} if label is None else {"label": label}
        self.do(self.rooms.subscriptions.create(WS, agent, SubscriptionFields.model_validate(what)))
        self.plain.watch(agent, label or id)

    @rule()
    def dispatch(self) -> None:
        self._subscribers_were_told()

    def _subscribers_were_told(self) -> None:
        """Each change once, in order, to whoever watched by then."""
        self.do(Dispatcher(self.rooms).dispatch(WS))
        for agent in self.plain.agents:
            woken = self.do(self.store.items(key(WS, "agent_woken", agent)))
            heard = [json.loads(one) for one in woken]
            told = [Told(one["block_id"], one["version"], one["label"], one["kind"]) for one in heard]
            wanted = self.plain.told(agent)
            assert told == wanted, f"{agent} was told {told}, not {wanted}"

    @invariant()
    def everything_is_as_in_the_model(self) -> None:
        blocks = {block.id: block for block in self.do(self.rooms.blocks.existing(WS, [*self.plain.blocks]))}
        assert set(blocks) == set(self.plain.blocks)
        for id, wanted in self.plain.blocks.items():
            assert (blocks[id].version, blocks[id].value) == (wanted.version, wanted.now.value)
            assert blocks[id].chars == len(wanted.now.value)
        for agent, attached in self.plain.agents.items():
            assert self.do(self.rooms.blocks.labels(WS, agent)) == attached
