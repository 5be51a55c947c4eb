"""Record: the frozen base of all records, with time and paging."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache
from typing import Any, Self, TypeVar

from pydantic import BaseModel, ConfigDict

Model = TypeVar("Model", bound=BaseModel)
Micros = int
_EPOCH = datetime(1970, 1, 1)
_put = object.__setattr__  # past what makes a model frozen

DEFAULT_WORKSPACE = "default"
DEFAULT_POOL = "default"

ROWS_AT_MOST = 20_000
"""Rows one request for a list reads where a filter has to be asked of each; see store/pages.py."""
IDS_AT_MOST = 200_000
"""Ids one request for a list takes from indexes."""


@lru_cache(maxsize=1024)
def iso(at: Micros) -> str:
    """ISO 8601 in UTC with microseconds and `Z`, as V1 writes row times."""
    return (_EPOCH + timedelta(microseconds=at)).isoformat(timespec="microseconds") + "Z"


def micros_of(moment: datetime) -> int:
    """Since 1970; a moment that names no zone is meant in UTC."""
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1e6)


class Record(BaseModel):
    """Frozen. A default that could be changed is made by a factory.

    Of any other pydantic makes a deep copy each time, which was most of what reading a message cost.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """pydantic's, in a third of its time where nothing is copied deeply: each step makes several."""
        if deep or self.__pydantic_private__ is not None:
            return super().model_copy(update=update, deep=deep)
        made = self.__class__.__new__(self.__class__)
        made.__dict__.update(self.__dict__)
        told = self.__pydantic_fields_set__
        if update:
            made.__dict__.update(update)
            told = told | update.keys()
        _put(made, "__pydantic_fields_set__", told)
        _put(made, "__pydantic_extra__", None)
        _put(made, "__pydantic_private__", None)
        return made


def unchecked(model: type[Model], values: Mapping[str, Any]) -> Model:
    """A record, or an answer made of one, of values that were checked when they came in.

    Checking them again is most of what reading a block costs. Each field has to be there, as its type says;
    what is no field is left out. (`model_construct` without its questions: no aliases, no defaults.)
    """
    names, told = _shape(model)
    made = model.__new__(model)
    held = made.__dict__
    for name in names:
        held[name] = values[name]
    _put(made, "__pydantic_fields_set__", told)
    _put(made, "__pydantic_extra__", None)
    _put(made, "__pydantic_private__", None)
    return made


@cache
def _shape(model: type[BaseModel]) -> tuple[tuple[str, ...], set[str]]:
    """The names of its fields, in order, and as pydantic keeps them.

    The set is shared, also by copies that change nothing: a frozen model adds nothing to it.
    """
    names = tuple(model.__pydantic_fields__)
    return names, set(names)


class Page(Record):
    """A part of a list; `limit` None means all of it.

    `before` and `after` are ids, exclusive; `after` lies further along in the order asked.
    """

    limit: int | None = 50
    before: str | None = None
    after: str | None = None
    descending: bool = False
