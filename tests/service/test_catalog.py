"""What handles mean, and the dictionaries that agents begin with."""

from typing import Any

import pytest

from service.catalog import Catalog
from service.errors import Invalid, UnknownModel
from service.settings import Settings

CATALOG = Catalog(Settings())
OWN = Catalog(
    Settings(
        anthropic_base_url="http://127.0.0.1:1/", openai_base_url="http://127.0.0.1:1/v1", openai_api_key="k"
    )
)


@pytest.mark.parametrize(
    ("handle", "provider", "name"),
    [
        ("anthropic/claude-3-5-sonnet-20241022", "anthropic", "claude-3-5-sonnet-20241022"),
        ("anthropic/claude-3-5-sonnet", "anthropic", "claude-3-5-sonnet-20241022"),
        ("anthropic/claude-haiku-4-5", "anthropic", "claude-haiku-4-5-20251001"),
        ("anthropic/claude-haiku-4-5-20251001", "anthropic", "claude-haiku-4-5-20251001"),
        ("anthropic/claude-sonnet-5-5", "anthropic", "claude-sonnet-5-5"),
        ("anthropic/claude-opus-9", "anthropic", "claude-opus-9"),
        ("openai/gpt-4o-aug", "openai", "gpt-4o-2024-08-06"),
        ("openai/gpt-4o-2024-08-06", "openai", "gpt-4o-2024-08-06"),
        ("openai/gpt-4-preview-jan", "openai", "gpt-4-0125-preview"),
        ("openai/chatgpt-4o-latest", "openai", "chatgpt-4o-latest"),
        ("openai/o9-mini", "openai", "o9-mini"),
        ("openai-proxy/gpt-4o-mini-jul", "openai", "gpt-4o-mini-2024-07-18"),
        ("offline/scripted", "offline", "scripted"),
    ],
)
def test_a_handle_names_a_model_and_is_kept_as_it_was_written(handle: str, provider: str, name: str) -> None:
    entry = CATALOG.resolve(handle)
    assert (entry.handle, entry.provider, entry.name) == (handle, provider, name)


@pytest.mark.parametrize("handle", ["gpt-4o", "", "/gpt-4o", "openai/"])
def test_a_handle_without_both_parts_is_invalid(handle: str) -> None:
    with pytest.raises(Invalid, match="provider/model") as caught:
        CATALOG.resolve(handle)
    assert caught.value.field == "model"


@pytest.mark.parametrize(
    ("handle", "remedy"),
    [
        ("anthropic/gpt-4o", "ANTHROPIC_BASE_URL"),
        ("openai/llama-4", "OPENAI_BASE_URL"),
        ("openai/other/model", "OPENAI_BASE_URL"),
        ("letta/letta-free", "offline/extractive"),
        ("offline/clever", "offline/scripted"),
    ],
)
def test_a_name_nobody_serves_is_unknown_and_the_error_says_what_would_do(handle: str, remedy: str) -> None:
    with pytest.raises(UnknownModel, match=remedy) as caught:
        CATALOG.resolve(handle)
    assert (caught.value.handle, caught.value.embedding) == (handle, False)


@pytest.mark.parametrize("handle", ["openai/llama-4", "openai-proxy/org/model:tag", "anthropic/glm-5"])
def test_an_endpoint_of_ones_own_serves_any_name(handle: str) -> None:
    assert OWN.resolve(handle).window == 32_000


@pytest.mark.parametrize(
    ("handle", "like"),
    [
        ("openai/gpt-4o-2025-01-01", "openai/gpt-4o"),
        ("openai/ft:gpt-4o-mini-2024-07-18:acme::id", "openai/gpt-4o-mini"),
        ("openai/gpt-5-mini-2025-08-07", "openai/gpt-5-mini"),
        ("anthropic/claude-3-5-sonnet-20240620", "anthropic/claude-3-5-sonnet"),
        ("anthropic/claude-opus-4-20990101", "anthropic/claude-opus-4-20250514"),
        ("anthropic/claude-opus-5-5-20261231", "anthropic/claude-opus-5-5"),
    ],
)
def test_a_variant_has_the_limits_of_its_nearest_relative(handle: str, like: str) -> None:
    found, wanted = CATALOG.resolve(handle), CATALOG.resolve(like)
    assert (found.window, found.max_output, found.reasons) == (
        wanted.window,
        wanted.max_output,
        wanted.reasons,
    )


