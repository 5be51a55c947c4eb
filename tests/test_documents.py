"""The documents that people read beside the code: their prose fits a page, and what they name is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
WIDTH = 120
DOCUMENTS = ("README.md", "CHANGELOG.md", "service/store/README.md")


def prose(document: str) -> str:
    """Without programs and tables."""
    text = re.sub(r"^```.*?^```$", "", (ROOT / document).read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    return "\n".join(line for line in text.splitlines() if not line.startswith("|"))


@pytest.mark.parametrize("document", DOCUMENTS)
def test_a_line_of_prose_is_no_longer_than_a_page_is_wide(document: str) -> None:
    assert [line for line in prose(document).splitlines() if len(line) > WIDTH] == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_a_file_that_is_named_is_there(document: str) -> None:
    text = (ROOT / document).read_text("utf-8")
    named = set(re.findall(r"`((?:service|workers|tests)/[\w./]+)`", text))
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []
