"""Methods: what methods.toml says of the methods of the SDKs."""

import re
import tomllib
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cache

from tests.sdk.environments import HERE, Sdk

FILE = HERE / "methods.toml"


@dataclass(frozen=True)
class Method:
    """A method that the table shows."""

    name: str
    route: str
    also: tuple[str, ...]
    """Its names in other SDKs."""
    forms: dict[str, str]
    """Ways of calling it with rows of their own -> the generations and SDKs that know it, or `both`."""

    @property
    def names(self) -> tuple[str, ...]:
        return (self.name, *self.also)

    @property
    def path(self) -> list[str]:
        """The parameters of its path, in order."""
        return re.findall(r"\{(\w+)\}", self.route)


@dataclass(frozen=True, order=True)
class Row:
    """A line of the table: a method, or a form of one (empty for the method as such)."""

    method: str
    form: str = ""

    def is_known_to(self, sdk: Sdk) -> bool:
        """Whether an SDK that has the method has this form of it."""
        known = shown()[self.method].forms.get(self.form, "both").split()
        return not {"both", sdk.generation, sdk.name}.isdisjoint(known)


@cache
def shown() -> dict[str, Method]:
    found = tomllib.loads(FILE.read_text())["shown"]
    return {
        name: Method(name, told["route"], tuple(told.get("also", ())), told.get("forms", {}))
        for name, told in found.items()
    }


def rows() -> list[Row]:
    """Every line of the table, in its order."""
    return [Row(method.name, form) for method in shown().values() for form in ("", *method.forms)]


def is_classified(name: str) -> bool:
    """Whether methods.toml knows a method of an SDK."""
    later = tomllib.loads(FILE.read_text())["later"]["methods"]
    return any(name in method.names for method in shown().values()) or any(
        fnmatch(name, pattern) for pattern in later
    )
