"""Toolbox: all tools of a workspace: those built in, and those that people bring along.

An own tool has a source, and a schema that is given or read from the source
(tools/sources.py); nothing is executed here. Its name is its own in the workspace:
creating a tool of a name that is there changes that one and keeps its id (V1's way).
Agents keep own tools by id and built-in ones by name (Tool.ref), so a renamed tool
appears under its new name wherever it is attached, and a deleted one is gone.

Elsewhere: the built-in ones (tools/built_in.py); running an own tool (workers/tools/custom.py).
"""

import re
from collections.abc import Callable, Sequence
from typing import Any

from service.errors import Invalid, NotFound
from service.records.base import Page, Record
from service.records.blocks import Author
from service.records.ids import new_id
from service.records.tools import Tool, ToolFields
from service.store.client import StoreClient
from service.store.toolbox import ToolStore
from service.tools.built_in import BUILT_IN, by_id
from service.tools.sources import schema_of, schema_with

NAME = re.compile(r"[a-zA-Z0-9_-]{1,48}")
DERIVED = ("source_code", "json_schema", "args_json_schema")
"""What of a tool decides its schema."""
_ID = re.compile(r"tool-[0-9a-f-]{36}")

Keep = Callable[[Tool], bool]


class Found(Record):
    """A tool that a search found, with how well it fits, from 0 to 1."""

    tool: Tool
    score: float


class Toolbox:
    """The room of tool writes."""

    def __init__(self, store: StoreClient) -> None:
        self._store = ToolStore(store)

    async def create(self, ws: str, fields: ToolFields, by: Author) -> Tool:
        """A new tool; or, if there is one of its name, that one with what is given. Raises Invalid."""
        given = fields.model_dump(exclude_none=True)
        schema = _schema(fields)
        given |= {"name": _checked_name(schema), "json_schema": schema, "last_updated_by_id": _writer(by)}
        if schema.get("description"):
            given.setdefault("description", schema["description"])
        new = {"source_type": "json", **given}
        return await self._store.put(
            ws, Tool.model_validate({**new, "id": new_id("tool"), "created_by_id": _writer(by)}), given
        )

    async def update(self, ws: str, tool_id: str, fields: ToolFields, by: Author) -> Tool:
        """Changes what is given. Raises NotFound; Invalid for a built-in tool, or a name that is taken."""
        before = await self._own(ws, tool_id)
        given = fields.model_dump(exclude_none=True)
        name = before.name
        if any(given.get(field) is not None for field in DERIVED):
            schema = _schema(_merged(before, fields))
            name = _checked_name(schema)
            given |= {"name": name, "json_schema": schema}
            if fields.description is None and schema.get("description"):
                given["description"] = schema["description"]
        return await self._store.update(ws, tool_id, given | {"last_updated_by_id": _writer(by)}, name)

    async def delete(self, ws: str, tool_id: str) -> None:
        """Raises NotFound; Invalid for a built-in tool."""
        await self._own(ws, tool_id)
        await self._store.delete(ws, tool_id)

    async def read(self, ws: str, tool_id: str) -> Tool:
        if built_in := _built_in([tool_id]):
            return built_in[0]
        found = await self._store.read_many(ws, [tool_id])
        if not found:
            raise NotFound("tool", tool_id)
        return found[0]

    async def of(self, ws: str, refs: Sequence[str]) -> list[Tool]:
        """The tools that an agent holds, in its order, in one round trip; what is gone is left out."""
        own = [ref for ref in refs if ref not in BUILT_IN]
        found = {tool.id: tool for tool in await self._store.read_many(ws, own)} if own else {}
        found |= {ref: BUILT_IN[ref].tool for ref in refs if ref in BUILT_IN}
        return [found[ref] for ref in refs if ref in found]

    async def with_ids(self, ws: str, ids: Sequence[str]) -> list[Tool]:
        """The tools of these ids, each once; NotFound for the first that does not exist."""
        own = {tool.id: tool for tool in await self._store.read_many(ws, list(dict.fromkeys(ids)))}
        return [own[id] if id in own else by_id(id).tool for id in dict.fromkeys(ids)]

    async def with_names(self, ws: str, names: Sequence[str]) -> list[Tool]:
        """The tools of these names, each once; Invalid for the first that does not exist."""
        own = [name for name in dict.fromkeys(names) if name not in BUILT_IN]
        ids = dict(zip(own, await self._store.named(ws, own), strict=True))
        found = {
            tool.name: tool for tool in await self._store.read_many(ws, [id for id in ids.values() if id])
        }
        found |= {name: BUILT_IN[name].tool for name in names if name in BUILT_IN}
        for name in names:
            if name not in found:
                raise Invalid(
                    "tools", f"there is no tool named {name!r}; GET /v1/tools/ lists those there are"
                )
        return [found[name] for name in dict.fromkeys(names)]

    async def find(self, ws: str, page: Page, keep: Keep, names: Sequence[str] | None = None) -> list[Tool]:
        """One page of the tools that `keep` says yes to, by creation, the built-in ones before all others.

        `names`: only of those, which are then looked up instead of walked through.
        """
        if names is not None:
            ids = [id for id in await self._store.named(ws, list(dict.fromkeys(names))) if id]
            own = sorted(await self._store.read_many(ws, ids), key=lambda tool: tool.seq)
            built_in = [one.tool for one in BUILT_IN.values() if one.tool.name in names]
            return _part(list(filter(keep, [*built_in, *own])), page)
        return await self._walk(ws, page, keep)

    async def count(self, ws: str, keep: Keep) -> int:
        return len(await self._walk(ws, Page(limit=None), keep))

    async def search(self, ws: str, query: str, keep: Keep, limit: int) -> list[Found]:
        """The tools in which the words of a query occur, best first: name before tags before description."""
        every = await self._walk(ws, Page(limit=None), keep)
        words = query.casefold().split()
        found = [Found(tool=tool, score=_score(tool, words)) for tool in every]
        fitting = [one for one in found if one.score > 0]
        return sorted(fitting, key=lambda one: -one.score)[:limit]

    async def _walk(self, ws: str, page: Page, keep: Keep) -> list[Tool]:
        """A page of two lists, one behind the other; a cursor lies in one of them, or nowhere."""
        fixed = [one.tool for one in BUILT_IN.values()]
        places = {cursor: await self._place(ws, cursor) for cursor in (page.after, page.before) if cursor}
        order = ["own", "fixed"] if page.descending else ["fixed", "own"]
        after, before = places.get(page.after or ""), places.get(page.before or "")
        first = order.index(after) if after else 0
        last = order.index(before) if before else len(order) - 1
        backward = before is not None and after is None
        spans = order[first : last + 1]
        rows: list[Tool] = []
        for span in reversed(spans) if backward else spans:
            part = Page(
                limit=None if page.limit is None else page.limit - len(rows),
                after=page.after if after == span else None,
                before=page.before if before == span else None,
                descending=page.descending != (backward and before != span),
            )
            if span == "fixed":
                found = _part(fixed, part, keep)
            else:
                found = await self._store.page(ws, part, keep) if part.limit != 0 else []
            found = found[::-1] if backward and before != span else found
            rows = [*found, *rows] if backward else [*rows, *found]
        return rows

    async def _place(self, ws: str, cursor: str) -> str | None:
        if _built_in([cursor]):
            return "fixed"
        return "own" if await self._store.has(ws, cursor) else None

    async def _own(self, ws: str, tool_id: str) -> Tool:
        tool = await self.read(ws, tool_id)
        if tool.tool_type != "custom":
            raise Invalid("tool_id", f"{tool.name} is built in; it can be neither changed nor deleted")
        return tool


