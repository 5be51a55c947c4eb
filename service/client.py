"""Client: HTTP as our own commands need it: JSON there and back, and streams of events.

What goes wrong becomes Refused, in the server's words where it said any.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpx2

from service.errors import BlockwireError
from service.loopback import is_loopback

ANSWER_S = 20.0
CONNECT_S = 5.0
_BAD_TOKEN = "the token in BLOCKWIRE_TOKEN is not valid here, or not any more"
_NO_TOKEN = "this server needs a token: set BLOCKWIRE_TOKEN"


class Refused(BlockwireError):
    """The server answered with an error, or not at all. `status` is 0 where it did not answer."""

    def __init__(self, text: str, status: int = 0) -> None:
        super().__init__(text)
        self.status = status


class Event(NamedTuple):
    """A server-sent event; `name` and `data` are empty for one that carries an id alone."""

    id: str
    name: str
    data: str


class Client:
    """Asks one server. Raises Refused. Proxies of the environment are for servers elsewhere only."""

    def __init__(
        self, url: str, token: str | None = None, transport: httpx2.AsyncBaseTransport | None = None
    ):
        self._url = url
        headers = {"authorization": f"Bearer {token}"} if token else {}
        self._http = httpx2.AsyncClient(
            base_url=url,
            headers=headers,
            timeout=httpx2.Timeout(ANSWER_S, connect=CONNECT_S),
            trust_env=not is_loopback(urlsplit(url).hostname or ""),
            transport=transport,
        )

    async def __aenter__(self) -> "Client":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def get(self, path: str, **query: Any) -> Any:
        """The answer to a GET; a parameter that is None is left out, a list repeats its name."""
        given = {name: value for name, value in query.items() if value is not None}
        return await self._ask("GET", path, params=given)

    async def post(self, path: str, body: object) -> Any:
        return await self._ask("POST", path, json=body)

    async def events(
        self, path: str, *, after: str | None = None, body: object | None = None, **query: Any
    ) -> AsyncGenerator[Event, None]:
        """The events of a feed, or with a body of a stream that is asked for, until the server ends it."""
        headers = {"last-event-id": after} if after else {}
        given = {name: value for name, value in query.items() if value is not None}
        how: dict[str, Any] = {
            "params": given,
            "headers": headers,
            "timeout": httpx2.Timeout(None, connect=CONNECT_S),
        }
        method = "GET" if body is None else "POST"
        if body is not None:
            how["json"] = body
        with self._reasons(method, path):
            async with self._http.stream(method, path, **how) as answer:
                if answer.status_code != 200:
                    await answer.aread()
                    raise _refused(method, path, answer)
                async for event in _events(answer.aiter_lines()):
                    yield event

    async def _ask(self, method: str, path: str, **how: Any) -> Any:
        with self._reasons(method, path):
            answer = await self._http.request(method, path, **how)
        if answer.status_code != 200:
            raise _refused(method, path, answer)
        return answer.json()

    @contextmanager
    def _reasons(self, method: str, path: str) -> Iterator[None]:
        """What the library raises, as Refused."""
        try:
            yield
        except httpx2.ConnectError as error:
            remedy = "is `blockwire up` running? --url or BLOCKWIRE_URL names another server"
            raise Refused(f"Blockwire at {self._url} does not answer ({error}); {remedy}") from None
        except httpx2.TimeoutException:
            raise Refused(f"{method} {path}: no answer within {ANSWER_S:.0f} seconds") from None
        except httpx2.HTTPError as error:
            raise Refused(f"Blockwire at {self._url} does not answer: {type(error).__name__}") from None
        except httpx2.InvalidURL as error:
            raise Refused(f"{self._url!r} is no address of a server: {error}") from None


async def _events(lines: AsyncIterator[str]) -> AsyncIterator[Event]:
    event = Event("", "", "")
    async for line in lines:
        if not line:
            yield event
            event = Event(event.id, "", "")
        name, _, value = line.partition(": ")
        if name in ("id", "event", "data"):
            event = event._replace(**{"name" if name == "event" else name: value})


def _refused(method: str, path: str, answer: httpx2.Response) -> Refused:
    try:
        said = answer.json()
        told = said.get("detail") or said["error"]["message"]
    except (ValueError, KeyError, TypeError, AttributeError):
        told = answer.text[:200]
    if answer.status_code == 401:
        sent = "authorization" in answer.request.headers
        why = _BAD_TOKEN if sent else _NO_TOKEN
        return Refused(f"{why}; `blockwire token create` makes one, where the server runs", 401)
    return Refused(f"{method} {path} was answered with {answer.status_code}: {told}", answer.status_code)
