"""Driver of `letta-client` 1: calls every method of the shared-memory surface and reports what came back.

    python driver.py BASE_URL [--calls]

A scene is a function below; its facts have the same names in all drivers. With `--calls` it makes the
calls it is told instead (calls.py).
"""

import sys
import warnings
from collections.abc import Iterable
from itertools import groupby
from typing import Any
from uuid import uuid4

from calls import answer_calls
from example import make_team
from letta_client import Letta
from letta_client.types import AgentState, BlockResponse
from report import Facts, Report, refused, script, wait_for

BASE_URL = sys.argv[1]
UNKNOWN = "00000000-0000-4000-8000-00000000abcd"
EMBEDDING = "openai/text-embedding-3-small"
ABSENT = {"ProviderTrace": ["latency_ms"]}  # V1's last version does not send it


def connect(
    token: str = "LETTA_API_KEY", timeout_s: float = 60, headers: dict[str, str] | None = None
) -> Letta:
    return Letta(base_url=BASE_URL, api_key=token, timeout=timeout_s, default_headers=headers)


client = connect()
report = Report(ABSENT)
checked = report.checked


def unique(word: str) -> str:
    return f"{word}-{uuid4().hex[:8]}"


def scripted(*blocks: BlockResponse, **options: Any) -> AgentState:
    """An agent attached to these blocks; unless it gets another model, its messages tell it what to say."""
    given = {"model": "offline/scripted", "embedding": EMBEDDING, "block_ids": [block.id for block in blocks]}
    return checked(client.agents.create(**given | options))


def tell(agent: AgentState, words: str) -> Any:
    return checked(client.agents.messages.create(agent.id, messages=[{"role": "user", "content": words}]))


def prompt_of(agent: AgentState) -> str:
    """The system prompt that an agent's very next model call has."""
    return str(tell(agent, script({"echo": "system"})).messages[-1].content)


def block_facts(block: BlockResponse) -> Facts:
    names = "id label value description limit read_only metadata".split()
    return {name: getattr(block, name) for name in names}


def agent_facts(agent: AgentState) -> Facts:
    return {
        "id": agent.id,
        "name": agent.name,
        "description": agent.description,
        "model": agent.llm_config.handle,
        "tags": agent.tags,
        "tools": sorted(str(tool.name) for tool in agent.tools),
        "labels": sorted(str(block.label) for block in agent.memory.blocks),
    }


def example() -> Facts:
    team = make_team(BASE_URL)
    checked([team.block, team.supervisor, team.worker])
    sharers = checked(list(team.client.blocks.agents.list(team.block.id)))
    ask = [{"role": "user", "content": "What do you know?"}]
    return {
        "block": block_facts(team.block),
        "supervisor": agent_facts(team.supervisor),
        "worker": agent_facts(team.worker),
        "sharers": [agent.id for agent in sharers],
        "run": refused(lambda: team.client.agents.messages.create(team.worker.id, messages=ask)),
    }


def scripted_worker() -> Facts:
    block = checked(client.blocks.create(label="organization", value="Nothing is known yet."))
    supervisor = scripted(block, memory_blocks=[{"label": "persona", "value": "I lead the team"}])
    worker = scripted(block, memory_blocks=[{"label": "persona", "value": "I find things out"}])
    before = prompt_of(supervisor)
    fact = {"label": "organization", "new_string": "The office cat is called Miso."}
    noted = script({"calls": [{"name": "memory_insert", "arguments": fact}]}, {"text": "Noted."})
    answer = tell(worker, noted)
    return {
        "before": before,
        "answer": [message.message_type for message in answer.messages],
        "tool_status": [one.status for one in answer.messages if one.message_type == "tool_return_message"],
        "value": client.blocks.retrieve(block.id).value,
        "after": prompt_of(supervisor),
        "private": checked(client.agents.blocks.retrieve("persona", agent_id=supervisor.id)).value,
    }


def older_worker() -> Facts:
    block = checked(client.blocks.create(label="organization", value="Nothing is known yet."))
    supervisor = scripted(block)
    worker = scripted(block, agent_type="memgpt_agent")
    fact = {"label": "organization", "content": "The lift is out of order.", "request_heartbeat": True}
    bye = {"name": "send_message", "arguments": {"message": "Noted."}}
    answer = tell(
        worker, script({"calls": [{"name": "core_memory_append", "arguments": fact}]}, {"calls": [bye]})
    )
    return {
        "answer": [message.message_type for message in answer.messages],
        "words": answer.messages[-1].content,
        "value": client.blocks.retrieve(block.id).value,
        "after": prompt_of(supervisor),
    }


