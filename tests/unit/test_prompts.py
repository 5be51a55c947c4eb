import json
from typing import Any

import pytest

from service.agent_types import AGENT_TYPES
from service.errors import Invalid
from service.prompts import (
    LINE_NUMBER_WARNING,
    STOCK_DESCRIPTIONS,
    compile_prompt,
    heartbeat_event,
    local_time,
    login_event,
    note_of_changes,
    packed_result,
    stock_system,
)
from service.records.agents import Agent
from service.records.blocks import Block

AT = 1_769_839_130_999_999  # 2026-01-31 05:58:50 UTC
TIME = "2026-01-31 05:58:50 AM UTC+0000"
ANTHROPIC = {"model_endpoint_type": "anthropic"}


def agent(**fields: Any) -> Agent:
    given: dict[str, Any] = {"id": "agent-1", "name": "a", "system": "Be kind.", "model": "openai/x"} | fields
    return Agent(**given, created_at=0, updated_at=0)


def block(label: str = "notes", value: str = "text", **fields: Any) -> Block:
    given: dict[str, Any] = {"id": f"block-{label}", "version": 1, "description": "About it."} | fields
    return Block(label=label, value=value, chars=len(value), created_at=0, updated_at=0, **given)


def compiled(*blocks: Block, **fields: Any) -> str:
    return compile_prompt(agent(**fields), blocks, previous_messages=3, at=AT)


METADATA = f"""\
<memory_metadata>
- AGENT_ID: agent-1
- CONVERSATION_ID: default
- System prompt last recompiled: {TIME}
- 3 previous messages are kept in recall memory
</memory_metadata>"""


def test_memory_follows_the_instructions_in_v1s_layout() -> None:
    prompt = compiled(block(value="one\ntwo\n", limit=500), block("plans", "é\U0001f600", read_only=True))
    opening, intro, rest = prompt.split("\n", 4)[2:5]
    assert prompt.startswith("Be kind.\n\n<memory_blocks>\n")
    assert (opening, rest.split("\n")[0]) == ("<memory_blocks>", "")
    assert intro
    assert (
        rest
        == f"""
<notes>
<description>
About it.
</description>
<metadata>
- chars_current=8
- chars_limit=500
</metadata>
<value>
one
two

</value>
</notes>

<plans>
<description>
About it.
</description>
<metadata>
- read_only=true
- chars_current=2
- chars_limit=100000
</metadata>
<value>
é\U0001f600
</value>
</plans>

</memory_blocks>

{METADATA}"""
    )


def test_memory_takes_the_place_the_instructions_leave_for_it() -> None:
    prompt = compiled(block(), system="Before.\n{CORE_MEMORY}\nAfter.")
    assert prompt.startswith("Before.\n<memory_blocks>\n")
    assert prompt.endswith("</memory_metadata>\nAfter.")


def test_a_value_that_looks_like_the_placeholder_stays_as_it_is() -> None:
    prompt = compiled(block(value="{CORE_MEMORY} {0}"), system="x {CORE_MEMORY} {y}")
    assert prompt.count("<memory_blocks>") == 1
    assert "<value>\n{CORE_MEMORY} {0}\n</value>" in prompt
    assert prompt.endswith(" {y}")


def test_the_label_is_the_tag_as_it_stands() -> None:
    prompt = compiled(block("team/long term"))
    assert "\n<team/long term>\n" in prompt
    assert "\n</team/long term>\n" in prompt


@pytest.mark.parametrize("missing", [None, ""])
def test_a_missing_description_leaves_an_empty_line(missing: str | None) -> None:
    assert "<description>\n\n</description>" in compiled(block(description=missing))


@pytest.mark.parametrize("label", ["human", "persona"])
def test_well_known_blocks_describe_themselves(label: str) -> None:
    assert f"<description>\n{STOCK_DESCRIPTIONS[label]}\n</description>" in compiled(
        block(label, description=None)
    )
    assert STOCK_DESCRIPTIONS[label] not in compiled(block(label, description="Mine."))


def test_an_empty_value_leaves_an_empty_line() -> None:
    assert "<value>\n\n</value>" in compiled(block(value=""))


def test_without_blocks_nothing_is_said_of_them() -> None:
    assert compiled() == f"Be kind.\n\n{METADATA}"


@pytest.mark.parametrize("agent_type", ["letta_v1_agent", "memgpt_v2_agent", "sleeptime_agent"])
def test_anthropic_models_see_line_numbers(agent_type: str) -> None:
    prompt = compiled(block(value="a\n\nü\r\n"), agent_type=agent_type, llm_config=ANTHROPIC)
    assert (
        f"</metadata>\n<warning>\n{LINE_NUMBER_WARNING}\n</warning>\n"
        "<value>\n1→ a\n2→ \n3→ ü\r\n4→ \n</value>\n</notes>" in prompt
    )


def test_an_empty_value_has_no_numbered_lines() -> None:
    assert "<value>\n</value>" in compiled(block(value=""), llm_config=ANTHROPIC)


def test_with_line_numbers_no_blocks_leave_an_empty_frame() -> None:
    prompt = compiled(llm_config=ANTHROPIC)
    frame = prompt[prompt.index("<memory_blocks>") : prompt.index("<memory_metadata>")]
    assert frame.split("\n")[0] == "<memory_blocks>"
    assert frame.endswith("\n\n</memory_blocks>\n\n")
    assert len(frame.strip().split("\n")) == 4


@pytest.mark.parametrize(
    ("agent_type", "config"),
    [
        ("letta_v1_agent", {"model_endpoint_type": "openai"}),
        ("letta_v1_agent", {}),
        ("memgpt_agent", ANTHROPIC),
        ("voice_convo_agent", ANTHROPIC),
    ],
)
def test_everybody_else_sees_values_as_they_are(agent_type: str, config: dict[str, Any]) -> None:
    prompt = compiled(block(), agent_type=agent_type, llm_config=config)
    assert "<value>\ntext\n</value>" in prompt
    assert "<warning>" not in prompt


