"""Own tools in the store: a hash per tool, each field as JSON, so that fields can be changed one by one."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from service.errors import Invalid, NotFound
from service.records.base import Page
from service.records.tools import Tool
from service.store.client import StoreClient, flat
from service.store.keys import key
from service.store.pages import Term, rows_of
from service.store.places import by_creation


def to_tool(id: str, hash: Mapping[str, str]) -> Tool:
    return Tool.model_validate({**{name: json.loads(text) for name, text in hash.items()}, "id": id})


def _texts(fields: Mapping[str, Any]) -> str:
    return json.dumps({name: json.dumps(value, ensure_ascii=False) for name, value in fields.items()})


class ToolStore:
    """One door to the scripts on own tools."""

    def __init__(self, store: StoreClient) -> None:
        self._store = store

    async def put(self, ws: str, new: Tool, given: Mapping[str, Any]) -> Tool:
        """The new tool, or the one that has its name already, with the given fields changed."""
        fields = new.model_dump(exclude={"id", "seq"}, exclude_none=True)
        reply = await self._store.run("tool_put", ws, new.id, new.name, _texts(fields), _texts(given))
        return to_tool(reply[1], flat(reply[2]))

    async def update(self, ws: str, tool_id: str, fields: Mapping[str, Any], name: str) -> Tool:
        """Raises NotFound; Invalid where another tool has the name."""
        reply = await self._store.run("tool_update", ws, tool_id, _texts(fields), name)
        match reply:
            case ["missing"]:
                raise NotFound("tool", tool_id)
            case ["named", holder]:
                raise Invalid("name", f"tool {holder} is called {name!r} already; choose another name")
        return to_tool(tool_id, flat(reply[1]))

    async def delete(self, ws: str, tool_id: str) -> None:
        if (await self._store.run("tool_delete", ws, tool_id))[0] != "ok":
            raise NotFound("tool", tool_id)

    async def read_many(self, ws: str, ids: Sequence[str]) -> list[Tool]:
        """Those of the tools that exist, in order, in one round trip."""
        hashes = await self._store.hashes([key(ws, "tool", id) for id in ids])
        return [to_tool(id, hash) for id, hash in zip(ids, hashes, strict=True) if hash]

    async def named(self, ws: str, names: Sequence[str]) -> list[str | None]:
        """The ids of the tools of these names, None where there is none."""
        return await self._store.fields(key(ws, "tool_names"), names)

    async def has(self, ws: str, tool_id: str) -> bool:
        return await self._store.score(key(ws, "tools"), tool_id) is not None

    async def page(self, ws: str, page: Page, keep: Callable[[Tool], bool]) -> list[Tool]:
        """One page of those that `keep` says yes to, by creation."""

        async def read(ids: Sequence[str]) -> list[Tool]:
            return [tool for tool in await self.read_many(ws, ids) if keep(tool)]

        return await rows_of(self._store, by_creation(ws, "tools"), [Term([key(ws, "tools")])], page, read)
