"""Bare: the floor of every HTTP row: the same server with one function that asks the store and sends bytes.

python -m tests.bench.bare JSON    (started by the bench; PORT and REDIS_URL in the environment)
"""

import asyncio
import json
import os
import sys
from typing import Any

import uvicorn

from service.store.client import StoreClient

WS = "default"


class App:
    """GET reads a hash; anything else runs the edit script with ready arguments. No routes, no models."""

    def __init__(self, store: StoreClient, block: str, edit: list[str], body: bytes) -> None:
        self._store = store
        self._block = block
        self._edit = edit
        self._headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
        ]
        self._body = body

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["method"] == "GET":
            await self._store.hash(self._block)
        else:
            while (await receive()).get("more_body"):
                pass
            await self._store.run("block_edit", WS, *self._edit)
        await send({"type": "http.response.start", "status": 200, "headers": self._headers})
        await send({"type": "http.response.body", "body": self._body})


async def serve() -> None:
    told = json.loads(sys.argv[1])
    store = StoreClient.connect(os.environ["REDIS_URL"])
    app = App(store, told["block"], told["edit"], told["body"].encode())
    config = uvicorn.Config(
        app,
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
    asyncio.Runner(loop_factory=uvicorn.Config("", log_config=None).get_loop_factory()).run(serve())