@pytest.mark.parametrize("agent_type", ["react_agent", "workflow_agent"])
def test_types_without_memory_see_no_blocks(agent_type: str) -> None:
    for config in ({}, ANTHROPIC):
        assert compiled(block(), agent_type=agent_type, llm_config=config) == f"Be kind.\n\n{METADATA}"


def test_rules_that_have_a_text_are_told() -> None:
    rules = [
        {"type": "exit_loop", "tool_name": "send_message"},
        {"type": "requires_approval", "tool_name": "memory"},
        {"type": "continue_loop", "tool_name": "memory"},
    ]
    prompt = compiled(block(), tool_rules=rules)
    part = prompt[prompt.index("<tool_usage_rules>") : prompt.index("<memory_metadata>")]
    first, _sentence, blank, *more = part.split("\n")
    assert "</memory_blocks>\n\n<tool_usage_rules>" in prompt
    assert (first, blank) == ("<tool_usage_rules>", "")
    assert more[0] == more[3] == "<tool_rule>"
    assert more[2] == more[5] == "</tool_rule>"
    assert "`send_message`" in more[1]
    assert "`memory`" in more[4]
    assert more[6:] == ["</tool_usage_rules>", "", ""]


@pytest.mark.parametrize("rules", [None, [], [{"type": "run_first", "tool_name": "x"}]])
def test_rules_without_a_text_leave_no_trace(rules: list[dict[str, Any]] | None) -> None:
    assert "tool_usage_rules" not in compiled(block(), tool_rules=rules)


def test_archival_memories_are_told_only_if_there_are_any() -> None:
    prompt = compile_prompt(agent(), [], previous_messages=0, at=AT, archival_memories=7)
    assert (
        "- 0 previous messages are kept in recall memory\n- 7 memories are kept in archival memory\n"
        in prompt
    )
    assert "archival" not in compile_prompt(agent(), [], previous_messages=0, at=AT)


def test_the_time_is_the_agents_own() -> None:
    assert "recompiled: 2026-01-31 02:58:50 PM JST+0900\n" in compiled(timezone="Asia/Tokyo")


@pytest.mark.parametrize("zone", ["", "Mars/Base", "../etc/passwd", "Europe", "a\0b", "é", "UTC"])
def test_an_unknown_zone_is_utc(zone: str) -> None:
    assert local_time(AT, zone) == TIME


def test_an_agent_of_no_known_type_has_no_prompt() -> None:
    with pytest.raises(Invalid):
        compiled(agent_type="nonsense")


@pytest.mark.parametrize("agent_type", AGENT_TYPES)
def test_every_type_has_instructions_that_fit_it(agent_type: str) -> None:
    text = stock_system(agent_type)
    row = AGENT_TYPES[agent_type]
    assert ("<memory_blocks>" in text) == row.memory_in_prompt
    assert ("shared" in text) == row.memory_in_prompt
    assert ("request_heartbeat" in text) == row.heartbeats
    assert ("without calling a tool" in text) == (not row.heartbeats)
    assert "\n\n\n" not in text


def test_only_types_that_can_speak_are_told_how() -> None:
    told = {agent_type for agent_type in AGENT_TYPES if "`send_message`" in stock_system(agent_type)}
    assert told == {"memgpt_agent", "memgpt_v2_agent", "voice_convo_agent"}


def test_no_type_no_instructions() -> None:
    with pytest.raises(Invalid):
        stock_system("split_thread_agent")


def test_a_note_shows_what_others_changed_with_both_versions() -> None:
    note = note_of_changes([(block(value="new\ntext", version=5), 3), (block("plans", "", version=1), 0)])
    first, intro, rest = note.split("\n", 2)
    assert first == "<changed_blocks>"
    assert intro
    assert (
        rest
        == """
<notes>
<metadata>
- version_seen=3
- version_now=5
- chars_current=8
- chars_limit=100000
</metadata>
<value>
new
text
</value>
</notes>

<plans>
<metadata>
- version_seen=none (new to you)
- version_now=1
- chars_current=0
- chars_limit=100000
</metadata>
<value>

</value>
</plans>

</changed_blocks>"""
    )


def test_a_note_names_blocks_that_were_taken_away() -> None:
    note = note_of_changes([], detached=["scratch"])
    assert "'scratch'" in note
    assert note.endswith("</changed_blocks>")
    assert "'gone'" in note_of_changes([(block(), 1)], detached=["gone"])


def test_no_change_makes_no_note() -> None:
    assert note_of_changes([]) == ""


def test_events_are_json_with_the_agents_time() -> None:
    login = json.loads(login_event(AT, "UTC"))
    assert (login["type"], login["time"]) == ("login", TIME)
    assert json.loads(heartbeat_event("tool failed: é", AT, "UTC")) == {
        "type": "heartbeat",
        "reason": "tool failed: é",
        "time": TIME,
    }


@pytest.mark.parametrize(("ok", "status"), [(True, "OK"), (False, "Failed")])
def test_a_result_is_packed_with_its_status(ok: bool, status: str) -> None:
    packed = packed_result('say "é"\n', ok, AT, "nowhere")
    assert json.loads(packed) == {"status": status, "message": 'say "é"\n', "time": TIME}
    assert list(json.loads(packed)) == ["status", "message", "time"]
    assert "é" in packed


def test_a_result_may_be_an_object() -> None:
    assert json.loads(packed_result({"results": []}, True, AT, "UTC"))["message"] == {"results": []}