def plain_words() -> Facts:
    block = checked(
        client.blocks.create(label="organization", description="Facts about the release.", value="")
    )
    supervisor = scripted(block)
    worker = scripted(block, model="offline/extractive")
    answer = tell(worker, "Please remember that the release moves to Thursday.")
    return {
        "words": answer.messages[-1].content,
        "value": client.blocks.retrieve(block.id).value,
        "after": prompt_of(supervisor),
    }


def person() -> Facts:
    block = checked(client.blocks.create(label="organization", value="Nothing is known yet."))
    supervisor = scripted(block)
    checked(client.blocks.update(block.id, value="The canteen closes at two."))
    return {"after": prompt_of(supervisor)}


def blocks() -> Facts:
    label = unique("block")
    made = checked(
        client.blocks.create(label=label, value="one", limit=500, description="A note", read_only=True)
    )
    made_facts = block_facts(made)
    others = [checked(client.blocks.create(label=label, value=str(n))) for n in range(4)]
    changed = checked(
        client.blocks.update(
            made.id, value="two", description="Another", metadata={"colour": "red"}, limit=600
        )
    )
    everything = checked(list(client.blocks.list(label=label)))
    agent = scripted(made)
    sharers = checked(list(client.blocks.agents.list(made.id)))
    paged = [block.id for block in client.blocks.list(label=label, limit=2)]
    backwards = [block.id for block in client.blocks.list(label=label, limit=2, order="desc")]
    client.blocks.delete(made.id)
    return {
        "label": label,
        "created": made_facts,
        "changed": block_facts(changed),
        "retrieved": block_facts(checked(client.blocks.retrieve(others[0].id))),
        "made": [made.id, *(block.id for block in others)],
        "listed": [block.id for block in everything],
        "paged": paged,
        "backwards": backwards,
        "sharers": [one.id for one in sharers],
        "agent": agent.id,
        "after_delete": refused(lambda: client.blocks.retrieve(made.id)),
        "labels_after_delete": [block.label for block in client.agents.blocks.list(agent.id)],
    }


def agents() -> Facts:
    name, tag = unique("agent"), unique("tag")
    made = scripted(
        name=name,
        description="A helper",
        tags=[tag],
        memory_blocks=[{"label": "persona", "value": "I help"}, {"label": "human", "value": "Ada"}],
    )
    others = [scripted(tags=[tag]) for _ in range(4)]
    changed = checked(
        client.agents.update(made.id, name=f"{name}-renamed", description="Another", tags=[tag, "new"])
    )
    bare = checked(client.agents.retrieve(made.id))
    wanted = ["agent.blocks", "agent.tools", "agent.tags"]
    retrieved = checked(client.agents.retrieve(made.id, include=wanted))
    listed = checked(list(client.agents.list(tags=[tag])))
    paged = [agent.id for agent in client.agents.list(tags=[tag], limit=2)]
    named = checked(list(client.agents.list(name=f"{name}-renamed")))
    client.agents.delete(made.id)
    return {
        "name": name,
        "tag": tag,
        "created": agent_facts(made),
        "changed": agent_facts(changed),
        "retrieved": agent_facts(retrieved),
        "retrieved_bare": agent_facts(bare),
        "made": [made.id, *(agent.id for agent in others)],
        "listed": [agent.id for agent in listed],
        "paged": paged,
        "named": [agent.id for agent in named],
        "after_delete": refused(lambda: client.agents.retrieve(made.id)),
    }


def core_memory() -> Facts:
    agent = scripted(
        memory_blocks=[{"label": "persona", "value": "I am private"}, {"label": "notes", "value": "Mine"}]
    )
    shared = checked(client.blocks.create(label="shared", value="Ours"))
    clashing = checked(client.blocks.create(label="notes", value="Not mine"))
    attached = checked(client.agents.blocks.attach(shared.id, agent_id=agent.id))
    again = checked(client.agents.blocks.attach(shared.id, agent_id=agent.id))
    changed = checked(client.agents.blocks.update("shared", agent_id=agent.id, value="Ours, by label"))
    facts = {
        "attached": agent_facts(attached)["labels"],
        "attached_again": agent_facts(again)["labels"],
        "listed": sorted(str(block.label) for block in checked(list(client.agents.blocks.list(agent.id)))),
        "private": block_facts(checked(client.agents.blocks.retrieve("persona", agent_id=agent.id)))["value"],
        "changed": changed.value,
        "changed_for_all": client.blocks.retrieve(shared.id).value,
        "prompt": prompt_of(agent),
        "clash": refused(lambda: client.agents.blocks.attach(clashing.id, agent_id=agent.id)),
    }
    detached = checked(client.agents.blocks.detach(shared.id, agent_id=agent.id))
    return facts | {
        "detached": agent_facts(detached)["labels"],
        "prompt_after_detach": prompt_of(agent),
        "detach_again": refused(lambda: client.agents.blocks.detach(shared.id, agent_id=agent.id)),
        "detached_block": client.blocks.retrieve(shared.id).value,
    }


