"""Keys: the name of every key and channel, its Redis type, who writes it and when it ends.

`bw:{<workspace>}:…`: the workspace is the cluster hash tag, so all that one
script touches lies in one slot. The scripts take their names from this table
too: `K.block(id)` in a script is the entry `block` here (service/store/scripts.py).
Nothing scans the keyspace.
"""

from dataclasses import dataclass

from service.errors import NotFound

SCHEMA = 3
SCHEMA_KEY = "bw:schema"
"""String: the schema number of the whole store. Never ends."""
WORKSPACES_KEY = "bw:workspaces"
"""Set: names of workspaces that hold anything; the sweeper's list. Never ends."""
TOKENS_KEY = "bw:tokens"
"""Hash: digest of a token's secret -> record (JSON). Each ends when it is revoked."""
TOKENS_CHANNEL = "bw:tokens:changed"
"""Channel: `created` or `revoked`. Fleeting."""

WORKERS_KEY = "bw:workers"
"""Set: ids of workers that report. Each goes when another begins and finds its report gone."""


@dataclass(frozen=True)
class Key:
    """One kind of key: `before` and `after` stand around its id, if it has one."""

    before: str
    type: str
    owner: str
    ends: str
    after: str = ""
    has_id: bool = True


def _single(name: str, type: str, owner: str, ends: str) -> Key:
    return Key(before=name, type=type, owner=owner, ends=ends, has_id=False)


WITH_RUN = "with its run: BLOCKWIRE_RUN_DAYS after its end, or past the last 1,000 of its agent"
WITH_AGENT = "with its agent"
WITH_BLOCK = "with its block"
WITH_WEBHOOK = "with its webhook"
WITH_SUBSCRIPTION = "with its subscription"
GONE = "a day after the last deletion; the newest 10,000 are kept"

