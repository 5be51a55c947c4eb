"""Models and health over HTTP."""

import httpx
import pytest

from service.bootstrap import Service
from service.errors import StoreUnreachable

MODEL_FIELDS = {
    "handle",
    "name",
    "display_name",
    "provider_type",
    "provider_name",
    "model_type",
    "max_context_window",
}


async def test_models_are_listed_in_both_generations_shape(client: httpx.AsyncClient) -> None:
    models = {model["handle"]: model for model in (await client.get("/v1/models/")).json()}
    sonnet = models["anthropic/claude-3-5-sonnet"]
    assert set(sonnet) > MODEL_FIELDS
    assert (sonnet["model"], sonnet["name"]) == ("claude-3-5-sonnet-20241022",) * 2
    assert (sonnet["model_endpoint_type"], sonnet["provider_type"], sonnet["model_type"]) == (
        "anthropic",
        "anthropic",
        "llm",
    )
    assert (sonnet["context_window"], sonnet["max_context_window"]) == (128_000, 200_000)


@pytest.mark.parametrize(
    ("query", "providers"),
    [
        ("provider_name=offline", {"offline"}),
        ("provider_type=anthropic", {"anthropic"}),
        ("provider_category=base&provider_category=byok", {"anthropic", "openai", "offline"}),
        ("provider_category=byok", set()),
    ],
)
async def test_models_are_filtered(client: httpx.AsyncClient, query: str, providers: set[str]) -> None:
    listed = (await client.get(f"/v1/models/?{query}")).json()
    assert {model["provider_name"] for model in listed} == providers


async def test_embedding_models_are_listed(client: httpx.AsyncClient) -> None:
    listed = (await client.get("/v1/models/embedding")).json()
    small = next(model for model in listed if model["handle"] == "openai/text-embedding-3-small")
    assert (small["embedding_dim"], small["embedding_model"]) == (1536, "text-embedding-3-small")
    assert (small["model_type"], small["display_name"], small["provider_name"]) == (
        "embedding",
        "text-embedding-3-small",
        "openai",
    )


async def test_health_and_readiness_tell_the_version(client: httpx.AsyncClient) -> None:
    for path in ("/v1/health/", "/v1/ready/", "/v1/health"):
        answer = await client.get(path)
        assert answer.status_code == 200
        assert answer.json()["status"] == "ok"
        assert answer.json()["version"]


async def test_a_server_whose_store_is_away_is_healthy_but_not_ready(
    client: httpx.AsyncClient, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object) -> None:
        raise StoreUnreachable("the store does not answer")

    monkeypatch.setattr(service.blocks, "find", away)
    assert (await client.get("/v1/health/")).status_code == 200
    answer = await client.get("/v1/ready/")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
