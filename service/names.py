"""Names for agents that were given none, and the check of names that were."""

import re
import secrets

from service.errors import Invalid

NAME_MOST = 200
ADJECTIVES = """
    amber brisk calm clear crisp dapper eager fair fleet frank gentle glad golden keen kind lively lucid
    mellow merry mild neat nimble noble patient plain prompt proud quick quiet sage sharp silver sound
    steady stout sunny swift tidy true vivid warm wise witty young
""".split()
NOUNS = """
    acorn anchor aspen badger beacon birch bison brook cedar comet coral crane delta ember falcon fern
    finch fjord glade harbor hawk heron iris island juniper kestrel lantern larch lynx maple marten meadow
    otter pebble pine plover quartz raven reed river robin sparrow spruce summit thistle tulip willow wren
""".split()
_ALLOWED = re.compile(r"[\w '\-]+")


def random_name() -> str:
    return f"{secrets.choice(ADJECTIVES)}-{secrets.choice(NOUNS)}-{secrets.randbelow(10_000):04d}"


def checked_name(name: str) -> str:
    """The name, or Invalid: letters and digits of any script, space, `-`, `_` and `'` (V1's rule)."""
    if not 1 <= len(name) <= NAME_MOST or not _ALLOWED.fullmatch(name):
        raise Invalid(
            "name", f"must be 1 to {NAME_MOST} letters, digits, spaces or any of - _ ', got {name[:60]!r}"
        )
    return name
