"""The loopback guard: who may speak to a server that was not told to be insecure."""

import pytest

from service.http.errors import Stranger
from service.http.guard import refuse_strangers


@pytest.mark.parametrize("host", [b"localhost:8283", b"127.0.0.1", b"[::1]:8283", b"LocalHost"])
def test_a_loopback_host_is_let_in(host: bytes) -> None:
    refuse_strangers({b"host": host})


@pytest.mark.parametrize(
    "host", [b"evil.example", b"evil.example:8283", b"10.0.0.1", b"", b"[::1", b"a@evil.example"]
)
def test_a_foreign_host_is_refused(host: bytes) -> None:
    with pytest.raises(Stranger, match=r"^Host: "):
        refuse_strangers({b"host": host})


@pytest.mark.parametrize("origin", [b"http://localhost:3000", b"http://127.0.0.1", b"https://[::1]:1"])
def test_a_loopback_origin_is_let_in(origin: bytes) -> None:
    refuse_strangers({b"host": b"localhost", b"origin": origin})


@pytest.mark.parametrize("origin", [b"https://evil.example", b"null", b"", b"http://localhost.evil.example"])
def test_a_page_from_elsewhere_is_refused(origin: bytes) -> None:
    with pytest.raises(Stranger, match=r"^Origin: "):
        refuse_strangers({b"host": b"localhost", b"origin": origin})


def test_a_request_without_either_header_comes_from_no_browser() -> None:
    refuse_strangers({})


@pytest.mark.parametrize("headers", [{b"host": b"evil.example"}, {b"origin": b"https://evil.example"}])
def test_a_refusal_names_the_setting_that_lets_everybody_in(headers: dict[bytes, bytes]) -> None:
    with pytest.raises(Stranger, match=r"--insecure \(BLOCKWIRE_INSECURE=1\)"):
        refuse_strangers(headers)


@pytest.mark.parametrize("caller", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1", None])
def test_a_caller_on_this_machine_is_let_in(caller: str | None) -> None:
    refuse_strangers({b"host": b"localhost"}, caller)


@pytest.mark.parametrize("caller", ["192.0.2.7", "::ffff:192.0.2.7", "2001:db8::1", "0.0.0.0", ""])
def test_a_caller_elsewhere_is_refused_whatever_it_says(caller: str) -> None:
    with pytest.raises(Stranger, match=r"its own machine only.*blockwire token create"):
        refuse_strangers({b"host": b"localhost"}, caller)


@pytest.mark.parametrize("header", [b"x-forwarded-for", b"x-real-ip"])
def test_a_proxy_on_this_machine_stands_for_whom_it_speaks(header: bytes) -> None:
    refuse_strangers({b"host": b"localhost", header: b"127.0.0.1"}, "127.0.0.1")
    refuse_strangers({b"host": b"localhost", header: b"::1, 127.0.0.1"}, "127.0.0.1")
    for sent in (b"192.0.2.7", b"127.0.0.1, 192.0.2.7", b"unknown"):
        with pytest.raises(Stranger, match="its own machine only"):
            refuse_strangers({b"host": b"localhost", header: sent}, "127.0.0.1")
