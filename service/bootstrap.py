"""Bootstrap: assembles the rooms once, for the web, for a worker and for tests."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import structlog
from arq.connections import ArqRedis

from service.access import Tokens
from service.agent_tools import AgentTools
from service.agents import Agents
from service.approvals import Approvals
from service.asks import Asks
from service.blocks import Blocks
from service.callbacks import Callbacks
from service.catalog import Catalog
from service.changes import Changes
from service.deliveries import Deliveries
from service.errors import StoreUnreadable
from service.extras import Extras
from service.figures import Figures
from service.history import History
from service.identities import Identities
from service.leases import Leases
from service.messages import Messages
from service.metrics.process import Metrics
from service.output import Output
from service.pauses import Pauses
from service.pressure import Pressure
from service.questions import Questions
from service.queue import PREFIXES, Queue, connect
from service.records.base import DEFAULT_WORKSPACE, Micros
from service.retries import Retries
from service.runs import Runs
from service.settings import Settings
from service.shrinking import Shrinking
from service.store.bell import Bell
from service.store.client import StoreClient
from service.store.keys import SCHEMA, SCHEMA_KEY, WORKSPACES_KEY
from service.store.queue import QueueStore
from service.subscriptions import Subscriptions
from service.tags import Tags
from service.tool_runs import ToolRuns
from service.toolbox import Toolbox
from service.webhooks import Webhooks
from service.workspaces import Workspaces

log = structlog.get_logger()


@dataclass(frozen=True)
class Service:
    """All rooms, open, and the connections under them."""

    settings: Settings
    catalog: Catalog
    blocks: Blocks
    history: History
    extras: Extras
    tools: Toolbox
    tool_runs: ToolRuns
    agents: Agents
    agent_tools: AgentTools
    messages: Messages
    pauses: Pauses
    pressure: Pressure
    shrinking: Shrinking
    approvals: Approvals
    runs: Runs
    output: Output
    leases: Leases
    asks: Asks
    callbacks: Callbacks
    questions: Questions
    changes: Changes
    subscriptions: Subscriptions
    webhooks: Webhooks
    deliveries: Deliveries
    retries: Retries
    tokens: Tokens
    workspaces: Workspaces
    identities: Identities
    tags: Tags
    figures: Figures
    metrics: Metrics
    queue: QueueStore
    bell: Bell
    store: StoreClient


def now() -> Micros:
    return time.time_ns() // 1000


def assemble(settings: Settings, store: StoreClient, queue: QueueStore) -> Service:
    """The rooms over connections that are open already; tests put fakes here."""
    bell = Bell(store)
    metrics = Metrics()
    store.on_answer = metrics.asked_store
    catalog = Catalog(settings)
    jobs = Queue(queue, in_store=settings.queue_is_in_store)
    pressure = Pressure(store, settings)
    blocks = Blocks(store, settings, metrics)
    history = History(store, blocks)
    tools = Toolbox(store)
    agents = Agents(store, settings, blocks, tools, catalog, jobs, pressure, now)
    changes = Changes(store, bell)
    runs = Runs(store, settings, bell, jobs)
    approvals = Approvals(store, jobs)
    return Service(
        settings=settings,
        catalog=catalog,
        blocks=blocks,
        history=history,
        extras=Extras(blocks, history),
        tools=tools,
        tool_runs=ToolRuns(store, settings, jobs, bell),
        agents=agents,
        agent_tools=AgentTools(agents, tools),
        messages=Messages(store, settings, jobs, catalog, approvals, pressure, metrics),
        pauses=Pauses(store, jobs),
        pressure=pressure,
        shrinking=Shrinking(store, settings),
        approvals=approvals,
        runs=runs,
        output=Output(store, bell, runs),
        leases=Leases(store, settings, jobs, metrics),
        asks=Asks(store, settings, jobs, pressure, metrics),
        callbacks=Callbacks(store, bell),
        questions=Questions(store, settings, jobs, bell),
        changes=changes,
        retries=Retries(store),
        subscriptions=Subscriptions(store, agents, blocks, changes, jobs, now),
        webhooks=Webhooks(store, settings, blocks, changes, now),
        deliveries=Deliveries(store, settings, bell, now),
        tokens=Tokens(store, bell, settings, now),
        workspaces=Workspaces(store),
        identities=Identities(store),
        tags=Tags(store),
        figures=Figures(store, queue, metrics),
        metrics=metrics,
        queue=queue,
        bell=bell,
        store=store,
    )


async def prepare(store: StoreClient) -> None:
    """Marks a new store as ours, or refuses one that this code cannot read. Raises StoreUnreadable."""
    await store.put_if_absent(SCHEMA_KEY, str(SCHEMA))
    found = await store.get(SCHEMA_KEY)
    if found != str(SCHEMA):
        raise StoreUnreadable(
            f"the store holds data of schema {found}, this version of Blockwire reads schema {SCHEMA}; "
            "run the version that wrote it, or give this one another store (REDIS_URL or --data)"
        )
    await store.add_member(WORKSPACES_KEY, DEFAULT_WORKSPACE)


@asynccontextmanager
async def open_service(settings: Settings, arq: ArqRedis | None = None) -> AsyncIterator[Service]:
    """The rooms on the store that the settings name, until the context ends.

    Raises StoreUnreachable, StoreUnreadable, ValueError for settings that name no store.
    """
    if settings.redis_url is None:
        raise ValueError("settings name no store; open one first (service/processes.py: store_for)")
    store = StoreClient.connect(settings.redis_url, replicas=settings.wait_replicas, wait_ms=settings.wait_ms)
    pool = arq
    try:
        await prepare(store)
        if pool is None:
            pool = await connect(settings)
        service = assemble(settings, store, QueueStore(pool, PREFIXES))
        try:
            yield service
        finally:
            await service.bell.close()
    finally:
        if pool is not None and arq is None:
            await pool.aclose()
        await store.close()


@asynccontextmanager
async def open_tokens(settings: Settings) -> AsyncIterator[Tokens]:
    """The room of tokens alone, for the command line and for whoever decides where to listen."""
    if settings.redis_url is None:
        raise ValueError("settings name no store; open one first (service/processes.py: store_for)")
    store = StoreClient.connect(settings.redis_url, replicas=settings.wait_replicas, wait_ms=settings.wait_ms)
    bell = Bell(store)
    try:
        await prepare(store)
        yield Tokens(store, bell, settings, now)
    finally:
        await bell.close()
        await store.close()
