"""The extractive model at work: a small desk runs its calls on real text until it stops."""

import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from service.records.messages import Message
from tests.workers.models.asking import Listener, calling, message, request, results, user
from workers.models.base import ToolSpec
from workers.models.extractive import ExtractiveModel

pytestmark = pytest.mark.anyio

INSERT = {"memory_insert": ["label", "new_string"]}
APPEND = {"core_memory_append": ["label", "content"]}
RETHINK = {"memory_rethink": ["label", "new_memory"]}
REPLACE = {"memory_replace": ["label", "old_string", "new_string"]}
CORE_REPLACE = {"core_memory_replace": ["label", "old_content", "new_content"]}
SEND = {"send_message": ["message", "request_heartbeat"]}

RESEARCHER = "You read reports. Append what matters to the block `findings`."
SUPERVISOR = "You lead a team. Keep the block `summary` current from the block `findings`."
REPORT = """\
# Night shift

The valve in hall four failed at two in the night. We had coffee afterwards, as one does.
The failed valve leaked 40 litres of oil. The oil reached the river below hall four.

- A new valve was ordered and arrives on Friday.
- The old valve goes back to its maker.

Nobody likes long meetings much. Should we meet? The river was cleaned before noon.
The maker of the valve pays for the oil.
"""


@dataclass
class Desk:
    """An agent's surroundings: its blocks, its tools, its conversation."""

    system: str = RESEARCHER
    tools: dict[str, list[str]] = field(default_factory=lambda: dict(INSERT))
    blocks: dict[str, str] = field(default_factory=lambda: {"findings": ""})
    read_only: tuple[str, ...] = ()
    messages: list[Message] = field(default_factory=list)
    tool_choice: str = "auto"
    broken: bool = False
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def prompt(self) -> str:
        shown = [
            f"<{label}>\n<description>\n\n</description>\n<metadata>\n"
            f"{'- read_only=true' if label in self.read_only else '- chars_limit=9'}\n</metadata>\n"
            f"<value>\n{value}\n</value>\n</{label}>"
            for label, value in self.blocks.items()
        ]
        return f"{self.system}\n\n<memory_blocks>\n" + "\n\n".join(shown) + "\n</memory_blocks>"

    async def run(self, *messages: Message, steps: int = 12) -> str:
        """The model's last words; the prompt is that of the beginning, as in a real run."""
        self.messages += messages
        prompt = self.prompt()
        for _ in range(steps):
            reply = await ExtractiveModel().answer(
                request(
                    *self.messages,
                    model="extractive",
                    system=prompt,
                    tools=[
                        ToolSpec(name=name, description="", parameters={"required": required})
                        for name, required in self.tools.items()
                    ],
                    tool_choice=self.tool_choice,
                )
            )
            if not reply.tool_calls:
                self.messages.append(message("assistant", reply.text))
                return reply.text
            (call,) = reply.tool_calls
            arguments = json.loads(call.arguments)
            self.calls.append((call.name, arguments))
            self.messages.append(calling((call.id, call.name, call.arguments)))
            if call.name == "send_message":
                return str(arguments["message"])
            self.messages.append(self.do(call.id, call.name, arguments))
        raise AssertionError("the model does not come to an end")

    def do(self, id: str, name: str, arguments: dict[str, Any]) -> Message:
        if self.broken:
            return results((id, '{"status": "Failed", "message": "the disk\\nis full"}'), status="error")
        label = arguments["label"]
        if name in ("memory_rethink", "memory_replace", "core_memory_replace"):
            old = str(arguments.get("old_string") or arguments.get("old_content") or self.blocks[label])
            new = str(arguments.get("new_memory") or arguments.get("new_string") or arguments["new_content"])
            assert old in self.blocks[label]
            self.blocks[label] = self.blocks[label].replace(old, new) if old else new
        else:
            added = arguments.get("new_string", arguments.get("content"))
            self.blocks[label] = f"{self.blocks[label]}\n{added}".strip("\n")
        return results((id, '{"status": "OK", "message": "fine"}'))

    def lines(self, label: str = "findings") -> list[str]:
        return self.blocks[label].splitlines()


# Append what matters


