"""Catalog: which models there are, what a handle means, and what an agent starts out with.

A handle is `provider/model`, cut at the first slash. Known models come from the
tables below and are listed whether or not a key is set: the key is missed when
an agent is run, with words that say so. Providers publish models faster than
tables are kept, so any other name of a provider's own family resolves too, with
cautious limits, and with a base URL of one's own every name does.

V1's short names and the providers' dated ones both resolve; the entry's handle
stays as it was written and its name is what goes on the wire. The dictionaries
are V1's `LLMConfig` and its kin, complete, since agents answer with them.

Elsewhere: the adapters that serve the models (workers/models).
"""

import re
from typing import Any, NamedTuple

from service import errors
from service.records.models import EmbeddingEntry, ModelEntry
from service.settings import Settings

WINDOW_CAP = 128_000
"""V1's context window for an agent that asks for none."""
OUTPUT_CAP = 16_384
"""V1's `max_tokens` for an agent that asks for none."""
THINKING_BUDGET = 1024


class _Limits(NamedTuple):
    window: int
    max_output: int
    reasons: bool


_CLAUDE_NEW = _Limits(1_000_000, 128_000, True)
_CLAUDE_4 = _Limits(200_000, 64_000, True)
_CLAUDE_4_OPUS = _Limits(200_000, 32_000, True)
_CLAUDE_35 = _Limits(200_000, 8192, False)
_CLAUDE_3 = _Limits(200_000, 4096, False)
_GPT_NEW = _Limits(1_050_000, 128_000, True)
_GPT_5 = _Limits(400_000, 128_000, True)
_GPT_41 = _Limits(1_047_576, 32_768, False)
_GPT_4O = _Limits(128_000, 16_384, False)
_O = _Limits(200_000, 100_000, True)
_UNKNOWN = _Limits(32_000, 4096, False)
_OFFLINE = _Limits(1_000_000, OUTPUT_CAP, False)

_MODELS: dict[str, dict[str, _Limits]] = {
    "anthropic": {
        "claude-fable-5-2": _CLAUDE_NEW,
        "claude-fable-5-1": _CLAUDE_NEW,
        "claude-fable-5": _CLAUDE_NEW,
        "claude-opus-5-5": _CLAUDE_NEW,
        "claude-opus-5": _CLAUDE_NEW,
        "claude-sonnet-5-5": _CLAUDE_NEW,
        "claude-sonnet-5": _CLAUDE_NEW,
        "claude-haiku-5-5": _CLAUDE_NEW,
        "claude-opus-4-8": _CLAUDE_NEW,
        "claude-opus-4-7": _CLAUDE_NEW,
        "claude-opus-4-6": _CLAUDE_NEW,
        "claude-sonnet-4-6": _CLAUDE_NEW,
        "claude-haiku-4-5-20251001": _CLAUDE_4,
        "claude-opus-4-5-20251101": _CLAUDE_4,
        "claude-sonnet-4-5-20250929": _CLAUDE_4,
        "claude-opus-4-1-20250805": _CLAUDE_4_OPUS,
        "claude-opus-4-20250514": _CLAUDE_4_OPUS,
        "claude-sonnet-4-20250514": _CLAUDE_4,
        "claude-3-7-sonnet-20250219": _CLAUDE_4,
        "claude-3-5-sonnet-20241022": _CLAUDE_35,
        "claude-3-5-haiku-20241022": _CLAUDE_35,
        "claude-3-opus-20240229": _CLAUDE_3,
        "claude-3-haiku-20240307": _CLAUDE_3,
    },
    "openai": {
        "gpt-6.2-sol": _GPT_NEW,
        "gpt-6.1-sol": _GPT_NEW,
        "gpt-6.1-terra": _GPT_NEW,
        "gpt-6-sol": _GPT_NEW,
        "gpt-6-luna": _GPT_NEW,
        "gpt-5.6-sol": _GPT_NEW,
        "gpt-5.6-terra": _GPT_NEW,
        "gpt-5.6-luna": _GPT_NEW,
        "gpt-5.5": _GPT_NEW,
        "gpt-5.4": _GPT_NEW,
        "gpt-5.4-mini": _GPT_5,
        "gpt-5.4-nano": _GPT_5,
        "gpt-5.2": _GPT_5,
        "gpt-5.1": _GPT_5,
        "gpt-5": _GPT_5,
        "gpt-5-mini": _GPT_5,
        "gpt-5-nano": _GPT_5,
        "gpt-4.1": _GPT_41,
        "gpt-4.1-mini": _GPT_41,
        "gpt-4.1-nano": _GPT_41,
        "o4-mini": _O,
        "o3": _O,
        "o3-mini": _O,
        "o1": _O,
        "gpt-4o": _GPT_4O,
        "gpt-4o-2024-11-20": _GPT_4O,
        "gpt-4o-2024-08-06": _GPT_4O,
        "gpt-4o-2024-05-13": _Limits(128_000, 4096, False),
        "gpt-4o-mini": _GPT_4O,
        "gpt-4o-mini-2024-07-18": _GPT_4O,
        "chatgpt-4o-latest": _GPT_4O,
        "gpt-4-turbo": _Limits(128_000, 4096, False),
        "gpt-4-turbo-2024-04-09": _Limits(128_000, 4096, False),
        "gpt-4": _Limits(8192, 8192, False),
        "gpt-4-0613": _Limits(8192, 8192, False),
        "gpt-3.5-turbo": _Limits(16_385, 4096, False),
        "gpt-3.5-turbo-0125": _Limits(16_385, 4096, False),
    },
    "offline": {"extractive": _OFFLINE, "scripted": _OFFLINE},
}

