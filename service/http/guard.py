"""Guard: as long as there are no tokens only this machine is answered, unless the server was told `insecure`.

A web page from anywhere can make a browser call 127.0.0.1, by name (its own,
resolved to 127.0.0.1) or directly. The first shows in `Host`, the second in
`Origin`; both must name this machine. A request without either header comes
from no browser and is let in.

A server that listens beyond loopback because there were tokens may lose the last
of them: then whoever calls from another machine is a stranger too, whatever the
headers say, and so is whom a proxy on this machine says it speaks for. With
tokens none of this matters: a token is what no web page has.
"""

from functools import lru_cache
from urllib.parse import urlsplit

from service.http.calls import Headers
from service.http.errors import Stranger
from service.loopback import is_loopback

_PROXIES_SAY = (b"x-forwarded-for", b"x-real-ip")
_REMEDY = (
    "make a token with `blockwire token create` and send it, or start the server with --insecure "
    "(BLOCKWIRE_INSECURE=1) to let in everybody who reaches it"
)


def refuse_strangers(headers: Headers, caller: str | None = None) -> None:
    """Raises Stranger unless Host and Origin and the caller's addresses, where known, are loopback."""
    callers = [] if caller is None else [caller]
    for name in _PROXIES_SAY:
        callers += headers[name].decode("latin-1").split(",") if name in headers else []
    if not all(_is_this_machine(one) for one in callers):
        raise Stranger(f"this server answers to its own machine only, as it has no tokens; {_REMEDY}")
    host = headers.get(b"host")
    if host is not None and not _names_loopback(b"//" + host):
        raise Stranger(
            "Host: this server answers to localhost or 127.0.0.1 only, not to other names; use one of these, "
            f"or {_REMEDY}"
        )
    origin = headers.get(b"origin")
    if origin is not None and not _names_loopback(origin):
        raise Stranger(
            "Origin: this server does not answer web pages from elsewhere; open the page from localhost, or "
            f"{_REMEDY}"
        )


@lru_cache(maxsize=256)
def _is_this_machine(address: str) -> bool:
    return is_loopback(address.strip().removeprefix("::ffff:"))


@lru_cache(maxsize=256)
def _names_loopback(url: bytes) -> bool:
    try:
        name = urlsplit(url.decode("latin-1")).hostname
    except ValueError:
        return False
    return name is not None and is_loopback(name)
