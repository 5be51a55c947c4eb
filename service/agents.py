"""Agents: a model, instructions and attached blocks.

An agent is created with its blocks, its first messages and its compiled prompt
in one act, or not at all. Its handle is resolved then, its provider's key is not
asked for: that is missed when it is run. What V1 clients may set and Blockwire
does not act on is kept and given back.

Elsewhere: its blocks (blocks.py), its tools (agent_tools.py), its messages (messages.py),
what a type of agent means (agent_types.py).
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import structlog

from service.agent_types import initial_messages, rules_for, tools_for, type_of
from service.blocks import Blocks, checked_new
from service.catalog import Catalog
from service.errors import BlockwireError, Invalid
from service.names import checked_name, random_name
from service.pressure import Pressure
from service.prompts import (
    STOCK_DESCRIPTIONS,
    PromptParts,
    compile_prompt,
    login_event,
    parts_of_prompt,
    stock_system,
)
from service.queue import Queue
from service.records.agents import Agent, AgentFields, AgentQuery, NewAgent
from service.records.base import Micros, Page
from service.records.blocks import Author, Block, BlockFields
from service.records.budgets import Budget
from service.records.ids import new_id
from service.records.messages import Message
from service.records.models import ModelEntry
from service.settings import Settings
from service.store.agent_lists import AgentLists
from service.store.agents import AgentStore
from service.store.client import StoreClient
from service.store.messages import MessageStore, body_of
from service.toolbox import Toolbox

log = structlog.get_logger()

CONFIGURE_TRIES = 20
TYPES_KEPT = 10_000
POOL = re.compile(r"[a-z0-9_-]{1,40}")
_COPIED = (
    "description",
    "metadata",
    "tool_rules",
    "secrets",
    "source_ids",
    "project_id",
    "template_id",
    "base_template_id",
    "message_buffer_autoclear",
    "enable_sleeptime",
    "timezone",
    "max_files_open",
    "per_file_view_window_char_limit",
    "hidden",
    "pool",
    "budget",
    "response_format",
    "compaction_settings",
    "model_settings",
)
_ONLY_KEPT = ("include_default_source", "project", "memory_variables", "actor_id")
"""What only a creation names and nothing acts on."""
Clock = Callable[[], Micros]


class Agents:
    """The room of agent writes."""

    def __init__(
        self,
        store: StoreClient,
        settings: Settings,
        blocks: Blocks,
        tools: Toolbox,
        catalog: Catalog,
        queue: Queue,
        pressure: Pressure,
        clock: Clock,
    ) -> None:
        seconds = settings.run_days * 86_400
        self._store = AgentStore(store, settings.history_kept, settings.change_count, seconds)
        self._lists = AgentLists(store)
        self._messages = MessageStore(store)
        self._blocks = blocks
        self._tools = tools
        self._catalog = catalog
        self._queue = queue
        self._pressure = pressure
        self._clock = clock
        self._types: dict[tuple[str, str], str] = {}
        """(workspace, agent) -> its type."""

    async def create(self, ws: str, new: NewAgent, by: Author, *, agent_id: str | None = None) -> Agent:
        """A new agent with everything it was asked for, or an error and nothing.

        With an `agent_id` that exists already the agent is given back as it is.
        Raises Invalid, UnknownModel, NotFound (a block or a tool by id), BlockFull, StoreFilling.
        """
        filling = await self._pressure.refusal()
        if filling is not None and not await self._store.exists(ws, agent_id or ""):
            raise filling
        row = type_of(new.agent_type)
        agent = self._from_fields(_blank(new, agent_id or new_id("agent")), new)
        tools = tools_for(
            new.agent_type, new.include_base_tools, new.include_multi_agent_tools, new.enable_sleeptime
        )
        tools += [tool.ref for tool in await self._tools.with_names(ws, new.tools)]
        tools += [tool.ref for tool in await self._tools.with_ids(ws, new.tool_ids or [])]
        tools = list(dict.fromkeys(tools))
        model_name = str(agent.llm_config["model"])
        agent = agent.model_copy(
            update={
                "tools": tools,
                "tool_rules": rules_for(
                    new.agent_type, tools, model_name, new.include_base_tool_rules, new.tool_rules
                )
                or None,
                **{name: getattr(new, name) for name in _ONLY_KEPT},
                "message_buffer_autoclear": row.autoclear or agent.message_buffer_autoclear,
                "hidden": True if new.hidden is None and "role:subagent" in agent.tags else agent.hidden,
            }
        )
        new_blocks = [(new_id("block"), _described(checked_new(fields))) for fields in new.memory_blocks]
        given = await self._blocks.read_many(ws, list(dict.fromkeys(new.block_ids or [])))
        new_blocks = _attachable(given, new_blocks)
        messages = self._first_messages(agent, new, given, [fields for _, fields in new_blocks])
        await self._store.create(
            ws, agent, new_blocks, [block.id for block in given], [(m.id, body_of(m)) for m in messages], by
        )
        return await self.read(ws, agent.id)

    async def read(self, ws: str, agent_id: str) -> Agent:
        return (await self._store.read_with_rev(ws, agent_id))[0]

    async def type_of(self, ws: str, agent_id: str) -> str | None:
        """Its type alone, which never changes and is read once; None for an agent that was never there."""
        if (known := self._types.get((ws, agent_id))) is not None:
            return known
        found = await self._store.type_of(ws, agent_id)
        if found is not None:
            if len(self._types) >= TYPES_KEPT:
                self._types.clear()
            self._types[ws, agent_id] = found
        return found

    async def read_many(self, ws: str, agent_ids: Sequence[str]) -> list[Agent]:
        """Those of the agents that exist, in order."""
        return await self._store.read_many(ws, agent_ids)

    async def configure(self, ws: str, agent_id: str, fields: AgentFields, by: Author) -> Agent:
        """Changes what is given, all of it or nothing; others' changes at the same time stay."""
        given: dict[str, Any] = {}
        if fields.tool_ids is not None:
            given["tools"] = [tool.ref for tool in await self._tools.with_ids(ws, fields.tool_ids)]

        def change(agent: Agent) -> Agent:
            return self._from_fields(agent, fields).model_copy(update=given)

        sets = (fields.block_ids, fields.message_ids, fields.identity_ids)
        return await self.change(ws, agent_id, change, by, *sets)

    async def change(
        self,
        ws: str,
        agent_id: str,
        change: Callable[[Agent], Agent],
        by: Author,
        block_ids: Sequence[str] | None = None,
        message_ids: Sequence[str] | None = None,
        identity_ids: Sequence[str] | None = None,
    ) -> Agent:
        """Applies a change to the agent as it is now, again if others changed it meanwhile."""
        for _ in range(CONFIGURE_TRIES):
            before, rev = await self._store.read_with_rev(ws, agent_id)
            sets = (block_ids, message_ids, by, identity_ids)
            if await self._store.update(ws, before, rev, change(before), *sets):
                return await self.read(ws, agent_id)
        raise BlockwireError("the agent is being changed by others all the time; try again")

    async def delete(self, ws: str, agent_id: str, by: Author) -> None:
        """The agent with its messages and subscriptions. Its blocks stay, its open runs are cancelled."""
        await self._queue.nudge(ws, await self._store.delete(ws, agent_id, by))

    async def find(self, ws: str, query: AgentQuery, page: Page) -> list[Agent]:
        """One page of the agents that a query asks for, in the order it says. Raises TooWide."""
        return await self._lists.page(ws, query, page)

    async def count(self, ws: str, query: AgentQuery) -> int:
        """How many agents a query asks for. Raises TooWide."""
        return await self._lists.count(ws, query)

    async def reset_messages(self, ws: str, agent_id: str, *, add_first: bool) -> Agent:
        """The context down to message 0, compiled anew, and the first messages of its type if asked.

        The history stays; a pending request for approval is dropped. Raises AgentBusy while a run
        is under way: taken from under it, a context would end another run than began.
        """
        agent = await self.read(ws, agent_id)
        at = self._clock()
        [message_0] = await self._messages.page(ws, agent_id, Page(limit=1))
        prompt = self.compile(agent, await self._blocks.of_agent(ws, agent_id))
        login = login_event(at, agent.timezone)
        parts = initial_messages(agent.agent_type, login=login) if add_first else []
        first = [
            Message(id=new_id("message"), agent_id=agent_id, created_at=0, **part.model_dump())
            for part in parts
        ]
        ready = await self._messages.reset(ws, message_0.model_copy(update={"content": prompt}), first)
        if ready is not None:
            await self._queue.nudge(ws, [ready])
        return await self.read(ws, agent_id)

    async def compiled_prompt(self, ws: str, agent_id: str) -> str:
        """The system prompt as it would be if a run began now."""
        agent = await self.read(ws, agent_id)
        return self.compile(agent, await self._blocks.of_agent(ws, agent_id))

    async def prompt_parts(self, ws: str, agent: Agent) -> PromptParts:
        """What would be put into its instructions if a run began now."""
        blocks = await self._blocks.of_agent(ws, agent.id)
        previous = max(0, len(agent.message_ids) - 1)
        return parts_of_prompt(agent, blocks, previous_messages=previous, at=self._clock())

    def compile(self, agent: Agent, blocks: Sequence[Block]) -> str:
        """The system prompt of an agent with these blocks in it."""
        previous = max(0, len(agent.message_ids) - 1)
        return compile_prompt(agent, blocks, previous_messages=previous, at=self._clock())

    def _from_fields(self, agent: Agent, fields: AgentFields) -> Agent:
        """The agent with what is given put in, checked; what is None stays."""
        update: dict[str, Any] = {
            name: getattr(fields, name) for name in _COPIED if getattr(fields, name) is not None
        }
        if fields.name is not None:
            update["name"] = checked_name(fields.name)
        if fields.system is not None:
            update["system"] = fields.system
        for name in ("tags", "identity_ids"):
            if getattr(fields, name) is not None:
                update[name] = list(dict.fromkeys(getattr(fields, name)))
        if fields.pool is not None and not POOL.fullmatch(fields.pool):
            raise Invalid("pool", "must be 1 to 40 small letters, digits, - or _")
        if fields.budget == Budget():
            update["budget"] = None
        for name in ("last_run_completion", "last_run_duration_ms", "last_stop_reason"):
            if getattr(fields, name) is not None:
                update[name] = getattr(fields, name)
        return agent.model_copy(update=update | self._model(agent, fields) | self._embedding(fields))

    def _model(self, agent: Agent, fields: AgentFields) -> dict[str, Any]:
        handle = fields.model
        if handle is None and fields.llm_config is not None:
            return {"llm_config": fields.llm_config, "model": _handle_of(fields.llm_config)}
        if handle is None and agent.model == "":
            handle = self._catalog.default_model().handle
        config = dict(agent.llm_config)
        update: dict[str, Any] = {}
        if handle is not None:
            entry = self._catalog.resolve(handle)
            config = fields.llm_config or self._catalog.llm_config(entry)
            update["model"] = handle
            update |= self._defaults_of(entry, agent, fields)
        overrides = _config_overrides(fields)
        if handle is not None or overrides:
            update["llm_config"] = config | overrides
        return update

    def _defaults_of(self, entry: ModelEntry, agent: Agent, fields: AgentFields) -> dict[str, Any]:
        defaults: dict[str, Any] = {}
        if fields.model_settings is None:
            defaults["model_settings"] = self._catalog.model_settings(entry)
        if fields.compaction_settings is None and agent.compaction_settings is None:
            defaults["compaction_settings"] = self._catalog.compaction_settings(entry)
        return defaults

    def _embedding(self, fields: AgentFields) -> dict[str, Any]:
        if fields.embedding is not None:
            entry = self._catalog.resolve_embedding(fields.embedding)
            size = fields.embedding_chunk_size if isinstance(fields, NewAgent) else 300
            return {
                "embedding": fields.embedding,
                "embedding_config": fields.embedding_config or self._catalog.embedding_config(entry, size),
            }
        if fields.embedding_config is not None:
            return {
                "embedding": fields.embedding_config.get("handle"),
                "embedding_config": fields.embedding_config,
            }
        default = self._catalog.default_embedding()
        if default is None or not isinstance(fields, NewAgent):
            return {}
        config = self._catalog.embedding_config(default, fields.embedding_chunk_size)
        return {"embedding": default.handle, "embedding_config": config}

    def _first_messages(
        self, agent: Agent, new: NewAgent, given: Sequence[Block], fresh: Sequence[BlockFields]
    ) -> list[Message]:
        """Message 0, the compiled prompt, and what the agent's type or its creator puts behind it."""
        at = self._clock()
        blocks = _by_label([*given, *(_as_block(fields, at) for fields in fresh)])
        prompt = compile_prompt(agent, blocks, previous_messages=0, at=at)
        parts: list[Mapping[str, Any]] = [{"role": "system", "content": prompt}]
        if new.initial_message_sequence is None:
            login = login_event(at, agent.timezone)
            parts += [part.model_dump() for part in initial_messages(agent.agent_type, login=login)]
        else:
            parts += [message.model_dump(exclude_none=True) for message in new.initial_message_sequence]
        return [
            Message.model_validate({**part, "id": new_id("message"), "agent_id": agent.id, "created_at": 0})
            for part in parts
        ]


