"""Scripts: the Lua files beside this one, loaded once, with their includes and key names put in.

A script's first lines say what it does, its ARGV and its replies. KEYS[1] is the
workspace's `meta`, which fixes the slot and the prefix (the queue's scripts, on
arq's keys, say otherwise). Two things
are put in front of the source: every file named by a line `-- include: NAME`,
and for each `K.<name>` that occurs a function that builds that key as
service/store/keys.py names it, so that no key is named twice. A script whose KEYS[1] is no
workspace's says with `in_workspace(name)` of which the keys are from then on.

A script is not rolled back when it fails half-way: what can fail comes first.
"""

import hashlib
import re
from dataclasses import dataclass
from importlib import resources

from service.store.keys import KEYS, workspace_prefix

_INCLUDE = re.compile(r"^-- include: (\w+)$", re.MULTILINE)
_KEY = re.compile(r"\bK\.(\w+)")


READING = frozenset(
    {"block_labelled", "block_version", "block_versions", "blocks_attached", "pool_waits", "run_told"}
)
"""Scripts that write nothing, and need no replica to confirm it."""


RINGING = frozenset({"output_tell", "run_finish", "step_answer", "step_store"})
"""Scripts that ring somebody who waits for just that."""


@dataclass(frozen=True)
class Script:
    name: str
    source: str
    sha: str

    @property
    def writes(self) -> bool:
        return self.name not in READING

    @property
    def rings(self) -> bool:
        return self.name in RINGING


def _read(name: str) -> str:
    return resources.files("service.store").joinpath("lua", f"{name}.lua").read_text("utf-8")


def _with_includes(source: str, seen: list[str]) -> str:
    """The includes of a source in front of it, each once, in the order of need."""
    parts = []
    for name in _INCLUDE.findall(source):
        if name not in seen:
            seen.append(name)
            parts.append(_with_includes(_read(name), seen))
    return "\n".join([*parts, source])


def _key_functions(source: str) -> str:
    names = sorted(set(_KEY.findall(source)))
    if not names:
        return ""
    lines = ["local P = string.sub(KEYS[1], 1, -5)", "local K = {}"]
    if "in_workspace(" in source:
        before, behind = workspace_prefix("%").split("%")
        lines.append(f"local function in_workspace(name) P = '{before}' .. name .. '{behind}' end")
    for name in names:
        kind = KEYS[name]
        if kind.has_id:
            lines.append(f"function K.{name}(id) return P .. '{kind.before}' .. id .. '{kind.after}' end")
        else:
            lines.append(f"function K.{name}() return P .. '{kind.before}' end")
    return "\n".join(lines)


def load(name: str) -> Script:
    """The whole script called `name`. Raises KeyError for a key that keys.py does not name."""
    body = _with_includes(_read(name), [])
    source = _key_functions(body) + "\n" + body
    return Script(name=name, source=source, sha=hashlib.sha1(source.encode()).hexdigest())
