"""The model catalogue as records."""

from service.records.base import Record


class ModelEntry(Record):
    """One model of the catalogue. `window` is the context in tokens."""

    handle: str
    provider: str
    name: str
    window: int
    max_output: int
    reasons: bool = False
