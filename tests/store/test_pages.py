"""Pages: every row once, whatever happens between them, and always an end."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import cast

import pytest

from service.errors import TooWide
from service.records.base import Page
from service.store import pages
from service.store.client import StoreClient
from service.store.pages import Budget, Term, Walk, count_of, page_of, rows_of
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


def terms(*unions: Sequence[str], apart: bool = True) -> list[Term]:
    return [Term(union, apart=apart) for union in unions]


async def mark(store: StoreClient, index: str, numbers: Iterable[int]) -> None:
    await raw(store).zadd(index, {f"id-{number}": number for number in numbers})


async def all_pages(
    store: StoreClient, asked: Sequence[Term], *, descending: bool, backward: bool, limit: int = 50
) -> list[str]:
    """A walk by the last id of each page, or towards the front by the first; in the order of the list."""
    found: list[str] = []
    page = Page(limit=limit, descending=descending)
    if backward:
        last = await page_of(store, AXIS, asked, Page(limit=1, descending=not descending))
        found, page = last, page.model_copy(update={"before": last[0]})
    for _ in range(1000):
        part = await page_of(store, AXIS, asked, page)
        if not part:
            return found
        found = part + found if backward else found + part
        page = page.model_copy(update={"before": part[0]} if backward else {"after": part[-1]})
    pytest.fail("the pages have no end")


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("limit", [1, 7, 50])
async def test_a_union_of_indexes_is_one_list(
    store: StoreClient, descending: bool, backward: bool, limit: int
) -> None:
    await fill(store, 0, 300)
    await mark(store, "a", range(0, 300, 3))
    await mark(store, "b", range(0, 300, 2))
    await mark(store, "c", range(290, 300))
    expected = [f"id-{n}" for n in range(300) if n % 3 == 0 or n % 2 == 0 or n >= 290]
    found = await all_pages(
        store, terms(["a", "b", "c", "none"]), descending=descending, backward=backward, limit=limit
    )
    assert found == expected[:: -1 if descending else 1]


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("backward", [False, True])
async def test_what_lies_in_all_terms_is_found_along_the_smallest(
    store: StoreClient, descending: bool, backward: bool
) -> None:
    await fill(store, 0, 300)
    await mark(store, "a", range(0, 300, 2))
    await mark(store, "b", range(0, 300, 3))
    await mark(store, "c", range(0, 300, 5))
    asked = terms(["a", "c"], [INDEX], ["b"])
    expected = [f"id-{n}" for n in range(300) if n % 3 == 0 and (n % 2 == 0 or n % 5 == 0)]
    found = await all_pages(store, asked, descending=descending, backward=backward, limit=7)
    assert found == expected[:: -1 if descending else 1]
    walk = await Walk.through(store, AXIS, asked, Page())
    await walk.next(1000)
    assert walk.looked == 100
    assert await count_of(store, AXIS, asked) == len(expected)


async def test_a_union_of_many_indexes_is_asked_for_few_ids_of_each(store: StoreClient) -> None:
    await fill(store, 0, 400)
    for number in range(100):
        await mark(store, f"tag-{number}", range(number, 400, 100))
    asked = terms([f"tag-{number}" for number in range(100)])
    assert await all_pages(store, asked, descending=False, backward=False) == ids(0, 400)


async def test_counts_know_indexes_that_overlap_from_those_that_do_not(store: StoreClient) -> None:
    await mark(store, "a", range(10))
    await mark(store, "b", range(5, 15))
    await mark(store, "c", range(20, 25))
    assert await count_of(store, AXIS, terms(["a", "c"])) == 15
    assert await count_of(store, AXIS, terms(["a", "b"], apart=False)) == 15
    assert await count_of(store, AXIS, terms(["a"], ["b"])) == 5
    assert await count_of(store, AXIS, terms(["a", "b", "c"], apart=False)) == 20
    assert await count_of(store, AXIS, terms(["a", "c"], ["b", "none"])) == 5
    assert await count_of(store, AXIS, terms([])) == await count_of(store, AXIS, terms(["a"], [])) == 0


async def test_a_count_that_would_hold_the_store_up_is_made_in_parts(
    store: StoreClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await mark(store, "a", range(10))
    await mark(store, "b", range(5, 15))
    monkeypatch.setattr(pages, "IDS_AT_MOST", 9)

    async def never(self: StoreClient, names: Sequence[str]) -> int:
        pytest.fail("the store was held up")

    monkeypatch.setattr(StoreClient, "overlap", never)
    assert await count_of(store, AXIS, terms(["a", "b"], apart=False)) == 15
    assert await count_of(store, AXIS, terms(["a"], ["b"])) == 5


async def test_nothing_is_in_no_index(store: StoreClient) -> None:
    await fill(store, 0, 10)
    assert await page_of(store, AXIS, terms([]), Page()) == []
    assert await page_of(store, AXIS, terms([INDEX], []), Page()) == []


async def test_a_cursor_that_left_the_list_or_was_deleted_still_stands_where_it_stood(
    store: StoreClient,
) -> None:
    await fill(store, 0, 10)
    await mark(store, "a", range(10))
    await raw(store).zrem("a", "id-3")
    assert await page_of(store, AXIS, terms(["a"]), Page(limit=2, after="id-3")) == ["id-4", "id-5"]
    await raw(store).zrem("a", "id-5")
    await raw(store).zrem(INDEX, "id-5")
    await cast("Awaitable[int]", raw(store).hset("gone", "id-5", "5"))
    assert await page_of(store, AXIS, terms(["a"]), Page(limit=2, after="id-5")) == ["id-6", "id-7"]
    assert await page_of(store, AXIS, terms(["a"]), Page(limit=2, before="id-5")) == ["id-2", "id-4"]
    without = Creation(INDEX)
    assert await page_of(store, without, terms(["a"]), Page(limit=1, after="id-5")) == ["id-0"]


async def test_a_list_may_lie_between_two_places(store: StoreClient) -> None:
    await fill(store, 0, 10)

    async def found(page: Page, *within: float | None) -> list[str]:
        low, high = within
        return await rows_of(store, AXIS, TERMS, page, take, within=(low, high))

    assert await found(Page(), 2, 6) == ids(3, 6)
    assert await found(Page(after="id-4"), 2, 6) == ["id-5"]
    assert await found(Page(after="id-1", descending=True), 2, None) == []
    assert await found(Page(limit=1, descending=True), None, 6) == ["id-5"]


class TestOneRequestLooksAt:
    """A bounded number of rows: what it found by then, or a refusal that says where to go on."""

    @pytest.fixture(autouse=True)
    async def rows(self, store: StoreClient) -> None:
        await fill(store, 0, 100)

    @staticmethod
    async def asked(store: StoreClient, page: Page, *wanted: int, most: int = 30) -> list[str]:
        async def keep(found: Sequence[str]) -> list[str]:
            return [id for id in found if int(id.split("-")[1]) in wanted]

        return await rows_of(store, AXIS, TERMS, page, take, keep, Budget(most))

    async def test_rows_until_it_may_not_and_hands_out_what_it_has(self, store: StoreClient) -> None:
        assert await self.asked(store, Page(limit=5), 3, 29, 30) == ["id-3", "id-29"]

    async def test_rows_and_refuses_an_empty_page_that_is_not_the_end(self, store: StoreClient) -> None:
        with pytest.raises(TooWide) as refusal:
            await self.asked(store, Page(limit=5), 80)
        assert (refusal.value.looked, refusal.value.go_on) == (30, "after=id-29")
        assert await self.asked(store, Page(limit=5, after="id-69"), 80) == ["id-80"]

    async def test_rows_and_says_where_to_go_on_towards_the_front(self, store: StoreClient) -> None:
        with pytest.raises(TooWide, match="before=id-60"):
            await self.asked(store, Page(limit=5, before="id-90"), 2)
        with pytest.raises(TooWide, match="after=id-70"):
            await self.asked(store, Page(limit=5, descending=True), 2)

    async def test_the_end_and_then_says_so(self, store: StoreClient) -> None:
        assert await self.asked(store, Page(limit=5, after="id-80"), 2) == []
        assert await self.asked(store, Page(limit=5, after="id-69"), 99) == ["id-99"]

    async def test_fewer_rows_that_cost_more(self, store: StoreClient) -> None:
        budget = Budget(30)

        async def dear(found: Sequence[str]) -> list[str]:
            budget.spend(9 * len(found))
            return []

        with pytest.raises(TooWide) as refusal:
            await rows_of(store, AXIS, TERMS, Page(limit=1), take, dear, budget)
        assert refusal.value.looked == 3

    async def test_all_rows_where_all_are_asked_for(self, store: StoreClient) -> None:
        async def keep(found: Sequence[str]) -> list[str]:
            return [id for id in found if id == "id-99"]

        assert await rows_of(store, AXIS, TERMS, Page(limit=None), take, keep) == ["id-99"]

    async def test_a_bounded_number_of_ids_too(
        self, store: StoreClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(pages, "IDS_AT_MOST", 40)
        await mark(store, "other", range(50, 200))
        with pytest.raises(TooWide, match="after=id-39"):
            await page_of(store, AXIS, terms([INDEX], ["other"]), Page(limit=5))
        assert await page_of(store, AXIS, terms([INDEX], ["other"]), Page(limit=2, after="id-39")) == [
            "id-50",
            "id-51",
        ]

    async def test_so_many_to_count_them(self, store: StoreClient) -> None:
        async def few(found: Sequence[str]) -> list[str]:
            return list(found[:1])

        with pytest.raises(TooWide, match="not all was looked at"):
            await count_of(store, AXIS, TERMS, few, Budget(99))
        assert await count_of(store, AXIS, TERMS, few, Budget(101)) == 1


async def test_rows_that_vanish_while_they_are_read_are_made_up_for(store: StoreClient) -> None:
    await fill(store, 0, 30)

    async def all_but_the_first(found: Sequence[str]) -> list[str]:
        return [id for id in found if int(id.split("-")[1]) >= 10]

    assert await rows_of(store, AXIS, TERMS, Page(limit=4), all_but_the_first) == ids(10, 14)
