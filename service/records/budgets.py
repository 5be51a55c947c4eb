"""Budgets as records: what may be used in an hour, and which of them is used up."""

from typing import Literal

from pydantic import Field

from service.records.base import Micros, Record, iso


class Budget(Record):
    """What an agent or a workspace may use in any sixty minutes; None: as much as it likes."""

    tokens_per_hour: int | None = Field(default=None, ge=1)
    steps_per_hour: int | None = Field(default=None, ge=1)


class Spent(Record):
    """A budget that is used up."""

    owner: str
    """The agent, or `workspace`."""
    what: Literal["tokens", "steps"]
    limit: int
    free_at: Micros

    def told(self) -> str:
        """In words for whoever is refused."""
        whose = "this workspace" if self.owner == "workspace" else self.owner
        again = f"there is room again at {iso(self.free_at)}"
        return f"the budget of {whose} is used up: {self.limit} {self.what} per hour; {again}"
