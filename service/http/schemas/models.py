"""Models on the wire: V1's configurations, the catalogue's entries, and the settings they share."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import to_json

from service.http.schemas.bounds import JSON_BYTES, Count, Handle, JsonObject, Name
from service.records.models import EmbeddingEntry, ModelEntry

Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh"]


class LLMConfig(BaseModel):
    model: Name
    display_name: str | None = None
    model_endpoint_type: Name
    model_endpoint: str | None = Field(default=None, max_length=2000)
    provider_name: str | None = None
    provider_category: Literal["base", "byok"] | None = None
    model_wrapper: str | None = None
    context_window: Count
    put_inner_thoughts_in_kwargs: bool | None = False
    handle: Handle | None = None
    temperature: float = 1.0
    max_tokens: Count | None = None
    enable_reasoner: bool = True
    reasoning_effort: Effort | None = None
    max_reasoning_tokens: Count = 0
    effort: Literal["low", "medium", "high", "max"] | None = None
    frequency_penalty: float | None = None
    compatibility_type: Literal["gguf", "mlx"] | None = None
    verbosity: Literal["low", "medium", "high"] | None = None
    tier: str | None = None
    parallel_tool_calls: bool | None = False
    response_format: JsonObject | None = None
    strict: bool = False
    return_logprobs: bool = False
    top_logprobs: Count | None = None
    return_token_ids: bool = False
    tool_call_parser: str | None = None


class EmbeddingConfig(BaseModel):
    embedding_endpoint_type: Name
    embedding_endpoint: str | None = Field(default=None, max_length=2000)
    embedding_model: Name
    embedding_dim: Count
    embedding_chunk_size: Count | None = 300
    handle: Handle | None = None
    batch_size: Count = 32
    azure_endpoint: str | None = None
    azure_version: str | None = None
    azure_deployment: str | None = None


class ModelSettings(BaseModel):
    """Settings of one provider's models; what V1 knows only for some providers is kept as given."""

    model_config = ConfigDict(extra="allow")

    provider_type: Name
    max_output_tokens: int = Field(default=4096, ge=1)
    parallel_tool_calls: bool = True
    temperature: float = Field(default=1.0, ge=0, le=2)
    reasoning: JsonObject | None = None
    thinking: JsonObject | None = None
    response_format: JsonObject | None = None
    verbosity: Literal["low", "medium", "high"] | None = None
    effort: Literal["low", "medium", "high", "max"] | None = None
    strict: bool = False

    @model_validator(mode="after")
    def _is_bounded(self) -> "ModelSettings":
        if len(to_json(self.model_extra)) > JSON_BYTES:
            raise ValueError(f"must not hold more than {JSON_BYTES} bytes of what is not known here")
        return self


class CompactionSettings(BaseModel):
    model: Handle | None = None
    model_settings: ModelSettings | None = None
    prompt: str | None = Field(default=None, max_length=100_000)
    prompt_acknowledgement: bool = False
    clip_chars: Count | None = 50_000
    mode: Literal["all", "sliding_window", "self_compact_all", "self_compact_sliding_window"] = (
        "sliding_window"
    )
    sliding_window_percentage: float | None = Field(default=None, ge=0, le=1)


class ModelListQuery(BaseModel):
    provider_category: list[Literal["base", "byok"]] | None = Field(
        default=None, description="every model here is `base`; repeat the key"
    )
    provider_name: Name | None = None
    provider_type: Name | None = None

    def wants(self, model: "Model") -> bool:
        return (
            (self.provider_category is None or model.provider_category in self.provider_category)
            and self.provider_name in (None, model.provider_name)
            and self.provider_type in (None, model.provider_type)
        )


class Model(LLMConfig):
    """A model of the catalogue; new SDKs read it as Model, old ones as LLMConfig."""

    name: str
    provider_type: str
    model_type: Literal["llm"] = "llm"
    put_inner_thoughts_in_kwargs: bool | None = True
    temperature: float = 0.7
    max_context_window: int


class EmbeddingModel(EmbeddingConfig):
    """An embedding model of the catalogue; old SDKs read it as EmbeddingConfig."""

    name: str
    display_name: str
    provider_type: str
    provider_name: str
    model_type: Literal["embedding"] = "embedding"


def model_response(entry: ModelEntry, llm_config: dict[str, Any]) -> Model:
    provider_type = llm_config["model_endpoint_type"]
    return Model(**llm_config, name=entry.name, provider_type=provider_type, max_context_window=entry.window)


def embedding_response(entry: EmbeddingEntry, embedding_config: dict[str, Any]) -> EmbeddingModel:
    return EmbeddingModel(
        **embedding_config,
        name=entry.name,
        display_name=entry.name,
        provider_type=embedding_config["embedding_endpoint_type"],
        provider_name=entry.provider,
    )