_SHORT_NAMES: dict[str, dict[str, str]] = {
    "anthropic": {
        "claude-3-5-sonnet": "claude-3-5-sonnet-20241022",
        "claude-3-5-haiku": "claude-3-5-haiku-20241022",
        "claude-3-opus": "claude-3-opus-20240229",
        "claude-haiku-4-5": "claude-haiku-4-5-20251001",
    },
    "openai": {
        "chatgpt-4o": "chatgpt-4o-latest",
        "gpt-4o-may": "gpt-4o-2024-05-13",
        "gpt-4o-aug": "gpt-4o-2024-08-06",
        "gpt-4o-mini-jul": "gpt-4o-mini-2024-07-18",
        "gpt-4-turbo-apr": "gpt-4-turbo-2024-04-09",
        "gpt-4-june": "gpt-4-0613",
        "gpt-4-preview-jan": "gpt-4-0125-preview",
        "gpt-4-preview-nov": "gpt-4-1106-preview",
        "gpt-3.5-turbo-jan": "gpt-3.5-turbo-0125",
        "gpt-3.5-turbo-nov": "gpt-3.5-turbo-1106",
    },
}

_PROVIDERS = {"openai-proxy": "openai"}
"""Other names of a provider: V1 renames OpenAI when its base URL is somebody else's."""

_REASONING_NAME = re.compile(r"^(o\d|gpt-[5-9])(?!.*-chat)")
_FAMILIES: dict[str, re.Pattern[str]] = {
    "anthropic": re.compile(r"^claude-"),
    "openai": re.compile(r"^(ft:)?(gpt-|chatgpt-|o\d)"),
}
_DATE = re.compile(r"-(\d{8}|\d{4}-\d{2}-\d{2})$")

_EMBEDDINGS = {
    "text-embedding-3-small": 1536,
    "text-embedding-3-large": 3072,
    "text-embedding-ada-002": 1536,
}

_SUMMARISERS = {"anthropic": "anthropic/claude-haiku-4-5", "openai": "openai/gpt-5.4-mini"}
_SUMMARY_PROMPT = (
    "The conversation below no longer fits. Write what its agent needs in order to go on without it: "
    "what was asked and by whom, what was decided and why, what is finished, what is still open, and "
    "every name, number, id and date that may be needed again. Keep the order of events. Invent nothing "
    "and address nobody."
)


def _undated(name: str) -> str:
    return _DATE.sub("", name)


