"""Dead letters on the wire: a run that was given up, with what was sent."""

from typing import Any

from service.http.schemas.runs import RunResponse, run_response
from service.records.runs import Run


class DeadLetter(RunResponse):
    """A run as everywhere, how many workers it took, and its input."""

    tries: int
    messages: list[dict[str, Any]]


def dead_letter(run: Run) -> DeadLetter:
    lost = max(0, run.tries - 1)
    sent = [message.model_dump(exclude_none=True) for message in run.messages]
    return DeadLetter(**vars(run_response(run)), tries=lost, messages=sent)
