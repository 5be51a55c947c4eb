"""Ids: `<prefix>-<uuid4>`, random or derived.

A derived id is made from the identity of what causes it (run, step, call), so
that the same cause, carried out twice, means the same thing both times. It is
shaped as a uuid4, as V1's patterns ask.
"""

import hashlib
import os


def new_id(prefix: str) -> str:
    return f"{prefix}-{_as_uuid4(os.urandom(16))}"


def derived_id(prefix: str, *cause: object) -> str:
    """The id that `cause` always gets."""
    digest = hashlib.sha256("\x1f".join(str(part) for part in cause).encode()).digest()
    return f"{prefix}-{_as_uuid4(digest[:16])}"


def _as_uuid4(bytes: bytes) -> str:
    """As `str(UUID(bytes=bytes, version=4))`, in a third of the time: each request gets an id."""
    digits = bytes.hex()
    variant = "89ab"[int(digits[16], 16) & 3]
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"
