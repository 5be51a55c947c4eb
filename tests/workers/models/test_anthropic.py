"""The Anthropic adapter over a real socket: what it sends, what it makes of streams, how it fails."""

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from service.records.messages import Reasoning
from service.records.runs import Piece
from tests.standin import Answer, Call, Event, Standin, fails
from tests.workers.models.asking import (
    WEATHER,
    Listener,
    calling,
    message,
    request,
    results,
    user,
)
from workers.models import attempts
from workers.models.anthropic import AnthropicModel
from workers.models.base import ModelError, ModelRequest

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def server() -> Iterator[Standin]:
    with Standin() as standin:
        yield standin


@pytest.fixture
def standin(server: Standin) -> Standin:
    server.forget()
    return server


@pytest.fixture
async def model(standin: Standin) -> AsyncIterator[AnthropicModel]:
    model = AnthropicModel(api_key="sk-test", base_url=standin.url, timeout_s=10, retries=0)
    yield model
    await model.aclose()


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "_FIRST_PAUSE_S", 0.001)


async def sent(standin: Standin, model: AnthropicModel, asked: ModelRequest) -> dict[str, Any]:
    standin.will(Answer(text="ok"))
    await model.answer(asked)
    assert model.payload(asked) == standin.bodies[-1], "what is shown is not what is sent"
    return standin.bodies[-1]


async def failure(model: AnthropicModel, asked: ModelRequest | None = None) -> ModelError:
    with pytest.raises(ModelError) as caught:
        await model.answer(asked or request())
    return caught.value


# What is sent


async def test_the_system_prompt_is_one_block_with_a_cache_breakpoint(
    standin: Standin, model: AnthropicModel
) -> None:
    body = await sent(standin, model, request())
    assert body["system"] == [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}]
    assert standin.asked[0].headers["authorization"] == "Bearer sk-test"


async def test_an_empty_system_prompt_is_left_out(standin: Standin, model: AnthropicModel) -> None:
    assert "system" not in await sent(standin, model, request(system=" "))


async def test_neighbours_of_one_role_become_one_message(standin: Standin, model: AnthropicModel) -> None:
    body = await sent(standin, model, request(user("One."), message("system", "A note."), user("Two.")))
    assert [turn["role"] for turn in body["messages"]] == ["user"]
    assert [block["text"] for block in body["messages"][0]["content"]] == ["One.", "A note.", "Two."]


async def test_a_conversation_begins_and_ends_with_the_user(standin: Standin, model: AnthropicModel) -> None:
    body = await sent(standin, model, request(message("assistant", "I was here.")))
    assert [turn["role"] for turn in body["messages"]] == ["user", "assistant", "user"]


async def test_a_conversation_without_words_still_has_a_message(
    standin: Standin, model: AnthropicModel
) -> None:
    body = await sent(standin, model, request(user("  ")))
    assert [turn["role"] for turn in body["messages"]] == ["user"]


async def test_all_results_of_parallel_calls_come_in_one_message(
    standin: Standin, model: AnthropicModel
) -> None:
    body = await sent(
        standin,
        model,
        request(
            user("Weather?"),
            calling(("a", "weather", '{"city": "Rome"}'), ("b", "weather", "{}"), text="Looking."),
            results(("a", "sunny"), ("b", "rain")),
            user("Thanks."),
        ),
    )
    _, assistant, answer = body["messages"]
    assert [block["type"] for block in assistant["content"]] == ["text", "tool_use", "tool_use"]
    assert assistant["content"][1]["input"] == {"city": "Rome"}
    assert [block.get("tool_use_id") for block in answer["content"]] == ["a", "b", None]
    assert answer["content"][0] == {
        "type": "tool_result",
        "tool_use_id": "a",
        "content": "sunny",
        "is_error": False,
    }


async def test_a_failed_tool_is_marked_as_an_error(standin: Standin, model: AnthropicModel) -> None:
    body = await sent(
        standin,
        model,
        request(user("?"), calling(("a", "weather", "{}")), results(("a", "broken"), status="error")),
    )
    assert body["messages"][-1]["content"][0]["is_error"] is True


