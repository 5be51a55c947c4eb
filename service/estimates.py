"""Estimates: how many tokens a text has, roughly, where no provider has counted them.

Four bytes of UTF-8 to one: near enough to decide what fits and to show where a
context goes, and the same for every model. What was really used is in each
step's usage, as its provider counted it.
"""

import json
from collections.abc import Iterable
from typing import Any

from service.records.messages import Message

BYTES_PER_TOKEN = 4
IMAGE_TOKENS = 1500
"""A picture, whatever its size."""


def estimate(text: str) -> int:
    """Tokens of a text."""
    return (len(text.encode()) + BYTES_PER_TOKEN - 1) // BYTES_PER_TOKEN


def estimate_json(value: Any) -> int:
    return estimate(json.dumps(value, ensure_ascii=False))


def estimate_message(message: Message) -> int:
    """Tokens of a message with its thoughts, calls and results."""
    images = 0
    if not isinstance(message.content, str):
        images = sum(1 for part in message.content if part.get("type") == "image")
    texts = [message.plain_text(), *(thought.text for thought in message.reasoning)]
    texts += [call.name + call.arguments for call in message.tool_calls]
    texts += [given.text for given in message.tool_returns]
    return estimate("\n".join(texts)) + images * IMAGE_TOKENS


def estimate_messages(messages: Iterable[Message]) -> int:
    return sum(estimate_message(message) for message in messages)
