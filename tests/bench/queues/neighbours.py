"""Neighbours: the environment of the queues that only the bench needs, built once, under `.bench/`.

Building needs a package index. Where that fails the bench goes on, and says which rows are missing.
"""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from tests.running import ROOT

LOCK = Path(__file__).with_name("requirements.txt")
BUILT = ROOT / ".bench" / "neighbours"
_PIP = (
    *("-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--retries", "1"),
    *("--only-binary", ":all:", "--require-hashes", "--requirement", str(LOCK)),
)
_BUILD_S = 180


def neighbours_python(build: bool = True) -> str | None:
    """The interpreter of their environment, or None where there is none."""
    python, marker = BUILT / "bin" / "python", BUILT / "installed.digest"
    digest = hashlib.sha256(LOCK.read_bytes() + f"{sys.version}{sys.base_prefix}".encode()).hexdigest()
    if marker.exists() and marker.read_text() == digest:
        return str(python)
    if not build:
        return None
    shutil.rmtree(BUILT, ignore_errors=True)
    BUILT.parent.mkdir(exist_ok=True)
    try:
        for command in ([sys.executable, "-m", "venv", str(BUILT)], [str(python), *_PIP]):
            subprocess.run(command, check=True, capture_output=True, timeout=_BUILD_S, cwd=ROOT)
    except (subprocess.SubprocessError, OSError):
        return None
    marker.write_text(digest)
    return str(python)