def _blank(new: NewAgent, agent_id: str) -> Agent:
    return Agent(
        id=agent_id,
        name=random_name(),
        system=stock_system(new.agent_type),
        agent_type=new.agent_type,
        model="",
        created_at=0,
        updated_at=0,
    )


def _config_overrides(fields: AgentFields) -> dict[str, Any]:
    """What else a caller may say that ends in V1's llm_config."""
    settings = fields.model_settings or {}
    found = {
        "context_window": fields.context_window_limit,
        "max_tokens": fields.max_tokens or settings.get("max_output_tokens"),
        "temperature": settings.get("temperature"),
        "parallel_tool_calls": (
            settings.get("parallel_tool_calls")
            if fields.parallel_tool_calls is None
            else fields.parallel_tool_calls
        ),
        "response_format": fields.response_format or settings.get("response_format"),
        "enable_reasoner": fields.reasoning,
    }
    if isinstance(fields, NewAgent):
        found["max_reasoning_tokens"] = fields.max_reasoning_tokens
        if fields.reasoning is None:
            found["enable_reasoner"] = fields.enable_reasoner
    thinking = settings.get("thinking")
    if isinstance(thinking, Mapping):
        found["enable_reasoner"] = thinking.get("type") == "enabled"
        found["max_reasoning_tokens"] = thinking.get("budget_tokens")
    return {name: value for name, value in found.items() if value is not None}