def test_a_newcomer_has_cautious_limits() -> None:
    assert CATALOG.resolve("openai/gpt-7").reasons
    assert not CATALOG.resolve("openai/gpt-7-chat-latest").reasons
    assert not CATALOG.resolve("openai/gpt-4.9").reasons
    assert CATALOG.resolve("anthropic/claude-epic-1").window == 200_000


def test_every_listed_handle_resolves_to_its_own_entry() -> None:
    for entry in CATALOG.models():
        assert CATALOG.resolve(entry.handle) == entry
    handles = [entry.handle for entry in CATALOG.models()]
    assert len(set(handles)) == len(handles)


def test_the_list_holds_short_names_offline_models_and_needs_no_key() -> None:
    handles = {entry.handle for entry in CATALOG.models()}
    assert {
        "offline/extractive",
        "offline/scripted",
        "anthropic/claude-3-5-sonnet",
        "openai/gpt-4o-aug",
    } <= handles
    assert [entry.handle for entry in OWN.models()] == [entry.handle for entry in CATALOG.models()]


@pytest.mark.parametrize(
    ("name", "dim"),
    [("text-embedding-3-small", 1536), ("text-embedding-3-large", 3072), ("text-embedding-ada-002", 1536)],
)
def test_openais_embeddings_are_known_under_both_prefixes(name: str, dim: int) -> None:
    assert CATALOG.resolve_embedding(f"openai/{name}").dim == dim
    assert CATALOG.resolve_embedding(f"openai-proxy/{name}").provider == "openai"
    assert f"openai/{name}" in [entry.handle for entry in CATALOG.embeddings()]


@pytest.mark.parametrize("handle", ["openai/nomic", "letta/text-embedding-3-small", "letta/letta-free"])
def test_an_unknown_embedding_is_told_with_those_that_are_known(handle: str) -> None:
    with pytest.raises(UnknownModel, match="text-embedding-3-large") as caught:
        CATALOG.resolve_embedding(handle)
    assert caught.value.embedding


def test_an_embedding_without_a_slash_is_invalid() -> None:
    with pytest.raises(Invalid) as caught:
        CATALOG.resolve_embedding("text-embedding-3-small")
    assert caught.value.field == "embedding"


def test_an_endpoint_of_ones_own_serves_any_embedding() -> None:
    assert OWN.resolve_embedding("openai/nomic").dim == 1536


def test_the_defaults_come_from_the_settings() -> None:
    given = Catalog(
        Settings(default_model="openai/gpt-4o", default_embedding="openai/text-embedding-3-small")
    )
    assert given.default_model().name == "gpt-4o"
    embedding = given.default_embedding()
    assert embedding is not None
    assert embedding.dim == 1536
    assert CATALOG.default_embedding() is None
    with pytest.raises(Invalid, match="LETTA_DEFAULT_LLM_HANDLE"):
        CATALOG.default_model()


def config(handle: str, catalog: Catalog = CATALOG, **given: Any) -> dict[str, Any]:
    return catalog.llm_config(catalog.resolve(handle), **given)


def test_an_llm_config_follows_from_the_model() -> None:
    assert config("anthropic/claude-haiku-4-5") == {
        "model": "claude-haiku-4-5-20251001",
        "display_name": "claude-haiku-4-5-20251001",
        "model_endpoint_type": "anthropic",
        "model_endpoint": "https://api.anthropic.com/v1",
        "provider_name": "anthropic",
        "provider_category": "base",
        "model_wrapper": None,
        "context_window": 128_000,
        "put_inner_thoughts_in_kwargs": False,
        "handle": "anthropic/claude-haiku-4-5",
        "temperature": 1.0,
        "max_tokens": 16_384,
        "enable_reasoner": True,
        "reasoning_effort": None,
        "max_reasoning_tokens": 1024,
        "effort": None,
        "frequency_penalty": None,
        "compatibility_type": None,
        "verbosity": None,
        "tier": None,
        "parallel_tool_calls": False,
        "response_format": None,
        "strict": False,
        "return_logprobs": False,
        "top_logprobs": None,
        "return_token_ids": False,
        "tool_call_parser": None,
    }


