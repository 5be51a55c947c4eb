"""From handles to models: loaded when needed, kept, refused in words when a key is missing."""

import asyncio
import sys
from collections.abc import AsyncIterator

import pytest

from service.catalog import Catalog
from service.errors import Invalid, UnknownModel
from service.settings import Settings
from tests.standin import Answer, Standin
from tests.workers.models.asking import request, user
from workers.models import registry
from workers.models.base import Model, ModelError
from workers.models.counted import Counted
from workers.models.extractive import ExtractiveModel
from workers.models.registry import Models
from workers.models.scripted import ScriptedModel

pytestmark = pytest.mark.anyio


def models(settings: Settings) -> Models:
    return Models(settings, Catalog(settings))


@pytest.fixture
async def keyless() -> AsyncIterator[Models]:
    opened = models(Settings())
    yield opened
    await opened.aclose()


def served_by(model: Model) -> Model:
    """Who answers behind the counting."""
    assert isinstance(model, Counted)
    return model.model


async def test_the_offline_models_need_nothing(keyless: Models) -> None:
    entry, model = await keyless.for_handle("offline/extractive")
    assert isinstance(served_by(model), ExtractiveModel)
    assert entry.name == "extractive"
    assert isinstance(served_by((await keyless.for_handle("offline/scripted"))[1]), ScriptedModel)


@pytest.mark.parametrize(
    ("handle", "variable"),
    [("anthropic/claude-haiku-4-5", "ANTHROPIC_API_KEY"), ("openai/gpt-4o", "OPENAI_API_KEY")],
)
async def test_a_missing_key_is_said_at_once_with_what_to_do(
    keyless: Models, handle: str, variable: str
) -> None:
    with pytest.raises(ModelError, match=f"{variable} is not set.*offline/extractive") as caught:
        await keyless.for_handle(handle)
    assert caught.value.type == "llm_authentication"


async def test_a_handle_that_means_nothing_is_the_catalogues_error(keyless: Models) -> None:
    with pytest.raises(UnknownModel):
        await keyless.for_handle("nobody/nothing")
    with pytest.raises(Invalid):
        await keyless.for_handle("nothing")


async def test_both_providers_are_asked_under_the_models_real_name() -> None:
    with Standin() as standin:
        standin.otherwise = lambda asked: Answer(text=f"{asked.path} {asked.body['model']}")
        opened = models(
            Settings(
                anthropic_api_key="k",
                anthropic_base_url=standin.url,
                openai_base_url=f"{standin.url}/v1",
            )
        )
        said = []
        for handle in ["anthropic/claude-haiku-4-5", "openai/gpt-4o-aug", "openai-proxy/local/model"]:
            entry, model = await opened.for_handle(handle)
            said.append((await model.answer(request(user("Hi."), model=entry.name))).text)
            assert entry.handle == handle
        assert said == [
            "/v1/messages claude-haiku-4-5-20251001",
            "/v1/chat/completions gpt-4o-2024-08-06",
            "/v1/chat/completions local/model",
        ]
        await opened.aclose()


async def test_one_adapter_serves_all_models_of_a_provider_even_when_asked_for_at_once() -> None:
    opened = models(Settings(openai_api_key="k"))
    found = await asyncio.gather(
        *(opened.for_handle(f"openai/{name}") for name in ["gpt-4o", "gpt-4.1", "o3"])
    )
    assert len({id(served_by(model)) for _, model in found}) == 1
    await opened.aclose()
    _, again = await opened.for_handle("openai/gpt-4o")
    assert served_by(again) is not served_by(found[0][1])
    await opened.aclose()


async def test_importing_the_registry_loads_no_providers_library() -> None:
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        f"import sys, {registry.__name__}; sys.exit(bool({{'anthropic', 'openai'}} & sys.modules.keys()))",
    )
    assert await child.wait() == 0
