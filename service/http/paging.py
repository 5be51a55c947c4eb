"""Paging: V1's cursors over a list. Answers are bare arrays; an exhausted list is `[]`.

Where V1 takes a limit of 0 for all, this takes it for AT_MOST: no single request
loads everything. Whoever wants more pages on.
"""

from collections.abc import Callable, Sequence
from typing import Literal, TypeVar

from pydantic import BaseModel, Field

from service.records.base import ROWS_AT_MOST, Page

Item = TypeVar("Item")
AT_MOST = 10_000
"""Rows that one answer holds, whatever limit was asked for."""
CEILING = f"0, or more than {AT_MOST}, means {AT_MOST}"
LOOKS = (
    f"no index answers this: a request reads {ROWS_AT_MOST} rows at the most. A page may then be shorter "
    "than `limit`, and only an empty one is the end; with nothing found, 400 says from where to go on"
)


class PageQuery(BaseModel):
    """What every list takes; a list with other defaults overrides the fields."""

    limit: int = Field(default=50, ge=0, description=f"how many to return; {CEILING}")
    before: str | None = Field(
        default=None, max_length=200, description="only what lies before this id, in the order asked"
    )
    after: str | None = Field(
        default=None, max_length=200, description="only what lies after this id, in the order asked"
    )
    order: Literal["asc", "desc"] = Field(default="desc", description="`asc`: oldest first")

    def page(self) -> Page:
        return Page(
            limit=min(self.limit or AT_MOST, AT_MOST),
            before=self.before or None,
            after=self.after or None,
            descending=self.order == "desc",
        )


def part_by_id(items: Sequence[Item], page: Page, id_of: Callable[[Item], str]) -> list[Item]:
    """The page of a whole list sorted by id; a cursor stands where it sorts, also when its row has gone."""
    low, high = (page.before, page.after) if page.descending else (page.after, page.before)
    ordered = sorted(items, key=id_of, reverse=page.descending)
    window = [one for one in ordered if (not low or id_of(one) > low) and (not high or id_of(one) < high)]
    return _cut(window, page, from_its_end=bool(page.before) and not page.after)


def part_of(items: Sequence[Item], page: Page, id_of: Callable[[Item], str]) -> list[Item]:
    """The page of a whole, ascending list; an unknown cursor is ignored, as V1 does.

    With only `before` given the items nearest to it are taken.
    """
    ordered = list(reversed(items)) if page.descending else list(items)
    places = {id_of(item): place for place, item in enumerate(ordered)}
    after = places.get(page.after) if page.after else None
    before = places.get(page.before) if page.before else None
    window = ordered[0 if after is None else after + 1 : before]
    return _cut(window, page, from_its_end=before is not None and after is None)


def _cut(window: list[Item], page: Page, *, from_its_end: bool) -> list[Item]:
    if page.limit is None:
        return window
    return window[-page.limit :] if from_its_end else window[: page.limit]
