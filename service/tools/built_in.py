"""Tools: the built-in ones, defined once: a name, its arguments, and words for the model.

A tool that is defined but not `available` can be listed and attached; no model is
offered it, and nothing answers to a call of it yet.

Elsewhere: what calls carry (arguments.py) and how they are read (calls.py); what
each tool does (workers/tools, by name); which agent gets which (agent_types.py); when a
call is allowed (rules.py); tools that people bring along (service/toolbox.py).
"""

from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from uuid import UUID

from service.errors import NotFound
from service.records.tools import Tool, ToolType
from service.tools.arguments import (
    AgentMessageArguments,
    AppendArguments,
    ArchivalInsertArguments,
    ArchivalSearchArguments,
    Arguments,
    ConversationSearchArguments,
    CoreReplaceArguments,
    FinishArguments,
    InsertArguments,
    MemoryArguments,
    PatchArguments,
    ReplaceArguments,
    RethinkArguments,
    RethinkUserArguments,
    SendMessageArguments,
    StoreMemoriesArguments,
    TaggedMessageArguments,
    VoiceSearchArguments,
)

NOT_YET = "(Not available yet: it can be attached, but no agent is offered it.)"
"""What people are told of a tool that nothing runs; a model is not shown it at all."""
MESSAGE_SENT = "Message delivered to the user."
"""What `send_message` gives back."""


@dataclass(frozen=True)
class ToolDefinition:
    """A built-in tool: its record, the model of its arguments, and whether a call is answered."""

    tool: Tool
    arguments: type[Arguments]
    available: bool = True


def _id(name: str) -> str:
    """The same id in every workspace and release; it looks like a random one."""
    return f"tool-{UUID(bytes=sha256(name.encode()).digest()[:16], version=4)}"


def _simple(schema: dict[str, Any]) -> dict[str, Any]:
    """A property with its plain type: what may be left out is told by `required`, not by null."""
    core = next(option for option in schema.get("anyOf", [schema]) if option["type"] != "null")
    simple = {key: core[key] for key in ("type", "enum") if key in core}
    if "items" in core:
        simple["items"] = _simple(core["items"])
    if "description" in schema:
        simple["description"] = schema["description"]
    return simple


def _schema(name: str, description: str, arguments: type[Arguments]) -> dict[str, Any]:
    derived = arguments.model_json_schema()
    return {
        "name": name,
        "description": description,
        "parameters": {
            "type": "object",
            "properties": {key: _simple(field) for key, field in derived["properties"].items()},
            "required": list(derived.get("required", [])),
        },
    }


def _define(
    name: str,
    tool_type: ToolType,
    arguments: type[Arguments],
    description: str,
    *,
    available: bool = True,
    parallel: bool = False,
) -> ToolDefinition:
    tool = Tool(
        id=_id(name),
        name=name,
        tool_type=tool_type,
        description=description if available else f"{description} {NOT_YET}",
        json_schema=_schema(name, description, arguments),
        tags=[tool_type],
        enable_parallel_execution=parallel,
    )
    return ToolDefinition(tool, arguments, available)


