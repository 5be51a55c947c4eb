"""Sequences of acts that hypothesis thinks up, on each kind of store, against a plain model (machine.py)."""

import os

import pytest
from hypothesis import HealthCheck, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.faults.machine import BlockMachine

SEED = int(os.environ.get("CHAOS_SEED", "1"))


def run(url: str | None, examples: int, steps: int, *, by_seed: bool) -> None:
    kind = seed(SEED)(type("Machine", (BlockMachine,), {"url": url}))
    bounds = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        derandomize=not by_seed,
        print_blob=False,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(kind, settings=bounds)


def test_a_fake_store_does_what_the_model_does() -> None:
    run(None, 30, 30, by_seed=False)


def test_a_real_store_does_what_the_model_does(redis_server: str) -> None:
    run(redis_server, 30, 30, by_seed=False)


@pytest.mark.chaos
@pytest.mark.parametrize("kind", ["fake", "real"])
def test_long_sequences_do_what_the_model_does(kind: str, redis_server: str) -> None:
    run(redis_server if kind == "real" else None, 400, 60, by_seed=True)
