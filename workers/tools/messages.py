"""Messages as tools: speaking to the user, and searching what was said.

A spoken message has no effect of its own: it is the call itself that clients see.
"""

import json
from contextlib import suppress
from datetime import UTC, date, datetime, time, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from service.records.base import Page
from service.records.messages import Message
from service.tools.arguments import ConversationSearchArguments, SendMessageArguments
from service.tools.built_in import MESSAGE_SENT
from workers.approvals import as_told
from workers.tools.context import Handler, ToolContext, ToolFailed

SEARCH_CHUNK = 200


async def send_message(context: ToolContext, given: SendMessageArguments) -> str:
    return MESSAGE_SENT


async def conversation_search(context: ToolContext, given: ConversationSearchArguments) -> str:
    """Newest first; every word of the query must occur, in any case. Tool messages are left out."""
    zone = _zone(context.transcript.agent.timezone)
    earliest = _moment("start_date", given.start_date, zone, time.min)
    latest = _moment("end_date", given.end_date, zone, time.max)
    words = (given.query or "").casefold().split()
    results: list[dict[str, object]] = []
    cursor: str | None = None
    now = datetime.now(UTC)
    while len(results) < given.limit:
        page = Page(limit=SEARCH_CHUNK, after=cursor, descending=True)
        messages = await context.service.messages.find(context.lease.workspace, context.lease.agent_id, page)
        for message in filter(None, map(as_told, messages)):
            said = datetime.fromtimestamp(message.created_at / 1e6, UTC)
            text = _text(message)
            wanted = given.roles is None or message.role in given.roles
            in_time = (earliest is None or said >= earliest) and (latest is None or said <= latest)
            if text and wanted and in_time and all(word in text.casefold() for word in words):
                results.append(
                    {
                        "timestamp": said.astimezone(zone).isoformat(timespec="seconds"),
                        "time_ago": _ago((now - said).total_seconds()),
                        "role": message.role,
                        "content": text,
                    }
                )
        if len(messages) < SEARCH_CHUNK:
            break
        cursor = messages[-1].id
    results = results[: given.limit]
    found = f"{len(results)} message(s) found." if results else "No message was found."
    return json.dumps({"message": found, "results": results}, ensure_ascii=False)


def _text(message: Message) -> str:
    """What was said, or nothing for the system prompt, results and searches."""
    if message.role not in ("user", "assistant"):
        return ""
    parts = [message.plain_text()]
    for call in message.tool_calls:
        if call.name == "send_message":
            parts.append(spoken(call.arguments))
    return "\n".join(part for part in parts if part)


def spoken(arguments: str) -> str:
    """What a call of `send_message` says; nothing where that cannot be read."""
    try:
        found = json.loads(arguments)
    except ValueError:
        return ""
    return str(found.get("message", "")) if isinstance(found, dict) else ""


def _zone(name: str) -> tzinfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        return UTC


def _moment(argument: str, text: str | None, zone: tzinfo, day_time: time) -> datetime | None:
    """A date or a time in the agent's zone; a bare date is its first or last moment."""
    if text is None:
        return None
    with suppress(ValueError):
        return datetime.combine(date.fromisoformat(text), day_time, zone)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ToolFailed(
            "ValueError", f"{argument} must be a date such as 2026-01-31 or 2026-01-31T14:30, got {text!r}"
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=zone)


def _ago(seconds: float) -> str:
    for unit, size in (("day", 86_400), ("hour", 3600), ("minute", 60)):
        if seconds >= size:
            count = int(seconds // size)
            return f"{count} {unit}{'s' if count > 1 else ''} ago"
    return "just now"


HANDLERS: dict[str, Handler] = {"send_message": send_message, "conversation_search": conversation_search}