def offered(tool: Tool) -> bool:
    """Whether a model may be shown a tool: there is something that runs it."""
    if tool.tool_type == "custom":
        return tool.source_type != "typescript"
    return BUILT_IN[tool.name].available


def callable_alone(tool: Tool) -> bool:
    """Whether a tool can be run outside of an agent's turn: it does not have others begin theirs."""
    return offered(tool) and tool.tool_type != "letta_multi_agent_core"


def schema_from(source_code: str) -> dict[str, Any]:
    """What a model would be shown of a tool with this source. Raises Invalid naming what is missing."""
    schema = schema_of(source_code)
    _checked_name(schema)
    return schema


def _schema(fields: ToolFields) -> dict[str, Any]:
    """The schema that was given, else the one that can be read from the source."""
    if fields.json_schema is not None:
        return fields.json_schema
    source = fields.source_code or ""
    if fields.args_json_schema is not None:
        return schema_with(source, fields.args_json_schema, fields.description)
    return schema_of(source)


def _merged(before: Tool, fields: ToolFields) -> ToolFields:
    """What decides the schema after a change: given arguments outlast a change of the source."""
    schema = fields.json_schema
    if schema is None and before.source_type == "typescript":
        schema = before.json_schema
    return ToolFields(
        json_schema=schema,
        source_code=fields.source_code or before.source_code,
        args_json_schema=fields.args_json_schema or before.args_json_schema,
        description=fields.description,
    )


def _checked_name(schema: dict[str, Any]) -> str:
    name = schema.get("name")
    if not isinstance(name, str) or not NAME.fullmatch(name) or _ID.fullmatch(name):
        raise Invalid("name", "of a tool must be 1 to 48 letters, digits, - or _; the schema's `name` is it")
    if name in BUILT_IN:
        raise Invalid("name", f"{name!r} is a built-in tool; choose another name")
    if not isinstance(schema.get("parameters", {}), dict):
        raise Invalid("json_schema", "`parameters` must be an object")
    return name


def _writer(by: Author) -> str:
    return by.agent_id or by.name


def _built_in(ids: Sequence[str]) -> list[Tool]:
    return [one.tool for one in BUILT_IN.values() if one.tool.id in ids]


def _part(ascending: Sequence[Tool], page: Page, keep: Keep = lambda tool: True) -> list[Tool]:
    """A page of a whole list; an unknown cursor is ignored."""
    rows = list(reversed(ascending)) if page.descending else list(ascending)
    ids = [tool.id for tool in rows]
    start = ids.index(page.after) + 1 if page.after in ids else 0
    stop = ids.index(page.before) if page.before in ids else len(ids)
    rows = list(filter(keep, rows[start:stop]))
    if page.limit is None:
        return rows
    backward = page.before in ids and page.after not in ids
    return rows[max(0, len(rows) - page.limit) :] if backward else rows[: page.limit]


def _score(tool: Tool, words: Sequence[str]) -> float:
    """From 0 to 1; without words every tool fits."""
    if not words:
        return 1.0
    tags = " ".join(tool.tags).casefold()
    description = (tool.description or "").casefold()
    name = tool.name.casefold()
    points = [3 * (word in name) or 2 * (word in tags) or 1 * (word in description) for word in words]
    return sum(points) / (3 * len(words))
