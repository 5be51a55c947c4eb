"""Retries: the same request, told by its key or by its content, gets the same id."""

import asyncio

import pytest

from service.errors import IdReused
from service.store.keys import key
from service.store.retries import KEY_S, REMEMBERED_S
from tests.store.team import WS, Team

pytestmark = pytest.mark.anyio


async def test_a_named_request_gets_the_same_id_however_often_it_comes(team: Team) -> None:
    retries = team.service.retries
    ids = await asyncio.gather(*(retries.named(WS, "job-1", "this", "run") for _ in range(5)))
    assert len(set(ids)) == 1
    assert ids[0].startswith("run-")
    assert await retries.named(WS, "job-2", "this", "run") != ids[0]
    assert await retries.named("other", "job-1", "this", "run") != ids[0]
    assert 0 < await team.redis.ttl(key(WS, "request", "job-1")) <= KEY_S


async def test_a_key_used_for_something_else_is_refused(team: Team) -> None:
    await team.service.retries.named(WS, "job-1", "this", "run")
    with pytest.raises(IdReused, match=r"Idempotency-Key: 'job-1'"):
        await team.service.retries.named(WS, "job-1", "that", "run")


async def test_a_request_without_a_name_is_found_by_what_it_asked(team: Team) -> None:
    retries = team.service.retries
    assert await retries.recall(WS, "this") is None
    await retries.remember(WS, "this", "run-1")
    await retries.remember(WS, "this", "run-2")
    assert await retries.recall(WS, "this") == "run-2"
    assert await retries.recall("other", "this") is None
    assert 0 < await team.redis.ttl(key(WS, "asked", "this")) <= REMEMBERED_S
