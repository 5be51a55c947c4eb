"""Census: what a store holds, in keys and bytes by kind; for a person who asks, not for a running service.

The one place that walks the keyspace. It walks in small bites, so that others are
hardly held up, and weighs a sample of each kind: bytes are an estimate where a
kind has more keys than SAMPLE.
"""

import random
import re
from dataclasses import dataclass, field

from service.store.client import StoreClient
from service.store.keys import KEYS, SCHEMA_KEY, TOKENS_KEY, WORKERS_KEY, WORKSPACES_KEY, worker_key

SAMPLE = 200
"""Keys of each kind that are weighed."""
BITE = 1000
OTHERS = "not Blockwire's"
_OUTSIDE = (SCHEMA_KEY, WORKSPACES_KEY, WORKERS_KEY, TOKENS_KEY)
_QUEUE = re.compile(r"arq:|blockwire:jobs")


@dataclass
class Kind:
    """Keys of one pattern. `bytes` includes the store's own overhead."""

    pattern: str
    holds: str
    ends: str
    keys: int = 0
    bytes: int = 0
    estimated: bool = False
    sample: list[str] = field(default_factory=list)


async def census(store: StoreClient) -> list[Kind]:
    """Every kind of key that is there, the heaviest first."""
    kinds: dict[str, Kind] = {}
    dice = random.Random(0)
    async for name in store.walk(BITE):
        found = _kind_of(name)
        kind = kinds.setdefault(found.pattern, found)
        kind.keys += 1
        if len(kind.sample) < SAMPLE:
            kind.sample.append(name)
        elif (place := dice.randrange(kind.keys)) < SAMPLE:
            kind.sample[place] = name
    for kind in kinds.values():
        sizes = [size for size in await store.sizes(kind.sample) if size is not None]
        kind.estimated = kind.keys > len(kind.sample)
        kind.bytes = round(sum(sizes) / len(sizes) * kind.keys) if sizes else 0
    return sorted(kinds.values(), key=lambda kind: (-kind.bytes, kind.pattern))


def _kind_of(name: str) -> Kind:
    if name in _OUTSIDE:
        return Kind(name, "about the store as a whole", "never")
    if name.startswith(worker_key("")):
        return Kind(worker_key("<worker>"), "a worker's last report", "half a minute after it")
    if _QUEUE.match(name):
        return Kind("arq:… and blockwire:jobs…", "jobs that wait or run, and results", "when done")
    if (inside := re.fullmatch(r"bw:\{[^}]*\}:(.*)", name, re.DOTALL)) is None:
        return Kind(OTHERS, "keys of other programs", "")
    for expression, pattern, holds, ends in _PATTERNS:
        if expression.fullmatch(inside[1]):
            return Kind(pattern, holds, ends)
    return Kind(OTHERS, "keys of other programs", "")


def _patterns() -> list[tuple[re.Pattern[str], str, str, str]]:
    """How each row of the key table looks. An id of ours has no colon; a label or a tag may have one."""
    rows = []
    for kind in KEYS.values():
        id, shown = ("[^:]+", "<id>") if kind.after or kind.before.count(":") == 1 else (".+", "<…>")
        expression = re.escape(kind.before) + (id + re.escape(kind.after) if kind.has_id else "")
        pattern = kind.before + (shown + kind.after if kind.has_id else "")
        rows.append((re.compile(expression, re.DOTALL), pattern, kind.type, kind.ends))
    return rows


_PATTERNS = _patterns()