KEYS: dict[str, Key] = {
    "meta": _single(
        "meta", "hash: epoch, n, lineage (change counter), seq (creation counter)", "every script", "never"
    ),
    "changes": _single("changes", "stream: change (JSON)", "blocks", "the oldest, past BLOCKWIRE_CHANGES"),
    "changed": _single("changed", "channel: the same JSON", "blocks", "fleeting"),
    "output": _single(
        "output",
        "channel: <run id> <status>, for whoever waits for its end, the run too",
        "runs",
        "fleeting",
    ),
    "summons": _single(
        "summons",
        "channel: what workers are to see to: <run id> cancelling, callbacks due, webhooks due",
        "runs, webhooks",
        "fleeting",
    ),
    "dispatched": _single(
        "dispatched", "string: id of the last change told to subscribers", "wake-ups", "never"
    ),
    "ready": _single("ready", "zset: agent by ms since ready", "runs", "when taken"),
    "queued": Key(
        "queued:", "zset: agent by ms since it waits for a worker of the pool", "runs", "when taken"
    ),
    "pools": _single("pools", "set: pool that agents waited for", "runs", "a day after the last did"),
    "later": _single("later", "zset: run by ms when it enters its inbox", "messages", "when it does"),
    "leases": _single("leases", "zset: agent by ms when its lease ends", "runs", "when released"),
    "waits": _single(
        "waits", "zset: agent by ms until which it waits for replies", "asks", "when it goes on"
    ),
    "approvals": _single(
        "approvals",
        "zset: agent by ms until which its request waits for an answer",
        "approvals",
        "when that has passed",
    ),
    "spent": _single(
        "spent",
        "hash: tokens or steps:<minute> -> how many the workspace used",
        "runs",
        "an hour after the last step",
    ),
    "held": _single(
        "held",
        "zset: agent that keeps a wake-up back, by ms when a budget has room again",
        "wake-ups",
        "when it goes on",
    ),
    "blocks": _single("blocks", "zset: block by seq", "blocks", "never"),
    "blocks_filed": Key("blocks:by:", "zset: block by seq", "blocks", "with the last such block"),
    "block_counts": _single(
        "blocks:counts", "zset: how many agents some block has", "blocks", "with the last such block"
    ),
    "block": Key("block:", "hash", "blocks", "when deleted"),
    "block_agents": Key("block:", "zset: agent by seq", "blocks", WITH_BLOCK, ":agents"),
    "block_history": Key("block:", "stream, id = <version>-0", "blocks", WITH_BLOCK, ":history"),
    "shrinking": _single(
        "shrinking",
        "hash: halvings, after, runs_after (how far the past was shortened for want of memory)",
        "shrinking",
        "a minute after the last bite",
    ),
    "edit": Key("edit:", "string: outcome (JSON)", "blocks", "after 24 h, or past the last 10,000"),
    "edits": _single("edits", "zset: edit id by ms", "blocks", "trimmed to 10,000"),
    "request": Key(
        "request:", "string: fingerprint of what an Idempotency-Key asked for", "retries", "after 24 h"
    ),
    "asked": Key(
        "asked:", "string: the id that a request got, by its fingerprint", "retries", "after 10 min"
    ),
    "agents": _single("agents", "zset: agent by seq", "agents", "never"),
    "agents_filed": Key("agents:by:", "zset: agent by seq", "agents", "with the last such agent"),
    "agents_ordered": Key(
        "agents:order:",
        "zset, all scores 0: <16 digits of a time>:<agent>",
        "agents, runs",
        "with the last agent",
    ),
    "agent": Key("agent:", "hash: record (JSON), rev, seq, times", "agents", "when deleted"),
    "agent_state": Key(
        "agent:",
        "hash: status, generation, lineage, pool, worker, run_id, pending, answered_by, wake_run, wake_over, "
        "wake_by, wake_for, wake_rate",
        "runs",
        WITH_AGENT,
        ":state",
    ),
    "agent_blocks": Key("agent:", "hash: label -> block", "blocks", WITH_AGENT, ":blocks"),
    "agent_inbox": Key("agent:", "list: runs not begun", "messages", WITH_AGENT, ":inbox"),
    "agent_later": Key(
        "agent:", "zset: run by ms when it enters the inbox", "messages", WITH_AGENT, ":later"
    ),
    "agent_woken": Key("agent:", "list: changes to be told (JSON)", "wake-ups", "when told", ":woken"),
    "agent_awaits": Key("agent:", "hash: run -> agent whose reply is awaited", "asks", WITH_AGENT, ":awaits"),
    "agent_spent": Key(
        "agent:",
        "hash: tokens or steps:<minute> -> how many",
        "runs",
        "an hour after its last step, or with its agent",
        ":spent",
    ),
    "agent_messages": Key("agent:", "zset: message by seq", "runs", WITH_AGENT, ":messages"),
    "agent_bodies": Key("agent:", "hash: message -> JSON", "runs", WITH_AGENT, ":bodies"),
    "agent_context": Key("agent:", "zset: message by seq", "runs", WITH_AGENT, ":context"),
    "agent_runs": Key("agent:", "zset: run by seq", "messages", WITH_AGENT, ":runs"),
    "agent_parked": Key(
        "agent:",
        "zset: run that was given up, by seq",
        "runs",
        "with the runs, or when tried again",
        ":parked",
    ),
    "tools": _single("tools", "zset: own tool by seq", "tools", "never"),
    "tool_names": _single("tools:names", "hash: name -> own tool", "tools", "with the last own tool"),
    "tool": Key("tool:", "hash: field -> JSON", "tools", "when deleted"),
    "tool_run": Key(
        "toolrun:", "hash: request, taken, outcome (JSON)", "tool runs", "minutes after its call"
    ),
    "identities": _single("identities", "zset: identity by seq", "identities", "never"),
    "identities_filed": Key(
        "identities:by:", "zset: identity by seq", "identities", "with the last such identity"
    ),
    "identity": Key("identity:", "hash: record (JSON), rev, seq, places", "identities", "when deleted"),
    "tags": _single(
        "tags", "zset, all scores 0: tag of a block or an agent", "blocks, agents", "with the last use"
    ),
    "gone": Key("gone:", "hash: deleted row of a list -> its seq", "blocks, agents, runs", GONE),
    "gone_order": Key("gone:", "list: the same, oldest first", "blocks, agents, runs", GONE, ":order"),
    "shown_at": Key(
        "shown:", "string: where a page in a moving order ended", "agents", "an hour after the page"
    ),
    "subscriptions": _single("subscriptions", "hash: subscription -> JSON", "subscriptions", WITH_AGENT),
    "subscriptions_filed": Key(
        "subscriptions:by:", "set: subscription", "subscriptions", "with the last such subscription"
    ),
    "subscriptions_wide": _single(
        "subscriptions:wide", "hash: subscription -> what it looks for", "subscriptions", WITH_AGENT
    ),
    "subscription_state": Key(
        "subscription:",
        "hash: place, minute, woken, cut_at, cut_reason, cut_changes",
        "subscriptions, wake-ups",
        WITH_SUBSCRIPTION,
        ":state",
    ),
    "subscription_told": Key(
        "subscription:", "hash: block -> version told last", "wake-ups", WITH_SUBSCRIPTION, ":told"
    ),
    "webhooks": _single("webhooks", "hash: webhook -> JSON", "webhooks", WITH_WEBHOOK),
    "webhooks_due": _single(
        "webhooks:due", "zset: webhook by ms when a worker is to look at it", "webhooks", "when it rests"
    ),
    "webhook": Key(
        "webhook:",
        "hash: secret, position, on, claim, busy_until, delivery, and how it fares",
        "webhooks",
        "when deleted",
    ),
    "webhook_again": Key(
        "webhook:", "list: deliveries to be sent before what is new", "webhooks", WITH_WEBHOOK, ":again"
    ),
    "webhook_recent": Key(
        "webhook:", "zset: delivery that got through, by µs", "webhooks", "30 days after the last", ":recent"
    ),
    "webhook_dead": Key(
        "webhook:", "zset: delivery that was given up, by µs", "webhooks", "30 days after the last", ":dead"
    ),
    "delivery": Key("delivery:", "hash: body, tries, …", "webhooks", "30 days after its end"),
    "wakes": _single("wakes", "zset: agent by ms when its wake-up is due", "wake-ups", "when it is woken"),
    "runs": _single("runs", "zset: run by seq", "messages", "trimmed with the runs"),
    "runs_in": Key("runs:status:", "zset: run by seq", "messages, runs", "with the last such run"),
    "run": Key("run:", "hash: record (JSON) and what has become of it", "messages, runs", WITH_RUN),
    "run_messages": Key("run:", "list: message ids", "runs", WITH_RUN, ":messages"),
    "run_steps": Key("run:", "list: step ids", "runs", WITH_RUN, ":steps"),
    "run_notes": Key("run:", "list: notes of others' edits (JSON)", "runs", WITH_RUN, ":notes"),
    "run_calls": Key(
        "run:", "hash: what the calls of the step under way did", "asks", "with its step", ":calls"
    ),
    "run_output": Key("run:", "stream, id = <seq>-0: event (JSON)", "runs", "3 h after its run", ":output"),
    "run_started": Key(
        "run:", "hash: call -> what it gave (JSON), empty until then", "runs", WITH_RUN, ":started"
    ),
    "run_effects": Key("run:", "hash: effect id -> outcome (JSON)", "blocks", WITH_RUN, ":effects"),
    "callbacks": _single("callbacks", "zset: run by ms of its end", "runs", "when taken to be told"),
    "messages": _single("messages", "zset: message by seq", "runs", "each with its agent"),
    "message_agents": _single("messages:agents", "hash: message -> agent", "runs", "each with its agent"),
    "question": Key(
        "question:", "hash: asked, status, answer (JSON)", "questions", "when told, or by itself"
    ),
    "trace": Key("trace:", "string: JSON", "runs", WITH_RUN),
    "steps": _single("steps", "zset: step by seq", "runs", "trimmed with the runs, or when they ran out"),
    "agent_steps": Key("agent:", "zset: step by seq", "runs", WITH_AGENT, ":steps"),
    "step": Key("step:", "string: JSON", "runs", WITH_RUN),
}


_OF_IDS = (
    "block:",
    "agent:",
    "run:",
    "step:",
    "tool:",
    "toolrun:",
    "trace:",
    "question:",
    "identity:",
    "subscription:",
    "webhook:",
    "delivery:",
)


def workspace_prefix(workspace: str) -> str:
    return "bw:{" + workspace + "}:"


def worker_key(worker_id: str) -> str:
    """String: a worker's last report (JSON). Ends half a minute after it."""
    return f"bw:worker:{worker_id}"


def rate_key(token_id: str) -> str:
    """String: when a token's rate is whole again, in µs. Ends at that moment."""
    return f"bw:tokens:rate:{token_id}"


def key(workspace: str, name: str, id: str = "") -> str:
    """The full name of a key. Raises KeyError for a name that is not in the table.

    An id of ours has no colon; one that has would name another key, and is nowhere to be found.
    """
    kind = KEYS[name]
    if ":" in id and kind.before in _OF_IDS:
        raise NotFound(kind.before[:-1], id)
    return workspace_prefix(workspace) + kind.before + (id + kind.after if kind.has_id else "")
