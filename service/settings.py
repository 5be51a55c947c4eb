"""Settings: read from the environment once, frozen, passed down.

The only module that looks at the environment. Every setting has a default with
which a fresh machine works; durations carry their unit in the name.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from service.records.base import DEFAULT_POOL
from service.records.budgets import Budget


class Settings(BaseModel):
    """What one process of Blockwire was told."""

    model_config = ConfigDict(frozen=True)

    redis_url: str | None = Field(default=None, description="REDIS_URL; unset: the embedded store")
    wait_replicas: int = Field(
        default=0, ge=0, le=10, description="BLOCKWIRE_WAIT_REPLICAS: replicas that confirm each write"
    )
    wait_ms: int = Field(
        default=1000, ge=1, le=5000, description="BLOCKWIRE_WAIT_MS: how long they are waited for"
    )
    queue_url: str | None = Field(default=None, description="QUEUE_URL; unset: the store")
    data_dir: Path = Field(default=Path(".blockwire"), description="BLOCKWIRE_DATA, for the embedded store")
    host: str = Field(default="127.0.0.1", description="BLOCKWIRE_HOST")
    port: int = Field(default=8283, ge=0, le=65535, description="PORT or BLOCKWIRE_PORT")
    insecure: bool = Field(
        default=False, description="BLOCKWIRE_INSECURE: listen beyond loopback, answer to any name"
    )
    rate_limit: int = Field(
        default=0, ge=0, description="BLOCKWIRE_RATE_LIMIT: requests per minute and token; 0: no limit"
    )
    pool: str = Field(default=DEFAULT_POOL, pattern=r"^[a-z0-9_-]{1,40}$", description="BLOCKWIRE_POOL")
    slots: int = Field(default=32, ge=1, le=1000, description="BLOCKWIRE_SLOTS: agents stepped at once")
    lease_ms: int = Field(default=3000, ge=200, description="BLOCKWIRE_LEASE_MS")
    run_tries: int = Field(default=5, ge=1, description="BLOCKWIRE_RUN_TRIES: workers a step may lose")
    wake_depth: int = Field(
        default=8, ge=1, description="BLOCKWIRE_WAKE_DEPTH: wake-ups that may follow each other"
    )
    budget_tokens: int = Field(
        default=0, ge=0, description="BLOCKWIRE_BUDGET_TOKENS per hour and workspace; 0: no limit"
    )
    budget_steps: int = Field(
        default=0, ge=0, description="BLOCKWIRE_BUDGET_STEPS per hour and workspace; 0: no limit"
    )
    history_count: int = Field(default=1000, ge=1, description="BLOCKWIRE_HISTORY: entries kept per block")
    history_days: int = Field(
        default=365, ge=1, description="BLOCKWIRE_HISTORY_DAYS: days an entry is kept at the most"
    )
    history_mb: int = Field(
        default=64, ge=1, description="BLOCKWIRE_HISTORY_MB: megabytes of text kept per block's history"
    )
    inbox_count: int = Field(
        default=10_000, ge=1, description="BLOCKWIRE_INBOX: unread messages that an agent may have"
    )
    max_memory_mb: int = Field(
        default=0,
        ge=0,
        description="BLOCKWIRE_MAX_MEMORY_MB: what the store may hold; 0: the store's own maxmemory",
    )
    change_count: int = Field(
        default=100_000, ge=10, description="BLOCKWIRE_CHANGES: changes kept per workspace"
    )
    run_days: int = Field(default=30, ge=1, description="BLOCKWIRE_RUN_DAYS: days a finished run is kept")
    model_timeout_s: float = Field(
        default=600.0, gt=0, description="BLOCKWIRE_MODEL_TIMEOUT, seconds per model call"
    )
    model_retries: int = Field(default=2, ge=0, description="BLOCKWIRE_MODEL_RETRIES")
    reply_timeout_s: float = Field(
        default=600.0,
        gt=0,
        le=86_400,
        description="BLOCKWIRE_REPLY_TIMEOUT, seconds an agent waits for another's reply",
    )
    approval_timeout_s: float = Field(
        default=604_800.0,
        ge=0,
        le=31_536_000,
        description="BLOCKWIRE_APPROVAL_TIMEOUT, seconds a request for the caller's word waits; 0: for ever",
    )
    custom_tools: Literal["off", "process"] = Field(
        default="off", description="BLOCKWIRE_CUSTOM_TOOLS: whether workers run the source of people's tools"
    )
    tool_seconds: float = Field(
        default=60.0, gt=0, description="BLOCKWIRE_TOOL_SECONDS, per call of such a tool"
    )
    tool_mb: int = Field(default=512, ge=64, description="BLOCKWIRE_TOOL_MB: memory of such a call")
    webhook_hours: float = Field(
        default=24.0, gt=0, le=168, description="BLOCKWIRE_WEBHOOK_HOURS: how long a delivery is tried"
    )
    callbacks_private: bool | None = Field(
        default=None,
        description="BLOCKWIRE_CALLBACKS_PRIVATE: whether callback_url and webhooks may name this machine or "
        "its network; unset: only while the server answers this machine alone",
    )
    traces: bool = Field(
        default=False, description="BLOCKWIRE_TRACES: keep what providers are asked and answer, per step"
    )
    default_model: str | None = Field(default=None, description="LETTA_DEFAULT_LLM_HANDLE")
    default_embedding: str | None = Field(default=None, description="LETTA_DEFAULT_EMBEDDING_HANDLE")
    anthropic_api_key: str | None = Field(default=None, repr=False, description="ANTHROPIC_API_KEY")
    anthropic_base_url: str | None = Field(default=None, description="ANTHROPIC_BASE_URL, without /v1")
    openai_api_key: str | None = Field(default=None, repr=False, description="OPENAI_API_KEY")
    openai_base_url: str | None = Field(default=None, description="OPENAI_BASE_URL, with /v1")
    url: str | None = Field(
        default=None,
        description="BLOCKWIRE_URL, for commands that ask a server; unset: the one of host and port",
    )
    token: str | None = Field(default=None, repr=False, description="BLOCKWIRE_TOKEN, sent by such commands")
    json_logs: bool | None = Field(
        default=None, description="BLOCKWIRE_JSON_LOGS; unset: JSON unless a terminal"
    )
    log_level: str = Field(
        default="info", pattern="^(debug|info|warning|error)$", description="BLOCKWIRE_LOG_LEVEL"
    )

    @property
    def server_url(self) -> str:
        """Where commands find the web process."""
        return self.url or f"http://{self.host}:{self.port}"

    @property
    def queue_is_in_store(self) -> bool:
        """Whether the queue lies beside the agents, so that one script may write both."""
        return self.redis_url is not None and self.queue_url in (None, self.redis_url)

    @property
    def budget(self) -> Budget:
        """What a workspace may use in an hour."""
        return Budget(tokens_per_hour=self.budget_tokens or None, steps_per_hour=self.budget_steps or None)

    @property
    def history_kept(self) -> str:
        """What a block's history keeps at the most, as the scripts read it: entries, milliseconds, bytes."""
        return f"{self.history_count} {self.history_days * 86_400_000} {self.history_mb * 1_000_000}"


