"""Retries over HTTP: which id a POST gives to what it makes, so that the same request makes it once.

`Idempotency-Key` names the request. The SDKs of 1.x name nothing, but count their
attempts in `X-Stainless-Retry-Count`: what the first attempt made is remembered
for ten minutes, under its caller and token, its path and its body. Whoever says neither
makes something new each time.
"""

import hashlib
import re
from collections.abc import Sequence
from typing import Any

from service.errors import Invalid
from service.http.calls import Call
from service.records.ids import new_id
from service.records.messages import NewMessage

KEY_MOST = 200
_NAMED_BY = (b"idempotency-key", b"x-stainless-retry-count")
_PRINTABLE = re.compile(rb"[\x21-\x7e]{1,%d}" % KEY_MOST)


async def run_id_for(call: Call[Any, Any], messages: Sequence[NewMessage], act: str) -> str:
    """The id of the run that a send begins; `otid` of its messages names it as well as a key does.

    `act` tells the ways of sending apart: what is kept for a stream is not kept for a blocking send.
    """
    otids = [message.otid for message in messages if message.otid]
    if len(otids) < len(messages) or b"idempotency-key" in call.headers:
        return await id_for(call, "run", act)
    name = "otid " + " ".join([call.path["agent_id"], *otids])
    return await call.service.retries.named(call.ws, name, _fingerprint(call, act), "run")


async def id_for(call: Call[Any, Any], prefix: str, act: str) -> str:
    """The id of what this request makes; `act` tells requests apart that have the same path and body."""
    if (name := call.headers.get(b"idempotency-key")) is not None:
        if not _PRINTABLE.fullmatch(name):
            raise Invalid("Idempotency-Key", f"must be 1 to {KEY_MOST} printable ASCII characters, no spaces")
        return await call.service.retries.named(call.ws, name.decode(), _fingerprint(call, act), prefix)
    attempt = call.headers.get(b"x-stainless-retry-count")
    if attempt is None:
        return new_id(prefix)
    asked = _fingerprint(call, act, call.by.token_id or "")
    if attempt != b"0" and (known := await call.service.retries.recall(call.ws, asked)) is not None:
        return known
    id = new_id(prefix)
    await call.service.retries.remember(call.ws, asked, id)
    return id


async def edit_id_for(call: Call[Any, Any], in_body: str | None, act: str) -> str | None:
    """The id of an edit: as its caller gave it, else as a key or an SDK's attempts name it; or none."""
    if in_body is not None or not any(name in call.headers for name in _NAMED_BY):
        return in_body
    return await id_for(call, "edit", act)


def _fingerprint(call: Call[Any, Any], *act: str) -> str:
    """Who asked for what, in 32 letters."""
    parts = (*act, call.by.name, *sorted(call.path.items()), call.query, call.body)
    said = "\x1f".join(
        part.model_dump_json() if hasattr(part, "model_dump_json") else str(part) for part in parts
    )
    return hashlib.sha256(said.encode()).hexdigest()[:32]