_DEFINITIONS = (
    _define(
        "send_message",
        "letta_core",
        SendMessageArguments,
        "Say something to the user. It is the only way to be heard: everything else you write is your own "
        "thinking and stays unseen.",
    ),
    _define(
        "conversation_search",
        "letta_core",
        ConversationSearchArguments,
        "Search your earlier messages, including those that are no longer in your context, by words, role "
        "and date. Use it when somebody refers to something you cannot see.",
        parallel=True,
    ),
    _define(
        "archival_memory_insert",
        "letta_core",
        ArchivalInsertArguments,
        "Put a text into your archive, which is unlimited but seen only through archival_memory_search.",
        available=False,
    ),
    _define(
        "archival_memory_search",
        "letta_core",
        ArchivalSearchArguments,
        "Search your archive by meaning, optionally bounded by tags and time.",
        available=False,
        parallel=True,
    ),
    _define(
        "core_memory_append",
        "letta_memory_core",
        AppendArguments,
        "Add text at the end of a memory block, on a new line. It is safe while others write to the same "
        "block: nobody's text is lost. Returns the whole block.",
    ),
    _define(
        "core_memory_replace",
        "letta_memory_core",
        CoreReplaceArguments,
        "Replace a text in a memory block by another, wherever it occurs; an empty new text deletes it. "
        "The old text must match exactly. Returns the whole block.",
    ),
    _define(
        "memory",
        "letta_memory_core",
        MemoryArguments,
        "Manage your memory blocks: create one, replace or insert text in one, detach one from yourself "
        "(delete), rename or describe one. Give `command` and the arguments that command needs.",
    ),
    _define(
        "memory_apply_patch",
        "letta_memory_core",
        PatchArguments,
        "Make several changes at once, written as a diff: to one block, or to several under headers. Each "
        "part must fit exactly one place. For a single change memory_replace or memory_insert is simpler.",
    ),
    _define(
        "memory_insert",
        "letta_sleeptime_core",
        InsertArguments,
        "Insert lines into a memory block: at its end, its top, or after a given line. Use it to add "
        "something without touching the rest. Returns the whole block.",
    ),
    _define(
        "memory_replace",
        "letta_sleeptime_core",
        ReplaceArguments,
        "Replace one passage of a memory block. The old text must match exactly and occur only once. Use it "
        "for corrections and deletions. Returns the whole block.",
    ),
    _define(
        "memory_rethink",
        "letta_sleeptime_core",
        RethinkArguments,
        "Write a memory block anew from beginning to end. Everything in it is replaced, also what others put "
        "there, so carry over what shall stay. Use it to reorganise; for small changes use memory_replace or "
        "memory_insert.",
    ),
    _define(
        "memory_finish_edits",
        "letta_sleeptime_core",
        FinishArguments,
        "Say that you are done with editing memory. Call it once, after your last edit.",
    ),
    _define(
        "send_message_to_agent_and_wait_for_reply",
        "letta_multi_agent_core",
        AgentMessageArguments,
        "Send a message to another agent and wait until it has answered. Returns its id and its answer. Use "
        "it when you cannot go on without the answer.",
    ),
    _define(
        "send_message_to_agent_async",
        "letta_multi_agent_core",
        AgentMessageArguments,
        "Send a message to another agent without waiting for an answer. Use it to hand over work or to let "
        "it know something.",
    ),
    _define(
        "send_message_to_agents_matching_tags",
        "letta_multi_agent_core",
        TaggedMessageArguments,
        "Send a message to every other agent with the given tags and collect the answers. Returns a list "
        "with the id and answer of each.",
    ),
    _define(
        "search_memory",
        "letta_voice_sleeptime_core",
        VoiceSearchArguments,
        "Search earlier parts of the conversation by words and by how long ago they were.",
        available=False,
    ),
    _define(
        "store_memories",
        "letta_voice_sleeptime_core",
        StoreMemoriesArguments,
        "Keep parts of the conversation that are about to leave the context.",
        available=False,
    ),
    _define(
        "rethink_user_memory",
        "letta_voice_sleeptime_core",
        RethinkUserArguments,
        "Write anew what is known about the user.",
        available=False,
    ),
    _define(
        "finish_rethinking_memory",
        "letta_voice_sleeptime_core",
        FinishArguments,
        "Say that you are done with rewriting memory.",
        available=False,
    ),
)

BUILT_IN: dict[str, ToolDefinition] = {definition.tool.name: definition for definition in _DEFINITIONS}
_BY_ID = {definition.tool.id: definition for definition in _DEFINITIONS}


def by_name(name: str) -> ToolDefinition:
    """The built-in tool of this name, or NotFound."""
    if name not in BUILT_IN:
        raise NotFound("tool", name)
    return BUILT_IN[name]


def by_id(id: str) -> ToolDefinition:
    """The built-in tool with this id, or NotFound."""
    if id not in _BY_ID:
        raise NotFound("tool", id)
    return _BY_ID[id]


def parameters_of(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema's parameters, complete: people's own may leave out what is empty."""
    return {"type": "object", "properties": {}, "required": [], **schema.get("parameters", {})}


def with_heartbeat(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema for a model whose turn ends after each tool call unless it asks to go on."""
    parameters = parameters_of(schema)
    heartbeat = {
        "type": "boolean",
        "description": "true: you get the result and go on working. false: your turn ends after this call.",
    }
    return schema | {
        "parameters": parameters
        | {
            "properties": parameters["properties"] | {"request_heartbeat": heartbeat},
            "required": [*parameters["required"], "request_heartbeat"],
        }
    }
