"""Faults of workers: they die, are asked to stop, or stand still, wherever in a step that catches them."""

import json
from signal import SIGCONT, SIGKILL, SIGSTOP, SIGTERM

from service.records.base import DEFAULT_WORKSPACE
from service.store.keys import key
from tests.faults.fault import Faults, Inject
from tests.faults.load import MODEL_MS, Load
from tests.faults.scene import PATIENCE_S, WORKERS, Scene
from tests.receiver import Receiver, receiving
from tests.scenarios.api import Api, Found, turn, wait_until

faults = Faults()
ASK = "send_message_to_agent_and_wait_for_reply"
ASKS = {"type": "requires_approval", "tool_name": "memory_insert"}

for point, name, expected in (
    ("model.asked", "worker killed in a model call", "another worker asks the model again"),
    ("job.taken", "worker killed with a job in hand", "the sweeper queues the agent again"),
    ("run.begun", "worker killed as a run begins", "the lease runs out, and the run begins again elsewhere"),
    ("answer.stored", "worker killed between answer and tools", "the stored answer is not asked for again"),
    ("tool.edited", "worker killed between a tool's edit and its result", "the edit is not made again"),
    ("tools.done", "worker killed between tools and the store of the step", "their edits are not made again"),
    ("step.stored", "worker killed after the store of the step", "the next step is made by another"),
    ("wakeup.decided", "worker killed before wake-ups are recorded", "another records them"),
    ("wakeup.recorded", "worker killed after wake-ups are recorded", "nobody is told twice"),
):

    def _dies_at(point: str) -> Inject:
        async def inject(scene: Scene, load: Load) -> None:
            await load.send_agent("late")
            await scene.crash_and_revive(point)

        inject.__doc__ = f"SIGKILL to the worker that comes by `{point}` (crashing.py) first."
        return inject

    faults(name, expected)(_dies_at(point))


SUMMARISER = {
    "model": "offline/scripted",
    "prompt": f"<script>{json.dumps([{'text': 'They wrote.'}])}</script>",
}
WINDOW = 6000
LONG = "What they wrote on the board, and why, at some length. " * 60

for point, name in (
    ("summary.written", "worker killed before the summary that ends a run is stored"),
    ("summary.stored", "worker killed between the summary and the end of its run"),
):

    def _dies_summing_up(point: str) -> Inject:
        async def inject(scene: Scene, load: Load) -> None:
            full = {"context_window_limit": WINDOW, "compaction_settings": SUMMARISER}
            agent = await load.api.agent(load.board, **full)
            talks = [await load.api.send(agent, {"text": LONG}) for _ in range(6)]  # one fills the context
            mark = f"<full.{agent}>"
            writes = turn("memory_insert", label="board", new_string=mark)
            load.runs[await load.api.send(agent, writes, {"text": "Done."})] = [mark]
            await scene.crash_and_revive(point)
            for run in talks:
                assert (await load.api.ended(run))["status"] == "completed"

        inject.__doc__ = f"SIGKILL to the worker at `{point}`, as it makes room in a full context."
        return inject

    faults(name, "the run ends, and is summed up once")(_dies_summing_up(point))


async def _asking(scene: Scene, load: Load) -> tuple[str, str]:
    """An agent that asks another one, which takes its time: the asking run and the asked agent."""
    slow: list[Found] = [{"text": "At last.", "sleep_ms": 4 * MODEL_MS}]
    other = await load.api.agent(system=f"<script>{json.dumps(slow)}</script>")
    one = await load.api.agent(load.board, include_multi_agent_tools=True)
    mark = f"<asker.{one}>"
    writes = turn("memory_insert", label="board", new_string=mark)
    run = await load.api.send(one, turn(ASK, other_agent_id=other, message="Well?"), writes, {"text": "Ok."})
    load.runs[run] = ["", mark]
    return run, other


async def _asked_once(load: Load, other: str) -> None:
    """The question reached the other agent once, whatever died meanwhile."""
    runs = await load.api.get("/v1/runs/", agent_id=other)
    assert len(runs) == 1, f"the question was asked {len(runs)} times"


for point, name in (
    ("reply.asked", "worker killed as it asks another agent"),
    ("wait.stored", "worker killed while its agent waits for a reply"),
):

    def _dies_waiting(point: str) -> Inject:
        async def inject(scene: Scene, load: Load) -> None:
            run, other = await _asking(scene, load)
            await scene.crash_and_revive(point)
            await load.api.ended(run)
            await _asked_once(load, other)

        inject.__doc__ = f"SIGKILL to the worker at `{point}`, while one agent awaits another's reply."
        return inject

    faults(name, "the question is asked once, and the run goes on with its answer")(_dies_waiting(point))


