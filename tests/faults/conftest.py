"""Fixtures of the faults: one scene that they all befall, one after another."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.scene import Scene


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    folder = Path(tempfile.mkdtemp(prefix="bw-"))
    whole = Scene(folder)
    try:
        whole.open()
        yield whole
    finally:
        whole.end()
        shutil.rmtree(folder, ignore_errors=True)
