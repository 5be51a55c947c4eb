"""Models: from a handle to something that answers.

A provider's library takes a second or two to import and most processes need one
of them or none, so it is loaded when the first agent asks for it, in a thread,
while the event loop goes on. One adapter per provider is kept, with its connections.

A missing key is said at once, with what to do about it; nothing is sent. An
OpenAI-compatible endpoint of one's own may need no key.

Elsewhere: what a handle means (service/catalog.py).
"""

import asyncio
import importlib
from collections.abc import Callable
from typing import Protocol

from service.catalog import Catalog
from service.metrics.process import Metrics
from service.records.models import ModelEntry
from service.settings import Settings
from workers.models.base import Model, ModelError
from workers.models.counted import Counted
from workers.models.extractive import ExtractiveModel
from workers.models.scripted import ScriptedModel


class _Adapter(Model, Protocol):
    async def aclose(self) -> None: ...


class Models:
    """The models one worker process can ask."""

    def __init__(self, settings: Settings, catalog: Catalog, metrics: Metrics | None = None) -> None:
        self._metrics = metrics or Metrics()
        self._settings = settings
        self._catalog = catalog
        self._offline: dict[str, Model] = {"extractive": ExtractiveModel(), "scripted": ScriptedModel()}
        self._adapters: dict[str, _Adapter] = {}
        self._opening = asyncio.Lock()

    async def for_handle(self, handle: str) -> tuple[ModelEntry, Model]:
        """What the handle names and who answers for it.

        Raises Invalid or UnknownModel for the handle, ModelError for a missing key.
        """
        entry = self._catalog.resolve(handle)
        if entry.provider == "offline":
            return entry, Counted(self._offline[entry.name], entry, self._metrics)
        self._require_key(entry.provider)
        async with self._opening:
            adapter = self._adapters.get(entry.provider) or await self._open(entry.provider)
        return entry, Counted(adapter, entry, self._metrics)

    async def aclose(self) -> None:
        """Close what was opened."""
        while self._adapters:
            _, adapter = self._adapters.popitem()
            await adapter.aclose()

    def _require_key(self, provider: str) -> None:
        settings = self._settings
        if provider == "anthropic" and not settings.anthropic_api_key:
            raise _no_key("ANTHROPIC_API_KEY", "")
        if provider == "openai" and not (settings.openai_api_key or settings.openai_base_url):
            raise _no_key("OPENAI_API_KEY", ", set OPENAI_BASE_URL if your own endpoint needs no key")

    async def _open(self, provider: str) -> _Adapter:
        settings = self._settings
        keys = {"anthropic": settings.anthropic_api_key, "openai": settings.openai_api_key}
        base_urls = {"anthropic": settings.anthropic_base_url, "openai": settings.openai_base_url}
        make = await asyncio.to_thread(_adapter_class, provider)
        self._adapters[provider] = make(
            api_key=keys[provider],
            base_url=base_urls[provider],
            timeout_s=settings.model_timeout_s,
            retries=settings.model_retries,
        )
        return self._adapters[provider]


def _adapter_class(provider: str) -> Callable[..., _Adapter]:
    """The one import inside a function of this project: the provider's library comes with its adapter."""
    module = importlib.import_module(f"workers.models.{provider}")
    make: Callable[..., _Adapter] = module.AnthropicModel if provider == "anthropic" else module.OpenAIModel
    return make


def _no_key(variable: str, otherwise: str) -> ModelError:
    return ModelError(
        "llm_authentication",
        f"{variable} is not set: set it and start the workers again{otherwise}, "
        "or give the agent a model that needs no key, such as offline/extractive",
    )