def messages() -> Facts:
    agent = scripted()
    answer = tell(agent, script({"reasoning": "Let me think.", "text": "Good morning."}))
    ask = [{"role": "user", "content": script({"text": "In the background."})}]
    begun = checked(client.agents.messages.create_async(agent.id, messages=ask))
    ended = wait_for(
        "the end of a run", lambda: client.runs.retrieve(begun.id), lambda run: run.status == "completed"
    )
    checked(ended)
    listed = checked(list(client.agents.messages.list(agent.id)))
    return {
        "types": [message.message_type for message in answer.messages],
        "reasoning": answer.messages[0].reasoning,
        "words": answer.messages[-1].content,
        "stop_reason": answer.stop_reason.stop_reason,
        "steps": answer.usage.step_count,
        "tokens": [answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens],
        "run": {
            "id": begun.id,
            "status": begun.status,
            "agent_id": begun.agent_id,
            "background": begun.background,
        },
        "ended": {
            "id": ended.id,
            "status": ended.status,
            "stop_reason": ended.stop_reason,
            "took": (ended.completed_at - ended.created_at).total_seconds(),
        },
        "agent_id": agent.id,
        "listed": [message.message_type for message in listed],
        "said": [message.content for message in listed if message.message_type == "assistant_message"],
        "latest": client.agents.messages.list(agent.id, limit=1).items[-1].content,
        "whole_seconds": all(message.date.microsecond == 0 for message in listed),
    }


SCRIPT = script(
    {
        "reasoning": "What was that about the cat, I wonder?",
        "calls": [
            {"name": "memory_insert", "arguments": {"label": "notes", "new_string": "The cat is Miso."}}
        ],
        "pace_ms": 40,
    },
    {"text": "I noted it down, and I shall not forget it again.", "pace_ms": 40},
)
BYE = {"name": "send_message", "arguments": {"message": 'I said "goodbye" to the café, and I meant it.'}}


def heard(stream: Iterable[Any]) -> Facts:
    """What a stream said; neighbours of one type are one, their texts put together."""
    events = [checked(event) for event in stream]
    kinds = [event.message_type for event in events]
    said = [event for event in events if event.message_type == "assistant_message"]
    calls = [event.tool_call for event in events if event.message_type == "tool_call_message"]
    usage = [event for event in events if event.message_type == "usage_statistics"]
    return {
        "types": [kind for kind, _ in groupby(kinds)],
        "pieces": len(said),
        "words": "".join(str(event.content) for event in said),
        "thoughts": "".join(event.reasoning for event in events if event.message_type == "reasoning_message"),
        "arguments": "".join(call.arguments or "" for call in calls),
        "stop_reason": [event.stop_reason for event in events if event.message_type == "stop_reason"],
        "steps": [event.step_count for event in usage],
    }


def streamed(agent: AgentState, words: str, **options: Any) -> Iterable[Any]:
    ask = [{"role": "user", "content": words}]
    return client.agents.messages.create(agent.id, messages=ask, streaming=True, **options)


def streamed_by_its_own_route(agent: AgentState, words: str) -> Iterable[Any]:
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        return client.agents.messages.stream(agent.id, messages=[{"role": "user", "content": words}])


def streams() -> Facts:
    agent = scripted(memory_blocks=[{"label": "notes", "value": ""}])
    speaker = scripted(agent_type="memgpt_agent")
    facts = {
        "steps": heard(streamed_by_its_own_route(agent, SCRIPT)),
        "tokens": heard(streamed(agent, SCRIPT, stream_tokens=True)),
        "quiet": heard(streamed(agent, SCRIPT, include_pings=False)),
        "voice": heard(streamed(speaker, script({"calls": [BYE], "pace_ms": 40}), stream_tokens=True)),
    }
    listed = list(client.agents.messages.list(agent.id))
    return facts | {
        "listed_words": listed[-1].content,
        "listed_arguments": [one for one in listed if one.message_type == "tool_call_message"][
            -1
        ].tool_call.arguments,
        "listed_voice": list(client.agents.messages.list(speaker.id))[-1].content,
    }


def background() -> Facts:
    agent = scripted(memory_blocks=[{"label": "notes", "value": ""}])
    begun = streamed(agent, SCRIPT, stream_tokens=True, background=True)
    first = []
    for event in begun:
        first.append(event)
        if event.message_type == "assistant_message":
            break
    begun.close()
    run_id, last = first[0].run_id, first[-1].seq_id
    return {
        "seqs": [event.seq_id for event in first],
        "words": first[-1].content,
        "rest": heard(client.runs.messages.stream(run_id, starting_after=last)),
        "again": heard(client.runs.messages.stream(run_id)),
    }


