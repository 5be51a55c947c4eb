"""Failures: what a provider's refusal means, in V1's words.

Providers say the same few things with statuses, codes, types and sentences, and
not always with the one that fits: an empty account is a 400 here and a 429 there,
an error in mid-stream has no status of its own. The most specific of them decides.

What a caller reads is our sentence, which names the provider and the remedy. The
provider's own goes into the detail, except for a refused key: it may quote it.
"""

from typing import NamedTuple

from workers.models.base import ModelError

_MORE_THAN_STATUS = {
    "insufficient_quota": "llm_insufficient_credits",
    "billing_error": "llm_insufficient_credits",
    "billing_not_active": "llm_insufficient_credits",
    "context_length_exceeded": "llm_context_window",
    "invalid_api_key": "llm_authentication",
}
"""Codes and types that say more than the status they come with."""

_BY_NAME = {
    "authentication_error": "llm_authentication",
    "permission_error": "llm_authentication",
    "rate_limit_error": "llm_rate_limit",
    "rate_limit_exceeded": "llm_rate_limit",
    "timeout_error": "llm_timeout",
    "not_found_error": "llm_bad_request",
    "invalid_request_error": "llm_bad_request",
}
"""Codes and types where there is no status: in mid-stream."""

_BY_STATUS = {
    401: "llm_authentication",
    402: "llm_insufficient_credits",
    403: "llm_authentication",
    408: "llm_timeout",
    413: "llm_context_window",
    429: "llm_rate_limit",
    504: "llm_timeout",
}

_WORDINGS = {
    "credit balance": "llm_insufficient_credits",
    "prompt is too long": "llm_context_window",
    "input is too long": "llm_context_window",
    "context length": "llm_context_window",
    "context window": "llm_context_window",
    "context_length": "llm_context_window",
}
"""What only the sentence of a 400 tells."""

_DETAIL_CHARS = 1000


class Provider(NamedTuple):
    """Who is asked, and the settings its user can change."""

    name: str
    key_variable: str
    url_variable: str

    def refused(self, status: int, code: str | None, type: str | None, words: str) -> ModelError:
        """The error for a provider's answer that is one."""
        kind = _kind(status, code, type, words)
        detail = None if kind == "llm_authentication" else words[:_DETAIL_CHARS]
        return ModelError(kind, self._sentence(kind, status), detail)

    def failed(self, kind: str, words: str) -> ModelError:
        """The error for a call that had no answer."""
        return ModelError(kind, f"{self.name} {words}")

    def _sentence(self, kind: str, status: int) -> str:
        sentences = {
            "llm_authentication": f"refused the API key (HTTP {status}); check {self.key_variable}",
            "llm_insufficient_credits": f"says that the account behind {self.key_variable} is out of credit",
            "llm_rate_limit": "is limiting this account's rate; send the message again later",
            "llm_timeout": "took too long to answer; send the message again",
            "llm_context_window": "says that the conversation is longer than the model's context window",
            "llm_bad_request": f"refused the request (HTTP {status}); its reason is in the detail",
            "llm_error": f"is in trouble (HTTP {status}); send the message again later",
        }
        return f"{self.name} {sentences[kind]}"


def _kind(status: int, code: str | None, type: str | None, words: str) -> str:
    names = [name for name in (code, type) if name is not None]
    found = [_MORE_THAN_STATUS[name] for name in names if name in _MORE_THAN_STATUS]
    if status < 500:
        found += [kind for wording, kind in _WORDINGS.items() if wording in words.lower()]
    if status in _BY_STATUS:
        found.append(_BY_STATUS[status])
    elif status >= 400:
        found.append("llm_bad_request" if status < 500 else "llm_error")
    found += [_BY_NAME[name] for name in names if name in _BY_NAME]
    return next(iter(found), "llm_error")