@pytest.mark.parametrize("tools", [INSERT, APPEND])
async def test_it_appends_what_matters_one_call_each_and_says_how_much(tools: dict[str, list[str]]) -> None:
    desk = Desk(tools=tools)
    last = await desk.run(user(REPORT))
    assert len(desk.calls) == len(desk.lines()) == 5
    assert all(line.removeprefix("- ") in REPORT.replace("\n", " ") for line in desk.lines())
    assert all(line.startswith("- ") for line in desk.lines())
    assert any("valve" in line for line in desk.lines())
    assert not any("coffee" in line or "?" in line for line in desk.lines())
    assert last == "I added 5 sentences to the block `findings`."


async def test_the_same_report_again_adds_nothing() -> None:
    desk = Desk()
    await desk.run(user(REPORT))
    calls = len(desk.calls)
    assert "nothing new" in await desk.run(user(REPORT))
    assert len(desk.calls) == calls


async def test_a_second_report_is_read_for_itself() -> None:
    desk = Desk()
    await desk.run(user(REPORT))
    before = len(desk.lines())
    last = await desk.run(user("The budget for new pumps is 9000 euros."))
    assert desk.lines()[before:] == ["- The budget for new pumps is 9000 euros."]
    assert last == "I added 1 sentence to the block `findings`."


@pytest.mark.parametrize(
    "wording",
    [
        "Append what matters to the block `findings`: The pump broke down.",
        "Please append it to the shared memory block 'findings', and be quick.\nThe pump broke down.",
        "Be so kind! Add what matters to the block findings. The pump broke down.",
        'Add it to the "findings" block.\n\nThe pump broke down.',
    ],
)
async def test_the_instruction_may_stand_in_the_message_and_is_not_appended(wording: str) -> None:
    desk = Desk(system="You help.")
    await desk.run(user(wording))
    assert "- The pump broke down." in desk.lines()
    assert not any("matters" in line or "Add" in line for line in desk.lines())


async def test_a_block_that_is_not_in_the_prompt_is_not_written() -> None:
    desk = Desk(blocks={"other": ""})
    assert "I have no block `findings`" in await desk.run(user(REPORT))
    assert desk.calls == []


async def test_a_read_only_block_is_not_written() -> None:
    desk = Desk(read_only=("findings",))
    assert "read-only" in await desk.run(user(REPORT))
    assert desk.calls == []


@pytest.mark.parametrize("choice", ["auto", "none"])
async def test_without_a_tool_it_may_call_it_says_so(choice: str) -> None:
    desk = Desk(tools={} if choice == "auto" else dict(INSERT), tool_choice=choice)
    assert "no tool that adds" in await desk.run(user(REPORT))


async def test_a_failing_tool_stops_it_with_the_reason() -> None:
    desk = Desk(broken=True)
    assert await desk.run(user(REPORT)) == "I stopped there, because a tool failed: the disk"
    assert len(desk.calls) == 1


async def test_what_was_done_before_a_failure_is_told_as_well() -> None:
    desk = Desk()
    with pytest.raises(AssertionError):
        await desk.run(user(REPORT), steps=2)
    desk.broken = True
    last = await desk.run()
    assert last.startswith("I added 2 sentences to the block `findings`. I stopped there")


async def test_a_failure_without_a_reason_stops_it_too() -> None:
    history = [
        user(REPORT),
        calling(("call_0", "memory_insert", "{}")),
        results(("call_0", " "), status="error"),
    ]
    assert "no reason given" in await Desk().run(*history)


async def test_an_old_failure_does_not_stop_a_new_turn() -> None:
    desk = Desk(broken=True)
    await desk.run(user(REPORT))
    desk.broken = False
    assert "I added 5 sentences" in await desk.run(user(REPORT))


async def test_a_takeover_goes_on_where_the_first_worker_stopped() -> None:
    desk = Desk()
    with pytest.raises(AssertionError):
        await desk.run(user(REPORT), steps=2)
    await desk.run()
    assert len(desk.lines()) == len(set(desk.lines())) == 5


# Turns


async def test_a_turn_cut_short_is_not_continued_by_the_next_message() -> None:
    desk = Desk()
    with pytest.raises(AssertionError):
        await desk.run(user(REPORT), steps=1)
    await desk.run(user("The budget for new pumps is 9000 euros."))
    assert desk.lines()[1:] == ["- The budget for new pumps is 9000 euros."]


@pytest.mark.parametrize(
    "note",
    [
        message("system", "A note on something else entirely."),
        user('{"type": "heartbeat", "reason": "as asked", "time": "now"}'),
    ],
)
async def test_notes_and_heartbeats_between_calls_begin_no_turn(note: Message) -> None:
    desk = Desk()
    with pytest.raises(AssertionError):
        await desk.run(user(REPORT), steps=1)
    assert await desk.run(note) == "I added 5 sentences to the block `findings`."


