"""Signatures: how a receiver knows that a delivery is ours, and not an old one.

As the Standard Webhooks specification has it, so that its libraries verify them: HMAC-SHA256 over
`<webhook-id>.<webhook-timestamp>.<body>`, in Base64, with a secret written as `whsec_<Base64>`.
"""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Sequence

from service.errors import Invalid

PREFIX = "whsec_"
BYTES_LEAST, BYTES_MOST = 24, 64


def new_secret() -> str:
    return PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def check_secret(secret: str) -> None:
    """Raises Invalid for what no library would take."""
    if not BYTES_LEAST <= len(_key(secret)) <= BYTES_MOST:
        raise Invalid(
            "secret",
            f"must be `{PREFIX}` and {BYTES_LEAST} to {BYTES_MOST} bytes in Base64; leave it out to get one",
        )


def headers_of(delivery_id: str, at_s: int, body: bytes, secrets: Sequence[str]) -> dict[str, str]:
    """What a delivery carries: its id, the time of this try, and a signature by each of the secrets."""
    signed = f"{delivery_id}.{at_s}.".encode() + body
    signatures = [base64.b64encode(hmac.digest(_key(one), signed, hashlib.sha256)) for one in secrets]
    return {
        "webhook-id": delivery_id,
        "webhook-timestamp": str(at_s),
        "webhook-signature": " ".join(f"v1,{signature.decode()}" for signature in signatures),
    }


def _key(secret: str) -> bytes:
    """The bytes that a secret stands for; none if it is not written as one."""
    if not secret.startswith(PREFIX):
        return b""
    try:
        return base64.b64decode(secret[len(PREFIX) :], validate=True)
    except ValueError:
        return b""
