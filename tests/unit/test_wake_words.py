"""Wake words: templates are checked when they are given, so that none fails when an agent is woken."""

import pytest

from service.errors import Invalid
from service.wake_words import PLACES, PLACES_MOST, TEMPLATE_MOST, check_template, fill


def test_a_template_may_name_every_fact_and_hold_braces_as_text() -> None:
    template = "{{}} " + " ".join(f"{{{place}}}" for place in PLACES)
    check_template(template)
    facts = {place: f"<{place} {{x}}>" for place in PLACES}
    assert fill(template, facts) == "{} " + " ".join(facts.values())


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{nobody}", "{nobody} is not one of {label}"),
        ("{}", "{} is not one of"),
        ("{label.__class__}", "is not one of"),
        ("{label[0]}", "is not one of"),
        ("{label!r}", "is not one of"),
        ("{label:>1000000}", "is not one of"),
        ("{label", "written twice"),
        ("}", "written twice"),
        ("x" * (TEMPLATE_MOST + 1), f"at most {TEMPLATE_MOST} characters"),
        ("{value}" * (PLACES_MOST + 1), f"at most {PLACES_MOST} facts"),
    ],
)
def test_what_cannot_be_filled_in_is_refused(template: str, said: str) -> None:
    with pytest.raises(Invalid, match="template") as refusal:
        check_template(template)
    assert said in str(refusal.value)
