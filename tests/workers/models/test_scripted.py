"""The scripted model: where it finds its script, and what each entry makes it say."""

import asyncio
import json
from typing import Any

import pytest

from service.records.messages import Reasoning
from tests.workers.models.asking import WEATHER, Listener, calling, message, request, results, user
from workers.models.base import ModelError, ModelRequest
from workers.models.scripted import ScriptedModel

pytestmark = pytest.mark.anyio


def scripted(*entries: Any) -> str:
    return json.dumps({"script": entries})


async def said(asked: ModelRequest) -> str:
    return (await ScriptedModel().answer(asked)).text


async def test_each_answer_is_the_next_entry() -> None:
    history = [user(scripted({"text": "one"}, {"text": "two"}))]
    for text in ["one", "two", "done", "done"]:
        assert await said(request(*history)) == text
        history.append(message("assistant", text))


async def test_the_script_may_stand_among_words_and_braces() -> None:
    text = 'Please {do} this: {"not": "it"} {"outer": ' + scripted({"text": "found"}) + "} thanks."
    assert await said(request(user(text))) == "found"


async def test_the_latest_script_counts_and_later_words_do_not_start_it_again() -> None:
    asked = request(
        user(scripted({"text": "old"})),
        message("assistant", "old"),
        user(scripted({"text": "new"}, {"text": "newer"})),
        message("assistant", "new"),
        user('Go on, with no "script" of your own.'),
    )
    assert await said(asked) == "newer"


async def test_a_script_in_the_system_prompt_begins_anew_with_each_message() -> None:
    system = 'Instructions. <script>[{"text": "one"}, {"text": "two"}]</script>'
    history = [user("Hi."), message("assistant", "one")]
    assert await said(request(*history, system=system)) == "two"
    assert await said(request(*history, message("system", "Wake up."), system=system)) == "one"
    assert await said(request(message("assistant", "?"), system=system)) == "two"


async def test_a_script_behind_deep_nesting_is_found() -> None:
    assert await said(request(user('{"a":' * 3000 + scripted({"text": "found"})))) == "found"


@pytest.mark.parametrize("system", ["", "<script>not JSON</script>", '<script>{"a": 1}</script>'])
async def test_without_a_script_it_says_so(system: str) -> None:
    assert await said(request(user("Hi."), user('"script" {"script": 5}'), system=system)) == "No script."


async def test_calls_are_numbered_from_zero_in_every_turn() -> None:
    entry = {
        "calls": [{"name": "weather", "arguments": {"city": "Rome"}}, {"name": "weather"}],
        "text": "Hm.",
    }
    asked = user(scripted(entry, entry))
    first = await ScriptedModel().answer(request(asked, tools=[WEATHER]))
    second = await ScriptedModel().answer(
        request(asked, calling(("call_0", "weather", "{}")), results(("call_0", "sunny")))
    )
    assert [call.id for call in first.tool_calls] == ["call_0", "call_1"]
    assert first.tool_calls == second.tool_calls
    assert (first.tool_calls[0].arguments, first.text, first.finish) == (
        '{"city": "Rome"}',
        "Hm.",
        "tool_calls",
    )


async def test_ids_arguments_and_the_finish_may_be_given() -> None:
    call = {"name": "weather", "arguments": "{broken", "id": "own"}
    reply = await ScriptedModel().answer(request(user(scripted({"calls": [call], "finish": "length"}))))
    assert (reply.tool_calls[0].id, reply.tool_calls[0].arguments) == ("own", "{broken")
    assert reply.finish == "length"


async def test_an_error_is_raised_as_the_script_says() -> None:
    with pytest.raises(ModelError, match="out of luck") as caught:
        await said(request(user(scripted({"error": "llm_rate_limit", "message": "out of luck"}))))
    assert caught.value.type == "llm_rate_limit"


@pytest.mark.parametrize("entry", ["text", {"calls": [{}]}, {"echo": "everything"}])
async def test_an_entry_that_cannot_be_read_is_a_bad_request(entry: Any) -> None:
    with pytest.raises(ModelError, match="entry 0 of the script") as caught:
        await said(request(user(scripted(entry))))
    assert caught.value.type == "llm_bad_request"


async def test_it_tells_what_it_was_given() -> None:
    def echo(what: str) -> ModelRequest:
        asked = user(scripted({"text": "x"}, {"echo": what}))
        history = [calling(("a", "weather", "{}"), text="Looking."), results(("a", "sunny"), ("b", "rain"))]
        return request(asked, *history, system="The whole prompt.", tools=[WEATHER])

    assert await said(echo("system")) == "The whole prompt."
    assert json.loads(await said(echo("tools"))) == ["weather"]
    assert json.loads(await said(echo("messages")))[1:] == [
        {"role": "assistant", "text": "Looking."},
        {"role": "tool", "text": "sunny\nrain"},
    ]


async def test_the_answer_comes_in_pieces_and_is_counted() -> None:
    entry = {
        "text": "A sentence that is longer than one piece.",
        "reasoning": "A thought that is longer than a piece, too.",
        "calls": [{"name": "weather", "arguments": {"city": "Rome"}}],
        "sleep_ms": 1,
    }
    listener = Listener()
    reply = await ScriptedModel().answer(request(user(scripted(entry)), system="12345678"), listener)
    assert listener.text() == reply.text == entry["text"]
    assert reply.reasoning == [Reasoning(text=listener.text("reasoning"))]
    assert listener.text("tool_call") == reply.tool_calls[0].arguments
    assert len([one for one in listener.pieces if one.kind == "text"]) > 1
    assert reply.usage.prompt_tokens == 2 + (len(scripted(entry)) + 3) // 4
    assert 0 < reply.usage.reasoning_tokens < reply.usage.completion_tokens
    assert reply.model == "claude-haiku-5-5"


async def test_pieces_may_come_one_by_one() -> None:
    listener = Listener()
    entry = {"text": "A sentence that is longer than one piece.", "pace_ms": 60_000}
    answering = asyncio.create_task(ScriptedModel().answer(request(user(scripted(entry))), listener))
    await asyncio.wait({answering}, timeout=0.05)
    assert listener.pieces == []
    answering.cancel()
    await asyncio.wait({answering})
