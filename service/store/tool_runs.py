"""Tool runs in the store: calls of tools that people ask for, on their way to a worker and back."""

from service.records.tools import ToolOutcome, ToolRequest
from service.store.client import StoreClient
from service.store.keys import key


class ToolRunStore:
    """One door to the scripts on tool runs. Seconds say when what is kept is forgotten."""

    def __init__(self, store: StoreClient) -> None:
        self._store = store

    async def ask(self, ws: str, request: ToolRequest, seconds: int) -> None:
        text = request.model_dump_json(exclude_defaults=True)
        await self._store.run("tool_request", ws, request.id, text, seconds)

    async def take(self, ws: str, id: str, seconds: int) -> ToolRequest | None:
        """The call, once; None for everybody after that."""
        reply = await self._store.run("tool_take", ws, id, seconds)
        return ToolRequest.model_validate_json(reply[1]) if reply[0] == "ok" else None

    async def answer(self, ws: str, id: str, outcome: ToolOutcome, seconds: int) -> None:
        await self._store.run("tool_answer", ws, id, outcome.model_dump_json(), seconds)

    async def outcome(self, ws: str, id: str) -> ToolOutcome | None:
        text = await self._store.field(key(ws, "tool_run", id), "outcome")
        return ToolOutcome.model_validate_json(text) if text else None
