"""Tools: what a model may ask for, defined once: a name, its arguments, and words for the model.

The schema a model sees is derived from the model of the arguments, the same that
checks what it sends back, so the two cannot drift apart. A tool that is defined but
not `available` can be listed and attached; nothing answers to a call of it yet.

Elsewhere: what each tool does (workers/tools, by name); which agent gets which
(service/agent_types); when a call is allowed (service/tool_rules).
"""

import json
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from service.errors import BlockwireError, NotFound
from service.records.tools import Tool, ToolType

MESSAGE_SENT = "Message delivered to the user."
"""What `send_message` gives back."""

_ASIDES = ("request_heartbeat", "thinking")
"""Arguments of the loop, not of any tool."""


class ToolArgumentsWrong(BlockwireError):
    """A model called a tool with arguments it does not take; the text is like Python's own."""

    def __init__(self, tool: str, problem: str, argument: str | None = None) -> None:
        super().__init__(f"{tool}() {problem}")
        self.tool = tool
        self.argument = argument


class Arguments(BaseModel):
    """What a call of one tool carries."""

    model_config = ConfigDict(frozen=True, extra="forbid")


_LABEL = Field(description="Label of the block to edit, as shown in your memory.")


class AppendArguments(Arguments):
    label: str = _LABEL
    content: str = Field(description="Text to add; it starts on a new line after what is there.")


class CoreReplaceArguments(Arguments):
    label: str = _LABEL
    old_content: str = Field(description="Text to look for. It must match the block exactly.")
    new_content: str = Field(description="Text to put in its place; an empty string removes it.")


class InsertArguments(Arguments):
    label: str = _LABEL
    new_string: str = Field(description="The lines to insert, without line numbers.")
    insert_line: int = Field(
        default=-1,
        description="Line after which to insert: 0 puts the text at the top, -1 (the default) at the end.",
    )


class ReplaceArguments(Arguments):
    label: str = _LABEL
    old_string: str = Field(
        description="Text to look for, copied exactly with its whitespace, without line numbers. "
        "It must occur once; add surrounding text if it occurs more often."
    )
    new_string: str = Field(description="Text to put in its place; an empty string removes it.")


class RethinkArguments(Arguments):
    label: str = _LABEL
    new_memory: str = Field(description="The complete new text of the block, without line numbers.")


class PatchArguments(Arguments):
    label: str = Field(
        description="Label of the block to edit; an empty string if the patch names its blocks by headers."
    )
    patch: str = Field(
        description="The changes as a diff. Begin each line with a space (stays), '-' (goes) or '+' (new), "
        "separate changes that are apart by a line '@@', and give enough unchanged lines around each for it "
        "to fit one place only. To change several blocks, write before each part one of the headers "
        "'*** Add Block: <label>' (then optionally 'Description: <text>', then its lines with '+'), "
        "'*** Update Block: <label>' (then a diff), '*** Delete Block: <label>'; a line "
        "'*** Move to: <new label>' below an update relabels that block."
    )


class FinishArguments(Arguments):
    pass


class MemoryArguments(Arguments):
    command: Literal["create", "str_replace", "insert", "delete", "rename"] = Field(
        description="What to do. create: path, description, optionally file_text. str_replace: path, "
        "old_string, new_string. insert: path, insert_text, optionally insert_line. delete: path. "
        "rename: old_path and new_path, or path and description to describe the block anew."
    )
    path: str | None = Field(default=None, description="The block: its label, or '/memories/<label>'.")
    file_text: str | None = Field(
        default=None, description="create: text of the new block; empty if left out."
    )
    description: str | None = Field(
        default=None, description="create, rename: what the block is for, in a sentence or two."
    )
    old_string: str | None = Field(
        default=None, description="str_replace: text to look for, copied exactly; it must occur once."
    )
    new_string: str | None = Field(
        default=None, description="str_replace: text to put in its place; an empty string removes it."
    )
    insert_line: int = Field(
        default=-1, description="insert: line after which to insert; 0 is the top, -1 (the default) the end."
    )
    insert_text: str | None = Field(default=None, description="insert: the lines to insert.")
    old_path: str | None = Field(default=None, description="rename: the block as it is called now.")
    new_path: str | None = Field(default=None, description="rename: the block as it shall be called.")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        describes = self.path is not None and self.old_path is None and self.new_path is None
        needed: dict[str, tuple[str, ...]] = {
            "create": ("path", "description"),
            "str_replace": ("path", "old_string", "new_string"),
            "insert": ("path", "insert_text"),
            "delete": ("path",),
            "rename": ("path", "description") if describes else ("old_path", "new_path"),
        }
        missing = [name for name in needed[self.command] if getattr(self, name) is None]
        if missing:
            raise ValueError(f"command {self.command!r} is missing {_quoted(missing)}")
        return self


class SendMessageArguments(Arguments):
    message: str = Field(description="What to say, as the user shall read it.")


