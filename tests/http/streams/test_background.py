"""Background runs: numbers to come back by, and coming back."""

import json

import httpx
import pytest
from starlette.applications import Starlette

from service.records.messages import NewMessage
from service.records.runs import RunOptions
from service.store.keys import key
from tests.http.conftest import WS
from tests.http.listening import DONE, listening, outline
from tests.http.streams.scenes import (
    BYE,
    ENDED,
    FIRST,
    LOCAL,
    REMEMBER,
    V1_FIRST,
    Back,
    Hear,
    Listen,
    slow,
)
from tests.workers.bench import Bench, calls, says


async def test_objects_of_a_background_run_are_numbered_upwards_from_the_first_ping(
    hear: Hear, bench: Bench
) -> None:
    for tokens in (False, True):
        agent = await bench.agent({"notes": ""})
        heard = await hear(agent, slow(FIRST), says("Done."), background=True, stream_tokens=tokens)
        *objects, stop, usage, done = heard
        seqs = [one.data["seq_id"] for one in objects]
        assert seqs[0] == 1
        assert seqs == sorted(set(seqs))
        assert "seq_id" not in stop.data
        assert "seq_id" not in usage.data
        assert done.data == DONE
        assert (await bench.service.runs.read(WS, objects[0].data["run_id"])).background is True


async def test_objects_of_other_runs_have_no_numbers(hear: Hear, bench: Bench) -> None:
    heard = await hear(await bench.agent({"notes": ""}), FIRST, says("Done."))
    assert {one.data.get("seq_id") for one in heard if one.data != DONE} == {None}


@pytest.mark.parametrize("tokens", [False, True], ids=["steps", "tokens"])
async def test_who_comes_back_goes_on_behind_any_object(
    hear: Hear, back: Back, bench: Bench, tokens: bool
) -> None:
    agent = await bench.memgpt(blocks={"notes": ""})
    script = [slow(REMEMBER), slow(calls(BYE, text="Time to say goodbye to them now."))]
    ping, *heard = await hear(agent, *script, background=True, stream_tokens=tokens)
    run_id = ping.data["run_id"]
    again = await back(run_id)
    assert (again[0].data["message_type"], again[0].data["seq_id"]) == ("ping", 1)
    assert again[1:] == heard
    objects = [one for one in heard if one.data != DONE and "date" in one.data]
    for place, one in enumerate(objects):
        seq = one.data["seq_id"]
        assert await back(run_id, starting_after=seq, include_pings=False) == heard[place + 1 :]
    [late, *rest] = await back(run_id, starting_after=objects[-1].data["seq_id"])
    assert late.data["seq_id"] == objects[-1].data["seq_id"]
    assert outline(rest) == ENDED


async def test_who_comes_back_before_the_end_hears_the_rest_as_it_is_made(
    listen: Listen, app: Starlette, bench: Bench
) -> None:
    agent = await bench.agent({"notes": ""})
    async with listen(agent, FIRST, says("Done."), background=True) as listener:
        run_id = (await listener.next()).data["run_id"]
    async with listening(app, f"/v1/runs/{run_id}/stream", {"starting_after": 1}, LOCAL) as listener:
        assert (await listener.next()).data["seq_id"] == 1
        await bench.carry(agent)
        assert outline(await listener.rest()) == [*V1_FIRST, "assistant: Done.", *ENDED]


async def test_an_async_run_can_be_followed_step_by_step(app: Starlette, back: Back, bench: Bench) -> None:
    agent = await bench.agent({"notes": ""})
    body = {"messages": [{"role": "user", "content": json.dumps({"script": [FIRST, says("Done.")]})}]}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
        run = (await client.post(f"/v1/agents/{agent.id}/messages/async", json=body)).json()
    await bench.carry(agent)
    assert outline(await back(run["id"])) == ["ping", *V1_FIRST, "assistant: Done.", *ENDED]


@pytest.mark.parametrize("kind", ["blocking", "streaming", "unknown", "malformed", "expired"])
async def test_a_run_one_cannot_come_back_to_is_refused(app: Starlette, bench: Bench, kind: str) -> None:
    agent = await bench.agent()
    run = await bench.send(agent, "Hello.", output="steps" if kind == "streaming" else "none")
    run_id, body = run.id, {"starting_after": -1 if kind == "malformed" else 0}
    if kind == "unknown":
        run_id = "run-00000000-0000-4000-8000-000000000000"
    if kind == "expired":
        options = RunOptions(output="steps")
        sent = [NewMessage(content="Hello.")]
        run = await bench.service.messages.send(WS, agent.id, sent, options, background=True)
        await bench.carry(agent)
        run_id = run.id
        await bench.service.store._redis.delete(key(WS, "run_output", run_id))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
        answer = await client.post(f"/v1/runs/{run_id}/stream", json=body)
    refusals = {
        "blocking": (400, "INVALID_ARGUMENT: run_id: not a background run"),
        "streaming": (400, "INVALID_ARGUMENT: run_id: not a background run"),
        "unknown": (404, "run "),
        "malformed": (422, "body.starting_after: "),
        "expired": (410, "EXPIRED: "),
    }
    status, opening = refusals[kind]
    assert answer.status_code == status
    assert answer.json()["detail"].startswith(opening)


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ({"agent_id": "agent-00000000-0000-4000-8000-000000000000"}, 404),
        ({"run_id": "run-00000000-0000-4000-8000-000000000000"}, 404),
        ({"otid": "another"}, 404),
        ({"otid": "mine-1"}, 200),
    ],
)
async def test_what_else_is_said_of_the_run_must_fit_it(
    app: Starlette, bench: Bench, said: dict[str, str], status: int
) -> None:
    agent = await bench.agent()
    sent = [NewMessage(content="Hello.", otid="mine-1")]
    run = await bench.service.messages.send(WS, agent.id, sent, RunOptions(output="steps"), background=True)
    await bench.carry(agent)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
        answer = await client.post(f"/v1/runs/{run.id}/stream", json=said)
    assert answer.status_code == status
