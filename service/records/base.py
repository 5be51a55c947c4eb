"""Record: the frozen base of all records, with time and paging."""

from datetime import UTC, datetime, timedelta

from pydantic import BaseModel, ConfigDict

Micros = int
_EPOCH = datetime(1970, 1, 1)

DEFAULT_WORKSPACE = "default"
DEFAULT_POOL = "default"

ROWS_AT_MOST = 20_000
"""Rows one request for a list reads where a filter has to be asked of each; see store/pages.py."""
IDS_AT_MOST = 200_000
"""Ids one request for a list takes from indexes."""


def iso(at: Micros) -> str:
    """ISO 8601 in UTC with microseconds and `Z`, as V1 writes row times."""
    return (_EPOCH + timedelta(microseconds=at)).isoformat(timespec="microseconds") + "Z"


def micros_of(moment: datetime) -> int:
    """Since 1970; a moment that names no zone is meant in UTC."""
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1e6)


class Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Page(Record):
    """A part of a list; `limit` None means all of it.

    `before` and `after` are ids, exclusive; `after` lies further along in the order asked.
    """

    limit: int | None = 50
    before: str | None = None
    after: str | None = None
    descending: bool = False
