"""Ids: `<prefix>-<uuid4>`, random or derived.

A derived id is made from the identity of what causes it (run, step, call), so
that the same cause, carried out twice, means the same thing both times. It is
shaped as a uuid4, as V1's patterns ask.
"""

import hashlib
from uuid import UUID, uuid4


def new_id(prefix: str) -> str:
    return f"{prefix}-{uuid4()}"


def derived_id(prefix: str, *cause: object) -> str:
    """The id that `cause` always gets."""
    digest = hashlib.sha256("\x1f".join(str(part) for part in cause).encode()).digest()
    return f"{prefix}-{UUID(bytes=digest[:16], version=4)}"