_VARIABLES: dict[str, tuple[str, ...]] = {
    "redis_url": ("REDIS_URL",),
    "wait_replicas": ("BLOCKWIRE_WAIT_REPLICAS",),
    "wait_ms": ("BLOCKWIRE_WAIT_MS",),
    "queue_url": ("QUEUE_URL",),
    "data_dir": ("BLOCKWIRE_DATA",),
    "host": ("BLOCKWIRE_HOST",),
    "port": ("BLOCKWIRE_PORT", "PORT"),
    "insecure": ("BLOCKWIRE_INSECURE",),
    "rate_limit": ("BLOCKWIRE_RATE_LIMIT",),
    "pool": ("BLOCKWIRE_POOL",),
    "slots": ("BLOCKWIRE_SLOTS",),
    "lease_ms": ("BLOCKWIRE_LEASE_MS",),
    "run_tries": ("BLOCKWIRE_RUN_TRIES",),
    "wake_depth": ("BLOCKWIRE_WAKE_DEPTH",),
    "budget_tokens": ("BLOCKWIRE_BUDGET_TOKENS",),
    "budget_steps": ("BLOCKWIRE_BUDGET_STEPS",),
    "history_count": ("BLOCKWIRE_HISTORY",),
    "history_days": ("BLOCKWIRE_HISTORY_DAYS",),
    "history_mb": ("BLOCKWIRE_HISTORY_MB",),
    "inbox_count": ("BLOCKWIRE_INBOX",),
    "max_memory_mb": ("BLOCKWIRE_MAX_MEMORY_MB",),
    "change_count": ("BLOCKWIRE_CHANGES",),
    "run_days": ("BLOCKWIRE_RUN_DAYS",),
    "model_timeout_s": ("BLOCKWIRE_MODEL_TIMEOUT",),
    "model_retries": ("BLOCKWIRE_MODEL_RETRIES",),
    "reply_timeout_s": ("BLOCKWIRE_REPLY_TIMEOUT",),
    "approval_timeout_s": ("BLOCKWIRE_APPROVAL_TIMEOUT",),
    "custom_tools": ("BLOCKWIRE_CUSTOM_TOOLS",),
    "tool_seconds": ("BLOCKWIRE_TOOL_SECONDS",),
    "tool_mb": ("BLOCKWIRE_TOOL_MB",),
    "webhook_hours": ("BLOCKWIRE_WEBHOOK_HOURS",),
    "callbacks_private": ("BLOCKWIRE_CALLBACKS_PRIVATE",),
    "traces": ("BLOCKWIRE_TRACES",),
    "default_model": ("LETTA_DEFAULT_LLM_HANDLE",),
    "default_embedding": ("LETTA_DEFAULT_EMBEDDING_HANDLE",),
    "anthropic_api_key": ("ANTHROPIC_API_KEY",),
    "anthropic_base_url": ("ANTHROPIC_BASE_URL",),
    "openai_api_key": ("OPENAI_API_KEY",),
    "openai_base_url": ("OPENAI_BASE_URL", "OPENAI_API_BASE"),
    "url": ("BLOCKWIRE_URL", "LETTA_BASE_URL"),
    "token": ("BLOCKWIRE_TOKEN", "LETTA_API_KEY"),
    "json_logs": ("BLOCKWIRE_JSON_LOGS",),
    "log_level": ("BLOCKWIRE_LOG_LEVEL",),
}


def variables_of(field: str) -> tuple[str, ...]:
    """The environment variables that set a field, first wins; for error messages and help."""
    return _VARIABLES[field]


def read_settings(environ: Mapping[str, str] | None = None, **overrides: object) -> Settings:
    """Settings from the environment, overridden by options that are not None.

    Raises pydantic.ValidationError naming the field; an empty variable counts as unset.
    """
    source = os.environ if environ is None else environ
    values: dict[str, object] = {}
    for field, names in _VARIABLES.items():
        for name in names:
            if source.get(name, "").strip():
                values[field] = source[name].strip()
                break
    values |= {field: value for field, value in overrides.items() if value is not None}
    return Settings.model_validate(values)


def environment_for(settings: Settings) -> dict[str, str]:
    """The environment with which a child process reads these same settings."""
    environ = dict(os.environ)
    for field, names in _VARIABLES.items():
        value = getattr(settings, field)
        for name in names:
            environ.pop(name, None)
        if value is not None:
            environ[names[0]] = str(value)
    return environ
