"""Speaking to the user, and searching what was said."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from service.records.agents import Agent
from service.records.messages import Answer, NewMessage
from tests.workers.bench import WS, Bench, call, calls, says
from workers.tools import messages

pytestmark = pytest.mark.anyio

Found = dict[str, Any]


async def search(bench: Bench, agent: Agent, **arguments: Any) -> Found:
    run = await bench.tell(agent, calls(call("conversation_search", **arguments)), says("Done."))
    [result] = await bench.results(run)
    assert result.status == "success", result.text
    found: Found = json.loads(result.text)
    return found


def contents(found: Found) -> list[str]:
    """What was found, without the scripts that the questions of these tests hold."""
    return [one["content"] for one in found["results"] if not one["content"].startswith("{")]


@pytest.fixture
async def agent(bench: Bench) -> Agent:
    """One that was told and said a few things."""
    agent = await bench.agent({"notes": ""})
    for question, answer in (("red apples", "I like apples."), ("green pears", "And pears, too.")):
        bench.models.requests.clear()
        await bench.script(
            agent, calls(call("memory_insert", label="notes", new_string="apples")), says(answer)
        )
        await bench.send(agent, question)
        await bench.carry(agent)
    return agent


async def test_speaking_gives_back_a_fixed_text_and_keeps_the_words_in_the_call(bench: Bench) -> None:
    agent = await bench.memgpt()
    run = await bench.tell(agent, calls(call("send_message", message="Hello!"), text="I greet."))
    answer = (await bench.messages(run))[1]
    assert answer.plain_text() == "I greet."
    assert json.loads(answer.tool_calls[0].arguments) == {"message": "Hello!"}
    assert (await bench.results(run))[0].text == "Message delivered to the user."


async def test_speaking_without_words_is_refused(bench: Bench) -> None:
    run = await bench.tell(await bench.memgpt(), calls(call("send_message")), max_steps=1)
    [result] = await bench.results(run)
    assert result.text == "send_message() missing 1 required argument: 'message'"


async def test_words_are_found_newest_first_whatever_their_case(bench: Bench, agent: Agent) -> None:
    found = await search(bench, agent, query="APPLES")
    assert contents(found) == ["red apples", "I like apples."]


async def test_every_word_must_occur(bench: Bench, agent: Agent) -> None:
    assert contents(await search(bench, agent, query="like pears")) == []
    assert contents(await search(bench, agent, query="pears too")) == ["And pears, too."]


async def test_a_result_tells_when_and_who(bench: Bench, agent: Agent) -> None:
    found = await search(bench, agent, query="green pears", roles=["user"])
    assert found["message"] == "1 message(s) found."
    [one] = found["results"]
    assert set(one) == {"timestamp", "time_ago", "role", "content"}
    assert (one["role"], one["content"], one["time_ago"]) == ("user", "green pears", "just now")
    assert datetime.fromisoformat(one["timestamp"]).utcoffset() == timedelta(0)


async def test_nothing_found_is_said(bench: Bench, agent: Agent) -> None:
    found = await search(bench, agent, query="bananas")
    assert found == {"message": "No message was found.", "results": []}


@pytest.mark.parametrize(
    ("roles", "found"),
    [
        (["assistant"], {"assistant"}),
        (["user"], {"user"}),
        (["tool"], set()),
        (None, {"assistant", "user"}),
    ],
)
async def test_roles_narrow_the_search(
    bench: Bench, agent: Agent, roles: list[str] | None, found: set[str]
) -> None:
    results = (await search(bench, agent, roles=roles, limit=50))["results"]
    assert {one["role"] for one in results} == found


async def test_results_system_prompts_and_searches_are_left_out(bench: Bench, agent: Agent) -> None:
    await search(bench, agent, query="zebra")
    results = (await search(bench, agent, limit=100))["results"]
    assert results
    assert not [one for one in results if "memory_blocks" in one["content"] or one["content"] == ""]
    assert not [one for one in results if "No message was found" in one["content"]]


async def test_five_are_found_unless_another_number_is_asked_for(bench: Bench, agent: Agent) -> None:
    assert len((await search(bench, agent))["results"]) == 5
    assert len((await search(bench, agent, limit=2))["results"]) == 2
    assert len((await search(bench, agent, limit=None))["results"]) == 5


async def test_a_long_history_is_searched_to_its_beginning(
    bench: Bench, agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(messages, "SEARCH_CHUNK", 3)
    assert contents(await search(bench, agent, query="red apples", roles=["user"])) == ["red apples"]
    assert len((await search(bench, agent, limit=2))["results"]) == 2


async def test_what_was_spoken_through_the_tool_is_found(bench: Bench) -> None:
    agent = await bench.memgpt()
    await bench.tell(agent, calls(call("send_message", message="The zebra runs."), text="Thinking of it."))
    await bench.tell(agent, calls({"name": "send_message", "arguments": "{broken"}), max_steps=1)
    await bench.tell(agent, calls({"name": "send_message", "arguments": "[]"}), max_steps=1)
    look = call("conversation_search", query="zebra", roles=["assistant"])
    run = await bench.tell(agent, calls(look), calls(call("send_message", message="x")))
    found = json.loads((await bench.results(run))[0].text)
    assert contents(found) == ["Thinking of it.\nThe zebra runs."]


def days_off(days: float, zone: Any = UTC) -> datetime:
    return datetime.now(zone) + timedelta(days=days)


@pytest.mark.parametrize(
    ("bounds", "finds"),
    [
        ({"start_date": days_off(-1).date().isoformat()}, True),
        ({"start_date": days_off(2).date().isoformat()}, False),
        ({"end_date": days_off(2).date().isoformat()}, True),
        ({"end_date": days_off(-2).date().isoformat()}, False),
        ({"start_date": days_off(-0.01).isoformat(), "end_date": days_off(0.5).isoformat()}, True),
        ({"start_date": days_off(0.5).strftime("%Y-%m-%dT%H:%M")}, False),
        ({"end_date": "9999-12-31"}, True),
        ({"start_date": "0001-01-01"}, True),
    ],
)
async def test_dates_bound_the_search_inclusively(
    bench: Bench, agent: Agent, bounds: dict[str, str], finds: bool
) -> None:
    assert bool((await search(bench, agent, **bounds))["results"]) is finds


async def test_a_bare_date_is_the_whole_day_where_the_agent_lives(bench: Bench) -> None:
    agent = await bench.agent(timezone="Pacific/Auckland")
    await bench.tell(agent, says("Kia ora."))
    [one] = (await search(bench, agent, query="kia ora", roles=["assistant"]))["results"]
    day = datetime.fromisoformat(one["timestamp"])
    assert day.utcoffset() in (timedelta(hours=12), timedelta(hours=13))
    for spelling in (day.date().isoformat(), day.strftime("%Y%m%d")):
        found = await search(bench, agent, query="kia ora", start_date=spelling, end_date=spelling)
        assert "Kia ora." in contents(found)


async def test_an_unknown_timezone_counts_as_utc(bench: Bench) -> None:
    agent = await bench.agent(timezone="Europe")
    await bench.tell(agent, says("Hello."))
    assert (await search(bench, agent, query="hello"))["results"]


@pytest.mark.parametrize("argument", ["start_date", "end_date"])
async def test_a_date_that_is_none_is_refused_with_an_example(
    bench: Bench, agent: Agent, argument: str
) -> None:
    run = await bench.tell(
        agent, calls(call("conversation_search", **{argument: "yesterday"})), says("Done.")
    )
    [result] = await bench.results(run)
    assert result.status == "error"
    assert f"{argument} must be a date such as 2026-01-31" in result.text
    assert "ValueError" in (result.stderr or [""])[0]


@pytest.mark.parametrize("arguments", [{"limit": 0}, {"roles": ["system"]}])
async def test_what_no_search_takes_is_a_type_error(
    bench: Bench, agent: Agent, arguments: dict[str, Any]
) -> None:
    run = await bench.tell(agent, calls(call("conversation_search", **arguments)), says("Done."))
    assert "TypeError" in ((await bench.results(run))[0].stderr or [""])[0]


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "just now"),
        (59, "just now"),
        (60, "1 minute ago"),
        (7200, "2 hours ago"),
        (86_400 * 3, "3 days ago"),
    ],
)
def test_the_past_is_told_in_round_words(seconds: float, said: str) -> None:
    assert messages._ago(seconds) == said


async def test_what_was_said_beside_a_request_for_approval_is_found(bench: Bench) -> None:
    rules = [{"type": "requires_approval", "tool_name": "memory_insert"}]
    agent = await bench.agent({"notes": ""}, tool_rules=rules, include_base_tool_rules=False)
    await bench.tell(agent, calls(call("memory_insert"), text="May I write of zebras?"))
    word = NewMessage(role="approval", content="", answer=Answer(approve=False))
    await bench.service.messages.send(WS, agent.id, [word])
    await bench.carry(agent)
    found = await search(bench, agent, query="zebras", roles=["assistant"])
    assert contents(found) == ["May I write of zebras?"]
