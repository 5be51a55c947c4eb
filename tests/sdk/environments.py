"""Environments: one per SDK generation, built once under `.sdk/` from committed locks.

The generations of `letta-client` cannot share an environment, so each Python one
gets a venv and each TypeScript one a `node_modules`, in the ignored folder `.sdk/`.
What a folder was built from is written into it last: it is built again only when
its lock, its sources or the interpreter change, and a build cut short counts for
nothing. Several pytest processes may ask at once: one builds, the others wait.

Building needs a package index; where there is none, EnvironmentNotBuilt says so.

New locks, when a version changes, which name no address:

    echo letta-client==VERSION | uv pip compile - --universal --python-version 3.11 --generate-hashes \\
        --no-emit-index-url --no-header --no-annotate --output-file python/FOLDER/requirements.txt
    (cd typescript/FOLDER && npm install --package-lock-only --ignore-scripts)  # then drop every `funding`

Elsewhere: what runs inside (python/, typescript/); who runs it (drivers.py).
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tests.running import ROOT

HERE = Path(__file__).parent
BUILT = ROOT / ".sdk"
OLDEST_NODE = 20
_BUILD_S = 300
_SHOWN_LINES = 15
_NODE_FILES = ("package.json", "package-lock.json", ".npmrc")
_PIP = (
    *("-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--retries", "2"),
    *("--only-binary", ":all:", "--require-hashes"),
)
_CI = ("ci", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries", "1")


class EnvironmentNotBuilt(Exception):
    """An SDK's environment could not be built; the message has the command and the end of what it said."""


class NodeMissing(Exception):
    """There is no Node.js here that could run the TypeScript SDKs."""


@dataclass(frozen=True)
class Sdk:
    """One published client library, and the folder of this one that has its lock and its driver."""

    language: Literal["python", "typescript"]
    version: str
    generation: Literal["old", "new"]
    folder: str
    """Its name within the folder of its language; also that of its environment."""

    @property
    def name(self) -> str:
        return f"{self.language}-{self.version}"

    @property
    def home(self) -> Path:
        return HERE / self.language / self.folder

    @property
    def environment(self) -> Path:
        return BUILT / f"{self.language}-{self.folder}"


SDKS = (
    Sdk("python", "0.1.324", "old", "old"),
    Sdk("python", "1.12.1", "new", "new"),
    Sdk("typescript", "0.1.211", "old", "old"),
    Sdk("typescript", "0.0.68665", "old", "old_0_0"),
    Sdk("typescript", "1.12.1", "new", "new"),
)


def driver_command(sdk: Sdk) -> list[str]:
    """The command that runs an SDK's driver, its environment built first if it is not there yet.

    Raises NodeMissing and EnvironmentNotBuilt.
    """
    return _python_driver(sdk) if sdk.language == "python" else _typescript_driver(sdk)


def _python_driver(sdk: Sdk) -> list[str]:
    lock = sdk.home / "requirements.txt"
    python = sdk.environment / "bin" / "python"
    with _building(sdk.environment, "installed", _digest([lock], sys.version, sys.base_prefix)) as stale:
        if stale:
            shutil.rmtree(sdk.environment, ignore_errors=True)
            _run(sdk, BUILT, [sys.executable, "-m", "venv", str(sdk.environment)])
            _run(sdk, sdk.environment, [str(python), *_PIP, "--requirement", str(lock)])
    return [str(python), str(sdk.home / "driver.py")]


def _typescript_driver(sdk: Sdk) -> list[str]:
    node, npm = _node()
    here = sdk.environment
    locks = [sdk.home / name for name in _NODE_FILES]
    sources = _sources(sdk)
    installed = _digest(locks)
    with _building(here, "installed", installed) as stale:
        if stale:
            shutil.rmtree(here, ignore_errors=True)
            _copy(locks, here)
            _run(sdk, here, [npm, *_CI])
    with _building(here, "compiled", _digest(sources, installed)) as stale:
        if stale:
            shutil.rmtree(here / "src", ignore_errors=True)
            shutil.rmtree(here / "build", ignore_errors=True)
            _copy(sources, here / "src")
            _run(sdk, here, [node, str(here / "node_modules/typescript/bin/tsc"), "--project", "src"])
    return [node, "--no-deprecation", str(here / "build" / "driver.js")]


def _sources(sdk: Sdk) -> list[Path]:
    """What is compiled for an SDK: what all share, its generation's driver, and its own files on top."""
    shared = sdk.home.parent
    folders = dict.fromkeys((shared, shared / sdk.generation, sdk.home))
    return [shared / "tsconfig.json", *(file for one in folders for file in sorted(one.glob("*.ts")))]


def _node() -> tuple[str, str]:
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        raise NodeMissing(f"there is no Node.js here (`node` and `npm`, {OLDEST_NODE} or newer)")
    said = subprocess.run([node, "--version"], capture_output=True, text=True, check=True, timeout=30).stdout
    if int(said.strip().removeprefix("v").partition(".")[0]) < OLDEST_NODE:
        raise NodeMissing(f"Node.js here is {said.strip()}; {OLDEST_NODE} or newer is needed")
    return node, npm


@contextlib.contextmanager
def _building(folder: Path, step: str, digest: str) -> Iterator[bool]:
    """Whether a step of a build has to be done; its marker is written once that went well."""
    BUILT.mkdir(exist_ok=True)
    marker = folder / f"{step}.digest"
    with (BUILT / f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        stale = not marker.exists() or marker.read_text() != digest
        if stale:
            marker.unlink(missing_ok=True)
        yield stale
        if stale:
            marker.write_text(digest)


def _digest(files: Sequence[Path], *further: str) -> str:
    parts = [*(file.read_bytes() for file in files), *(word.encode() for word in further)]
    return hashlib.sha256(b"\0".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()


def _copy(files: Sequence[Path], folder: Path) -> None:
    folder.mkdir(parents=True)
    for file in files:
        shutil.copyfile(file, folder / file.name)


def _run(sdk: Sdk, folder: Path, command: Sequence[str]) -> None:
    """One command of a build."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=_BUILD_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise EnvironmentNotBuilt(_not_built(sdk, command, f"was not done after {_BUILD_S} s")) from None
    if done.returncode != 0:
        lines = done.stdout.splitlines()
        said = "\n".join(
            lines if len(lines) <= _SHOWN_LINES else [*lines[:5], "…", *lines[5 - _SHOWN_LINES :]]
        )
        raise EnvironmentNotBuilt(_not_built(sdk, command, f"ended with {done.returncode}:\n{said}"))


def _not_built(sdk: Sdk, command: Sequence[str], outcome: str) -> str:
    return (
        f"the environment of {sdk.name} could not be built (the first time it takes a package index, "
        f"PyPI's or npm's; then it stays in {BUILT.name}/): `{' '.join(command)}` {outcome}"
    )