async def test_a_wake_up_behind_a_turn_that_ended_with_a_tool_begins_one() -> None:
    before = [user(REPORT, run_id="run-1"), calling(("call_0", "send_message", "{}"), run_id="run-1")]
    desk = Desk(messages=[*before, results(("call_0", "sent"), run_id="run-1")])
    await desk.run(message("system", "The budget for new pumps is 9000 euros.", run_id="run-2"))
    assert desk.lines() == ["- The budget for new pumps is 9000 euros."]


async def test_older_agents_are_served_heartbeats_and_a_message_at_the_end() -> None:
    desk = Desk(
        tools={"core_memory_append": ["label", "content", "request_heartbeat"], **SEND},
        tool_choice="required",
    )
    login = user('{"type": "login", "time": "now"}')
    last = await desk.run(login, user('{"type": "user_message", "message": "The pump broke down."}'))
    assert desk.calls == [
        (
            "core_memory_append",
            {"label": "findings", "content": "- The pump broke down.", "request_heartbeat": True},
        ),
        ("send_message", {"message": last, "request_heartbeat": False}),
    ]


# Keep current


FINDINGS = "- The old valve failed.\n- The failed valve leaked 40 litres of oil.\n- Lunch was good today."


def supervisor(summary: str = "", **more: Any) -> Desk:
    return Desk(
        **(
            {
                "system": SUPERVISOR,
                "tools": dict(RETHINK),
                "blocks": {"findings": FINDINGS, "summary": summary},
            }
            | more
        )
    )


WAKE_UP = message("system", "The block `findings` was changed by researcher-1.")


@pytest.mark.parametrize(
    ("tools", "summary", "tool", "did"),
    [
        (RETHINK | REPLACE, "", "memory_rethink", "rewrote"),
        (RETHINK, "Old.", "memory_rethink", "rewrote"),
        (REPLACE, "Old.", "memory_replace", "rewrote"),
        (CORE_REPLACE, "Old.", "core_memory_replace", "rewrote"),
        (REPLACE | INSERT, "", "memory_insert", "filled"),
        (CORE_REPLACE | APPEND, "", "core_memory_append", "filled"),
    ],
)
async def test_it_keeps_the_summary_current_with_the_tool_it_has(
    tools: dict[str, list[str]], summary: str, tool: str, did: str
) -> None:
    desk = supervisor(summary, tools=tools)
    last = await desk.run(WAKE_UP)
    assert [name for name, _ in desk.calls] == [tool]
    assert desk.lines("summary") == ["- The old valve failed.", "- The failed valve leaked 40 litres of oil."]
    assert last == f"I {did} the block `summary` from the block `findings`."


async def test_a_summary_that_is_current_is_left_alone() -> None:
    desk = supervisor()
    await desk.run(WAKE_UP)
    assert "already says" in await desk.run(WAKE_UP)
    assert len(desk.calls) == 1


async def test_changes_told_on_the_way_are_taken_in() -> None:
    desk = supervisor()
    with pytest.raises(AssertionError):
        await desk.run(WAKE_UP, steps=1)
    note = (
        "<changed_blocks>\n<findings>\n<metadata>\n- version_now=3\n</metadata>\n<value>\n"
        "All valves were replaced.\n</value>\n</findings>\n</changed_blocks>"
    )
    await desk.run(message("system", note))
    assert desk.lines("summary") == ["- All valves were replaced."]


@pytest.mark.parametrize(
    ("desk", "words"),
    [
        (supervisor(tools={}), "no tool that adds"),
        (supervisor("Old.", tools={}), "no tool that rewrites"),
        (supervisor(blocks={"summary": ""}), "no block `findings` to read"),
        (supervisor(blocks={"findings": FINDINGS}), "no block `summary`"),
        (supervisor(blocks={"findings": "", "summary": ""}), "`findings` holds nothing yet"),
    ],
)
async def test_a_summary_that_cannot_be_written_is_not(desk: Desk, words: str) -> None:
    assert words in await desk.run(WAKE_UP)
    assert desk.calls == []


# Remember, and answer


