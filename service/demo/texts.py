"""Texts: what the workers read: the files that were named, or Blockwire's own documentation.

Shared out in order, between paragraphs and items of lists, into parts of about
the same length; a fenced example stays in one piece.
"""

import importlib.metadata
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from service.errors import Invalid

MOST_BYTES = 1_000_000
_HOME = Path(__file__).resolve().parents[2]
_FOLDERS = ("service", "workers")
_ITEM = re.compile(r"([-*+]|\d{1,3}[.)])\s")
_FENCE = re.compile(r"\s*(```|~~~)")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")


class Text(NamedTuple):
    """A text and the name it is shown under."""

    name: str
    content: str


class Part(NamedTuple):
    """What one worker reads."""

    names: list[str]
    content: str

    @property
    def words(self) -> int:
        return len(self.content.split())


def texts_of(files: Sequence[Path]) -> list[Text]:
    """The files as texts. Raises Invalid for one that cannot be read or holds no text."""
    texts = [Text(str(file), _read(file)) for file in files]
    if sum(len(text.content.encode()) for text in texts) > MOST_BYTES:
        raise Invalid("FILE", f"more than {MOST_BYTES // 1000} kB of text; name fewer files, or shorter ones")
    return texts


def own_texts(home: Path = _HOME) -> list[Text]:
    """The documentation in the source tree or, installed without one, what the package says of itself."""
    texts = []
    if (home / "pyproject.toml").is_file():
        found = [*home.glob("*.md"), *(file for one in _FOLDERS for file in (home / one).rglob("*.md"))]
        found.sort(key=lambda file: (file.parent != home, file.name != "README.md", file))
        texts = [Text(str(file.relative_to(home)), file.read_text(encoding="utf-8")) for file in found]
    return [text for text in texts if text.content.strip()] or [_description()]


def parts_of(texts: Sequence[Text], count: int) -> list[Part]:
    """The texts shared out in order. Raises Invalid when there is too little to share."""
    for pieces_of in (_paragraphs, str.splitlines, _SENTENCE_END.split):
        pieces = [(text.name, piece) for text in texts for piece in pieces_of(text.content) if piece.strip()]
        shares = _shares(pieces, count)
        if all(shares):
            return [_part(share) for share in shares]
    raise Invalid("FILE", f"there is too little text to share it among {count} workers")


def _read(file: Path) -> str:
    try:
        if file.stat().st_size > MOST_BYTES:
            raise Invalid("FILE", f"{file} is larger than {MOST_BYTES // 1000} kB; name a shorter one")
        content = file.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise Invalid("FILE", f"{file} cannot be read: {(error.strerror or str(error)).lower()}") from None
    except UnicodeDecodeError:
        content = "\0"
    if "\0" in content:
        raise Invalid("FILE", f"{file} is not text in UTF-8; name a plain text or Markdown file")
    if not content.strip():
        raise Invalid("FILE", f"{file} is empty; name a file with text in it")
    return content


def _description() -> Text:
    try:
        described = importlib.metadata.metadata("blockwire").json.get("description", "")
    except importlib.metadata.PackageNotFoundError:
        described = ""
    if not isinstance(described, str) or not described.strip():
        raise Invalid("FILE", "no documentation of Blockwire was found here; name a file to read")
    return Text("README.md", described)


def _paragraphs(content: str) -> list[str]:
    """What lies between empty lines, and each item of a list; a fenced example is never cut."""
    paragraphs = [""]
    fenced = False
    for line in content.splitlines():
        if not fenced and (not line.strip() or _ITEM.match(line)):
            paragraphs.append("")
        if _FENCE.match(line):
            fenced = not fenced
        paragraphs[-1] += f"{line}\n"
    return paragraphs


def _shares(pieces: Sequence[tuple[str, str]], count: int) -> list[list[tuple[str, str]]]:
    """Each piece goes where its middle lies."""
    shares: list[list[tuple[str, str]]] = [[] for _ in range(count)]
    total = sum(len(piece) for _, piece in pieces)
    before = 0
    for name, piece in pieces:
        shares[int((before + len(piece) / 2) * count / total)].append((name, piece))
        before += len(piece)
    return shares


def _part(share: Iterable[tuple[str, str]]) -> Part:
    names: list[str] = []
    lines: list[str] = []
    for name, piece in share:
        if name not in names:
            names.append(name)
            lines.append(f"# {name}")
        lines.append(piece.strip("\n"))
    return Part(names, "\n\n".join(lines))
