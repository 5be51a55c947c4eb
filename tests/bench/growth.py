"""Growth: the same thing with little and with much around it, each against its own smallest size."""

from collections.abc import AsyncIterator, Callable, Sequence
from itertools import count

from service.records.base import Page
from service.records.blocks import Block, BlockFields, BlockQuery, Edit
from service.records.ids import new_id
from service.records.subscriptions import SubscriptionFields
from tests.bench.figures import Figure
from tests.bench.filling import others, seen, send_all
from tests.bench.machine import BENCH, WS, Machine
from tests.bench.pace import Pace
from tests.bench.timing import Act, Timed, gathered, medians, sampled, timed
from workers.wakeups import Dispatcher

MOST = 1.2
"""What everything may cost at its largest, as a multiple of its smallest."""
_PAGE = 50
_LABELS, _TAGS = 100, 10
_NUMBERS = count()


def grown(name: str, sizes: Sequence[int], found: list[list[list[float]]]) -> list[Figure]:
    """A figure for each size but the smallest."""
    smallest = medians(found[0])
    floor_is = f"the same with {sizes[0]:,}"
    return [
        Figure("growth", f"{name} {size:,}", medians(one), smallest, floor_is, "s", MOST)
        for size, one in zip(sizes[1:], found[1:], strict=True)
    ]


async def by_agents(machine: Machine, pace: Pace) -> AsyncIterator[Figure]:
    """An edit of a block that more and more agents have."""
    sizes = pace.agents
    blocks = [await machine.block(f"of-{size}") for size in sizes]

    async def attach(number: int) -> None:
        await machine.agent([block.id for block, size in zip(blocks, sizes, strict=True) if number < size])

    await gathered(attach, max(sizes))
    sides = [timed(_edit(machine, block)) for block in blocks]
    await sampled(1, pace.samples, *sides)
    for figure in grown("edit, attached to", sizes, await sampled(pace.rounds, 3 * pace.samples, *sides)):
        yield figure


def _edit(machine: Machine, block: Block) -> Act:
    async def edit() -> None:
        asked = Edit(operation="set", text=str(next(_NUMBERS)))
        await machine.service.blocks.edit(WS, block.id, asked, BENCH)

    return edit


async def by_blocks(machine: Machine, pace: Pace) -> AsyncIterator[Figure]:
    """Reading one block and a page of them, with more and more blocks in the workspace."""
    sizes = pace.blocks
    middles = []
    for size in sizes:
        middles.append(await fill_blocks(machine, _ws(size), size))
    blocks = machine.service.blocks
    kinds: dict[str, Callable[[str, str], Timed]] = {
        "get": lambda ws, middle: timed(lambda: blocks.read(ws, middle)),
        "list": lambda ws, middle: timed(lambda: blocks.find(ws, BlockQuery(), Page(limit=_PAGE))),
        "list, in the middle": lambda ws, middle: timed(
            lambda: blocks.find(ws, BlockQuery(), Page(limit=_PAGE, after=middle))
        ),
        "list, newest first": lambda ws, middle: timed(
            lambda: blocks.find(ws, BlockQuery(), Page(limit=_PAGE, descending=True))
        ),
        "list by label": lambda ws, middle: timed(
            lambda: blocks.find(ws, BlockQuery(label="label-7"), Page(limit=10))
        ),
        "list by tag": lambda ws, middle: timed(
            lambda: blocks.find(ws, BlockQuery(tags=["tag-7"]), Page(limit=10))
        ),
    }
    for name, make in kinds.items():
        sides = [make(_ws(size), middle) for size, middle in zip(sizes, middles, strict=True)]
        await sampled(1, min(10, pace.samples), *sides)
        for figure in grown(f"{name}, blocks", sizes, await sampled(pace.rounds, pace.samples, *sides)):
            yield figure


def _ws(size: int) -> str:
    return f"of-{size}"


async def fill_blocks(machine: Machine, ws: str, size: int) -> str:
    """So many blocks, by the store's own script; the id of one in the middle."""
    fields = BlockFields(label="the-label", value="the value", tags=["the-tag"])
    made: list[Block] = []

    async def one() -> None:
        made.append(await machine.service.blocks.create(ws, fields, BENCH))

    words, ids = await seen(machine, one), [new_id("block") for _ in range(size - 1)]
    names: dict[str, Callable[[int], str]] = {
        made[0].id: lambda number: ids[number],
        "the-label": lambda number: f"label-{number % _LABELS}",
        "the-tag": lambda number: f"tag-{number % _TAGS}",
    }
    await send_all(machine, others(words, size - 1, names))
    return ids[size // 2 - 1]


async def by_subscriptions(machine: Machine, pace: Pace) -> AsyncIterator[Figure]:
    """An edit, and its dispatch to the one who watches it, while others watch something else."""
    sizes = pace.subscriptions
    for kind in ("block_id", "label", "block_tag"):
        sides = [await _dispatch(machine, f"{kind.replace('_', '-')}-{size}", kind, size) for size in sizes]
        await sampled(1, min(10, pace.samples), *sides)
        found = await sampled(pace.rounds, pace.samples, *sides)
        what = kind.removeprefix("block_")
        for figure in grown(f"edit and dispatch, subscriptions by {what}", sizes, found):
            yield figure


async def _dispatch(machine: Machine, ws: str, kind: str, size: int) -> Timed:
    service = machine.service
    fields = BlockFields(label="watched", value="…", tags=["watched"])
    block = await service.blocks.create(ws, fields, BENCH)
    agent = await machine.agent(ws=ws)
    watched = {"block_id": block.id, "label": "watched", "block_tag": "watched"}[kind]
    other = {"block_id": block.id, "label": "something-else", "block_tag": "something-else"}[kind]
    made: list[str] = []

    async def one() -> None:
        given = SubscriptionFields.model_validate({kind: other})
        made.append((await service.subscriptions.create(ws, agent.id, given)).id)

    words = await seen(machine, one)
    await service.subscriptions.delete(ws, agent.id, made[0])
    names: dict[str, Callable[[int], str]] = {
        made[0]: lambda _: new_id("subscription"),
        other: (lambda _: new_id("block")) if kind == "block_id" else (lambda number: f"other-{number}"),
    }
    await send_all(machine, others(words, size - 1, names))
    given = SubscriptionFields.model_validate({kind: watched, "wakes_per_minute": 1_000_000})
    await service.subscriptions.create(ws, agent.id, given)
    dispatcher = Dispatcher(service)
    while await dispatcher.dispatch(ws):
        pass

    async def edit_and_dispatch() -> None:
        edit = Edit(operation="set", text=str(next(_NUMBERS)))
        await service.blocks.edit(ws, block.id, edit, BENCH)
        await dispatcher.dispatch(ws)

    return timed(edit_and_dispatch)
