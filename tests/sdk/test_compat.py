"""The README's table of compatibility is what a run against the SDKs tells, and leaves out nothing."""

import difflib

import pytest

from tests.running import Running
from tests.sdk.compat import FAILS, Outcome, Survey, in_readme, survey, table
from tests.sdk.environments import SDKS, EnvironmentNotBuilt
from tests.sdk.methods import is_classified, rows
from tests.sdk.probes import PROBES, STORED


@pytest.fixture(scope="session")
def surveyed(blockwire: Running) -> Survey:
    failure = ""
    try:
        return survey(blockwire.url)
    except EnvironmentNotBuilt as broken:
        failure = str(broken)
    pytest.fail(failure, pytrace=False)


@pytest.mark.slow
def test_the_readme_says_what_every_sdk_can_do(surveyed: Survey) -> None:
    if surveyed.missing:
        pytest.skip(f"THE TABLE OF COMPATIBILITY IS NOT COMPARED: {surveyed.missing}")
    made = table(surveyed.columns)
    changes = list(
        difflib.unified_diff(
            in_readme().splitlines(), made.splitlines(), "README.md", "these SDKs", "", "", 0
        )
    )
    assert not changes, "\n".join(["run `make compat`; the table is no longer true:", *changes])


@pytest.mark.slow
def test_no_method_answers_without_doing_what_it_says(surveyed: Survey) -> None:
    assert surveyed.failures == []


@pytest.mark.slow
def test_every_method_of_every_sdk_is_classified(surveyed: Survey) -> None:
    assert surveyed.unclassified == {}


def test_every_line_of_the_table_has_a_probe() -> None:
    assert set(PROBES) == set(rows())


def test_a_method_that_nobody_classified_is_noticed() -> None:
    assert is_classified("blocks.modify")
    assert is_classified("groups.messages.create")
    assert not is_classified("blocks.explode")


def test_sdks_that_do_alike_share_a_column_and_reasons_are_given_once() -> None:
    works = dict.fromkeys(rows(), Outcome("works"))
    refused = dict.fromkeys(rows(), Outcome("refused", "404: Not Found"))
    same = {sdk.name: works if sdk.language == "typescript" else refused for sdk in SDKS}
    heading, _, first, *rest = table(same).splitlines()
    assert heading.count("TypeScript") == 2
    assert "TypeScript 0.1.211 and 0.0.68665" in heading
    assert first.count("refused [1]") == 2
    assert rest[-1] == "1. 404: Not Found"
    different = same | {"typescript-0.0.68665": dict.fromkeys(rows(), Outcome(STORED))}
    assert table(different).splitlines()[0].count("TypeScript") == 3


def test_what_fails_is_named_and_shown() -> None:
    failing = {"python-1.12.1": dict.fromkeys(rows(), Outcome(FAILS, "AssertionError"))}
    assert len(Survey(failing, {}).failures) == len(rows())
    assert "**fails**" in table(failing)
