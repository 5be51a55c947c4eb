"""Pages: every row once, whatever happens between them, and always an end."""

from collections.abc import Callable, Sequence

import pytest

from service.records.base import Page
from service.store import pages
from service.store.client import StoreClient
from service.store.pages import Term, page_of, rows_of
from service.store.places import Creation
from tests.store.team import raw

pytestmark = pytest.mark.anyio

INDEX = "index"
AXIS = Creation(INDEX, "gone")
TERMS = [Term([INDEX])]


def ids(low: int, high: int) -> list[str]:
    return [f"id-{number}" for number in range(low, high)]


async def fill(store: StoreClient, low: int, high: int) -> None:
    await raw(store).zadd(INDEX, {f"id-{number}": number for number in range(low, high)})


async def walked(
    store: StoreClient,
    step: Callable[[list[str] | None], Page],
    meanwhile: Callable[[int], Sequence[tuple[str, int]]],
) -> list[str]:
    """All pages one after the other; `meanwhile` says what is added (score) or removed (-1) between."""
    found: list[str] = []
    page: list[str] | None = None
    for number in range(1000):
        page = await page_of(store, AXIS, TERMS, step(page))
        if not page:
            return found
        found += page
        for id, score in meanwhile(number):
            if score < 0:
                await raw(store).zrem(INDEX, id)
            else:
                await raw(store).zadd(INDEX, {id: score})
    pytest.fail("the pages have no end")


@pytest.mark.parametrize("limit", [1, 7, 50, 250, 1000])
@pytest.mark.parametrize("descending", [False, True])
async def test_pages_follow_each_other_to_the_end(store: StoreClient, limit: int, descending: bool) -> None:
    await fill(store, 0, 250)

    def following(page: list[str] | None) -> Page:
        return Page(limit=limit, descending=descending, after=page[-1] if page else None)

    expected = ids(0, 250)[:: -1 if descending else 1]
    assert await walked(store, following, lambda number: []) == expected


@pytest.mark.parametrize("descending", [False, True])
async def test_pages_go_back_as_they_went(store: StoreClient, descending: bool) -> None:
    await fill(store, 0, 250)
    order = ids(0, 250)[:: -1 if descending else 1]
    before, found = order[-1], [order[-1]]
    while page := await page_of(store, AXIS, TERMS, Page(limit=40, before=before, descending=descending)):
        assert page == [id for id in order if id in page]
        found = page + found
        before = page[0]
    assert found == order


async def test_rows_added_and_removed_between_pages_are_neither_doubled_nor_skipped(
    store: StoreClient,
) -> None:
    """Behind the cursor rows go, in front of it they go too and new ones come: what stays is seen once."""
    await fill(store, 0, 250)
    gone: set[str] = set()

    def meanwhile(number: int) -> list[tuple[str, int]]:
        if number >= 10:
            return []
        passed, ahead = f"id-{number * 20 + 3}", f"id-{number * 20 + 45}"
        gone.add(ahead)
        return [(passed, -1), (ahead, -1), (f"new-{number}", 1000 + number)]

    def following(page: list[str] | None) -> Page:
        return Page(limit=20, after=page[-1] if page else None)

    found = await walked(store, following, meanwhile)
    assert len(found) == len(set(found))
    assert set(found) == (set(ids(0, 250)) - gone) | {f"new-{number}" for number in range(10)}


async def test_new_rows_do_not_disturb_a_walk_towards_the_oldest(store: StoreClient) -> None:
    await fill(store, 0, 250)

    def following(page: list[str] | None) -> Page:
        return Page(limit=20, descending=True, after=page[-1] if page else None)

    found = await walked(store, following, lambda number: [(f"new-{number}", 1000 + number)])
    assert found == ids(0, 250)[::-1]


async def test_a_page_lies_between_two_cursors(store: StoreClient) -> None:
    await fill(store, 0, 10)
    between = Page(after="id-2", before="id-6", limit=2)
    assert await page_of(store, AXIS, TERMS, between) == ["id-3", "id-4"]
    assert await page_of(store, AXIS, TERMS, between.model_copy(update={"limit": None})) == ids(3, 6)
    backward = Page(after="id-6", before="id-2", descending=True)
    assert await page_of(store, AXIS, TERMS, backward) == ["id-5", "id-4", "id-3"]


async def test_an_unknown_cursor_starts_the_list_over(store: StoreClient) -> None:
    await fill(store, 0, 10)
    assert await page_of(store, AXIS, TERMS, Page(limit=2, after="id-x")) == ["id-0", "id-1"]
    assert await page_of(store, AXIS, TERMS, Page(limit=2, before="id-x")) == ["id-0", "id-1"]


async def test_an_empty_list_is_a_page_too(store: StoreClient) -> None:
    assert await page_of(store, AXIS, TERMS, Page()) == []
    assert await page_of(store, AXIS, TERMS, Page(limit=None, descending=True)) == []


async def take(found: Sequence[str]) -> list[str]:
    return list(found)


async def even(found: Sequence[str]) -> list[str]:
    return [id for id in found if int(id.split("-")[1]) % 2 == 0]


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("limit", [1, 3, 200, None])
async def test_rows_a_filter_leaves_out_are_made_up_for(
    store: StoreClient, limit: int | None, descending: bool
) -> None:
    await fill(store, 0, 500)
    expected = (await even(ids(0, 500)))[:: -1 if descending else 1]
    page = Page(limit=limit, descending=descending)
    assert await rows_of(store, AXIS, TERMS, page, take, even) == expected[:limit]
    if limit:
        after = page.model_copy(update={"after": expected[0]})
        assert await rows_of(store, AXIS, TERMS, after, take, even) == expected[1 : limit + 1]
        before = page.model_copy(update={"before": expected[200]})
        assert await rows_of(store, AXIS, TERMS, before, take, even) == expected[200 - limit : 200]


async def test_a_filter_that_wants_nothing_asks_in_chunks_that_grow(
    store: StoreClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "CHUNK", 100)
    await fill(store, 0, 500)
    asked: list[int] = []

    async def none(found: Sequence[str]) -> list[str]:
        asked.append(len(found))
        return []

    assert await rows_of(store, AXIS, TERMS, Page(limit=1), take, none) == []
    assert asked == [1, 2, 4, 8, 16, 32, 64, 100, 100, 100, 73]