def failing_stream() -> Facts:
    kinds: list[str] = []
    failing = script({"error": "llm_rate_limit", "message": "slow down"})
    error = refused(lambda: [kinds.append(one.message_type) for one in streamed(scripted(), failing)])
    return {"types": kinds, "error": error}


def cancelling() -> Facts:
    agent = scripted()
    ask = [{"role": "user", "content": script({"text": "Late.", "sleep_ms": 60_000})}]
    begun = client.agents.messages.create_async(agent.id, messages=ask)
    wait_for("a run under way", lambda: client.runs.retrieve(begun.id), lambda run: run.status == "running")
    told = client.agents.messages.cancel(agent.id)
    ended = wait_for(
        "the end of a run", lambda: client.runs.retrieve(begun.id), lambda run: run.status == "cancelled"
    )
    return {
        "run": begun.id,
        "told": dict(told),
        "status": checked(ended).status,
        "again": refused(lambda: client.agents.messages.cancel(agent.id)),
    }


def steps() -> Facts:
    agent = scripted()
    tell(agent, script({"text": "Hello."}))
    run = checked(list(client.runs.list(agent_id=agent.id)))[0]
    usage = checked(client.runs.usage.retrieve(run.id))
    of_run = checked(list(client.runs.steps.list(run.id)))
    listed = checked(list(client.steps.list(agent_id=agent.id)))
    judged = checked(client.steps.feedback.create(listed[0].id, feedback="positive"))
    return {
        "run_agent": run.agent_id,
        "agent": agent.id,
        "tokens": [usage.prompt_tokens, usage.completion_tokens, usage.total_tokens],
        "of_run": [step.id for step in of_run],
        "listed": [step.id for step in listed],
        "said": [one.message_type for one in checked(list(client.runs.messages.list(run.id)))],
        "feedback": judged.feedback,
        "retrieved": checked(client.steps.retrieve(listed[0].id)).feedback,
    }


def models() -> Facts:
    found = checked(client.models.list())
    embeddings = checked(client.models.embeddings.list())
    health = checked(client.health())
    return {
        "handles": [model.handle for model in found],
        "windows": [model.context_window for model in found],
        "embeddings": [model.handle for model in embeddings],
        "dimensions": [model.embedding_dim for model in embeddings],
        "health": health.status,
        "version": health.version,
    }


def refusals() -> Facts:
    agent, block = scripted(), client.blocks.create(label="lonely", value="")
    ask = [{"role": "user", "content": "Hello"}]
    return {
        "unknown_block": refused(lambda: client.blocks.retrieve(f"block-{UNKNOWN}")),
        "unknown_block_changed": refused(lambda: client.blocks.update(f"block-{UNKNOWN}", value="x")),
        "unknown_block_deleted": refused(lambda: client.blocks.delete(f"block-{UNKNOWN}")),
        "unknown_agent": refused(lambda: client.agents.retrieve(f"agent-{UNKNOWN}")),
        "unknown_agent_changed": refused(lambda: client.agents.update(f"agent-{UNKNOWN}", name="x")),
        "unknown_agent_deleted": refused(lambda: client.agents.delete(f"agent-{UNKNOWN}")),
        "unknown_agent_told": refused(
            lambda: client.agents.messages.create(f"agent-{UNKNOWN}", messages=ask)
        ),
        "unknown_agent_listed": refused(lambda: list(client.agents.messages.list(f"agent-{UNKNOWN}"))),
        "unknown_agent_blocks": refused(lambda: list(client.agents.blocks.list(f"agent-{UNKNOWN}"))),
        "unknown_label": refused(lambda: client.agents.blocks.retrieve("nowhere", agent_id=agent.id)),
        "unknown_attached": refused(
            lambda: client.agents.blocks.attach(f"block-{UNKNOWN}", agent_id=agent.id)
        ),
        "not_attached": refused(lambda: client.agents.blocks.detach(block.id, agent_id=agent.id)),
        "unknown_run": refused(lambda: client.runs.retrieve(f"run-{UNKNOWN}")),
        "unknown_model": refused(lambda: client.agents.create(model="nobody/knows")),
        "bad_handle": refused(lambda: client.agents.create(model="nothing")),
        "malformed_id": refused(lambda: client.blocks.retrieve("block-1")),
        "malformed_field": refused(lambda: scripted(block_ids=["block-1"])),
        "no_messages": refused(lambda: client.agents.messages.create(agent.id, messages=[])),
    }


SCENES = (
    *(example, scripted_worker, older_worker, plain_words, person),
    *(
        blocks,
        agents,
        core_memory,
        messages,
        streams,
        background,
        failing_stream,
        cancelling,
        steps,
        models,
        refusals,
    ),
)

if __name__ == "__main__":
    if sys.argv[2:] == ["--calls"]:
        answer_calls(connect, report, "new")
        sys.exit()
    for scene in SCENES:
        report.play(scene)
    report.write()
