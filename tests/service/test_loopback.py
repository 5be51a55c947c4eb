"""Loopback: the names and addresses that can only mean this machine."""

import pytest

from service.loopback import is_loopback, is_private


@pytest.mark.parametrize(
    "name",
    [
        "localhost",
        "LOCALHOST",
        "localhost.",
        "app.localhost",
        "app.localhost.",
        "127.0.0.1",
        "127.9.9.9",
        "127.0.0.1.",
        "::1",
        "[::1]",
    ],
)
def test_loopback_names_and_addresses_are_known(name: str) -> None:
    assert is_loopback(name)


@pytest.mark.parametrize(
    "name",
    [
        "0.0.0.0",
        "192.168.1.2",
        "example.com",
        "localhost.example.com",
        "127.0.0.1.nip.io",
        "",
        "::",
        "nolocalhost",
    ],
)
def test_everything_else_is_not_loopback(name: str) -> None:
    assert not is_loopback(name)


@pytest.mark.parametrize(
    ("name", "private"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("10.1.2.3", True),
        ("[fe80::1%eth0]", True),
        ("::ffff:192.168.0.1", True),
        ("169.254.169.254", True),
        ("224.0.0.1", True),
        ("8.8.8.8", False),
        ("::ffff:8.8.8.8", False),
        ("example.com", False),
    ],
)
def test_an_address_that_the_world_does_not_reach_is_private(name: str, private: bool) -> None:
    assert is_private(name) is private
