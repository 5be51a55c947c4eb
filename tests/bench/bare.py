"""Bare: the floor of every HTTP row: the same server with one function that asks the store and sends bytes.

    python -m tests.bench.bare FILE    (started by the bench; PORT and REDIS_URL in the environment)

FILE says by method and path which commands to send, ready made and one after the other request
by request, and which bytes to answer. `fresh` ones create: each is sent once, under new ids. What
the store answers is waited for and not looked at. `GET /feed` subscribes and passes on what it hears.
"""

import asyncio
import json
import os
import re
import sys
import uuid
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from typing import Any

import uvicorn
from redis.asyncio import Redis

from service.store.connections import pool_of

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
FRESH = 6000
"""Creations that are prepared; a bench that needs more would measure something else."""


class App:
    """No routes, no models, no checks."""

    def __init__(self, url: str, routes: dict[str, Any], channel: str) -> None:
        self._url = url
        self._redis: Any = Redis(connection_pool=pool_of(url, 64, texts=False))
        self._channel = channel
        self._answers = {name: _Answer(told) for name, told in routes.items()}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/feed":
            await self._feed(send)
            return
        answer = self._answers[f"{scope['method']} {scope['path']}"]
        if scope["method"] != "GET":
            while (await receive()).get("more_body"):
                pass
        await self._redis.execute_command(*next(answer.commands))
        await send(answer.start)
        await send(answer.body)

    async def _feed(self, send: Any) -> None:
        pubsub: Any = Redis.from_url(self._url).pubsub()  # the pool gives up what is silent
        await pubsub.subscribe(self._channel)
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        async for heard in pubsub.listen():
            text = heard["data"] if heard["type"] == "message" else b"still here"
            body = b"data: %s\n\n" % text
            await send({"type": "http.response.body", "body": body, "more_body": True})


class _Answer:
    def __init__(self, told: dict[str, Any]) -> None:
        self.commands: Iterator[list[str]]
        ready = told["commands"]
        if told["fresh"]:
            self.commands = iter([_renewed(ready[0]) for _ in range(FRESH)])
        else:
            self.commands = cycle(ready)
        body = told["body"].encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        self.start = {"type": "http.response.start", "status": 200, "headers": headers}
        self.body = {"type": "http.response.body", "body": body}


def _renewed(words: list[str]) -> list[str]:
    """The same command about other things: each id in it is a new one, the same where it occurs again."""
    ids: dict[str, str] = {}

    def new(found: "re.Match[str]") -> str:
        return ids.setdefault(found[0], str(uuid.uuid4()))

    return [_UUID.sub(new, word) for word in words]


async def serve(told: dict[str, Any]) -> None:
    config = uvicorn.Config(
        App(os.environ["REDIS_URL"], told["routes"], told["channel"]),
        host="127.0.0.1",
        port=int(os.environ["PORT"]),
        log_config=None,
        access_log=False,
        lifespan="off",
        ws="none",
        proxy_headers=False,
        server_header=False,
    )
    await uvicorn.Server(config).serve()


if __name__ == "__main__":
    asyncio.Runner(loop_factory=uvicorn.Config("", log_config=None).get_loop_factory()).run(
        serve(json.loads(Path(sys.argv[1]).read_text()))
    )
