"""Services that speak arq put work into the queue; pools of workers take what is theirs."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from service.store.embedded import EmbeddedStore
from tests.running import Running, bare_environ
from tests.scenarios.api import Api, wait_until
from tests.scenarios.team import Team

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

PRODUCER = """
import asyncio, json, sys
from arq.connections import RedisSettings, create_pool

async def main(url, agent_id):
    pool = await create_pool(
        RedisSettings.from_dsn(url),
        job_serializer=lambda job: json.dumps(job, default=str).encode(),
        job_deserializer=json.loads,
        default_queue_name="blockwire:jobs",
    )
    mine = {"workspace": "default", "_job_id": "my-key"}
    for _ in range(2):
        job = await pool.enqueue_job("send_message", agent_id, "Hello.", **mine)
        print(await job.result(timeout=10) if job else "known")
    await pool.delete("arq:result:my-key")
    again = await pool.enqueue_job("send_message", agent_id, "Hello.", **mine)
    print(await again.result(timeout=10))
    refused = await pool.enqueue_job("send_message", "agent-unknown", "Hello.")
    try:
        await refused.result(timeout=10)
    except Exception as error:
        print(f"{type(error).__name__}: {(await refused.result_info()).result}")
    await pool.aclose()

assert "service" not in sys.modules and "workers" not in sys.modules
asyncio.run(main(*sys.argv[1:]))
"""

DEFERRING = """
import asyncio, json, sys, time
from datetime import datetime, timedelta, timezone
from arq.connections import RedisSettings, create_pool

async def main(url, agent_id):
    pool = await create_pool(
        RedisSettings.from_dsn(url),
        job_serializer=lambda job: json.dumps(job).encode(),
        job_deserializer=json.loads,
        default_queue_name="blockwire:jobs",
    )
    async def sent(text, **when):
        began = time.time()
        job = await pool.enqueue_job("send_message", agent_id, text, **when)
        return await job.result(timeout=20, poll_delay=0.02), time.time() - began
    until = datetime.now(timezone.utc) + timedelta(seconds=1.2)
    print(json.dumps(await asyncio.gather(
        sent("by", _defer_by=1.2), sent("until", _defer_until=until), sent("now", priority=4),
    )))
    await pool.aclose()

asyncio.run(main(*sys.argv[1:]))
"""

PICKLING = """
import asyncio, pathlib, sys
from arq.connections import RedisSettings, create_pool

class Trap:
    def __reduce__(self):
        return (pathlib.Path.touch, (pathlib.Path(sys.argv[3]),))

async def main(url, agent_id, _):
    pool = await create_pool(RedisSettings.from_dsn(url), default_queue_name="blockwire:jobs")
    await pool.enqueue_job("send_message", agent_id, Trap(), _job_id="pickled")
    await pool.aclose()

asyncio.run(main(*sys.argv[1:]))
"""


async def produce(program: str, blockwire: Running, *words: str) -> list[str]:
    """The lines that a program prints which has arq and does not know Blockwire."""
    produced = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-I", "-c", program, EmbeddedStore(blockwire.data).url, *words],
        env=bare_environ(),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert produced.returncode == 0, produced.stderr
    return produced.stdout.splitlines()


async def test_a_stock_arq_producer_sends_a_message_and_gets_the_run(api: Api, blockwire: Running) -> None:
    """A service that has arq and not Blockwire: it enqueues a job, its result is the run's id. The same key
    gives the same run, even when arq has forgotten the result; a refusal says why."""
    agent = await api.agent(model="offline/scripted")
    first, second, third, refused = await produce(PRODUCER, blockwire, agent)
    assert (second, third) == ("known", first)
    assert (await api.ended(first))["agent_id"] == agent
    said = await api.get(f"/v1/runs/{first}/messages")
    assert [one["content"] for one in said] == ["Hello.", "No script."]
    assert len(await api.get(f"/v1/agents/{agent}/messages", limit=0)) == 3
    assert refused == "SerializationError: agent agent-unknown was not found in this workspace"


async def test_stock_arq_defers_a_message_and_gives_it_a_priority(api: Api, blockwire: Running) -> None:
    """arq's own ways to say when. Whoever waits for the result has the run's id as soon as it is sent."""
    agent = await api.agent(model="offline/scripted")
    (line,) = await produce(DEFERRING, blockwire, agent)
    (by, took_by), (until, took_until), (now, took_now) = json.loads(line)
    assert min(took_by, took_until) >= 1.19
    assert max(took_by, took_until) < 1.2 + 5
    assert took_now < min(took_by, took_until)
    said = [(await api.get(f"/v1/runs/{run}/messages"))[0]["content"] for run in (by, until, now)]
    assert said == ["by", "until", "now"]
    assert (await api.run(now))["metadata"]["priority"] == 4


async def test_a_pickled_job_is_refused_unread_and_the_log_says_what_to_set(
    api: Api, blockwire: Running, tmp_path: Path
) -> None:
    agent = await api.agent(model="offline/scripted")
    trap = tmp_path / "unpickled"
    await produce(PICKLING, blockwire, agent, str(trap))

    def told() -> list[str]:
        """What the log says of the job, in whatever form it is written."""
        lines = [line for line in blockwire.log_file.read_text().splitlines() if line.startswith("{")]
        events = [json.loads(line) for line in lines]
        return [event["error"] for event in events if event.get("job_id") == "pickled"]

    async def refused() -> bool:
        return told() != []

    await wait_until("the job was refused", refused)
    assert "set job_serializer=lambda job: json.dumps(job).encode()" in told()[0]
    assert not trap.exists()
    assert (await api.ended(await api.send(agent, {"text": "Still here."})))["status"] == "completed"


async def test_an_agent_of_a_pool_is_carried_by_workers_of_that_pool_alone(team: Team, team_api: Api) -> None:
    """Some agents need a machine of their own kind. Theirs wait for it, and everybody else's go on."""
    team.start("worker 1")
    special, ordinary = await team_api.agent(pool="gpu"), await team_api.agent()
    waiting = await team_api.send(special, {"text": "At last."})
    for _ in range(3):
        assert (await team_api.ended(await team_api.send(ordinary, {"text": "Hi."})))["status"] == "completed"
    assert await team_api.status(waiting) == "created"

    async def swept() -> bool:
        return any(event["agent_id"] == special for event in team.events("worker 1", "agent.requeued"))

    await wait_until("the sweeper of the other pool had seen it", swept)
    assert await team_api.status(waiting) == "created"
    team.start_worker("gpu worker", pool="gpu")
    assert (await team_api.ended(waiting))["status"] == "completed"
    assert team.worker_of(waiting) == "gpu worker"