def test_what_is_asked_for_goes_before_what_follows() -> None:
    found = config(
        "anthropic/claude-sonnet-5-5",
        window=200_000,
        max_tokens=9,
        temperature=0.3,
        enable_reasoner=True,
        max_reasoning_tokens=4096,
        parallel_tool_calls=True,
        response_format={"type": "text"},
    )
    assert (found["context_window"], found["max_tokens"], found["temperature"]) == (200_000, 9, 0.3)
    assert (found["enable_reasoner"], found["max_reasoning_tokens"]) == (True, 4096)
    assert (found["parallel_tool_calls"], found["response_format"]) == (True, {"type": "text"})


def test_no_thinking_is_asked_of_models_that_cannot() -> None:
    found = config("anthropic/claude-3-5-sonnet")
    assert (found["enable_reasoner"], found["max_reasoning_tokens"], found["max_tokens"]) == (False, 0, 8192)
    assert config("anthropic/claude-opus-5", enable_reasoner=False)["max_reasoning_tokens"] == 0
    assert config("openai/gpt-5")["max_reasoning_tokens"] == 0


@pytest.mark.parametrize(
    ("catalog", "handle", "endpoint"),
    [
        (CATALOG, "openai/gpt-4o", "https://api.openai.com/v1"),
        (CATALOG, "offline/scripted", None),
        (OWN, "openai/gpt-4o", "http://127.0.0.1:1/v1"),
        (OWN, "anthropic/claude-haiku-4-5", "http://127.0.0.1:1/v1"),
    ],
)
def test_the_endpoint_is_where_requests_go(catalog: Catalog, handle: str, endpoint: str | None) -> None:
    found = config(handle, catalog)
    assert found["model_endpoint"] == endpoint
    assert found["model_endpoint_type"] == ("anthropic" if handle.startswith("anthropic") else "openai")


def test_an_embedding_config_is_complete() -> None:
    assert CATALOG.embedding_config(CATALOG.resolve_embedding("openai/text-embedding-3-small"), 500) == {
        "embedding_endpoint_type": "openai",
        "embedding_endpoint": "https://api.openai.com/v1",
        "embedding_model": "text-embedding-3-small",
        "embedding_dim": 1536,
        "embedding_chunk_size": 500,
        "handle": "openai/text-embedding-3-small",
        "batch_size": 32,
        "azure_endpoint": None,
        "azure_version": None,
        "azure_deployment": None,
    }


@pytest.mark.parametrize(
    ("handle", "key", "wanted"),
    [
        ("anthropic/claude-opus-5", "thinking", {"type": "enabled", "budget_tokens": 1024}),
        ("anthropic/claude-3-5-sonnet", "thinking", {"type": "disabled", "budget_tokens": 1024}),
        ("openai/gpt-5", "reasoning", {"reasoning_effort": "medium"}),
        ("openai/gpt-4o", "reasoning", {"reasoning_effort": "none"}),
        ("offline/extractive", "provider_type", "openai"),
        ("anthropic/claude-3-opus", "max_output_tokens", 4096),
        ("anthropic/claude-3-opus", "provider_type", "anthropic"),
    ],
)
def test_model_settings_force_no_thinking_on_models_that_cannot(handle: str, key: str, wanted: Any) -> None:
    assert CATALOG.model_settings(CATALOG.resolve(handle))[key] == wanted


@pytest.mark.parametrize(
    ("catalog", "handle", "model"),
    [
        (CATALOG, "anthropic/claude-opus-5", "anthropic/claude-haiku-4-5"),
        (CATALOG, "openai/gpt-4o", "openai/gpt-5.4-mini"),
        (CATALOG, "offline/extractive", "offline/extractive"),
        (OWN, "openai/llama-4", "openai/llama-4"),
    ],
)
def test_compaction_is_left_to_a_small_model_that_is_within_reach(
    catalog: Catalog, handle: str, model: str
) -> None:
    found = catalog.compaction_settings(catalog.resolve(handle))
    assert found["model"] == model
    assert found["mode"] == "sliding_window"
    assert catalog.resolve(found["model"])
