"""What a running agent learns of others: one note before its next call, with the text as it is now."""

import pytest

from service.errors import LeaseLost
from tests.workers.bench import PERSON, WS, Bench, call, calls, notes_in, says

pytestmark = pytest.mark.anyio

FIND = call("conversation_search", query="x")


def insert(text: str = "mine", label: str = "notes") -> dict[str, object]:
    return call("memory_insert", label=label, new_string=text)


async def test_an_edit_by_somebody_else_is_noted_before_the_next_call(bench: Bench) -> None:
    agent = await bench.agent({"notes": "before"})
    bench.models.meanwhile[0] = lambda: bench.edit("notes", "set", text="by others")
    await bench.tell(agent, calls(FIND), says("Done."))
    assert notes_in(bench.requests[0]) == []
    [note] = notes_in(bench.requests[1])
    assert "<notes>" in note
    assert "- version_seen=1\n- version_now=2" in note
    assert "<value>\nby others\n</value>" in note
    assert bench.requests[1].messages[-1].plain_text() == note
    assert bench.requests[1].system == bench.requests[0].system


async def test_the_note_is_no_message_and_gone_with_the_run(bench: Bench) -> None:
    agent = await bench.agent({"notes": "before"})
    bench.models.meanwhile[0] = lambda: bench.edit("notes", "set", text="by others")
    run = await bench.tell(agent, calls(FIND), says("Done."))
    listed = [one.plain_text() for one in await bench.messages(run) + await bench.history(agent)]
    assert not [text for text in listed if "changed_blocks" in text]
    await bench.tell(agent, says("Again."))
    assert notes_in(bench.requests[2]) == []
    assert "by others" in bench.requests[2].system


async def test_a_note_stays_where_it_was_while_the_run_goes_on(bench: Bench) -> None:
    agent = await bench.agent({"notes": "before"})
    bench.models.meanwhile[0] = lambda: bench.edit("notes", "set", text="first")
    bench.models.meanwhile[1] = lambda: bench.edit("notes", "set", text="second")
    await bench.tell(agent, calls(FIND), calls(FIND), calls(FIND), says("Done."))
    assert [len(notes_in(one)) for one in bench.requests] == [0, 1, 2, 2]
    places = [
        [at for at, m in enumerate(one.messages) if "changed_blocks" in m.plain_text()]
        for one in bench.requests
    ]
    assert places == [[], [3], [3, 6], [3, 6]]


async def test_several_changed_blocks_make_one_note(bench: Bench) -> None:
    agent = await bench.agent({"notes": "", "plan": "", "quiet": ""})

    async def others() -> None:
        await bench.edit("notes", "set", text="new notes")
        await bench.edit("plan", "set", text="new plan")
        await bench.edit("plan", "append", text=", newer")

    bench.models.meanwhile[0] = others
    await bench.tell(agent, calls(FIND), says("Done."))
    [note] = notes_in(bench.requests[1])
    assert "new notes" in note
    assert "new plan, newer" in note
    assert "- version_seen=1\n- version_now=3" in note
    assert "<quiet>" not in note


async def test_an_edit_of_its_own_is_not_noted(bench: Bench) -> None:
    agent = await bench.agent({"notes": ""})
    await bench.tell(agent, calls(insert()), calls(insert()), says("Done."))
    assert [notes_in(one) for one in bench.requests] == [[], [], []]


async def test_what_its_own_result_showed_is_not_noted_again(bench: Bench) -> None:
    agent = await bench.agent({"notes": "before"})
    bench.models.meanwhile[0] = lambda: bench.edit("notes", "append", text="\nby others")
    run = await bench.tell(agent, calls(insert()), says("Done."))
    assert (await bench.results(run))[0].text == "before\nby others\nmine"
    assert notes_in(bench.requests[1]) == []