async def test_ids_that_repeat_in_history_are_told_apart(standin: Standin, model: AnthropicModel) -> None:
    step = [calling(("call_0", "weather", "{}")), results(("call_0", "sunny"))]
    body = await sent(standin, model, request(user("?"), *step, *step, *step))
    blocks = [block for turn in body["messages"] for block in turn["content"]]
    uses = [block["id"] for block in blocks if block["type"] == "tool_use"]
    assert len(set(uses)) == 3
    assert uses == [block["tool_use_id"] for block in blocks if block["type"] == "tool_result"]


@pytest.mark.parametrize("arguments", ["{broken", "[1, 2]", ""])
async def test_arguments_that_are_no_object_go_back_as_text(
    standin: Standin, model: AnthropicModel, arguments: str
) -> None:
    body = await sent(
        standin,
        model,
        request(user("?"), calling(("a", "weather", arguments)), results(("a", "bad"))),
    )
    assert body["messages"][1]["content"][0]["input"] == {"invalid_arguments": arguments}


async def test_thinking_goes_back_unchanged_and_foreign_thinking_does_not(
    standin: Standin, model: AnthropicModel
) -> None:
    thoughts = [
        Reasoning(text="Hm.", signature="signed"),
        Reasoning(redacted="sealed"),
        Reasoning(text="another provider's"),
    ]
    body = await sent(
        standin,
        model,
        request(
            user("?"),
            calling(("a", "weather", "{}"), reasoning=thoughts),
            results(("a", "sunny")),
        ),
    )
    assert body["messages"][1]["content"][:2] == [
        {"type": "thinking", "thinking": "Hm.", "signature": "signed"},
        {"type": "redacted_thinking", "data": "sealed"},
    ]
    assert "another provider's" not in json.dumps(body)


