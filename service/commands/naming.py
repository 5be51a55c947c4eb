"""Naming: an agent as people call it on the command line: by its id or its name."""

import re

from service.client import Client
from service.errors import Invalid

_ID = re.compile(r"agent-[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def is_id(who: str) -> bool:
    """Whether it is an agent's id; anything else is a name, even one that begins as ids do."""
    return _ID.fullmatch(who) is not None


async def agent_named(client: Client, who: str) -> str:
    """The id of an agent, by its id or its name. Raises Invalid where that is not one agent."""
    if is_id(who):
        return who
    found = await client.get("/v1/agents/", name=who, limit=2, include_relationships=["tags"])
    if len(found) != 1:
        several = "several agents are" if found else "no agent is"
        raise Invalid("AGENT", f"{several} named {who!r}; `blockwire agents` lists ids")
    return str(found[0]["id"])
