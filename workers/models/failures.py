"""Failures: what a provider's refusal means, in V1's words.

Providers say the same few things with statuses, codes, types and sentences, and
not always with the one that fits: an empty account is a 400 here and a 429 there,
an error in mid-stream has status 200. The most specific of them decides.

What a caller reads is our sentence, which names the provider and the remedy. The
provider's own goes into the detail, except for a refused key: it may quote it.
"""

from typing import NamedTuple

from workers.models.base import ModelError

_BY_NAME = {
    "insufficient_quota": "llm_insufficient_credits",
    "billing_error": "llm_insufficient_credits",
    "billing_not_active": "llm_insufficient_credits",
    "context_length_exceeded": "llm_context_window",
    "request_too_large": "llm_context_window",
    "authentication_error": "llm_authentication",
    "invalid_api_key": "llm_authentication",
    "permission_error": "llm_authentication",
    "rate_limit_error": "llm_rate_limit",
    "rate_limit_exceeded": "llm_rate_limit",
    "timeout_error": "llm_timeout",
    "overloaded_error": "llm_error",
    "api_error": "llm_error",
    "server_error": "llm_error",
    "model_not_found": "llm_bad_request",
    "not_found_error": "llm_bad_request",
    "invalid_request_error": "llm_bad_request",
}
"""Codes and types of both providers; a code is asked before the status, a type after it."""

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
    if code in _BY_NAME:
        return _BY_NAME[code]
    if status < 500:
        for wording, kind in _WORDINGS.items():
            if wording in words.lower():
                return kind
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if type in _BY_NAME:
        return _BY_NAME[type]
    return "llm_bad_request" if 400 <= status < 500 else "llm_error"
