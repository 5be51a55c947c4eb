"""Names: those that are made up, and the rule for those that are given."""

import pytest

from service.errors import Invalid
from service.names import ADJECTIVES, NOUNS, checked_name, random_name


def test_a_made_up_name_is_one_that_could_be_given() -> None:
    names = {random_name() for _ in range(200)}
    assert len(names) > 190
    for name in names:
        adjective, noun, number = name.split("-")
        assert adjective in ADJECTIVES
        assert noun in NOUNS
        assert len(number) == 4
        assert checked_name(name) == name


@pytest.mark.parametrize("name", ["a", "Ada Lovelace", "o'Brien-2_x", "Ñandú", "名前", "x" * 200])
def test_letters_of_any_script_and_a_few_signs_make_a_name(name: str) -> None:
    assert checked_name(name) == name


@pytest.mark.parametrize("name", ["", "a/b", "a.b", "a\n", "a\nb", "a\tb", "😀", "x" * 201])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(Invalid) as refusal:
        checked_name(name)
    assert refusal.value.field == "name"


def test_a_refused_name_is_not_repeated_at_length() -> None:
    with pytest.raises(Invalid) as refusal:
        checked_name("/" * 10_000)
    assert len(str(refusal.value)) < 200
