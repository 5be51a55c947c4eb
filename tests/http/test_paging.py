"""Pages of whole lists: order, limit and V1's two cursors."""

import pytest

from service.http.paging import AT_MOST, PageQuery, part_by_id, part_of
from service.records.base import Page


def part(**asked: object) -> str:
    return "".join(part_of("abcdefg", Page.model_validate({"limit": None, **asked}), str))


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, "abcdefg"),
        ({"descending": True}, "gfedcba"),
        ({"limit": 2}, "ab"),
        ({"limit": 2, "descending": True}, "gf"),
        ({"limit": 2, "after": "b"}, "cd"),
        ({"limit": 2, "after": "c", "descending": True}, "ba"),
        ({"after": "g"}, ""),
        ({"before": "c"}, "ab"),
        ({"limit": 2, "before": "f"}, "de"),
        ({"limit": 2, "before": "c", "descending": True}, "ed"),
        ({"after": "b", "before": "f"}, "cde"),
        ({"limit": 2, "after": "b", "before": "f"}, "cd"),
        ({"limit": 2, "after": "unknown"}, "ab"),
        ({"limit": 2, "before": "unknown"}, "ab"),
    ],
)
def test_a_page_is_the_part_that_was_asked_for(asked: dict[str, object], expected: str) -> None:
    assert part(**asked) == expected


def test_paging_by_the_last_item_ends_in_an_empty_page() -> None:
    seen, cursor = "", None
    while got := part(limit=3, after=cursor, descending=True):
        seen, cursor = seen + got, got[-1]
    assert seen == "gfedcba"


@pytest.mark.parametrize(
    ("asked", "given"),
    [(0, AT_MOST), (1, 1), (AT_MOST, AT_MOST), (AT_MOST + 1, AT_MOST), (10**30, AT_MOST)],
)
def test_no_request_gets_more_rows_than_the_ceiling(asked: int, given: int) -> None:
    assert AT_MOST == 10_000
    assert PageQuery(limit=asked).page().limit == given


def test_the_order_and_the_cursor_are_told() -> None:
    assert PageQuery().page() == Page(limit=50, descending=True)
    assert PageQuery(order="asc", after="x").page() == Page(limit=50, after="x")
    assert PageQuery(after="", before="").page() == PageQuery().page()


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, "acegik"),
        ({"after": "d", "limit": 2}, "eg"),
        ({"before": "h", "limit": 2}, "eg"),
        ({"after": "d", "limit": 1, "descending": True}, "c"),
        ({"before": "d", "limit": 2, "descending": True}, "ge"),
        ({"after": "b", "before": "h", "limit": 2}, "ce"),
    ],
)
def test_a_list_by_id_goes_on_from_where_a_missing_one_stood(asked: dict[str, object], expected: str) -> None:
    page = Page.model_validate({"limit": None, **asked})
    assert "".join(part_by_id("kecgia", page, str)) == expected
