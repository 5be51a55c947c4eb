"""Addresses: which of those that people give may be called from here."""

import pytest

from service.addresses import check_address, may_be_private
from service.errors import Invalid
from service.settings import Settings


@pytest.mark.parametrize(
    ("settings", "private"),
    [
        (Settings(), True),
        (Settings(insecure=True), False),
        (Settings(host="0.0.0.0"), False),
        (Settings(insecure=True, callbacks_private=True), True),
        (Settings(callbacks_private=False), False),
    ],
)
def test_a_setting_decides_and_else_who_may_reach_the_server(settings: Settings, private: bool) -> None:
    assert may_be_private(settings) is private


@pytest.mark.parametrize(
    "url", ["", "x", "http://", "https://host:99999/", "ftp://example.com", "//example.com"]
)
def test_what_is_no_complete_url_is_refused_by_the_name_of_its_field(url: str) -> None:
    with pytest.raises(Invalid, match=r"^url: is no complete URL"):
        check_address("url", url, private=True)


@pytest.mark.parametrize("url", ["http://localhost/", "https://10.1.2.3:8443/", "http://[fd00::1]/"])
def test_private_addresses_are_for_those_who_may(url: str) -> None:
    check_address("url", url, private=True)
    with pytest.raises(Invalid, match=r"^url: names this machine or a private network"):
        check_address("url", url, private=False)
    check_address("url", "https://example.com/x?y=1", private=False)