@faults(
    "worker killed between a webhook's answer and its record",
    "another sends the same delivery again; every edit is told, in order",
    within_s=8,
)
async def _(scene: Scene, load: Load) -> None:
    """SIGKILL to the worker that has posted a delivery and not yet stored that it got through."""
    async with receiving() as receiver:
        asked = {"url": f"{receiver.url}/changes", "block_ids": [load.board], "kinds": ["edited"]}
        made = await load.api.post("/v1/webhooks/", asked)
        try:
            first = (await load.api.get(f"/v1/blocks/{load.board}"))["version"] + 1
            await scene.crash_and_revive("delivery.posted")
            scene.redis.zadd(key(DEFAULT_WORKSPACE, "webhooks_due"), {made["id"]: 0})  # not in 15 s: now
            await load.write_some()
            last = (await load.api.get(f"/v1/blocks/{load.board}"))["version"]

            async def told() -> bool:
                return last in _versions(receiver)

            await wait_until("the webhook was told all", told, PATIENCE_S)
            ids = [post.headers["webhook-id"] for post in receiver.posts]
            assert len({post.raw for post in receiver.posts}) == len(set(ids)), "one id, two deliveries"
            assert len(ids) > len(set(ids)), "what nobody had stored as delivered was not sent again"
            heard = _versions(receiver)
            assert heard == [*range(heard[0], heard[-1] + 1)], heard
            assert heard[0] <= first, heard
        finally:
            await load.api.http.delete(f"/v1/webhooks/{made['id']}")


def _versions(receiver: Receiver) -> list[int]:
    """What a webhook was told of, in order; a delivery that came again counts once."""
    bodies = {post.headers["webhook-id"]: post.body for post in receiver.posts}
    return [change["version"] for body in bodies.values() for change in body["data"]["changes"]]


@faults("both workers killed while an approval is pending", "the approved call is made once")
async def _(scene: Scene, load: Load) -> None:
    """SIGKILL to both workers after a run stopped for its caller's word, which then comes."""
    agent = await load.api.agent(load.board, tool_rules=[ASKS], include_base_tool_rules=False)
    mark = f"<approved.{agent}>"
    writes = turn("memory_insert", label="board", new_string=mark)
    first = await load.api.send(agent, writes, {"text": "Done."})
    await load.api.ended(first)
    scene.kill(*WORKERS)
    said = await load.api.get(f"/v1/agents/{agent}/messages", limit=0)
    [request] = [one for one in said if one["message_type"] == "approval_request_message"]
    word = {"type": "approval", "approve": True, "approval_request_id": request["id"]}
    begun = await load.api.post(f"/v1/agents/{agent}/messages/async", {"messages": [word]})
    scene.revive(*WORKERS)
    assert (await load.api.ended(begun["id"]))["status"] == "completed"
    load.marks.append(mark)


@faults("worker killed while it carries nothing", "nobody notices")
async def _(scene: Scene, load: Load) -> None:
    """SIGKILL to a worker after every run has ended."""
    for run in load.runs:
        await load.api.ended(run)
    scene.kill(WORKERS[0])
    scene.revive(WORKERS[0])


@faults("worker asked to stop in mid step", "its agents are handed on at once; it ends with 0")
async def _(scene: Scene, load: Load) -> None:
    """SIGTERM to a worker that carries an agent."""
    worker = scene.worker_of(await _under_way(scene, load))
    scene.signal(SIGTERM, worker)
    process = scene.processes[worker]

    async def ended() -> bool:
        return process.poll() is not None

    await wait_until("the worker had ended", ended)
    assert process.returncode == 0, f"it ended with {process.returncode}"
    scene.revive(worker)


@faults("worker stopped past its lease, then continued", "what it still writes is refused", within_s=8)
async def _(scene: Scene, load: Load) -> None:
    """SIGSTOP to a worker in mid step until another has taken its agent, then SIGCONT."""
    run = await _under_way(scene, load)
    worker = scene.worker_of(run)
    scene.signal(SIGSTOP, worker)
    try:

        async def taken() -> bool:
            return scene.worker_of(run) != worker

        await wait_until("another worker had the run", taken)
    finally:
        scene.signal(SIGCONT, worker)


@faults("both workers killed", "runs go on as soon as there is a worker again", within_s=8)
async def _(scene: Scene, load: Load) -> None:
    """SIGKILL to both workers at once; both are started again."""
    await _under_way(scene, load)
    scene.signal(SIGKILL, *WORKERS)
    scene.kill(*WORKERS)
    scene.revive(*WORKERS)


async def _under_way(scene: Scene, load: Load) -> str:
    """A run that a worker has begun."""
    run = await load.send_agent("late", turns=10)
    await _begun(load.api, run)
    await wait_until("a worker says so", lambda: _carried(scene, run))
    return run


async def _begun(api: Api, run: str) -> None:
    async def running() -> bool:
        return await api.status(run) == "running"

    await wait_until("the run was begun", running)


async def _carried(scene: Scene, run: str) -> bool:
    return any(e["run_id"] == run for name in WORKERS for e in scene.events(name, "run.started"))
