"""Tool arguments: what a call of each built-in tool carries, as models.

The schema that a language model is shown is derived from these (built_in.py), and what
it sends back is checked by them (calls.py), so the two cannot drift apart.
"""

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


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
            raise ValueError(f"command {self.command!r} is missing {quoted(missing)}")
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


def quoted(names: list[str]) -> str:
    """`'a', 'b' and 'c'`, the way Python lists what is missing."""
    *most, last = [repr(name) for name in names]
    return f"{', '.join(most)} and {last}" if most else last
