"""Payloads: what a webhook is told next: changes that it asks for, as many as a delivery holds.

Where changes were trimmed before a webhook came to them it is told that, instead of
silence: `resync`, from where to where, and that blocks are to be read again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic_core import to_json

from service.bootstrap import Service, now
from service.records.base import iso
from service.records.blocks import Change
from service.records.ids import new_id
from service.records.webhooks import NewDelivery, Webhook

READ_MOST = 500
CHANGES_MOST = 100
BODY_MOST = 262_144
"""Bytes of changes in one delivery, unless a single one has more; its value and diff are left out then."""


@dataclass(frozen=True)
class Part:
    """A part of the stream, from a webhook's position on: how far it goes, and what it has to tell."""

    upto: str
    delivery: NewDelivery | None


async def next_part(service: Service, ws: str, webhook: Webhook, position: str) -> Part:
    """What comes after a position."""
    changes = await service.changes.after(ws, position, READ_MOST)
    if not changes:
        return Part(position, None)
    before = _just_before(changes[0].id)
    if position not in (changes[0].prev, before):
        told = {"after": position, "upto": before}
        return Part(before, _new("resync", ws, webhook, told, at=now()))
    chosen = await service.webhooks.chosen(ws, webhook, changes)
    if not chosen:
        return Part(changes[-1].id, None)
    texts = await _told(service, ws, webhook, chosen[:CHANGES_MOST])
    last = chosen[len(texts) - 1]
    upto = changes[-1].id if len(texts) == len(chosen) else last.id
    told = {"after": position, "upto": upto}
    return Part(upto, _new("changes", ws, webhook, told, at=last.at, changes=texts))


def _just_before(id: str) -> str:
    """The place right before a change; no change has it, where it is the first of its epoch."""
    epoch, _, n = id.partition("-")
    return f"{epoch}-{int(n) - 1}"


def _new(
    kind: Any, ws: str, webhook: Webhook, told: dict[str, str], *, at: int, changes: Sequence[bytes] = ()
) -> NewDelivery:
    data = to_json({"workspace": ws, "webhook_id": webhook.id, **told})
    if changes:
        data = data[:-1] + b',"changes":[' + b",".join(changes) + b"]}"
    head = to_json({"type": kind, "timestamp": iso(at)})
    body = head[:-1] + b',"data":' + data + b"}"
    return NewDelivery(id=new_id("delivery"), kind=kind, changes=len(changes), body=body.decode(), **told)


async def _told(service: Service, ws: str, webhook: Webhook, changes: Sequence[Change]) -> list[bytes]:
    """The changes as feeds tell them, as many as fit, at least one."""
    texts: list[bytes] = []
    room = BODY_MOST
    for change in changes:
        told = {**change.model_dump(exclude={"prev"}), "at": iso(change.at)}
        extras = await service.extras.of(ws, change, webhook.include)
        text = to_json({**told, **extras})
        if len(text) > BODY_MOST and extras:
            text = to_json({**told, "left_out": sorted(webhook.include)})
        room -= len(text)
        if room < 0 and texts:
            break
        texts.append(text)
    return texts
