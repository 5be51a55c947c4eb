"""The OpenAI adapter over a real socket: what it sends, what it makes of streams, how it fails."""

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from service.records.messages import Reasoning
from service.records.runs import Piece
from tests.standin import Answer, Call, Event, Standin, fails
from tests.workers.models.asking import WEATHER, Listener, calling, message, request, results, user
from workers.models import attempts
from workers.models.base import ModelError, ModelRequest
from workers.models.openai import OpenAIModel

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
async def model(standin: Standin) -> AsyncIterator[OpenAIModel]:
    model = OpenAIModel(api_key="sk-test", base_url=f"{standin.url}/v1", timeout_s=10, retries=0)
    yield model
    await model.aclose()


@pytest.fixture
async def patient(standin: Standin) -> AsyncIterator[OpenAIModel]:
    """One that tries twice."""
    model = OpenAIModel(api_key="sk-test", base_url=f"{standin.url}/v1", timeout_s=10, retries=1)
    yield model
    await model.aclose()


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "_FIRST_PAUSE_S", 0.001)


async def sent(standin: Standin, model: OpenAIModel, asked: ModelRequest) -> dict[str, Any]:
    standin.will(Answer(text="ok"))
    await model.answer(asked)
    assert model.payload(asked) == standin.bodies[-1], "what is shown is not what is sent"
    return standin.bodies[-1]


async def failure(model: OpenAIModel, asked: ModelRequest | None = None) -> ModelError:
    with pytest.raises(ModelError) as caught:
        await model.answer(asked or request(model="gpt-4o"))
    return caught.value


# What is sent


async def test_a_request_is_a_chat_completion_that_asks_for_usage(
    standin: Standin, model: OpenAIModel
) -> None:
    body = await sent(standin, model, request(model="gpt-4o"))
    assert body == {
        "model": "gpt-4o",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    assert standin.asked[0].headers["authorization"] == "Bearer sk-test"


async def test_without_a_key_a_placeholder_is_sent(standin: Standin) -> None:
    model = OpenAIModel(api_key=None, base_url=f"{standin.url}/v1", timeout_s=10, retries=0)
    await sent(standin, model, request(model="local"))
    assert standin.asked[0].headers["authorization"] == "Bearer none"
    await model.aclose()


async def test_the_conversation_keeps_its_roles(standin: Standin, model: OpenAIModel) -> None:
    asked = request(
        user("Weather?"),
        message("assistant", ""),
        calling(("a", "weather", '{"city": "Rome"}'), ("b", "weather", "{}")),
        message("system", "A note."),
        results(("a", "sunny"), ("b", "rain")),
        message("assistant", "Sunny."),
        model="gpt-4o",
        system="",
    )
    assert (await sent(standin, model, asked))["messages"] == [
        {"role": "user", "content": "Weather?"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {
                    "id": "a",
                    "type": "function",
                    "function": {"name": "weather", "arguments": '{"city": "Rome"}'},
                },
                {"id": "b", "type": "function", "function": {"name": "weather", "arguments": "{}"}},
            ],
        },
        {"role": "tool", "tool_call_id": "a", "content": "sunny"},
        {"role": "tool", "tool_call_id": "b", "content": "rain"},
        {"role": "system", "content": "A note."},
        {"role": "assistant", "content": "Sunny."},
    ]


async def test_a_prompt_alone_is_followed_by_a_users_message(standin: Standin, model: OpenAIModel) -> None:
    body = await sent(standin, model, request(message("system", "A note."), model="gpt-4o"))
    assert [turn["role"] for turn in body["messages"]] == ["system", "system", "user"]


async def test_a_call_nobody_answered_gets_a_result_that_says_so(
    standin: Standin, model: OpenAIModel
) -> None:
    asked = request(user("?"), calling(("a", "weather", "{}")), user("Go on."), model="gpt-4o")
    turns = (await sent(standin, model, asked))["messages"]
    assert [turn["role"] for turn in turns] == ["system", "user", "assistant", "tool", "user"]
    assert "interrupted" in turns[3]["content"]


