"""Guard: a server on loopback answers only requests addressed to loopback.

A web page from anywhere can make a browser call 127.0.0.1, by name (its own,
resolved to 127.0.0.1) or directly. The first shows in `Host`, the second in
`Origin`; both must name this machine. A request without either header comes
from no browser and is let in.
"""

from functools import lru_cache
from ipaddress import ip_address
from urllib.parse import urlsplit

from service.http.calls import Headers
from service.http.errors import Stranger


def is_loopback(name: str) -> bool:
    """Whether a host name or address can only mean this machine."""
    name = name.strip("[]").removesuffix(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


def refuse_strangers(headers: Headers) -> None:
    """Raises Stranger unless Host and Origin, where present, are loopback."""
    host = headers.get(b"host")
    if host is not None and not _names_loopback(b"//" + host):
        raise Stranger(
            "Host: this server listens on loopback only and answers to localhost or 127.0.0.1, "
            "not to other names; set BLOCKWIRE_HOST to serve others"
        )
    origin = headers.get(b"origin")
    if origin is not None and not _names_loopback(origin):
        raise Stranger(
            "Origin: this server listens on loopback only and does not answer web pages from elsewhere; "
            "open the page from localhost, or set BLOCKWIRE_HOST to serve others"
        )


@lru_cache(maxsize=256)
def _names_loopback(url: bytes) -> bool:
    try:
        name = urlsplit(url.decode("latin-1")).hostname
    except ValueError:
        return False
    return name is not None and is_loopback(name)
