"""Generation: whether a caller is an SDK of the 1.x line or counts as legacy.

V1's rule. An SDK of 1.x sends `X-Stainless-Package-Version`; no user agent at
all counts as 1.x too; the old SDKs name their version in the user agent; anybody
else (curl, python-requests) is legacy. What depends on it: which relationships
an agent's answer carries unasked, and `streaming` in a send.
"""

import re

from service.http.calls import Headers

_OLD_SDK = re.compile(rb"(?:@letta-ai/)?letta-client/(\d+)")


def is_legacy(headers: Headers) -> bool:
    if b"x-stainless-package-version" in headers:
        return False
    agent = headers.get(b"user-agent", b"").strip()
    if not agent:
        return False
    named = _OLD_SDK.match(agent)
    return named is None or int(named[1]) < 1
