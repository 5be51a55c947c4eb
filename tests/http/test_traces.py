"""Traces: what a provider was asked and answered, where that is kept, and what is said where it is not."""

import httpx
import pytest

from service.bootstrap import Service
from service.records.runs import Step
from service.settings import Settings
from tests.http.conftest import WS
from tests.workers.bench import Bench, call, calls, says
from workers import asking


@pytest.fixture
def bench(service: Service) -> Bench:
    return Bench(service)


@pytest.fixture
def kept(bench: Bench) -> None:
    """A service that was started with BLOCKWIRE_TRACES."""
    object.__setattr__(bench.service, "settings", Settings(lease_ms=60_000, traces=True))


async def steps_of(bench: Bench) -> tuple[str, list[Step]]:
    agent = await bench.agent({"notes": ""}, tags=["t"])
    run = await bench.tell(agent, calls(call("memory_insert", label="notes", new_string="x")), says("Done."))
    return run.id, await bench.service.runs.steps(WS, run.id)


@pytest.mark.usefixtures("kept")
async def test_a_steps_trace_is_what_was_sent_and_what_came_back(
    client: httpx.AsyncClient, bench: Bench
) -> None:
    run_id, steps = await steps_of(bench)
    for path in ("/v1/steps/{}/trace", "/v1/telemetry/{}"):
        shown = (await client.get(path.format(steps[1].id))).json()
        assert (shown["step_id"], shown["run_id"]) == (steps[1].id, run_id)
        assert shown["request_json"]["messages"][-1]["tool_returns"][0]["name"] == "memory_insert"
        assert shown["response_json"]["text"] == "Done."
        assert shown["id"].startswith("provider_trace-")
    listed = (await client.get(f"/v1/runs/{run_id}/trace")).json()
    assert [one["step_id"] for one in listed] == [step.id for step in steps]


@pytest.mark.usefixtures("kept")
async def test_a_huge_request_is_left_out(
    client: httpx.AsyncClient, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "TRACE_CHARS", 500)
    _, steps = await steps_of(bench)
    shown = (await client.get(f"/v1/steps/{steps[1].id}/trace")).json()
    assert shown["request_json"]["left_out"].endswith(" characters")
    assert shown["response_json"]["text"] == "Done."


@pytest.mark.usefixtures("kept")
async def test_a_trace_goes_with_its_run(client: httpx.AsyncClient, bench: Bench) -> None:
    run_id, steps = await steps_of(bench)
    await client.delete(f"/v1/runs/{run_id}")
    assert await bench.service.runs.trace(WS, steps[0].id) is None


async def test_where_none_is_kept_a_step_has_null_and_a_run_says_what_to_do(
    client: httpx.AsyncClient, bench: Bench
) -> None:
    run_id, steps = await steps_of(bench)
    assert (await client.get(f"/v1/steps/{steps[0].id}/trace")).json() is None
    answer = await client.get(f"/v1/runs/{run_id}/trace")
    assert answer.status_code == 501
    assert "BLOCKWIRE_TRACES=1" in answer.json()["detail"]


async def test_a_run_tells_how_long_its_first_word_took(client: httpx.AsyncClient, bench: Bench) -> None:
    run_id, _ = await steps_of(bench)
    run = (await client.get(f"/v1/runs/{run_id}")).json()
    assert 0 < run["ttft_ns"] <= run["total_duration_ns"]
