"""Budgets in the store: how scripts take limits and name a budget that is used up (lua/budget.lua)."""

from collections.abc import Sequence

from service.records.budgets import Budget, Spent

Limits = tuple[int, int]


def limits_of(budget: Budget | None) -> Limits:
    """Tokens and steps of a workspace, 0 without a limit."""
    limits = budget or Budget()
    return limits.tokens_per_hour or 0, limits.steps_per_hour or 0


def spent_of(words: Sequence[str]) -> Spent:
    """The budget that a reply names."""
    owner, what, limit, free_at = words
    return Spent.model_validate(
        {"owner": owner, "what": what, "limit": limit, "free_at": int(free_at) * 1000}
    )