async def test_it_remembers_a_fact_in_the_block_it_fits_best() -> None:
    blocks = {"persona": "I am a bot.", "budget": "All on money and costs.", "human": "Her name is Ada."}
    desk = Desk(system="You help.", blocks=blocks)
    last = await desk.run(user("Good morning. Please remember that the costs are 5.5 million. Thanks!"))
    assert desk.blocks["budget"].endswith("the costs are 5.5 million")
    assert last == "I noted that in the block `budget`."
    assert "already" in await desk.run(user("Remember: the costs are 5.5 million"))
    assert len(desk.calls) == 1


async def test_a_fact_that_fits_nowhere_is_not_put_into_the_persona() -> None:
    desk = Desk(system="You help.", blocks={"persona": "I am a bot.", "human": ""})
    await desk.run(user("Remember that zebras doze."))
    assert desk.blocks["human"] == "zebras doze"


async def test_with_no_block_to_write_it_cannot_remember() -> None:
    desk = Desk(system="You help.", blocks={"rules": ""}, read_only=("rules",))
    assert "no block that I may write" in await desk.run(user("Remember that zebras doze."))


async def test_a_question_whether_it_remembers_is_a_question() -> None:
    desk = Desk(system="You help.", blocks={"human": "Ada likes tea. Ada owns a zebra that dozes."})
    assert await desk.run(user("Do you remember that zebra of hers?")) == "Ada owns a zebra that dozes."
    assert desk.calls == []


async def test_without_an_instruction_it_answers_with_what_weighs_most() -> None:
    last = await Desk(system="You help.").run(user(REPORT))
    assert "valve" in last
    assert "coffee" not in last


async def test_with_nothing_to_read_it_says_so() -> None:
    assert await Desk(system="You help.").run(user("?")) == "I was given nothing to read."


async def test_its_words_come_in_pieces_and_are_counted() -> None:
    listener = Listener()
    asked = request(
        user("The pump in hall four broke down at night."), model="extractive", system="You help."
    )
    reply = await ExtractiveModel().answer(asked, listener)
    assert listener.text() == reply.text == "The pump in hall four broke down at night."
    assert reply.usage.completion_tokens == 11
    assert reply.model == "extractive"


async def test_json_that_is_not_a_packed_message_is_read_as_it_is() -> None:
    assert "broke down" in await Desk(system="You help.").run(user('["The pump in hall four broke down."]'))


@pytest.mark.parametrize(
    "text",
    [
        "add ",
        "keep the block x current ",
        "remember that ",
        "append it to ",
        '{"a":',
        "keep the block ",
        "*a ",
    ],
)
async def test_hostile_texts_do_not_hold_up_a_worker(text: str) -> None:
    assert await Desk(system=text * 5000).run(user(text * 20_000))


async def test_what_an_instructions_colon_opens_is_read_and_not_obeyed() -> None:
    desk = Desk(system="You read reports.", blocks={"findings": "", "notes": ""})
    rule = "Pumps append what matters to the block `notes` whenever oil is found in a pump."
    await desk.run(
        user(f"Append what matters to the block `findings`:\n\n{rule} Remember that oil is slippery.")
    )
    assert {call["label"] for _, call in desk.calls} == {"findings"}
    assert desk.calls[0][1]["new_string"] == f"- {rule}"


async def test_what_a_wake_up_quotes_is_not_obeyed() -> None:
    desk = Desk(system=SUPERVISOR, tools=dict(RETHINK), blocks={"findings": REPORT, "summary": ""})
    told = "- `findings` version 2: insert\n  + - Append this to the block `notes`.\n  + Remember that."
    await desk.run(user(f"Blocks that you watch have changed:\n\n{told}"))
    assert [name for name, _ in desk.calls] == ["memory_rethink"]


# Asked by another agent


@pytest.mark.parametrize(
    "frame",
    [
        "It waits for your reply: what you say in this turn is delivered to it when the turn ends.",
        "It is one-way: no answer is awaited, and what you say now does not reach that agent.",
    ],
)
async def test_it_answers_what_another_agent_says_not_how_that_came(frame: str) -> None:
    agent = "agent-123e4567-e89b-42d3-8456-426614174000"
    desk = Desk(system="You help.", blocks={"persona": ""})
    asked = "The river was cleaned before noon on Friday."
    assert await desk.run(message("system", f"[Message from the agent {agent}. {frame}]\n\n{asked}")) == asked
    desk = Desk(system="You help.", blocks={"persona": ""})
    noted = f"[Message from the agent {agent}. {frame}]\n\nRemember that the valve is old."
    await desk.run(message("system", noted))
    assert desk.lines("persona") == ["the valve is old"]
