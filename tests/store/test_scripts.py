"""Scripts: sources with their includes and key names put in."""

import pytest

from service.store import scripts
from service.store.scripts import RINGING, load


@pytest.fixture
def sources(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    found: dict[str, str] = {}
    monkeypatch.setattr(scripts, "_read", lambda name: found[name])
    return found


def test_includes_stand_in_front_each_once_in_the_order_of_need(sources: dict[str, str]) -> None:
    sources |= {
        "main": "-- include: b\n-- include: c\nMAIN",
        "b": "-- include: a\nB",
        "c": "-- include: a\nC",
        "a": "A",
    }
    code = [line for line in load("main").source.splitlines() if line and not line.startswith("--")]
    assert code == ["A", "B", "C", "MAIN"]


def test_keys_are_named_as_the_table_names_them(sources: dict[str, str]) -> None:
    sources["main"] = "return {K.block(id), K.block_agents(id), K.meta()}"
    assert load("main").source.splitlines() == [
        "local P = string.sub(KEYS[1], 1, -5)",
        "local K = {}",
        "function K.block(id) return P .. 'block:' .. id .. '' end",
        "function K.block_agents(id) return P .. 'block:' .. id .. ':agents' end",
        "function K.meta() return P .. 'meta' end",
        "return {K.block(id), K.block_agents(id), K.meta()}",
    ]


def test_a_key_that_is_not_in_the_table_is_refused(sources: dict[str, str]) -> None:
    sources["main"] = "return K.nonsense()"
    with pytest.raises(KeyError):
        load("main")


def test_scripts_that_differ_have_different_names_for_the_server(sources: dict[str, str]) -> None:
    sources |= {"one": "return 1", "two": "return 2"}
    assert load("one").sha != load("two").sha
    assert load("one") == load("one")


@pytest.mark.parametrize("name", sorted(RINGING))
def test_what_is_said_to_ring_rings_those_who_wait_for_a_run(name: str) -> None:
    assert "redis.call('PUBLISH', K.output()" in load(name).source
