"""Access: who is let in; checking asks the store no more than it must, and believes nothing for long."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from service import access as access_module
from service.access import Tokens
from service.bootstrap import Service, now
from service.errors import Invalid, LastToken, NotFound, StoreUnreachable, TooManyRequests, Unauthorized
from service.records.tokens import Permit, Token
from service.settings import Settings
from service.store.bell import Bell
from service.store.client import StoreClient
from service.store.keys import TOKENS_CHANNEL
from tests.store.team import contents, raw, wait_until

WS = "team-a"
HOUR = 3_600_000_000


class Clock:
    """Stands until it is moved."""

    def __init__(self) -> None:
        self.at = now()

    def __call__(self) -> int:
        return self.at


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def tokens(service: Service, settings: Settings, clock: Clock) -> Tokens:
    return Tokens(service.store, service.bell, settings, clock)


@contextmanager
def asked(tokens: Tokens) -> Iterator[list[str | None]]:
    """The digests that the store is asked for meanwhile."""
    found: list[str | None] = []
    look = tokens._store.look

    async def noted(digest: str | None) -> tuple[bool, Token | None]:
        found.append(digest)
        return await look(digest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tokens._store, "look", noted)
        yield found


async def hearing(tokens: Tokens, secret: str | None = None) -> None:
    """Until what is checked is kept."""
    await refused(tokens, secret)

    async def hears() -> bool:
        return tokens._bell.hears(TOKENS_CHANNEL)

    await wait_until("the bell hears of tokens", hears)
    await refused(tokens, secret)


async def refused(tokens: Tokens, secret: str | None) -> bool:
    try:
        await tokens.admit(secret)
    except Unauthorized:
        return True
    return False


async def test_as_long_as_there_are_none_everybody_is_let_in(tokens: Tokens) -> None:
    assert await tokens.admit(None) == Permit()
    assert (await tokens.admit("bw-anything")).token is None
    assert not await tokens.exist()


async def test_with_tokens_only_who_has_one_is_let_in(tokens: Tokens) -> None:
    token, secret = await tokens.create(WS, "read", name="a reader")
    assert await tokens.exist()
    assert (await tokens.admit(secret)).token == token
    assert [await refused(tokens, one) for one in (None, "", "bw-x", secret + "x", token.id)] == [True] * 5


async def test_a_secret_is_long_random_and_kept_nowhere(tokens: Tokens, store: StoreClient) -> None:
    made = [await tokens.create(WS, "read") for _ in range(5)]
    secrets = {secret for _, secret in made}
    assert len(secrets) == 5
    assert all(secret.startswith("bw-") and len(secret) >= 46 for secret in secrets)
    kept = str(await contents(raw(store)))
    assert not any(secret in kept or secret[3:] in kept for secret in secrets)
    assert all(token.ends_with == secret[-4:] for token, secret in made)


@pytest.mark.parametrize("name", ["a", "9", "team-a_2", "x" * 40])
async def test_a_workspace_is_a_short_plain_name(tokens: Tokens, name: str) -> None:
    assert (await tokens.create(name, "read"))[0].workspace == name


@pytest.mark.parametrize("name", ["", "-a", "_a", "A", "a b", "a}", "a:b", "ä", "x" * 41, "a\n"])
async def test_anything_else_is_no_workspace(tokens: Tokens, name: str) -> None:
    with pytest.raises(Invalid, match=r"^workspace: must be 1 to 40 of a-z"):
        await tokens.create(name, "read")
    assert await tokens.find() == []


async def test_what_cannot_be_is_named(tokens: Tokens, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    for more, field in (
        ({"name": "x" * 201}, "name"),
        ({"name": "a\tb"}, "name"),
        ({"expires_at": clock.at}, "expires_at"),
    ):
        with pytest.raises(Invalid, match=f"^{field}: "):
            await tokens.create(WS, "read", **more)
    monkeypatch.setattr(access_module, "IN_WORKSPACE_MOST", 1)
    await tokens.create(WS, "read")
    with pytest.raises(Invalid, match=r"^workspace: team-a has 1 tokens; revoke some"):
        await tokens.create(WS, "read")
    assert (await tokens.create("other", "read"))[0].name.startswith("token-")


async def test_tokens_are_listed_oldest_first_by_workspace_or_all(tokens: Tokens, clock: Clock) -> None:
    for name, workspace in (("one", WS), ("two", "other"), ("three", WS)):
        clock.at += 1
        await tokens.create(workspace, "read", name=name)
    assert [token.name for token in await tokens.find()] == ["one", "two", "three"]
    assert [token.name for token in await tokens.find(WS)] == ["one", "three"]


async def test_a_revoked_token_lets_nobody_in(tokens: Tokens) -> None:
    token, secret = await tokens.create(WS, "read")
    await tokens.create(WS, "read")
    await hearing(tokens, secret)
    assert await tokens.revoke(token.id) == token
    assert await refused(tokens, secret)
    with pytest.raises(NotFound):
        await tokens.revoke(token.id)


async def test_a_token_of_another_workspace_is_not_found(tokens: Tokens) -> None:
    token, secret = await tokens.create(WS, "read")
    with pytest.raises(NotFound, match=token.id):
        await tokens.revoke(token.id, "other", even_last=True)
    assert not await refused(tokens, secret)


async def test_a_token_that_somebody_else_revoked_meanwhile_is_not_found(
    tokens: Tokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    token, _ = await tokens.create(WS, "read")
    known = await tokens._store.all()
    await tokens.revoke(token.id, even_last=True)

    async def stale() -> dict[str, Token]:
        return known

    monkeypatch.setattr(tokens._store, "all", stale)
    with pytest.raises(NotFound):
        await tokens.revoke(token.id)


async def test_the_last_token_goes_only_if_that_is_meant(tokens: Tokens) -> None:
    token, secret = await tokens.create(WS, "read")
    with pytest.raises(LastToken, match=token.id):
        await tokens.revoke(token.id, WS)
    assert not await refused(tokens, secret)
    await tokens.revoke(token.id, WS, even_last=True)
    assert await tokens.admit(None) == Permit()


async def test_a_token_that_ran_out_lets_nobody_in_from_that_moment(tokens: Tokens, clock: Clock) -> None:
    _, secret = await tokens.create(WS, "read", expires_at=clock.at + HOUR)
    await hearing(tokens, secret)
    clock.at += HOUR - 1
    with asked(tokens) as digests:
        assert not await refused(tokens, secret)
        clock.at += 1
        assert await refused(tokens, secret)
        assert await refused(tokens, None)  # it is still there, so the door stays shut
    assert digests == []


async def test_what_was_checked_is_not_asked_again(tokens: Tokens) -> None:
    await hearing(tokens)
    with asked(tokens) as digests:
        for secret in (None, "bw-anything"):
            assert not await refused(tokens, secret)
        assert digests == []
    _, secret = await tokens.create(WS, "read")
    await hearing(tokens, secret)
    with asked(tokens) as digests:
        assert [await refused(tokens, one) for one in (secret, secret, None)] == [False, False, True]
        assert digests == []


async def test_what_strangers_make_up_is_asked_and_not_remembered(tokens: Tokens) -> None:
    await tokens.create(WS, "read")
    await hearing(tokens)
    with asked(tokens) as digests:
        assert [await refused(tokens, f"bw-{number}") for number in (1, 2, 1)] == [True] * 3
    assert len(digests) == 3
    assert set(tokens._known) == {None}


async def test_no_more_is_remembered_than_has_room(tokens: Tokens, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access_module, "KEPT_MOST", 3)
    secrets = [(await tokens.create(WS, "read"))[1] for _ in range(4)]
    await hearing(tokens)
    for secret in secrets:
        assert not await refused(tokens, secret)
        assert len(tokens._known) <= 3


async def test_nothing_is_believed_for_long(tokens: Tokens, monkeypatch: pytest.MonkeyPatch) -> None:
    _, secret = await tokens.create(WS, "read")
    monkeypatch.setattr(access_module, "KEPT_S", 0)
    await hearing(tokens, secret)
    with asked(tokens) as digests:
        await tokens.admit(secret)
        await tokens.admit(secret)
    assert len(digests) == 2


async def test_while_rings_might_be_missed_every_check_asks_the_store(
    tokens: Tokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, secret = await tokens.create(WS, "read")
    await hearing(tokens, secret)
    monkeypatch.setattr(tokens._bell, "hears", lambda _: False)
    with asked(tokens) as digests:
        await tokens.admit(secret)
        await tokens.admit(secret)
    assert len(digests) == 2


async def test_an_answer_that_a_ring_overtook_is_not_kept(tokens: Tokens) -> None:
    """The store was asked, the token was revoked and announced, and only then the answer was read."""
    token, secret = await tokens.create(WS, "read")
    await tokens.create(WS, "read")
    await hearing(tokens)
    look = tokens._store.look

    async def overtaken(digest: str | None) -> tuple[bool, Token | None]:
        found = await look(digest)
        await tokens.revoke(token.id)
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tokens._store, "look", overtaken)
        assert not await refused(tokens, secret)  # it held when it was asked for
    assert await refused(tokens, secret)


async def test_another_process_hears_of_a_revocation(
    tokens: Tokens, store: StoreClient, settings: Settings
) -> None:
    token, secret = await tokens.create(WS, "read")
    await tokens.create(WS, "read")
    bell = Bell(store)
    other = Tokens(store, bell, settings, now)
    await hearing(other, secret)
    with asked(other) as digests:
        assert not await refused(other, secret)
        assert digests == []
        await tokens.revoke(token.id)

        async def heard() -> bool:
            return await refused(other, secret)

        await wait_until("the other process refuses it", heard)
    await bell.close()


async def test_a_revocation_that_a_process_cannot_hear_holds_for_it_all_the_same(
    real_store: StoreClient, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bell's connection is cut, and does not come back before the token is revoked and tried again."""
    bell = Bell(real_store)
    here, there = Tokens(real_store, bell, settings, now), Tokens(real_store, bell, settings, now)
    token, secret = await here.create(WS, "read")
    await here.create(WS, "read")
    await hearing(there, secret)
    monkeypatch.setattr(bell, "_connect", lambda: asyncio.Event().wait())
    assert await raw(real_store).client_kill_filter(_type="pubsub") >= 1

    async def deaf() -> bool:
        return not bell.hears(TOKENS_CHANNEL)

    await wait_until("the bell noticed", deaf)
    assert not await refused(there, secret)
    await here.revoke(token.id)
    assert await refused(there, secret)
    await bell.close()


