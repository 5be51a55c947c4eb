"""Budgets: what becomes of a run whose agent or workspace has used what it may in an hour.

The store counts with each step and says, when a run is taken up and after each of its steps, whether
there is room for another. A run without room ends failed, for its sender to know at once; a wake-up that
was not told yet waits (store/lua/run_next.lua). What is paid for already is finished first: an answer whose
tools were not run, a run that asks no model.
"""

from service.records.open_runs import OpenRun
from service.records.runs import RunError
from workers.approvals import request_answered


def budget_error(text: str) -> RunError:
    """The error that SDKs know for it: 402 to a sender who waits."""
    return RunError(type="llm_insufficient_credits", message=text)


def must_stop(open_run: OpenRun) -> bool:
    """Whether a run that is taken up cannot go on; a wake-up taken over is told, or nobody would tell it."""
    run = open_run.run
    if open_run.spent is None or open_run.step_id is not None or open_run.stop is not None:
        return False
    if run.step_count == 0 and (open_run.causes or request_answered(run) is not None):
        return False
    return run.kind != "preview"
