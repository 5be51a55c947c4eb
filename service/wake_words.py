"""Wake words: what a subscription has its agent told, as a text with places for the facts. Pure.

{label} was changed {count} time(s) by {who}:
{diff}
"""

from collections.abc import Mapping
from string import Formatter

from service.errors import Invalid

PLACES = ("label", "block_id", "version", "count", "who", "operations", "at", "diff", "value")
"""What a template may name."""
PLACES_MOST = 20
TEMPLATE_MOST = 10_000


def check_template(template: str) -> None:
    """Raises Invalid for what cannot be filled in."""
    if len(template) > TEMPLATE_MOST:
        raise Invalid("template", f"must have at most {TEMPLATE_MOST} characters, not {len(template)}")
    try:
        parts = list(Formatter().parse(template))
    except ValueError as failure:
        raise Invalid("template", f"{failure}; a brace that is meant as text is written twice") from None
    named = [part for part in parts if part[1] is not None]
    for _, name, spec, conversion in named:
        if name not in PLACES or spec or conversion:
            known = ", ".join(f"{{{one}}}" for one in PLACES)
            raise Invalid("template", f"{{{name}}} is not one of {known}")
    if len(named) > PLACES_MOST:
        raise Invalid("template", f"must name at most {PLACES_MOST} facts, not {len(named)}")


def fill(template: str, facts: Mapping[str, str]) -> str:
    """A checked template with the facts put in."""
    return template.format_map(facts)
