"""Tokens in the store: kept by the digest of their secret, announced, and counted."""

import asyncio

import pytest

from service.records.tokens import Token
from service.store.access import TokenStore
from service.store.client import StoreClient
from service.store.keys import TOKENS_CHANNEL, TOKENS_KEY, WORKSPACES_KEY, rate_key
from tests.store.team import contents, raw, wait_until

pytestmark = pytest.mark.anyio


def token(id: str = "token-1", workspace: str = "team-a") -> Token:
    return Token(id=id, name=id, workspace=workspace, scope="read", created_at=1, ends_with="abcd")


@pytest.fixture
def tokens(store: StoreClient) -> TokenStore:
    return TokenStore(store)


async def test_a_token_is_found_by_its_digest_alone(tokens: TokenStore) -> None:
    assert await tokens.look(None) == (False, None)
    assert await tokens.look("one") == (False, None)
    await tokens.put("one", token())
    assert await tokens.look("one") == (True, token())
    assert await tokens.look("two") == (True, None)
    assert await tokens.look(None) == (True, None)
    assert await tokens.all() == {"one": token()}


async def test_its_workspace_is_looked_after_from_then_on(tokens: TokenStore, store: StoreClient) -> None:
    await tokens.put("one", token(workspace="new"))
    assert await store.members(WORKSPACES_KEY) == {"new"}


async def test_a_dropped_token_is_gone_and_the_last_goes_only_if_meant(
    tokens: TokenStore, store: StoreClient
) -> None:
    await tokens.put("one", token())
    await tokens.put("two", token("token-2"))
    assert await tokens.drop("three", even_last=True) == "missing"
    assert await tokens.drop("one", even_last=False) == "ok"
    assert await tokens.drop("one", even_last=False) == "missing"
    assert await tokens.drop("two", even_last=False) == "last"
    assert await tokens.look("two") == (True, token("token-2"))
    assert await tokens.drop("two", even_last=True) == "ok"
    assert TOKENS_KEY not in await contents(raw(store))


async def test_of_two_that_drop_the_last_two_at_once_only_one_does(tokens: TokenStore) -> None:
    for number in range(20):
        await tokens.put("one", token())
        await tokens.put("two", token("token-2"))
        outcomes = await asyncio.gather(*[tokens.drop(one, even_last=False) for one in ("one", "two")])
        assert sorted(outcomes) == ["last", "ok"], number


async def test_every_process_is_told(tokens: TokenStore, store: StoreClient) -> None:
    pubsub = store.pubsub()
    await pubsub.subscribe(TOKENS_CHANNEL)
    await tokens.put("one", token())
    await tokens.drop("one", even_last=False)
    await tokens.drop("one", even_last=True)
    heard: list[object] = []
    while len(heard) < 3:
        message = await pubsub.get_message(timeout=5)
        assert message is not None
        heard.append(message["data"])
    assert heard == [1, "created", "revoked"]
    await pubsub.aclose()  # type: ignore[no-untyped-call]


async def test_a_minutes_worth_may_be_spent_at_once_and_then_it_comes_back_evenly(
    tokens: TokenStore, store: StoreClient
) -> None:
    assert [await tokens.spend("token-1", 3) for _ in range(3)] == [0, 0, 0]
    waits = [await tokens.spend("token-1", 3) for _ in range(3)]
    assert waits == sorted(waits, reverse=True)  # what is refused costs nothing
    assert all(0 < wait <= 20_000_000 for wait in waits)
    assert await tokens.spend("token-2", 3) == 0
    assert 0 < await raw(store).pttl(rate_key("token-1")) <= 60_000


async def test_whoever_waited_is_let_in_again(tokens: TokenStore) -> None:
    rate = 1200  # one in 50 ms
    while await tokens.spend("token-1", rate) == 0:
        pass

    async def let_in() -> bool:
        return await tokens.spend("token-1", rate) == 0

    await wait_until("some of the rate is given back", let_in)
