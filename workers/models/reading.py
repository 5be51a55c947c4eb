"""Reading: sentences worth keeping, and the blocks that a prompt shows.

Sentences come out of prose and Markdown alike: fences, tables and headings are
passed over, marks of lists and emphasis taken off. A sentence weighs what its
words weigh, and a word weighs more the oftener the whole text uses it, small words
aside; the opening sentence and those with figures count a little more. What says
the same as a heavier one is left out. No chance, no clock: the same text always
yields the same sentences.

Elsewhere: how a prompt is made (workers/request.py).
"""

import math
import re
from collections import Counter
from typing import NamedTuple

_FENCE = re.compile(r"^[ \t]*(```|~~~).*?(?:^[ \t]*\1[^\n]*$|\Z)", re.MULTILINE | re.DOTALL)
_TAG = re.compile(
    r"<!--.{0,2000}?-->|</?(?:a|b|blockquote|br|code|details|div|em|h[1-6]|hr|i|img|kbd|li|ol|p|pre|span|strong|sub|"
    r"summary|sup|table|tbody|td|th|thead|tr|u|ul)(?:\s[^<>]{0,500})?/?>",
    re.DOTALL | re.IGNORECASE,
)
_IMAGE = re.compile(r"!\[[^\]\n]{0,300}\]\([^)\n]{0,2000}\)")
_LINK = re.compile(r"\[([^\[\]\n]{1,300})\]\([^)\n]{0,2000}\)")
_EMPHASIS = re.compile(r"(?<![\w*])(\*{1,3}|_)(?=[^\s*_])(.{1,300}?)(?<=[^\s*_])\1(?![\w*])")
_PASSED_OVER = re.compile(r"^\s*(?:#{1,6}\s|\||(?:[-*_=]\s*){3,}$)")
_ITEM = re.compile(r"^\s*(?:>\s*)*(?:[-*+\u2022]|\d{1,3}[.)])\s+(?:\[[ xX]\]\s+)?")
_QUOTE = re.compile(r"^\s*(?:>\s*)+")
_END = re.compile(
    r"[.!?][\"')\]\u2019\u201d]*(?=\s+[\"'(\[\u2018\u201c]?[A-Z0-9\u00c0-\u00de])|[\u3002\uff01\uff1f]"
)
"""The end of a sentence within a paragraph; Chinese and Japanese need no space behind it."""
_NO_END = re.compile(r"\b(?:e\.g|i\.e|etc|vs|cf|dr|mr|mrs|ms|st|approx|fig|[a-z])\.$", re.IGNORECASE)
_WORD = re.compile(r"[^\W_]+(?:['\u2019-][^\W_]+)*")
_STOP_WORDS = frozenset(
    re.findall(
        r"\w+",
        """a about after all also an and any are as at be because been before being but by can could did do
        does for from had has have he her his how i if in into is it its just more most my no not now of on
        once one only or other our out over she should so some such than that the their them then there these
        they this those through to too under up very was we were what when where which while who why will
        with would you your""",
    )
)

_LEAST_WORDS = 4
_MOST_CHARS = 500
_ALIKE = 0.6


class PromptBlock(NamedTuple):
    """A block as a prompt shows it."""

    label: str
    description: str
    value: str
    read_only: bool

    @property
    def subject(self) -> str:
        """All that tells what the block is about."""
        return f"{self.label} {self.description} {self.value}"


_BLOCK = re.compile(
    r"<(?P<label>[^<>\n]+)>\n(?:<description>\n(?P<description>.*?)\n</description>\n)?"
    r"<metadata>\n(?P<metadata>(?:- [^\n]*\n)*)</metadata>\n"
    r"(?P<numbered><warning>.{0,1000}?</warning>\n)?<value>\n(?P<value>.*?)\n?</value>\n</(?P=label)>",
    re.DOTALL,
)
_MEMORY = re.compile(r"<(memory_blocks|memory_metadata|tool_usage_rules|directories)>.*</\1>", re.DOTALL)
"""Greedy: a value that holds an end tag must not pass for instructions."""
_NUMBER = re.compile(r"^\d+→ ?", re.MULTILINE)