def _handle_of(config: Mapping[str, Any]) -> str:
    """The handle of a full llm_config, which bypasses the look-up of handles (V1)."""
    if not config.get("model"):
        raise Invalid("llm_config", "must name its model")
    if config.get("handle"):
        return str(config["handle"])
    return f"{config.get('provider_name') or config.get('model_endpoint_type')}/{config.get('model')}"


def _described(fields: BlockFields) -> BlockFields:
    """V1 gives the blocks `human` and `persona` a stock description when an agent brings them."""
    if fields.description is not None or fields.label not in STOCK_DESCRIPTIONS:
        return fields
    return fields.model_copy(update={"description": STOCK_DESCRIPTIONS[fields.label]})


def _attachable(
    given: Sequence[Block], new: Sequence[tuple[str, BlockFields]]
) -> list[tuple[str, BlockFields]]:
    """The new blocks whose label is not taken: V1 attaches the first of a label, without an error."""
    taken = {block.label for block in given}
    kept = []
    for id, fields in new:
        if fields.label in taken:
            log.warning("block.left_out", label=fields.label, reason="the agent has another of this label")
            continue
        taken.add(fields.label or "")
        kept.append((id, fields))
    return kept


def _as_block(fields: BlockFields, at: Micros) -> Block:
    value = fields.value or ""
    given = fields.model_dump(exclude_none=True) | {"value": value, "chars": len(value)}
    return Block.model_validate({**given, "id": "", "version": 1, "created_at": at, "updated_at": at})


def _by_label(blocks: Sequence[Block]) -> list[Block]:
    """As they will be attached: of several under one label the first."""
    first: dict[str, Block] = {}
    for block in blocks:
        first.setdefault(block.label, block)
    return [first[label] for label in sorted(first)]