async def test_another_process_hears_of_the_first_token(
    tokens: Tokens, store: StoreClient, settings: Settings
) -> None:
    bell = Bell(store)
    other = Tokens(store, bell, settings, now)
    await hearing(other)
    assert not await other.exist()
    await tokens.create(WS, "read")

    async def shut() -> bool:
        return await refused(other, None) and await other.exist()

    await wait_until("the other process lets nobody in without one", shut)
    await bell.close()


async def test_a_permit_is_over_when_its_token_is_revoked(tokens: Tokens) -> None:
    token, secret = await tokens.create(WS, "read")
    over = asyncio.ensure_future(tokens.over(await tokens.admit(secret)))
    other = asyncio.ensure_future(tokens.over(await tokens.admit((await tokens.create(WS, "read"))[1])))
    await tokens.revoke(token.id)
    async with asyncio.timeout(access_module.KEPT_S - 1):
        await over
    assert not other.done()
    await cancelled(other)


async def cancelled(task: "asyncio.Future[Any]") -> None:
    task.cancel()
    await asyncio.wait({task})


async def test_a_permit_is_over_when_its_token_runs_out(
    tokens: Tokens, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, secret = await tokens.create(WS, "read", expires_at=clock.at + 20_000)
    permit = await tokens.admit(secret)
    monkeypatch.setattr(tokens, "_clock", now)
    async with asyncio.timeout(access_module.KEPT_S - 1):
        await tokens.over(permit)


async def test_a_revoked_permit_is_over_even_if_no_token_is_left(tokens: Tokens) -> None:
    token, secret = await tokens.create(WS, "read")
    permit = await tokens.admit(secret)
    await tokens.revoke(token.id, even_last=True)
    async with asyncio.timeout(1):
        await tokens.over(permit)


@pytest.mark.parametrize("sent", [None, "bw-anything"])
async def test_leave_without_a_token_is_over_with_the_first(tokens: Tokens, sent: str | None) -> None:
    over = asyncio.ensure_future(tokens.over(await tokens.admit(sent)))
    await tokens.create(WS, "read")
    async with asyncio.timeout(1):
        await over


async def test_a_store_that_is_away_ends_no_permit(tokens: Tokens, monkeypatch: pytest.MonkeyPatch) -> None:
    _, secret = await tokens.create(WS, "read")
    permit = await tokens.admit(secret)
    looks = 0

    async def away(_: str | None) -> tuple[bool, Token | None]:
        nonlocal looks
        looks += 1
        raise StoreUnreachable("the store does not answer")

    monkeypatch.setattr(access_module, "KEPT_S", 0.01)
    monkeypatch.setattr(tokens._store, "look", away)
    tokens._forget()
    over = asyncio.ensure_future(tokens.over(permit))

    async def looked_often() -> bool:
        return looks >= 3

    await wait_until("it looked again and again", looked_often)
    assert not over.done()
    await cancelled(over)


async def test_a_rate_is_the_tokens_own_or_that_of_the_settings(store: StoreClient, clock: Clock) -> None:
    bell = Bell(store)
    for setting, own, allowed in ((0, None, 9), (0, 2, 2), (3, None, 3), (3, 2, 2), (3, 0, 9)):
        tokens = Tokens(store, bell, Settings(rate_limit=setting), clock)
        token, _ = await tokens.create(WS, "read", rate=own)
        for _ in range(min(allowed, 5)):
            await tokens.count(token)
        if allowed < 5:
            with pytest.raises(TooManyRequests, match=f"may send {allowed} requests per minute") as spent:
                await tokens.count(token)
            assert 1 <= spent.value.wait_s <= 60
    await bell.close()


def test_each_scope_holds_the_smaller_ones() -> None:
    def allowed(scope: Any) -> list[Any]:
        token = Token(id="t", name="t", workspace="a", scope=scope, created_at=0, ends_with="x")
        return [needed for needed in ("read", "write", "admin") if token.allows(needed)]

    assert [allowed(scope) for scope in ("read", "write", "admin")] == [
        ["read"],
        ["read", "write"],
        ["read", "write", "admin"],
    ]


async def test_many_who_find_their_check_too_old_at_once_ask_together(tokens: Tokens) -> None:
    """A thousand streams of one token: the store is asked once or twice, not by each over a connection."""
    _, secret = await tokens.create(WS, "read")
    with asked(tokens) as looks:
        permits = await asyncio.gather(*(tokens.admit(secret) for _ in range(1000)))
    assert {permit.token and permit.token.workspace for permit in permits} == {WS}
    assert 1 <= len(looks) <= 4
