"""Counted: every call of a model is counted by what came of it, and its answer passes through as it is."""

import asyncio

import pytest

from service.metrics.process import Metrics
from service.records.models import ModelEntry
from service.records.runs import ModelReply, Usage
from workers.models.base import Emit, ModelError, ModelRequest, ignore
from workers.models.counted import Counted

pytestmark = pytest.mark.anyio

REQUEST = ModelRequest(model="m", system="", messages=[])


class Fickle:
    """Answers, fails, or never ends."""

    def __init__(self, end: Exception | None = None, waits: bool = False) -> None:
        self.end = end
        self.waits = waits

    async def answer(self, request: ModelRequest, emit: Emit = ignore) -> ModelReply:
        if self.waits:
            await asyncio.Event().wait()
        if self.end is not None:
            raise self.end
        return ModelReply(
            text="Hi.", usage=Usage(prompt_tokens=7, completion_tokens=2, cached_input_tokens=3)
        )

    def payload(self, request: ModelRequest) -> dict[str, object]:
        return {"model": request.model}


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


def counted(model: Fickle, metrics: Metrics) -> Counted:
    entry = ModelEntry.model_construct(handle="openai/m", provider="openai", name="m", window=1000)
    return Counted(model, entry, metrics)


def calls(metrics: Metrics) -> dict[str, float]:
    return {labels["outcome"]: value for _, labels, value in metrics.model_calls.family().samples}


async def test_an_answer_is_counted_with_its_tokens(metrics: Metrics) -> None:
    model = counted(Fickle(), metrics)
    assert (await model.answer(REQUEST)).text == "Hi."
    assert model.payload(REQUEST) == {"model": "m"}
    assert calls(metrics) == {"ok": 1}
    tokens = {labels["kind"]: value for _, labels, value in metrics.tokens.family().samples}
    assert tokens == {"prompt": 7, "completion": 2, "cached": 3}


async def test_a_failure_is_counted_by_its_kind_and_passes(metrics: Metrics) -> None:
    with pytest.raises(ModelError, match="slow down"):
        await counted(Fickle(ModelError("llm_rate_limit", "slow down")), metrics).answer(REQUEST)
    assert calls(metrics) == {"llm_rate_limit": 1}
    assert metrics.tokens.family().samples == []


async def test_a_call_that_is_given_up_is_counted_as_stopped(metrics: Metrics) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await counted(Fickle(waits=True), metrics).answer(REQUEST)
    assert calls(metrics) == {"stopped": 1}