class Catalog:
    """What a handle means under these settings. Pure: it asks no provider."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._base_urls = {"anthropic": settings.anthropic_base_url, "openai": settings.openai_base_url}

    def models(self) -> list[ModelEntry]:
        """Every model known by name, under the handle V1 lists it by."""
        entries = []
        for provider, table in _MODELS.items():
            short = {real: alias for alias, real in _SHORT_NAMES.get(provider, {}).items()}
            entries += [
                ModelEntry(
                    handle=f"{provider}/{short.get(name, name)}",
                    provider=provider,
                    name=name,
                    **limits._asdict(),
                )
                for name, limits in table.items()
            ]
        return entries

    def embeddings(self) -> list[EmbeddingEntry]:
        """Every embedding model known by name."""
        return [
            EmbeddingEntry(handle=f"openai/{name}", provider="openai", name=name, dim=dim)
            for name, dim in _EMBEDDINGS.items()
        ]

    def resolve(self, handle: str) -> ModelEntry:
        """The model a handle names. Raises Invalid for its form, UnknownModel for its content."""
        provider, asked = _parts(handle, "model", "anthropic/claude-sonnet-5-5")
        name = _SHORT_NAMES.get(provider, {}).get(asked, asked)
        limits = self._limits(provider, name)
        if limits is None:
            raise errors.UnknownModel(handle, embedding=False, remedy=self._remedy(provider))
        return ModelEntry(handle=handle, provider=provider, name=name, **limits._asdict())

    def resolve_embedding(self, handle: str) -> EmbeddingEntry:
        """The embedding model a handle names; with a base URL of one's own, any name of OpenAI's."""
        provider, name = _parts(handle, "embedding", "openai/text-embedding-3-small")
        dim = _EMBEDDINGS.get(name, 1536 if self._settings.openai_base_url else None)
        if provider != "openai" or dim is None:
            known = ", ".join(entry.handle for entry in self.embeddings())
            raise errors.UnknownModel(handle, embedding=True, remedy=f"known are {known}")
        return EmbeddingEntry(handle=handle, provider=provider, name=name, dim=dim)

    def default_model(self) -> ModelEntry:
        """The model of agents created without one. Raises Invalid where none is set."""
        if self._settings.default_model is None:
            raise errors.Invalid(
                "model",
                "is missing; give a handle such as anthropic/claude-sonnet-5-5 or offline/extractive, "
                "or set LETTA_DEFAULT_LLM_HANDLE for agents created without one",
            )
        return self.resolve(self._settings.default_model)

    def default_embedding(self) -> EmbeddingEntry | None:
        """The embedding model of agents created without one; agents work without any."""
        handle = self._settings.default_embedding
        return self.resolve_embedding(handle) if handle else None

    def llm_config(
        self,
        entry: ModelEntry,
        *,
        window: int | None = None,
        max_tokens: int | None = None,
        temperature: float = 1.0,
        enable_reasoner: bool | None = None,
        max_reasoning_tokens: int | None = None,
        parallel_tool_calls: bool = False,
        response_format: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        """A complete V1 LLMConfig; what is left None follows from the model."""
        reasons = entry.reasons if enable_reasoner is None else enable_reasoner
        budget = THINKING_BUDGET if max_reasoning_tokens is None else max_reasoning_tokens
        return {
            "model": entry.name,
            "display_name": entry.name,
            "model_endpoint_type": _protocol(entry),
            "model_endpoint": self._endpoint(entry),
            "provider_name": entry.provider,
            "provider_category": "base",
            "model_wrapper": None,
            "context_window": window or min(entry.window, WINDOW_CAP),
            "put_inner_thoughts_in_kwargs": False,
            "handle": entry.handle,
            "temperature": temperature,
            "max_tokens": max_tokens or min(entry.max_output, OUTPUT_CAP),
            "enable_reasoner": reasons,
            "reasoning_effort": None,
            "max_reasoning_tokens": budget if reasons and entry.provider == "anthropic" else 0,
            "effort": None,
            "frequency_penalty": None,
            "compatibility_type": None,
            "verbosity": None,
            "tier": None,
            "parallel_tool_calls": parallel_tool_calls,
            "response_format": response_format,
            "strict": False,
            "return_logprobs": False,
            "top_logprobs": None,
            "return_token_ids": False,
            "tool_call_parser": None,
        }

    def embedding_config(self, entry: EmbeddingEntry, chunk_size: int = 300) -> dict[str, Any]:
        """A complete V1 EmbeddingConfig."""
        return {
            "embedding_endpoint_type": "openai",
            "embedding_endpoint": self._settings.openai_base_url or "https://api.openai.com/v1",
            "embedding_model": entry.name,
            "embedding_dim": entry.dim,
            "embedding_chunk_size": chunk_size,
            "handle": entry.handle,
            "batch_size": 32,
            "azure_endpoint": None,
            "azure_version": None,
            "azure_deployment": None,
        }

    def model_settings(
        self,
        entry: ModelEntry,
        *,
        max_tokens: int | None = None,
        temperature: float = 1.0,
        parallel_tool_calls: bool = False,
    ) -> dict[str, Any]:
        """V1's model settings for a model nobody configured; thinking only where there is such a thing."""
        common = {
            "max_output_tokens": max_tokens or min(entry.max_output, OUTPUT_CAP),
            "parallel_tool_calls": parallel_tool_calls,
            "provider_type": _protocol(entry),
            "temperature": temperature,
            "response_format": None,
            "strict": False,
        }
        if entry.provider == "anthropic":
            thinking = {"type": "enabled" if entry.reasons else "disabled", "budget_tokens": THINKING_BUDGET}
            return common | {"thinking": thinking, "verbosity": None, "effort": None}
        return common | {"reasoning": {"reasoning_effort": "medium" if entry.reasons else "none"}}

    def compaction_settings(self, entry: ModelEntry) -> dict[str, Any]:
        """V1's compaction settings: a small model of the same provider, the agent's own at a foreign URL."""
        own = entry.handle if self._base_urls.get(entry.provider) else None
        return {
            "model": own or _SUMMARISERS.get(entry.provider, entry.handle),
            "model_settings": None,
            "prompt": _SUMMARY_PROMPT,
            "prompt_acknowledgement": False,
            "clip_chars": 50_000,
            "mode": "sliding_window",
            "sliding_window_percentage": 0.3,
        }

    def _limits(self, provider: str, name: str) -> _Limits | None:
        known = _MODELS.get(provider, {})
        if name in known:
            return known[name]
        family = _FAMILIES.get(provider)
        if family is not None and family.match(name):
            return _relative(known, name) or _newcomer(provider, name)
        return _UNKNOWN if self._base_urls.get(provider) else None

    def _remedy(self, provider: str) -> str:
        if provider == "offline":
            return "there are offline/extractive and offline/scripted"
        text = (
            "use anthropic/claude-…, openai/gpt-… or offline/extractive; GET /v1/models/ lists what is known"
        )
        if provider in _FAMILIES:
            text += (
                f"; other names resolve once {provider.upper()}_BASE_URL names an endpoint that serves them"
            )
        return text

    def _endpoint(self, entry: ModelEntry) -> str | None:
        if entry.provider == "anthropic":
            return (self._settings.anthropic_base_url or "https://api.anthropic.com").rstrip("/") + "/v1"
        if entry.provider == "openai":
            return self._settings.openai_base_url or "https://api.openai.com/v1"
        return None


def _parts(handle: str, field: str, example: str) -> tuple[str, str]:
    provider, _, name = handle.partition("/")
    if not provider or not name:
        raise errors.Invalid(field, f"{handle!r} is not of the form provider/model, such as {example}")
    return _PROVIDERS.get(provider, provider), name


def _protocol(entry: ModelEntry) -> str:
    """V1's endpoint and provider types are closed lists; what is offline passes for OpenAI there."""
    return "anthropic" if entry.provider == "anthropic" else "openai"


def _relative(known: dict[str, _Limits], name: str) -> _Limits | None:
    """The limits of the known model with the longest name that this one's begins with (a date, a variant)."""
    bare = _undated(name.removeprefix("ft:").partition(":")[0])
    relatives = [other for other in known if f"{bare}-".startswith(f"{_undated(other)}-")]
    return known[max(relatives, key=lambda other: len(_undated(other)))] if relatives else None


def _newcomer(provider: str, name: str) -> _Limits:
    if provider == "anthropic":
        return _CLAUDE_4
    return _Limits(128_000, 16_384, _REASONING_NAME.match(name) is not None)
