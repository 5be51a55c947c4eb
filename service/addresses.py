"""Addresses: which of those that people give may be called from here.

They are looked at when they are given, by their name, and again when they are called, by
what the name stands for then (workers/posts.py).
"""

from urllib.parse import urlsplit

from service.errors import Invalid
from service.loopback import is_loopback, is_private
from service.settings import Settings


def may_be_private(settings: Settings) -> bool:
    """Whether this machine or its network may be called.

    Whoever reaches a server that listens to this machine alone could call those addresses anyway.
    """
    if settings.callbacks_private is None:
        return not settings.insecure and is_loopback(settings.host)
    return settings.callbacks_private


def is_still_allowed(settings: Settings, private: bool) -> bool:
    """Whether what was allowed when the address was given still is: a worker may be told otherwise."""
    return private and settings.callbacks_private is not False


def check_address(field: str, url: str, private: bool) -> None:
    """Raises Invalid, naming the field, for one that cannot be called, or must not be from here."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or parts.scheme not in ("http", "https"):
        raise Invalid(field, "is no complete URL; send one such as https://example.com/runs")
    if not private and is_private(host):
        raise Invalid(
            field,
            "names this machine or a private network; send one that the world reaches, or start the server "
            "with BLOCKWIRE_CALLBACKS_PRIVATE=1",
        )
