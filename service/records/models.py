"""The model catalogue as records."""

from service.records.base import Record


class ModelEntry(Record):
    """One model of the catalogue. `window` is the context in tokens.

    `handle` is as somebody asked for it, `name` what the provider itself calls the model.
    """

    handle: str
    provider: str
    name: str
    window: int
    max_output: int
    reasons: bool = False


class EmbeddingEntry(Record):
    """One embedding model of the catalogue; `dim` is the length of its vectors."""

    handle: str
    provider: str
    name: str
    dim: int
