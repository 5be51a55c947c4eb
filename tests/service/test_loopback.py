"""Loopback: the names and addresses that can only mean this machine."""

import pytest

from service.loopback import is_loopback


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
