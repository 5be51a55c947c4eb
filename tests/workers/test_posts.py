"""Posts: one try to an address that may be called; whatever goes wrong is told, and delays nobody."""

import asyncio
import socket
import threading
from typing import Any

import pytest

from tests.receiver import Receiver
from workers.posts import NAMES_AT_ONCE, Outcome, Poster

pytestmark = pytest.mark.anyio


async def post(poster: Poster, url: str, *, private: bool = True, timeout_s: float = 5) -> Outcome:
    return await poster.post(url, b"{}", {"x-mine": "1"}, private=private, timeout_s=timeout_s)


async def test_the_answers_status_is_told_and_nothing_else_of_it(poster: Poster, receiver: Receiver) -> None:
    receiver.status, receiver.more_headers = "429 Too Many Requests", "retry-after: 7\r\n"
    assert await post(poster, f"{receiver.url}/x") == Outcome(429, None, "7")
    [sent] = receiver.posts
    assert (sent.line, sent.raw) == ("POST /x HTTP/1.1", b"{}")
    assert (sent.headers["content-type"], sent.headers["x-mine"]) == ("application/json", "1")


@pytest.mark.parametrize("url", ["http://[::1", "http://", "nonsense", "http://ä" + "x" * 300 + ".example/"])
async def test_what_is_no_address_is_an_outcome_too(poster: Poster, url: str) -> None:
    outcome = await post(poster, url)
    assert outcome.status is None
    assert (outcome.error or "").startswith("could not be sent: ")


async def test_one_private_address_among_those_of_a_name_is_enough_to_refuse_it(
    poster: Poster, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    def resolve(*_: Any, **__: Any) -> list[Any]:
        kind = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
        return [(*kind, ("93.184.216.34", receiver.port)), (*kind, ("127.0.0.1", receiver.port))]

    monkeypatch.setattr("socket.getaddrinfo", resolve)
    outcome = await post(poster, f"http://receiver.example:{receiver.port}/", private=False)
    assert (outcome.error or "").startswith("not sent: its address lies in a private network")
    assert receiver.posts == []


async def test_names_that_are_looked_up_for_ever_hold_up_no_other_work(
    poster: Poster, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More of them than there are threads for names; other threads are as free as ever."""
    over = threading.Event()
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: over.wait(30))
    try:
        asked = [post(poster, "http://hangs.example/", timeout_s=0.2) for _ in range(NAMES_AT_ONCE + 4)]
        outcomes = await asyncio.gather(*asked)
        assert {outcome.error for outcome in outcomes} == {"no answer within 0.2 s"}
        async with asyncio.timeout(5):
            assert await asyncio.to_thread(lambda: "free") == "free"
    finally:
        over.set()