class ConversationSearchArguments(Arguments):
    query: str | None = Field(
        default=None, description="Words to look for; leave it out to go by role and date alone."
    )
    roles: list[Literal["assistant", "user", "tool"]] | None = Field(
        default=None, description="Whose messages to search; everybody's if left out."
    )
    limit: int = Field(default=5, ge=1, description="How many results to return at most; 5 if left out.")
    start_date: str | None = Field(
        default=None,
        description="Earliest time, inclusive: '2026-01-31' or '2026-01-31T14:30', in your own timezone.",
    )
    end_date: str | None = Field(
        default=None,
        description="Latest time, inclusive, written like start_date; a bare date is that whole day.",
    )


class AgentMessageArguments(Arguments):
    message: str = Field(
        description="The message, complete in itself: the other agent cannot see your history."
    )
    other_agent_id: str = Field(description="Id of the agent to write to, 'agent-…'.")


class TaggedMessageArguments(Arguments):
    message: str = Field(description="The message, complete in itself: the others cannot see your history.")
    match_all: list[str] = Field(description="Tags of which an agent must have every one; may be empty.")
    match_some: list[str] = Field(description="Tags of which an agent must have at least one; may be empty.")


class ArchivalInsertArguments(Arguments):
    content: str = Field(description="The text to keep. Write it so that it can be understood on its own.")
    tags: list[str] | None = Field(default=None, description="Words to file it under.")


class ArchivalSearchArguments(Arguments):
    query: str = Field(description="What to look for, in your own words: the search goes by meaning.")
    tags: list[str] | None = Field(default=None, description="Only texts filed under these words.")
    tag_match_mode: Literal["any", "all"] = Field(
        default="any",
        description="Whether one of the tags is enough ('any', the default) or 'all' are needed.",
    )
    top_k: int = Field(default=5, ge=1, description="How many results to return at most; 5 if left out.")
    start_datetime: str | None = Field(
        default=None, description="Earliest time, inclusive: '2026-01-31' or '2026-01-31T14:30'."
    )
    end_datetime: str | None = Field(default=None, description="Latest time, inclusive, written likewise.")


class VoiceSearchArguments(Arguments):
    convo_keyword_queries: list[str] | None = Field(default=None, description="Words to look for.")
    start_minutes_ago: int | None = Field(default=None, description="How far back to begin, in minutes.")
    end_minutes_ago: int | None = Field(default=None, description="How far back to stop, in minutes.")


class StoreMemoriesArguments(Arguments):
    chunks: list[dict[str, Any]] = Field(
        description="Parts of the conversation to keep, each with its meaning."
    )


class RethinkUserArguments(Arguments):
    new_memory: str = Field(description="Everything known about the user, newly written.")


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
        description=description,
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


def argument_model(name: str) -> type[Arguments]:
    """What checks the arguments of the built-in tool of this name."""
    return by_name(name).arguments


def with_heartbeat(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema for a model whose turn ends after each tool call unless it asks to go on."""
    parameters = schema["parameters"]
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


def parse_arguments(name: str, arguments_json: str) -> Arguments:
    """The arguments of a call, checked, or ToolArgumentsWrong. Null is the same as left out."""
    model = argument_model(name)
    given = {key: value for key, value in _object(name, arguments_json).items() if key not in _ASIDES}
    fields = model.model_fields
    kept = {
        key: value
        for key, value in given.items()
        if value is not None or key not in fields or fields[key].is_required()
    }
    try:
        return model.model_validate(kept)
    except ValidationError as error:
        raise _wrong(name, error) from None


def _object(name: str, arguments_json: str) -> dict[str, Any]:
    if not arguments_json.strip():  # how some providers write a call without arguments
        return {}
    try:
        arguments = json.loads(arguments_json)
        json.dumps(arguments, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        raise ToolArgumentsWrong(name, f"arguments are not valid JSON: {error}") from None
    except UnicodeEncodeError:
        problem = r"arguments hold half of a surrogate pair (\ud800 to \udfff); write the character itself"
        raise ToolArgumentsWrong(name, problem) from None
    except (ValueError, RecursionError):
        problem = "arguments hold a number that is too long, or are nested too deeply"
        raise ToolArgumentsWrong(name, problem) from None
    if not isinstance(arguments, dict):
        raise ToolArgumentsWrong(name, f"arguments must be a JSON object, not {type(arguments).__name__}")
    return arguments


def _wrong(name: str, error: ValidationError) -> ToolArgumentsWrong:
    """The first thing to put right, in the order Python would complain."""
    problems = error.errors(include_url=False, include_input=False)
    for problem in problems:
        if problem["type"] == "extra_forbidden":
            argument = str(problem["loc"][0])
            return ToolArgumentsWrong(name, f"got an unexpected keyword argument {argument!r}", argument)
    missing = [str(problem["loc"][0]) for problem in problems if problem["type"] == "missing"]
    if missing:
        noun = "argument" if len(missing) == 1 else "arguments"
        return ToolArgumentsWrong(
            name, f"missing {len(missing)} required {noun}: {_quoted(missing)}", missing[0]
        )
    problem = problems[0]
    if not problem["loc"]:
        return ToolArgumentsWrong(name, str(problem["ctx"]["error"]))
    argument = str(problem["loc"][0])
    return ToolArgumentsWrong(
        name, f"argument {argument!r} {problem['msg'].removeprefix('Input ')}", argument
    )


def _quoted(names: list[str]) -> str:
    *most, last = [repr(name) for name in names]
    return f"{', '.join(most)} and {last}" if most else last
