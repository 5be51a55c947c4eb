"""What the demo reads: files as they are or one clear refusal, shared out evenly and without a loss."""

import importlib.metadata
from pathlib import Path

import pytest

from service.demo import texts
from service.demo.texts import MOST_BYTES, Text, own_texts, parts_of, texts_of
from service.errors import Invalid

HOME = Path(texts.__file__).parents[2]


def test_files_are_read_in_the_order_given(tmp_path: Path) -> None:
    for name in ("b.md", "a.txt"):
        (tmp_path / name).write_text(f"\ufeffThis is {name}.", encoding="utf-8")
    found = texts_of([tmp_path / "b.md", tmp_path / "a.txt"])
    assert [(Path(text.name).name, text.content) for text in found] == [
        ("b.md", "This is b.md."),
        ("a.txt", "This is a.txt."),
    ]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "cannot be read: no such file"),
        (b"", "is empty"),
        (b" \n\t\n", "is empty"),
        (b"a\0b", "is not text"),
        (b"\xff\xfe\x00b", "is not text"),
        (b"x" * (MOST_BYTES + 1), "is larger than"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_with_the_reason(
    tmp_path: Path, content: bytes | None, told: str
) -> None:
    file = tmp_path / "notes.md"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(Invalid, match=f"^FILE: .*notes.md {told}"):
        texts_of([file])


def test_a_folder_is_not_a_text(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="cannot be read: is a directory"):
        texts_of([tmp_path])


def test_too_much_text_altogether_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "long.txt"
    file.write_text("word " * (MOST_BYTES // 8))
    assert texts_of([file])
    with pytest.raises(Invalid, match="more than 1000 kB"):
        texts_of([file, file])


def test_the_tree_is_read_from_its_readme_on(tmp_path: Path) -> None:
    (tmp_path / "service" / "store").mkdir(parents=True)
    for name in ("pyproject.toml", "ABOUT.md", "README.md", "service/store/README.md"):
        (tmp_path / name).write_text(f"Of {name}.")
    (tmp_path / "EMPTY.md").write_text(" \n")
    assert [text.name for text in own_texts(tmp_path)] == ["README.md", "ABOUT.md", "service/store/README.md"]


def test_this_tree_has_a_readme() -> None:
    assert own_texts()[0] == Text("README.md", (HOME / "README.md").read_text(encoding="utf-8"))


def test_without_a_tree_the_package_speaks_for_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Metadata:
        json = {"description": "# Blockwire\n\nShared memory."}

    monkeypatch.setattr(importlib.metadata, "metadata", lambda name: Metadata())
    (tmp_path / "stranger.md").write_text("Not ours.")
    assert own_texts(tmp_path) == [Text("README.md", "# Blockwire\n\nShared memory.")]


def test_without_any_text_of_its_own_it_asks_for_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "metadata", missing)
    with pytest.raises(Invalid, match="name a file to read"):
        own_texts(tmp_path)


def test_parts_are_about_equal_in_order_and_complete() -> None:
    paragraphs = [f"Paragraph {number} has {'many ' * (number % 7)}words." for number in range(60)]
    parts = parts_of(
        [Text("a.md", "\n\n".join(paragraphs[:40])), Text("b.md", "\n\n".join(paragraphs[40:]))], 3
    )
    together = "\n\n".join(part.content for part in parts)
    found = [line for line in together.splitlines() if line.startswith("Paragraph")]
    assert found == paragraphs
    words = [part.words for part in parts]
    assert max(words) - min(words) < 20
    assert (parts[0].names, parts[1].names[0], parts[2].names[-1]) == (["a.md"], "a.md", "b.md")
    assert together.count("# b.md\n\nParagraph 40") == 1
    assert all(part.content.startswith(f"# {part.names[0]}\n\nParagraph") for part in parts)


def test_items_of_a_list_can_be_shared() -> None:
    items = "\n".join(f"- item {number} of the list\n  goes on" for number in range(30))
    words = [part.words for part in parts_of([Text("list.md", items)], 3)]
    assert max(words) - min(words) <= 7


def test_a_fenced_example_stays_in_one_piece() -> None:
    fence = "```\n- one\n\n- two\n\n- three\n```"
    content = "\n\n".join([*["A sentence of some words."] * 8, fence, *["A sentence of some words."] * 8])
    assert sum(fence in part.content for part in parts_of([Text("a.md", content)], 3)) == 1


@pytest.mark.parametrize("content", ["One.\nTwo.\nThree.", "The first one. The second one. The third one."])
def test_a_text_without_paragraphs_is_shared_by_lines_or_sentences(content: str) -> None:
    parts = parts_of([Text("a.txt", content)], 3)
    assert [part.content.count(".") for part in parts] == [2, 2, 2]  # the name's and the sentence's


def test_too_little_text_is_refused() -> None:
    with pytest.raises(Invalid, match="too little text to share it among 3 workers"):
        parts_of([Text("a.txt", "hello")], 3)