async def test_a_result_whose_call_is_gone_is_told_as_text(standin: Standin, model: OpenAIModel) -> None:
    asked = request(
        results(("old", "it was sunny")),
        user("?"),
        calling(("a", "weather", "{}")),
        results(("a", "rain"), ("b", "snow")),
        model="gpt-4o",
    )
    turns = (await sent(standin, model, asked))["messages"]
    assert [turn["role"] for turn in turns] == ["system", "user", "user", "assistant", "tool", "user"]
    assert turns[1]["content"].endswith("weather: it was sunny")
    assert turns[5]["content"].endswith("weather: snow")


async def test_ids_from_elsewhere_are_made_fit(standin: Standin, model: OpenAIModel) -> None:
    asked = request(
        user("?"),
        calling(("toolu|1 é", "weather", "{}"), ("", "weather", "{}"), ("x" * 90, "weather", "{}")),
        results(("toolu|1 é", "one"), ("", "two"), ("x" * 90, "three")),
        model="gpt-4o",
    )
    turns = (await sent(standin, model, asked))["messages"]
    ids = [call["id"] for call in turns[2]["tool_calls"]]
    assert ids == ["toolu_1__", "call", "x" * 32]
    assert [(turn["tool_call_id"], turn["content"]) for turn in turns[3:]] == list(
        zip(ids, ["one", "two", "three"], strict=True)
    )


async def test_arguments_that_are_no_object_are_sent_as_one(standin: Standin, model: OpenAIModel) -> None:
    asked = request(user("?"), calling(("a", "weather", "{broken")), results(("a", "bad")), model="gpt-4o")
    function = (await sent(standin, model, asked))["messages"][2]["tool_calls"][0]["function"]
    assert json.loads(function["arguments"]) == {"invalid_arguments": "{broken"}


async def test_parts_become_text_and_image_urls(standin: Standin, model: OpenAIModel) -> None:
    parts = [
        {"type": "text", "text": "What is this?"},
        {"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}},
        {
            "type": "image",
            "source": {"type": "base64", "media_type": "image/gif", "data": "R0lG", "detail": "low"},
        },
        {"type": "image", "source": {"type": "letta", "file_id": "file-1"}},
    ]
    body = await sent(standin, model, request(user(parts), model="gpt-4o"))
    assert body["messages"][1]["content"] == [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}},
        {"type": "image_url", "image_url": {"url": "data:image/gif;base64,R0lG", "detail": "low"}},
        {"type": "text", "text": "(A part of type image was left out.)"},
    ]


async def test_tools_bring_their_settings_along(standin: Standin, model: OpenAIModel) -> None:
    asked = request(model="gpt-4o", tools=[WEATHER], tool_choice="required", parallel_tool_calls=True)
    body = await sent(standin, model, asked)
    assert body["tools"][0]["function"]["parameters"] == WEATHER.parameters
    assert (body["tool_choice"], body["parallel_tool_calls"]) == ("required", True)
    assert "reasoning_effort" not in body


@pytest.mark.parametrize(
    ("name", "limit", "temperature"),
    [
        ("gpt-4o", "max_tokens", 0.2),
        ("gpt-4.1-mini", "max_tokens", 0.2),
        ("gpt-5-chat-latest", "max_tokens", 0.2),
        ("llama-4", "max_tokens", 0.2),
        ("gpt-oss-120b", "max_tokens", 0.2),
        ("gpt-5", "max_completion_tokens", None),
        ("gpt-5.4-mini", "max_completion_tokens", None),
        ("gpt-10", "max_completion_tokens", None),
        ("o3-mini", "max_completion_tokens", None),
    ],
)
async def test_reasoning_models_are_asked_in_their_own_words(
    standin: Standin, model: OpenAIModel, name: str, limit: str, temperature: float | None
) -> None:
    body = await sent(standin, model, request(model=name, max_tokens=99, temperature=0.2))
    assert body[limit] == 99
    assert body.get("temperature") == temperature


@pytest.mark.parametrize(
    ("name", "effort", "parallel"),
    [("gpt-5", None, False), ("gpt-5.5", "none", False), ("gpt-6-sol", "none", False), ("o3", None, None)],
)
async def test_tools_are_offered_as_each_reasoning_model_allows(
    standin: Standin, model: OpenAIModel, name: str, effort: str | None, parallel: bool | None
) -> None:
    body = await sent(standin, model, request(model=name, tools=[WEATHER]))
    assert body.get("reasoning_effort") == effort
    assert body.get("parallel_tool_calls") == parallel
    assert "reasoning_effort" not in await sent(standin, model, request(model=name))


# What comes back


async def test_an_answer_is_gathered_and_handed_out_in_pieces(standin: Standin, model: OpenAIModel) -> None:
    calls = (Call("weather", {"city": "Rome"}), Call("weather", {"city": "Paris"}))
    standin.will(Answer(text="Let me look that up.", reasoning="They want the weather.", calls=calls))
    listener = Listener()
    reply = await model.answer(request(model="gpt-4o", tools=[WEATHER]), listener)
    assert reply.text == listener.text() == "Let me look that up."
    assert reply.reasoning == [Reasoning(text="They want the weather.")]
    assert listener.text("reasoning") == "They want the weather."
    assert [json.loads(call.arguments)["city"] for call in reply.tool_calls] == ["Rome", "Paris"]
    assert listener.text("tool_call", 1) == reply.tool_calls[1].arguments
    opening = next(one for one in listener.pieces if one.kind == "tool_call" and one.index == 1)
    assert opening == Piece(kind="tool_call", index=1, tool_call_id="call_1", tool_name="weather")
    assert (reply.finish, reply.model) == ("tool_calls", "gpt-4o")


@pytest.mark.parametrize(
    ("word", "finish"), [("stop", "stop"), ("length", "length"), ("content_filter", "refusal")]
)
async def test_the_reason_for_stopping_is_told(
    standin: Standin, model: OpenAIModel, word: str, finish: str
) -> None:
    standin.will(Answer(text="…", finish=word))
    assert (await model.answer(request(model="gpt-4o"))).finish == finish


async def test_a_plain_stop_beside_calls_is_still_a_call(standin: Standin, model: OpenAIModel) -> None:
    standin.will(Answer(calls=(Call("weather"),), finish="stop"))
    assert (await model.answer(request(model="local"))).finish == "tool_calls"


async def test_usage_tells_cached_and_reasoning_tokens(standin: Standin, model: OpenAIModel) -> None:
    usage = {
        "prompt_tokens": 100,
        "completion_tokens": 50,
        "total_tokens": 150,
        "prompt_tokens_details": {"cached_tokens": 80, "cache_write_tokens": 5},
        "completion_tokens_details": {"reasoning_tokens": 40},
    }
    standin.will(Answer(text="Hi.", usage=usage))
    found = (await model.answer(request(model="gpt-4o"))).usage
    assert found.model_dump() == {
        "prompt_tokens": 100,
        "completion_tokens": 50,
        "cached_input_tokens": 80,
        "cache_write_tokens": 5,
        "reasoning_tokens": 40,
    }


@pytest.mark.parametrize("usage", [{}, {"prompt_tokens": None, "completion_tokens": None}])
async def test_an_endpoint_that_counts_nothing_counts_as_zero(
    standin: Standin, model: OpenAIModel, usage: dict[str, Any]
) -> None:
    standin.will(Answer(text="Hi.", usage=usage))
    assert (await model.answer(request(model="local"))).usage.total_tokens == 0


def chunk(delta: dict[str, Any] | None, finish: str | None = None, **more: Any) -> Event:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    frame = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "", "choices": [choice]}
    return "", frame | more


def fragment(function: dict[str, Any] | None, **more: Any) -> Event:
    return chunk({"tool_calls": [{"function": function} | more]})


