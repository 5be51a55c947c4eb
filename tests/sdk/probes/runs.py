"""Probes of runs and steps."""

from tests.sdk.probes.probe import Found, Probe, ids, kinds, probe, saying, words


@probe("runs.list")
def find(p: Probe) -> None:
    agent_id, run_id = p.ran()
    p.tell(agent_id, {"text": "Again."})
    found = p.call(agent_ids=[agent_id])
    assert len(found) == 2
    assert found[-1]["id"] == run_id


@probe("runs.list_active")
def active(p: Probe) -> None:
    agent_id, run_id = p.running()
    found = p.call(agent_id=agent_id)
    p.post(f"/v1/agents/{agent_id}/messages/cancel", {})
    assert run_id in ids(found)
    ended = p.ran()[1]
    assert ended not in ids(p.call())


@probe("runs.retrieve")
def retrieve(p: Probe) -> None:
    agent_id, run_id = p.ran()
    found = p.call(run_id=run_id)
    assert (found["id"], found["agent_id"], found["status"]) == (run_id, agent_id, "completed")


@probe("runs.delete")
def delete(p: Probe) -> None:
    agent_id, run_id = p.ran()
    p.call(run_id=run_id)
    assert p.get("/v1/runs/", agent_id=agent_id) == []


@probe("runs.messages.list")
def messages(p: Probe) -> None:
    found = p.call(run_id=p.ran()[1])
    assert kinds(found) == ["user_message", "assistant_message"]
    assert words(found) == "Hello."


@probe("runs.messages.stream")
def stream(p: Probe) -> None:
    agent_id = p.agent()["id"]
    body = {"messages": saying({"text": "In the background."})}
    run_id = p.post(f"/v1/agents/{agent_id}/messages/async", body)["id"]
    heard = _stream(p, run_id, 0)
    assert kinds(heard) == ["ping", "assistant_message", "stop_reason", "usage_statistics"]
    assert words(heard) == "In the background."
    (said,) = [one["seq_id"] for one in heard if one["message_type"] == "assistant_message"]
    assert "assistant_message" not in kinds(_stream(p, run_id, said))


def _stream(p: Probe, run_id: str, after: int) -> list[Found]:
    heard: list[Found] = p.call(run_id=run_id, starting_after=after)
    return heard


@probe("runs.usage.retrieve")
def usage(p: Probe) -> None:
    found = p.call(run_id=p.ran()[1])
    assert found["total_tokens"] == found["prompt_tokens"] + found["completion_tokens"] > 0


@probe("runs.steps.list")
def steps(p: Probe) -> None:
    _, run_id = p.ran()
    (step,) = p.call(run_id=run_id)
    assert step["run_id"] == run_id


@probe("runs.retrieve_metrics_for_run")
def metrics(p: Probe) -> None:
    agent_id, run_id = p.ran()
    found = p.call(run_id=run_id)
    assert (found["agent_id"], found["num_steps"]) == (agent_id, 1)
    assert found["run_ns"] > 0


@probe("runs.trace.retrieve")
def trace(p: Probe) -> None:
    assert p.call(run_id=p.ran()[1])


@probe("steps.list")
def find_steps(p: Probe) -> None:
    agent_id, run_id = p.ran()
    (step,) = p.call(agent_id=agent_id)
    assert step["run_id"] == run_id


@probe("steps.retrieve")
def retrieve_step(p: Probe) -> None:
    step, run_id = _step(p)
    assert p.call(step_id=step)["run_id"] == run_id


@probe("steps.metrics.retrieve")
def step_metrics(p: Probe) -> None:
    step, run_id = _step(p)
    found = p.call(step_id=step)
    assert (found["id"], found["run_id"]) == (step, run_id)
    assert found["step_ns"] > 0


@probe("steps.trace.retrieve")
def step_trace(p: Probe) -> None:
    _check_traced(p)


@probe("telemetry.retrieve_provider_trace")
def telemetry(p: Probe) -> None:
    _check_traced(p)


def _check_traced(p: Probe) -> None:
    step, _ = _step(p)
    found = p.call(step_id=step)
    assert found["step_id"] == step
    assert "Hello." in str(found["response_json"])


@probe("steps.messages.list")
def step_messages(p: Probe) -> None:
    step, _ = _step(p)
    assert words(p.call(step_id=step)) == "Hello."


@probe("steps.feedback.create")
def feedback(p: Probe) -> None:
    step, _ = _step(p)
    p.call(step_id=step, feedback="positive")
    assert p.get(f"/v1/steps/{step}")["feedback"] == "positive"


def _step(p: Probe) -> tuple[str, str]:
    """A step and its run."""
    _, run_id = p.ran()
    return p.get(f"/v1/runs/{run_id}/steps")[0]["id"], run_id
