"""Entry: how every process of ours begins and ends: settings first, and one clear line if it cannot go on.

Light on purpose: the command line loads it for `--help`.
"""

import contextlib
import logging
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NoReturn

from pydantic import ValidationError

from service.errors import BlockwireError, Invalid, StoreUnreadable
from service.settings import Settings, read_settings, variables_of

FAILED = 1
WONT_WORK = 2
"""The exit code of a process that was told something impossible: starting it again does not help."""
INTERRUPTED = 130


def end_in_one_line(message: str, code: int = FAILED) -> NoReturn:
    _flush_logs()
    sys.stderr.write(f"blockwire: {' '.join(message.split())}\n")
    raise SystemExit(code)


def _flush_logs() -> None:
    """What was logged before comes before what is said now."""
    for handler in logging.getLogger().handlers:
        handler.flush()


def settings_or_exit(options: Mapping[str, object] | None = None) -> Settings:
    """This process's settings; a value that cannot be used ends it, naming where the value came from."""
    given = {field: value for field, value in (options or {}).items() if value is not None}
    try:
        return read_settings(None, **given)
    except ValidationError as error:
        end_in_one_line(_first_fault(error, given), WONT_WORK)


def _first_fault(error: ValidationError, options: Mapping[str, object]) -> str:
    fault = error.errors(include_url=False)[0]
    field = str(fault["loc"][0])
    source = f"--{field.removesuffix('_dir')}" if field in options else " or ".join(variables_of(field))
    return f"{source}: {fault['msg']}; got {fault['input']!r}"


@contextlib.contextmanager
def one_line_errors() -> Iterator[None]:
    """What was refused is said in one line, with the exit code that goes with it."""
    try:
        yield
    except (Invalid, StoreUnreadable) as error:
        end_in_one_line(str(error), WONT_WORK)
    except BlockwireError as error:
        end_in_one_line(str(error))
    except KeyboardInterrupt:
        raise SystemExit(INTERRUPTED) from None
    finally:
        _flush_logs()


def python_module(module: str, *arguments: str) -> list[str]:
    """The command that runs one of our modules.

    Python would look into the present folder first, where somebody else's `service` may lie:
    it is told not to, unless that folder is the one we run from.
    """
    home = Path(__file__).resolve().parents[1]
    flags = [] if Path.cwd() == home else ["-P"]
    return [sys.executable, *flags, "-m", module, *arguments]