def blocks_in(prompt: str) -> dict[str, PromptBlock]:
    """The blocks a prompt or a note of changes shows, by label; line numbers taken off."""
    blocks = {}
    for found in _BLOCK.finditer(prompt):
        value = _NUMBER.sub("", found["value"]) if found["numbered"] else found["value"]
        blocks[found["label"]] = PromptBlock(
            label=found["label"],
            description=(found["description"] or "").strip(),
            value=value,
            read_only="read_only=true" in found["metadata"],
        )
    return blocks


def instructions_in(prompt: str) -> str:
    """The prompt without its memory: what the agent was told, not what it knows."""
    return _MEMORY.sub("", prompt)


def words(text: str) -> set[str]:
    """The words that carry meaning, case and plural aside."""
    return set(_terms(text))


def sentences(text: str) -> list[str]:
    """The sentences of a text, in order, free of Markdown."""
    found = []
    for paragraph in _paragraphs(text):
        begin = 0
        for end in [*(match.end() for match in _END.finditer(paragraph)), len(paragraph)]:
            sentence = paragraph[begin:end].strip()
            if end == len(paragraph) or not _NO_END.search(sentence):
                found.append(sentence)
                begin = end
    return [one for one in found if _WORD.search(one)]


def weightiest(candidates: list[str], count: int) -> list[str]:
    """At most `count` of the sentences and at most half of them (rounded up), in their own order."""
    fit = [one for one in candidates if _fits(one)] or candidates
    terms = [_terms(one) for one in fit]
    weights = _weights(terms)
    scores = [_score(at, fit[at], terms[at], weights) for at in range(len(fit))]
    chosen: list[int] = []
    for at in sorted(range(len(fit)), key=lambda at: (-scores[at], at)):
        if len(chosen) == min(count, (len(fit) + 1) // 2):
            break
        if not any(_alike(terms[at], terms[other]) for other in chosen):
            chosen.append(at)
    return [fit[at] for at in sorted(chosen)]


def _paragraphs(text: str) -> list[str]:
    """Runs of prose, each list item on its own."""
    text = _IMAGE.sub("", _TAG.sub(" ", _FENCE.sub("\n", text)))
    text = _EMPHASIS.sub(r"\2", _LINK.sub(r"\1", text))
    paragraphs = [""]
    for line in text.splitlines():
        if not line.strip() or _PASSED_OVER.match(line):
            paragraphs.append("")
            continue
        if _ITEM.match(line):
            paragraphs.append("")
        bare = _ITEM.sub("", line) if _ITEM.match(line) else _QUOTE.sub("", line)
        paragraphs[-1] = " ".join([paragraphs[-1], *bare.split()]).strip()
    return [paragraph for paragraph in paragraphs if paragraph]


def _terms(text: str) -> list[str]:
    found = (one.casefold() for one in _WORD.findall(text))
    return [_singular(one) for one in found if one not in _STOP_WORDS and len(one) > 1]


def _singular(word: str) -> str:
    return word[:-1] if len(word) > 4 and word.endswith("s") and not word.endswith("ss") else word


def _fits(sentence: str) -> bool:
    spaced = sentence.isascii() or " " in sentence
    return (len(_WORD.findall(sentence)) >= _LEAST_WORDS or not spaced) and len(sentence) <= _MOST_CHARS


def _weights(terms: list[list[str]]) -> dict[str, float]:
    often = Counter(term for one in terms for term in one)
    return {term: math.log(1 + count) for term, count in often.items()}


def _score(at: int, sentence: str, terms: list[str], weights: dict[str, float]) -> float:
    """The words' weights, dampened for length so that the longest does not always win."""
    if not terms:
        return 0.0
    score = sum(weights[term] for term in set(terms)) / math.sqrt(len(terms) + 3)
    if at == 0:
        score *= 1.15
    return score * 1.1 if re.search(r"\d", sentence) else score


def _alike(one: list[str], other: list[str]) -> bool:
    mine, theirs = set(one), set(other)
    return bool(mine | theirs) and len(mine & theirs) / len(mine | theirs) > _ALIKE
