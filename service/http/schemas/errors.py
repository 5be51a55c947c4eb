"""Errors on the wire, as the document describes them; errors.py makes them."""

from pydantic import BaseModel


class Error(BaseModel):
    """What went wrong, in words that name the field and the remedy."""

    detail: str


class MalformedRequest(Error):
    trace_id: str = ""
    examples: list[str] | None = None


class CurrentBlock(BaseModel):
    version: int
    value: str


class Conflict(Error):
    """The block is at another version than the one named; this is the current one."""

    current: CurrentBlock | None = None


class ModelError(BaseModel):
    """What a model's provider said."""

    type: str
    message: str
    detail: str | None = None


class ModelFailure(BaseModel):
    """A model call of the run failed."""

    error: ModelError
