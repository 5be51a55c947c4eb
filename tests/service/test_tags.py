"""Tags: by name, in pages, a bounded number looked at."""

from typing import Any

import pytest

from service.errors import TooWide
from service.records.base import Page
from service.store import tags
from tests.store.team import WS, Team

pytestmark = pytest.mark.anyio


async def test_tags_come_in_pages_by_name(team: Team) -> None:
    await team.block(tags=["b", "a"])
    await team.agent(tags=["c", "b"])
    find = team.service.tags.find
    assert await find(WS, Page()) == ["a", "b", "c"]
    assert await find(WS, Page(limit=1, after="a")) == ["b"]
    assert await find(WS, Page(limit=1, before="c")) == ["b"]
    assert await find(WS, Page(limit=1, before="a", descending=True)) == ["b"]
    assert await find(WS, Page(limit=None, descending=True), words="B") == ["b"]


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({}, ["b"]),
        ({"after": "a"}, ["b"]),
        ({"after": "b"}, []),
        ({"before": "a"}, []),
        ({"before": "c"}, ["b"]),
    ],
)
async def test_one_tag_is_found_by_name_where_the_page_lies(
    team: Team, asked: dict[str, Any], found: list[str]
) -> None:
    await team.block(tags=["b"])
    assert await team.service.tags.find(WS, Page(**asked), name="b") == found
    assert await team.service.tags.find(WS, Page(**asked), name="b", words="c") == []
    assert await team.service.tags.find(WS, Page(**asked), name="other") == []


async def test_a_search_looks_at_so_many_names(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tags, "IDS_CHUNK", 10)
    monkeypatch.setattr(tags, "IDS_AT_MOST", 20)
    await team.block(tags=[f"t{number:02}" for number in range(45)])
    find = team.service.tags.find
    with pytest.raises(TooWide, match="after=t19"):
        await find(WS, Page(), words="t3")
    assert len(await find(WS, Page(), words="t1")) == 10
    assert len(await find(WS, Page(limit=3), words="t1")) == 3
    assert len(await find(WS, Page(limit=20))) == 20
    assert await find(WS, Page(after="t19"), words="t39") == ["t39"]