async def test_parallel_calls_under_one_index_are_told_apart(standin: Standin, model: OpenAIModel) -> None:
    standin.will(
        Answer(
            events=(
                fragment({"name": "weather", "arguments": '{"city": '}, index=0, id="a"),
                fragment({"name": "weather", "arguments": '"Rome"}'}, index=0, id="a"),
                fragment({"name": "weather", "arguments": '{"city": "Oslo"}'}, index=0, id="b"),
                chunk({}, "stop"),
            )
        )
    )
    reply = await model.answer(request(model="local"))
    assert [(call.id, call.arguments) for call in reply.tool_calls] == [
        ("a", '{"city": "Rome"}'),
        ("b", '{"city": "Oslo"}'),
    ]


async def test_calls_without_index_id_or_arguments_are_understood(
    standin: Standin, model: OpenAIModel
) -> None:
    standin.will(
        Answer(
            events=(
                fragment(None),
                fragment({"name": "weather"}),
                fragment({"name": "weather", "arguments": None}, index=1),
                chunk(None),
                chunk({}, "tool_calls", choices=None),
                chunk({}, "tool_calls"),
            )
        )
    )
    reply = await model.answer(request(model="local"))
    assert [(call.id, call.name, call.arguments) for call in reply.tool_calls] == [
        ("call_0", "weather", "{}"),
        ("call_1", "weather", "{}"),
    ]
    assert reply.model == "local"


async def test_reasoning_under_its_other_name_and_refusals_are_heard(
    standin: Standin, model: OpenAIModel
) -> None:
    standin.will(
        Answer(events=(chunk({"reasoning": "Hm."}), chunk({"refusal": "I cannot."}), chunk({}, "stop")))
    )
    reply = await model.answer(request(model="local"))
    assert (reply.reasoning, reply.text) == ([Reasoning(text="Hm.")], "I cannot.")


# How it fails


@pytest.mark.parametrize(
    ("answer", "type", "named"),
    [
        (fails(401, "Incorrect key sk-test", code="invalid_api_key"), "llm_authentication", "OPENAI_API_KEY"),
        (fails(403, type="invalid_request_error"), "llm_authentication", "OPENAI_API_KEY"),
        (fails(402), "llm_insufficient_credits", "OPENAI_API_KEY"),
        (fails(429, code="insufficient_quota"), "llm_insufficient_credits", "credit"),
        (fails(429, code="rate_limit_exceeded"), "llm_rate_limit", "later"),
        (fails(400, "bad value", type="invalid_request_error"), "llm_bad_request", "400"),
        (fails(404, code="model_not_found"), "llm_bad_request", "404"),
        (fails(422), "llm_bad_request", "422"),
        (fails(400, code="context_length_exceeded"), "llm_context_window", "context window"),
        (fails(400, "maximum context length is 8192 tokens"), "llm_context_window", "context window"),
        (fails(500), "llm_error", "500"),
        (fails(503, "context window of the backend lost", type="x"), "llm_error", "503"),
    ],
)
async def test_a_refusal_is_told_in_our_words(
    standin: Standin, model: OpenAIModel, answer: Answer, type: str, named: str
) -> None:
    standin.will(answer)
    error = await failure(model)
    assert error.type == type
    assert error.message.startswith("OpenAI ")
    assert named in error.message
    assert "sk-test" not in f"{error.message} {error.detail}"


async def test_the_providers_own_words_are_the_detail(standin: Standin, model: OpenAIModel) -> None:
    standin.will(fails(400, "max_tokens is too large", type="invalid_request_error"))
    assert (await failure(model)).detail == "max_tokens is too large"


async def test_an_account_out_of_credit_stops_the_run_for_that(standin: Standin, model: OpenAIModel) -> None:
    standin.will(fails(429, code="insufficient_quota"))
    assert (await failure(model)).stop_reason == "insufficient_credits"


@pytest.mark.parametrize(
    ("error", "type"),
    [
        ({"message": "sorry", "type": "server_error", "code": None}, "llm_error"),
        ({"message": "slow down", "code": 429}, "llm_rate_limit"),
        ({"code": "rate_limit_exceeded"}, "llm_rate_limit"),
        ("just words", "llm_error"),
    ],
)
async def test_an_error_in_mid_stream_is_told_by_its_code(
    standin: Standin, model: OpenAIModel, error: Any, type: str
) -> None:
    standin.will(Answer(events=(("", {"error": error}),)))
    assert (await failure(model)).type == type