@pytest.mark.parametrize(
    "made",
    [
        call("memory", command="rename", old_path="notes", new_path="journal"),
        call("memory", command="rename", path="notes", description="What happened."),
        call("memory_apply_patch", label="", patch="*** Update Block: notes\n before\n+mine"),
        call("memory_apply_patch", label="", patch="*** Update Block: notes\n*** Move to: journal"),
    ],
    ids=["rename", "describe", "patch", "move"],
)
async def test_what_its_own_result_did_not_show_is_noted(bench: Bench, made: dict[str, object]) -> None:
    agent = await bench.agent({"notes": "before"}, tools=["memory", "memory_apply_patch"])
    bench.models.meanwhile[0] = lambda: bench.edit("notes", "append", text="\nby others")
    run = await bench.tell(agent, calls(made), says("Done."))
    assert (await bench.results(run))[0].status == "success"
    [note] = notes_in(bench.requests[1])
    assert "by others" in note


async def test_its_own_rename_alone_is_not_noted(bench: Bench) -> None:
    agent = await bench.agent({"notes": "before"}, tools=["memory"])
    made = call("memory", command="rename", old_path="notes", new_path="journal")
    await bench.tell(agent, calls(made), calls(insert(label="journal")), says("Done."))
    assert [notes_in(one) for one in bench.requests] == [[], [], []]


async def test_a_block_attached_during_the_run_is_shown_and_can_be_edited(bench: Bench) -> None:
    agent = await bench.agent()
    block = await bench.block("notes", "the new block")
    bench.models.meanwhile[0] = lambda: bench.service.blocks.attach(WS, agent.id, block.id, PERSON)
    run = await bench.tell(agent, calls(FIND), calls(insert()), says("Done."))
    [note] = notes_in(bench.requests[1])
    assert "version_seen=none (new to you)" in note
    assert "the new block" in note
    assert (await bench.results(run))[1].text == "the new block\nmine"
    assert len(notes_in(bench.requests[2])) == 1


async def test_a_block_taken_away_during_the_run_is_named_and_not_edited(bench: Bench) -> None:
    agent = await bench.agent({"notes": "kept"})
    taken = bench.ids["notes"]
    bench.models.meanwhile[0] = lambda: bench.service.blocks.detach(WS, agent.id, taken, PERSON)
    run = await bench.tell(agent, calls(FIND), calls(insert()), says("Done."))
    [note] = notes_in(bench.requests[1])
    assert "The block 'notes' was taken from you" in note
    assert (await bench.results(run))[1].status == "error"
    assert await bench.text("notes") == "kept"
    assert len(notes_in(bench.requests[2])) == 1


async def test_a_block_deleted_during_the_run_is_named_too(bench: Bench) -> None:
    agent = await bench.agent({"notes": "gone soon"})
    bench.models.meanwhile[0] = lambda: bench.service.blocks.delete(WS, bench.ids["notes"], PERSON)
    await bench.tell(agent, calls(FIND), says("Done."))
    assert "The block 'notes' was taken from you" in notes_in(bench.requests[1])[0]


async def test_a_block_that_it_detached_itself_is_not_noted(bench: Bench) -> None:
    agent = await bench.agent({"notes": ""}, tools=["memory"])
    await bench.tell(agent, calls(call("memory", command="delete", path="notes")), says("Done."))
    assert notes_in(bench.requests[1]) == []
    assert await bench.labels(agent) == []


async def test_a_worker_that_takes_over_tells_the_same(bench: Bench) -> None:
    agent = await bench.agent({"notes": "before", "plan": ""})
    plan = bench.ids["plan"]

    async def others() -> None:
        await bench.edit("notes", "set", text="by others")

    async def lose_the_lease() -> None:
        await bench.service.blocks.detach(WS, agent.id, plan, PERSON)
        await bench.lose(agent)

    bench.models.meanwhile = {0: others, 2: lose_the_lease}
    await bench.script(agent, calls(FIND), calls(FIND), calls(FIND), says("Done."))
    lease = await bench.lease(agent)
    with pytest.raises(LeaseLost):
        await bench.loop.carry(lease)
    await bench.carry(agent)
    before, after = bench.requests[2], bench.requests[3]
    assert after.system == before.system
    assert [one.id for one in after.messages][: len(before.messages)] == [one.id for one in before.messages]
    assert notes_in(after)[:1] == notes_in(before)
    assert "'plan' was taken from you" in notes_in(after)[1]
    assert [len(notes_in(one)) for one in bench.requests] == [0, 1, 1, 2, 2]
