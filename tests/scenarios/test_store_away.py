"""A store or queue that is not there: the second thing that goes wrong on a new machine."""

import subprocess

import pytest

from service.entry import python_module
from tests.running import ROOT, bare_environ

pytestmark = pytest.mark.slow

AWAY = "redis://user:secret@127.0.0.1:1/0"


@pytest.mark.parametrize("verb", ["up", "web", "worker"])
@pytest.mark.parametrize(
    ("variable", "url", "code", "line"),
    [
        ("REDIS_URL", AWAY, 1, "the store at redis://127.0.0.1:1/0 does not answer"),
        ("QUEUE_URL", AWAY, 1, "the store at redis://127.0.0.1:1/0 does not answer"),
        ("REDIS_URL", "localhost:6379", 2, "REDIS_URL: must look like redis://"),
        ("QUEUE_URL", "http://localhost", 2, "QUEUE_URL: must look like redis://"),
    ],
)
def test_every_process_ends_with_one_line_that_names_what_to_correct(
    verb: str, variable: str, url: str, code: int, line: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """No restarts for ever, no library's complaints beside the line, nothing said to be open that is not."""
    options = [] if verb == "worker" else ["--port", "0"]
    data = tmp_path_factory.mktemp("away") / "data"
    ended = subprocess.run(
        python_module("service.cli", verb, "--data", str(data), *options),
        cwd=ROOT,
        env=bare_environ() | {variable: url},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (ended.returncode, ended.stdout) == (code, "")
    [said] = ended.stderr.splitlines()
    assert said.startswith(f"blockwire: {line}")
    assert variable in said
    assert "secret" not in said
    assert not data.exists()