async def test_what_fails_before_the_stream_is_retried_by_the_library(
    standin: Standin, patient: OpenAIModel
) -> None:
    standin.will(fails(500, retry_after="0.01"), Answer(text="There."))
    assert (await patient.answer(request(model="gpt-4o"))).text == "There."


async def test_a_long_pause_is_not_waited_for(standin: Standin, patient: OpenAIModel) -> None:
    standin.will(fails(429, code="rate_limit_exceeded", retry_after="3600"))
    assert (await failure(patient)).type == "llm_rate_limit"
    assert len(standin.asked) == 1


async def test_a_dropped_stream_is_begun_again_while_nobody_has_heard_of_it(
    standin: Standin, patient: OpenAIModel
) -> None:
    standin.will(Answer(text="A long answer.", cut=1), Answer(text="Another."))
    listener = Listener()
    assert (await patient.answer(request(model="gpt-4o"), listener)).text == "Another."
    assert listener.text() == "Another."


async def test_a_listener_never_hears_a_second_answer(standin: Standin, patient: OpenAIModel) -> None:
    standin.will(Answer(text="A long answer.", cut=2), Answer(text="Another."))
    with pytest.raises(ModelError) as caught:
        await patient.answer(request(model="gpt-4o"), Listener())
    assert caught.value.type == "llm_error"
    assert len(standin.asked) == 1


async def test_garbage_in_the_stream_is_a_broken_stream(standin: Standin, patient: OpenAIModel) -> None:
    standin.will(Answer(raw="data: {half\n\n"), Answer(text="Whole."))
    assert (await patient.answer(request(model="gpt-4o"))).text == "Whole."


async def test_a_page_instead_of_a_stream_is_an_empty_response(standin: Standin, model: OpenAIModel) -> None:
    standin.will(Answer(raw="<html>Welcome</html>"))
    error = await failure(model)
    assert error.type == "llm_empty_response"
    assert "OPENAI_BASE_URL" in error.message


async def test_a_stream_without_a_reason_to_stop_is_incomplete(standin: Standin, model: OpenAIModel) -> None:
    standin.will(Answer(text="Half of", finish=""))
    assert "before it was complete" in (await failure(model)).message


async def test_a_slow_provider_meets_the_deadline(standin: Standin) -> None:
    model = OpenAIModel(api_key="k", base_url=f"{standin.url}/v1", timeout_s=0.3, retries=0)
    standin.will(Answer(text="One piece after another, for ever.", gap_s=0.1))
    assert (await failure(model)).type == "llm_timeout"
    await model.aclose()


async def test_a_silent_provider_is_a_time_out_too(standin: Standin, model: OpenAIModel) -> None:
    model._client = model._client.with_options(timeout=0.1)
    standin.will(Answer(delay_s=1), Answer(text="Slow.", gap_s=1))
    for _ in range(2):
        assert (await failure(model)).type == "llm_timeout"


async def test_an_unreachable_provider_is_named() -> None:
    model = OpenAIModel(api_key="k", base_url="http://127.0.0.1:1/v1", timeout_s=5, retries=0)
    error = await failure(model)
    assert error.type == "llm_error"
    assert "could not be reached" in error.message
    await model.aclose()


def test_the_environment_does_not_change_where_requests_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://elsewhere.invalid/v1")
    model = OpenAIModel(api_key="k", base_url=None, timeout_s=1, retries=0)
    assert str(model._client.base_url).rstrip("/") == "https://api.openai.com/v1"


async def test_an_answer_without_end_is_given_up(
    standin: Standin, model: OpenAIModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempts, "ANSWER_CHARS", 1000)
    standin.will(Answer(text="on and on " * 200))
    error = await failure(model)
    assert error.type == "llm_error"
    assert "answered with more than 1,000 characters" in error.message