async def test_parts_become_text_and_images(standin: Standin, model: AnthropicModel) -> None:
    body = await sent(
        standin,
        model,
        request(
            user(
                [
                    {"type": "text", "text": "What is this?"},
                    {"type": "text", "text": ""},
                    {"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}},
                    {
                        "type": "image",
                        "source": {"type": "base64", "media_type": "image/gif", "data": "R0lG"},
                    },
                    {"type": "image", "source": {"type": "letta", "file_id": "file-1"}},
                    {"type": "video"},
                ]
            )
        ),
    )
    assert body["messages"][0]["content"] == [
        {"type": "text", "text": "What is this?"},
        {"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}},
        {"type": "image", "source": {"type": "base64", "media_type": "image/gif", "data": "R0lG"}},
        {"type": "text", "text": "(A part of type image was left out.)"},
        {
            "type": "text",
            "text": "(A part of type video was left out.)",
            "cache_control": {"type": "ephemeral"},
        },
    ]


@pytest.mark.parametrize(
    ("choice", "parallel", "wanted"),
    [
        ("auto", False, {"type": "auto", "disable_parallel_tool_use": True}),
        ("required", True, {"type": "any", "disable_parallel_tool_use": False}),
        ("none", True, {"type": "none"}),
    ],
)
async def test_the_tool_choice_goes_along_with_tools(
    standin: Standin, model: AnthropicModel, choice: str, parallel: bool, wanted: dict[str, Any]
) -> None:
    asked = request(tools=[WEATHER], tool_choice=choice, parallel_tool_calls=parallel)
    body = await sent(standin, model, asked)
    assert body["tool_choice"] == wanted
    assert body["tools"][0]["input_schema"] == WEATHER.parameters


async def test_without_tools_there_is_no_tool_choice(standin: Standin, model: AnthropicModel) -> None:
    assert not {"tools", "tool_choice"} & (await sent(standin, model, request())).keys()


@pytest.mark.parametrize(
    ("name", "thinking"),
    [
        ("claude-haiku-5-5", {"type": "adaptive", "display": "summarized"}),
        ("claude-sonnet-4-6", {"type": "adaptive", "display": "summarized"}),
        ("claude-mythos-next", {"type": "adaptive", "display": "summarized"}),
        ("claude-haiku-4-5-20251001", {"type": "enabled", "budget_tokens": 2000}),
        ("claude-3-5-haiku-x", None),
        ("someone-elses", None),
    ],
)
async def test_thinking_is_asked_for_in_the_way_the_model_knows(
    standin: Standin, model: AnthropicModel, name: str, thinking: dict[str, Any] | None
) -> None:
    body = await sent(standin, model, request(model=name, thinking_tokens=2000))
    assert body.get("thinking") == thinking


async def test_a_budget_for_thinking_fits_below_the_output_limit(
    standin: Standin, model: AnthropicModel
) -> None:
    name = "claude-haiku-4-5-20251001"
    body = await sent(standin, model, request(model=name, thinking_tokens=100, max_tokens=500))
    assert body["thinking"]["budget_tokens"] == 1024
    assert body["max_tokens"] == 1524


@pytest.mark.parametrize(
    "asked",
    [
        request(
            model="claude-haiku-4-5-20251001", thinking_tokens=1024, tools=[WEATHER], tool_choice="required"
        ),
        request(
            user("?"),
            calling(("a", "weather", "{}")),
            results(("a", "sunny")),
            model="claude-haiku-4-5-20251001",
            thinking_tokens=1024,
        ),
    ],
)
async def test_a_budget_is_not_asked_for_where_it_would_be_refused(
    standin: Standin, model: AnthropicModel, asked: ModelRequest
) -> None:
    assert "thinking" not in await sent(standin, model, asked)


async def test_a_turn_that_began_with_thinking_goes_on_with_it(
    standin: Standin, model: AnthropicModel
) -> None:
    thoughts = [Reasoning(text="Hm.", signature="signed")]
    asked = request(
        user("?"),
        calling(("a", "weather", "{}"), reasoning=thoughts),
        results(("a", "sunny")),
        model="claude-haiku-4-5-20251001",
        thinking_tokens=1024,
    )
    assert (await sent(standin, model, asked))["thinking"]["type"] == "enabled"


@pytest.mark.parametrize(
    ("name", "temperature", "wanted"),
    [
        ("claude-haiku-5-5", 0.2, None),
        ("claude-sonnet-4-6", 0.2, 0.2),
        ("claude-sonnet-4-6", 1.0, None),
        ("someone-elses", 0.0, 0.0),
    ],
)
async def test_a_temperature_is_sent_to_models_that_take_one(
    standin: Standin, model: AnthropicModel, name: str, temperature: float, wanted: float | None
) -> None:
    body = await sent(standin, model, request(model=name, temperature=temperature))
    assert body.get("temperature") == wanted


async def test_the_output_limit_is_the_requests_or_one_that_fits(
    standin: Standin, model: AnthropicModel
) -> None:
    assert (await sent(standin, model, request(max_tokens=77)))["max_tokens"] == 77
    assert (await sent(standin, model, request()))["max_tokens"] == 16_384
    assert (await sent(standin, model, request(model="someone-elses")))["max_tokens"] == 4096


# What comes back


async def test_an_answer_is_gathered_and_handed_out_in_pieces(
    standin: Standin, model: AnthropicModel
) -> None:
    calls = (Call("weather", {"city": "Rome"}), Call("weather", {"city": "Paris"}, id="own"))
    standin.will(Answer(text="Let me look that up.", reasoning="They want the weather.", calls=calls))
    listener = Listener()
    reply = await model.answer(request(tools=[WEATHER]), listener)
    assert reply.text == listener.text() == "Let me look that up."
    assert reply.reasoning == [Reasoning(text="They want the weather.", signature="signed")]
    assert listener.text("reasoning") == "They want the weather."
    assert [(call.id, json.loads(call.arguments)["city"]) for call in reply.tool_calls] == [
        ("toolu_0", "Rome"),
        ("own", "Paris"),
    ]
    assert listener.text("tool_call", 1) == reply.tool_calls[1].arguments
    opening = next(one for one in listener.pieces if one.kind == "tool_call" and one.index == 1)
    assert opening == Piece(kind="tool_call", index=1, tool_call_id="own", tool_name="weather")
    assert reply.finish == "tool_calls"
    assert reply.model == "claude-haiku-5-5"


@pytest.mark.parametrize(
    ("word", "finish"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("refusal", "refusal"),
    ],
)
async def test_the_reason_for_stopping_is_told(
    standin: Standin, model: AnthropicModel, word: str, finish: str
) -> None:
    standin.will(Answer(text="…", finish=word))
    assert (await model.answer(request())).finish == finish


async def test_cached_tokens_belong_to_the_prompt_and_are_shown_apart(
    standin: Standin, model: AnthropicModel
) -> None:
    usage = {
        "input_tokens": 10,
        "output_tokens": 40,
        "cache_read_input_tokens": 200,
        "cache_creation_input_tokens": 30,
        "output_tokens_details": {"thinking_tokens": 25},
    }
    standin.will(Answer(text="Hi.", usage=usage))
    found = (await model.answer(request())).usage
    assert (found.prompt_tokens, found.completion_tokens, found.reasoning_tokens) == (240, 40, 25)
    assert (found.cached_input_tokens, found.cache_write_tokens) == (200, 30)


async def test_an_answer_without_content_is_an_answer(standin: Standin, model: AnthropicModel) -> None:
    standin.will(Answer())
    reply = await model.answer(request())
    assert (reply.text, reply.tool_calls, reply.finish) == ("", [], "stop")


def opening(**message: Any) -> Event:
    usage = {"input_tokens": 1, "output_tokens": 1}
    start = {"id": "m", "type": "message", "role": "assistant", "content": [], "model": "", "usage": usage}
    return "message_start", {"type": "message_start", "message": start | message}


def begun(index: int, block: dict[str, Any]) -> Event:
    event = {"type": "content_block_start", "index": index, "content_block": block}
    return "content_block_start", event


def grown(index: int, delta: dict[str, Any]) -> Event:
    return "content_block_delta", {"type": "content_block_delta", "index": index, "delta": delta}


STOP: Event = ("message_stop", {"type": "message_stop"})


async def test_a_stream_with_everything_unusual_is_understood(
    standin: Standin, model: AnthropicModel
) -> None:
    standin.will(
        Answer(
            events=(
                opening(),
                begun(0, {"type": "redacted_thinking", "data": "sealed"}),
                begun(1, {"type": "thinking", "thinking": "Whole", "signature": "at once"}),
                begun(2, {"type": "text", "text": "First"}),
                begun(3, {"type": "text", "text": "Second"}),
                begun(4, {"type": "tool_use", "id": "t", "name": "weather", "input": {"city": "Rome"}}),
                begun(5, {"type": "tool_use", "id": "u", "name": "weather", "input": {}}),
                begun(6, {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}),
                grown(2, {"type": "citations_delta", "citation": {}}),
                grown(9, {"type": "text_delta", "text": "of no block"}),
                ("content_block_stop", {"type": "content_block_stop", "index": 2}),
                STOP,
            )
        )
    )
    reply = await model.answer(request())
    assert reply.text == "First\n\nSecond"
    assert reply.reasoning == [Reasoning(redacted="sealed"), Reasoning(text="Whole", signature="at once")]
    assert [call.arguments for call in reply.tool_calls] == ['{"city": "Rome"}', "{}"]
    assert reply.model == "claude-haiku-5-5"


# How it fails


@pytest.mark.parametrize(
    ("answer", "type", "named"),
    [
        (
            fails(401, "invalid x-api-key sk-test", type="authentication_error"),
            "llm_authentication",
            "ANTHROPIC_API_KEY",
        ),
        (fails(403, type="permission_error"), "llm_authentication", "ANTHROPIC_API_KEY"),
        (fails(402, type="billing_error"), "llm_insufficient_credits", "ANTHROPIC_API_KEY"),
        (
            fails(400, "Your credit balance is too low", type="invalid_request_error"),
            "llm_insufficient_credits",
            "credit",
        ),
        (fails(429, type="rate_limit_error"), "llm_rate_limit", "later"),
        (fails(400, "messages: bad", type="invalid_request_error"), "llm_bad_request", "400"),
        (fails(404, "model: claude-nope", type="not_found_error"), "llm_bad_request", "404"),
        (
            fails(400, "prompt is too long: 300000 tokens > 200000", type="invalid_request_error"),
            "llm_context_window",
            "context window",
        ),
        (fails(413, type="request_too_large"), "llm_context_window", "context window"),
        (fails(500), "llm_error", "500"),
        (fails(529, "Overloaded", type="overloaded_error"), "llm_error", "529"),
        (fails(504, type="timeout_error"), "llm_timeout", "too long"),
    ],
)
async def test_a_refusal_is_told_in_our_words(
    standin: Standin, model: AnthropicModel, answer: Answer, type: str, named: str
) -> None:
    standin.will(answer)
    error = await failure(model)
    assert error.type == type
    assert error.message.startswith("Anthropic ")
    assert named in error.message
    assert "sk-test" not in f"{error.message} {error.detail}"


async def test_the_providers_own_words_are_the_detail(standin: Standin, model: AnthropicModel) -> None:
    standin.will(fails(400, "max_tokens: must be positive", type="invalid_request_error"))
    assert (await failure(model)).detail == "max_tokens: must be positive"


async def test_what_fails_before_the_stream_is_retried_by_the_library(standin: Standin) -> None:
    model = AnthropicModel(api_key="k", base_url=standin.url, timeout_s=10, retries=1)
    standin.will(fails(529, retry_after="0.01"), Answer(text="There."))
    assert (await model.answer(request())).text == "There."
    await model.aclose()


async def test_a_long_pause_is_not_waited_for(standin: Standin) -> None:
    model = AnthropicModel(api_key="k", base_url=standin.url, timeout_s=10, retries=2)
    standin.will(fails(429, type="rate_limit_error", retry_after="3600"))
    assert (await failure(model)).type == "llm_rate_limit"
    assert len(standin.asked) == 1
    await model.aclose()


async def test_a_pause_given_as_a_date_is_left_to_the_library(
    standin: Standin, model: AnthropicModel
) -> None:
    standin.will(fails(429, type="rate_limit_error", retry_after="Wed, 21 Oct 2015 07:28:00 GMT"))
    assert (await failure(model)).type == "llm_rate_limit"


async def test_a_dropped_stream_is_begun_again_while_nobody_has_heard_of_it(standin: Standin) -> None:
    model = AnthropicModel(api_key="k", base_url=standin.url, timeout_s=10, retries=1)
    standin.will(Answer(text="A long answer.", cut=2), Answer(text="Another."))
    listener = Listener()
    assert (await model.answer(request(), listener)).text == "Another."
    assert listener.text() == "Another."
    await model.aclose()


async def test_a_listener_never_hears_a_second_answer(standin: Standin) -> None:
    model = AnthropicModel(api_key="k", base_url=standin.url, timeout_s=10, retries=1)
    standin.will(Answer(text="A long answer.", cut=4), Answer(text="Another."))
    with pytest.raises(ModelError, match="middle of an answer") as caught:
        await model.answer(request(), Listener())
    assert caught.value.type == "llm_error"
    assert len(standin.asked) == 1
    await model.aclose()


async def test_whoever_does_not_listen_gets_the_second_answer(standin: Standin) -> None:
    model = AnthropicModel(api_key="k", base_url=standin.url, timeout_s=10, retries=1)
    standin.will(Answer(text="A long answer.", cut=4), Answer(text="Another."))
    assert (await model.answer(request())).text == "Another."
    await model.aclose()


async def test_a_stream_that_always_drops_fails_after_so_many_tries(standin: Standin) -> None:
    model = AnthropicModel(api_key="k", base_url=standin.url, timeout_s=10, retries=1)
    standin.will(*[Answer(text="A long answer.", cut=2)] * 3)
    assert (await failure(model)).type == "llm_error"
    assert len(standin.asked) == 2
    await model.aclose()


async def test_an_answer_is_kept_when_only_its_end_is_lost(standin: Standin, model: AnthropicModel) -> None:
    standin.will(Answer(text="Hi.", cut=6))
    assert (await model.answer(request())).text == "Hi."


async def test_a_stream_that_ends_early_is_not_taken_for_an_answer(
    standin: Standin, model: AnthropicModel
) -> None:
    standin.will(Answer(text="Half of", finish=""))
    error = await failure(model)
    assert error.type == "llm_error"
    assert "before it was complete" in error.message


async def test_nothing_at_all_is_an_empty_response(standin: Standin, model: AnthropicModel) -> None:
    standin.will(Answer(events=()))
    error = await failure(model)
    assert error.type == "llm_empty_response"
    assert "ANTHROPIC_BASE_URL" in error.message
    assert error.stop_reason == "invalid_llm_response"


@pytest.mark.parametrize(
    ("error", "type"),
    [("overloaded_error", "llm_error"), ("rate_limit_error", "llm_rate_limit"), ("new_error", "llm_error")],
)
async def test_an_error_in_mid_stream_is_told_by_its_type(
    standin: Standin, model: AnthropicModel, error: str, type: str
) -> None:
    told = {"type": "error", "error": {"type": error, "message": "sorry"}}
    standin.will(Answer(events=(opening(), ("error", told))))
    assert (await failure(model)).type == type


async def test_a_slow_provider_meets_the_deadline(standin: Standin) -> None:
    model = AnthropicModel(api_key="k", base_url=standin.url, timeout_s=0.3, retries=0)
    standin.will(Answer(text="One piece after another, for ever.", gap_s=0.1))
    error = await failure(model)
    assert error.type == "llm_timeout"
    assert "0.3 s" in error.message
    await model.aclose()


async def test_a_silent_provider_is_a_time_out_too(standin: Standin) -> None:
    model = AnthropicModel(api_key="k", base_url=standin.url, timeout_s=10, retries=0)
    model._client = model._client.with_options(timeout=0.1)
    standin.will(Answer(delay_s=1), Answer(text="Slow.", gap_s=1))
    for _ in range(2):
        assert (await failure(model)).type == "llm_timeout"
    await model.aclose()


async def test_an_unreachable_provider_is_named() -> None:
    model = AnthropicModel(api_key="k", base_url="http://127.0.0.1:1", timeout_s=5, retries=0)
    error = await failure(model)
    assert error.type == "llm_error"
    assert "could not be reached" in error.message
    await model.aclose()


async def test_what_a_listener_raises_is_not_the_providers_failure(
    standin: Standin, model: AnthropicModel
) -> None:
    async def angry(piece: Piece) -> None:
        raise TimeoutError("the listener's own")

    standin.will(Answer(text="Hi."))
    with pytest.raises(TimeoutError, match="own"):
        await model.answer(request(), angry)


def test_the_environment_does_not_change_where_requests_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "http://elsewhere.invalid")
    model = AnthropicModel(api_key="k", base_url=None, timeout_s=1, retries=0)
    assert str(model._client.base_url).rstrip("/") == "https://api.anthropic.com"


async def test_an_error_is_told_to_the_runs_caller_whole(standin: Standin, model: AnthropicModel) -> None:
    standin.will(fails(400, "max_tokens: must be positive", type="invalid_request_error"))
    told = (await failure(model)).as_run_error()
    assert (told.type, told.detail) == ("llm_bad_request", "max_tokens: must be positive")
