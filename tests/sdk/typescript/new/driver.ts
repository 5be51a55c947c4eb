/**
 * Driver of SDK 1: calls every method of the shared-memory surface and reports what came back.
 *
 *     node driver.js BASE_URL [--calls]
 *
 * With `--calls` it makes the calls it is told instead (calls.ts).
 * A scene is a function below; its facts have the same names in all drivers.
 */

import Letta from "@letta-ai/letta-client";

import { answerCalls, Settings } from "./calls";
import { makeTeam } from "./example";
import { Facts, play, refused, script, sure, unique, waitFor } from "./report";

const BASE_URL = sure(process.argv[2]);
const UNKNOWN = "00000000-0000-4000-8000-00000000abcd";
const EMBEDDING = "openai/text-embedding-3-small";

const connect = ({ token = "LETTA_API_KEY", timeout_s = 60, headers = {} }: Settings) =>
    new Letta({ baseURL: BASE_URL, apiKey: token, timeout: timeout_s * 1000, defaultHeaders: headers });

const client = connect({});

const saying = (content: string): Letta.MessageCreate[] => [{ role: "user", content }];

/** An agent attached to these blocks; unless it gets another model, its messages tell it what to say. */
async function scripted(blocks: Letta.BlockResponse[] = [], options: Letta.AgentCreateParams = {}) {
    return client.agents.create({
        model: "offline/scripted",
        embedding: EMBEDDING,
        block_ids: blocks.map((block) => block.id),
        ...options,
    });
}

const tell = (agent: Letta.AgentState, words: string) =>
    client.agents.messages.create(agent.id, { messages: saying(words) });

function lastWords(messages: Letta.Agents.Message[]): string {
    const last = sure(messages.at(-1));
    if (last.message_type !== "assistant_message") throw new Error(`the last message is a ${last.message_type}`);
    return String(last.content);
}

/** The system prompt that an agent's very next model call has. */
const promptOf = async (agent: Letta.AgentState) =>
    lastWords((await tell(agent, script({ echo: "system" }))).messages);

const valueOf = async (block: Letta.BlockResponse) => (await client.blocks.retrieve(block.id)).value;

const types = (messages: Letta.Agents.Message[]) => messages.map((message) => message.message_type);

const ids = (things: { id: string }[]) => things.map((thing) => thing.id);

/** Every item of a list, page after page. */
async function all<T>(list: AsyncIterable<T>): Promise<T[]> {
    const found: T[] = [];
    for await (const one of list) found.push(one);
    return found;
}

const labels = (blocks: { label?: string | null }[]) => blocks.map((block) => block.label).sort();

function blockFacts(block: Letta.BlockResponse): Facts {
    const { id, label, value, limit, metadata } = block;
    return { id, label, value, limit, metadata, description: block.description ?? null, read_only: block.read_only };
}

function agentFacts(agent: Letta.AgentState): Facts {
    return {
        id: agent.id,
        name: agent.name,
        description: agent.description ?? null,
        model: agent.llm_config.handle,
        tags: agent.tags,
        tools: agent.tools.map((tool) => tool.name).sort(),
        labels: labels(agent.memory.blocks),
    };
}

async function example(): Promise<Facts> {
    const team = await makeTeam(BASE_URL);
    const sharers = await all(team.client.blocks.agents.list(team.block.id));
    const ask = { messages: saying("What do you know?") };
    return {
        block: blockFacts(team.block),
        supervisor: agentFacts(team.supervisor),
        worker: agentFacts(team.worker),
        sharers: ids(sharers),
        run: await refused(() => team.client.agents.messages.create(team.worker.id, ask)),
    };
}

async function scriptedWorker(): Promise<Facts> {
    const block = await client.blocks.create({ label: "organization", value: "Nothing is known yet." });
    const supervisor = await scripted([block], { memory_blocks: [{ label: "persona", value: "I lead the team" }] });
    const worker = await scripted([block], { memory_blocks: [{ label: "persona", value: "I find things out" }] });
    const before = await promptOf(supervisor);
    const fact = { label: "organization", new_string: "The office cat is called Miso." };
    const noted = script({ calls: [{ name: "memory_insert", arguments: fact }] }, { text: "Noted." });
    const answer = await tell(worker, noted);
    const statuses = answer.messages.flatMap((one) =>
        one.message_type === "tool_return_message" ? [one.status] : [],
    );
    return {
        before,
        answer: types(answer.messages),
        tool_status: statuses,
        value: await valueOf(block),
        after: await promptOf(supervisor),
        private: (await client.agents.blocks.retrieve("persona", { agent_id: supervisor.id })).value,
    };
}

async function olderWorker(): Promise<Facts> {
    const block = await client.blocks.create({ label: "organization", value: "Nothing is known yet." });
    const supervisor = await scripted([block]);
    const worker = await scripted([block], { agent_type: "memgpt_agent" });
    const fact = { label: "organization", content: "The lift is out of order.", request_heartbeat: true };
    const bye = { name: "send_message", arguments: { message: "Noted." } };
    const noted = script({ calls: [{ name: "core_memory_append", arguments: fact }] }, { calls: [bye] });
    const answer = await tell(worker, noted);
    return {
        answer: types(answer.messages),
        words: lastWords(answer.messages),
        value: await valueOf(block),
        after: await promptOf(supervisor),
    };
}

async function plainWords(): Promise<Facts> {
    const block = await client.blocks.create({
        label: "organization",
        description: "Facts about the release.",
        value: "",
    });
    const supervisor = await scripted([block]);
    const worker = await scripted([block], { model: "offline/extractive" });
    const answer = await tell(worker, "Please remember that the release moves to Thursday.");
    return { words: lastWords(answer.messages), value: await valueOf(block), after: await promptOf(supervisor) };
}

async function person(): Promise<Facts> {
    const block = await client.blocks.create({ label: "organization", value: "Nothing is known yet." });
    const supervisor = await scripted([block]);
    await client.blocks.update(block.id, { value: "The canteen closes at two." });
    return { after: await promptOf(supervisor) };
}

async function blocks(): Promise<Facts> {
    const label = unique("block");
    const made = await client.blocks.create({
        label,
        value: "one",
        limit: 500,
        description: "A note",
        read_only: true,
    });
    const others: Letta.BlockResponse[] = [];
    for (const value of ["0", "1", "2", "3"]) others.push(await client.blocks.create({ label, value }));
    const changed = await client.blocks.update(made.id, {
        value: "two",
        description: "Another",
        metadata: { colour: "red" },
        limit: 600,
    });
    const listed = await all(client.blocks.list({ label }));
    const agent = await scripted([made]);
    const sharers = await all(client.blocks.agents.list(made.id));
    const paged = await all(client.blocks.list({ label, limit: 2 }));
    const backwards = await all(client.blocks.list({ label, limit: 2, order: "desc" }));
    await client.blocks.delete(made.id);
    return {
        label,
        created: blockFacts(made),
        changed: blockFacts(changed),
        retrieved: blockFacts(await client.blocks.retrieve(sure(others[0]).id)),
        made: ids([made, ...others]),
        listed: ids(listed),
        paged: ids(paged),
        backwards: ids(backwards),
        sharers: ids(sharers),
        agent: agent.id,
        after_delete: await refused(() => client.blocks.retrieve(made.id)),
        labels_after_delete: labels(await all(client.agents.blocks.list(agent.id))),
    };
}

async function agents(): Promise<Facts> {
    const [name, tag] = [unique("agent"), unique("tag")];
    const made = await scripted([], {
        name,
        description: "A helper",
        tags: [tag],
        memory_blocks: [
            { label: "persona", value: "I help" },
            { label: "human", value: "Ada" },
        ],
    });
    const others: Letta.AgentState[] = [];
    for (let n = 0; n < 4; n += 1) others.push(await scripted([], { tags: [tag] }));
    const changed = await client.agents.update(made.id, {
        name: `${name}-renamed`,
        description: "Another",
        tags: [tag, "new"],
    });
    const bare = await client.agents.retrieve(made.id);
    const retrieved = await client.agents.retrieve(made.id, {
        include: ["agent.blocks", "agent.tools", "agent.tags"],
    });
    const listed = await all(client.agents.list({ tags: [tag] }));
    const named = await all(client.agents.list({ name: `${name}-renamed` }));
    const paged = await all(client.agents.list({ tags: [tag], limit: 2 }));
    await client.agents.delete(made.id);
    return {
        name,
        tag,
        created: agentFacts(made),
        changed: agentFacts(changed),
        retrieved: agentFacts(retrieved),
        retrieved_bare: agentFacts(bare),
        made: ids([made, ...others]),
        listed: ids(listed),
        paged: ids(paged),
        named: ids(named),
        after_delete: await refused(() => client.agents.retrieve(made.id)),
    };
}

async function coreMemory(): Promise<Facts> {
    const agent = await scripted([], {
        memory_blocks: [
            { label: "persona", value: "I am private" },
            { label: "notes", value: "Mine" },
        ],
    });
    const shared = await client.blocks.create({ label: "shared", value: "Ours" });
    const clashing = await client.blocks.create({ label: "notes", value: "Not mine" });
    const attached = await client.agents.blocks.attach(shared.id, { agent_id: agent.id });
    const again = await client.agents.blocks.attach(shared.id, { agent_id: agent.id });
    const changed = await client.agents.blocks.update("shared", { agent_id: agent.id, value: "Ours, by label" });
    const facts = {
        attached: labels(attached.memory.blocks),
        attached_again: labels(again.memory.blocks),
        listed: labels(await all(client.agents.blocks.list(agent.id))),
        private: (await client.agents.blocks.retrieve("persona", { agent_id: agent.id })).value,
        changed: changed.value,
        changed_for_all: await valueOf(shared),
        prompt: await promptOf(agent),
        clash: await refused(() => client.agents.blocks.attach(clashing.id, { agent_id: agent.id })),
    };
    const detached = await client.agents.blocks.detach(shared.id, { agent_id: agent.id });
    return {
        ...facts,
        detached: labels(detached.memory.blocks),
        prompt_after_detach: await promptOf(agent),
        detach_again: await refused(() => client.agents.blocks.detach(shared.id, { agent_id: agent.id })),
        detached_block: await valueOf(shared),
    };
}

async function messages(): Promise<Facts> {
    const agent = await scripted();
    const answer = await tell(agent, script({ reasoning: "Let me think.", text: "Good morning." }));
    const ask = { messages: saying(script({ text: "In the background." })) };
    const begun = await client.agents.messages.createAsync(agent.id, ask);
    const ended = await waitFor(
        "the end of a run",
        () => client.runs.retrieve(begun.id),
        (run) => run.status === "completed",
    );
    const listed = await all(client.agents.messages.list(agent.id));
    const thought = sure(answer.messages[0]);
    const { usage } = answer;
    return {
        types: types(answer.messages),
        reasoning: thought.message_type === "reasoning_message" ? thought.reasoning : null,
        words: lastWords(answer.messages),
        stop_reason: answer.stop_reason.stop_reason,
        steps: usage.step_count,
        tokens: [usage.prompt_tokens, usage.completion_tokens, usage.total_tokens],
        run: { id: begun.id, status: begun.status, agent_id: begun.agent_id, background: begun.background },
        ended: {
            id: ended.id,
            status: ended.status,
            stop_reason: ended.stop_reason,
            took: (Date.parse(sure(ended.completed_at)) - Date.parse(sure(ended.created_at))) / 1000,
        },
        agent_id: agent.id,
        listed: types(listed),
        said: listed.flatMap((one) => (one.message_type === "assistant_message" ? [one.content] : [])),
        latest: lastWords((await client.agents.messages.list(agent.id, { limit: 1 })).items),
        whole_seconds: listed.every((one) => /:\d\d[+Z]/.test(one.date)),
    };
}

const SCRIPT = script(
    {
        reasoning: "What was that about the cat, I wonder?",
        calls: [{ name: "memory_insert", arguments: { label: "notes", new_string: "The cat is Miso." } }],
        pace_ms: 40,
    },
    { text: "I noted it down, and I shall not forget it again.", pace_ms: 40 },
);
const BYE = { name: "send_message", arguments: { message: 'I said "goodbye" to the café, and I meant it.' } };
const NOTES = [{ label: "notes", value: "" }];

type Told = Letta.Agents.LettaStreamingResponse;

/** What a stream said; neighbours of one type are one, their texts put together. */
async function heard(stream: AsyncIterable<Told>): Promise<Facts> {
    const facts = { types: [] as string[], pieces: 0, words: "", thoughts: "", arguments: "" };
    const [reasons, steps]: unknown[][] = [[], []];
    for await (const event of stream) {
        if (facts.types.at(-1) !== event.message_type) facts.types.push(String(event.message_type));
        if (event.message_type === "assistant_message") {
            facts.pieces += 1;
            facts.words += String(event.content);
        } else if (event.message_type === "reasoning_message") facts.thoughts += event.reasoning;
        else if (event.message_type === "tool_call_message") facts.arguments += event.tool_call.arguments ?? "";
        else if (event.message_type === "stop_reason") reasons?.push(event.stop_reason);
        else if (event.message_type === "usage_statistics") steps?.push(event.step_count);
    }
    return { ...facts, stop_reason: reasons, steps };
}

const streamed = (agent: Letta.AgentState, words: string, options = {}) =>
    client.agents.messages.create(agent.id, { messages: saying(words), streaming: true, ...options });

async function streams(): Promise<Facts> {
    const agent = await scripted([], { memory_blocks: NOTES });
    const speaker = await scripted([], { agent_type: "memgpt_agent" });
    const voice = script({ calls: [BYE], pace_ms: 40 });
    const facts = {
        steps: await heard(await client.agents.messages.stream(agent.id, { messages: saying(SCRIPT) })),
        tokens: await heard(await streamed(agent, SCRIPT, { stream_tokens: true })),
        quiet: await heard(await streamed(agent, SCRIPT, { include_pings: false })),
        voice: await heard(await streamed(speaker, voice, { stream_tokens: true })),
    };
    const listed = await all(client.agents.messages.list(agent.id));
    const called = listed.flatMap((one) => (one.message_type === "tool_call_message" ? [one.tool_call.arguments] : []));
    return {
        ...facts,
        listed_words: lastWords(listed),
        listed_arguments: called.at(-1),
        listed_voice: lastWords(await all(client.agents.messages.list(speaker.id))),
    };
}

async function background(): Promise<Facts> {
    const agent = await scripted([], { memory_blocks: NOTES });
    const first: Told[] = [];
    let words = "";
    for await (const event of await streamed(agent, SCRIPT, { stream_tokens: true, background: true })) {
        first.push(event);
        if (event.message_type !== "assistant_message") continue;
        words = String(event.content);
        break;
    }
    const seqs = first.map((event) => ("seq_id" in event ? event.seq_id : null));
    const begun = sure(first[0]);
    const runId = sure("run_id" in begun ? begun.run_id : null);
    return {
        seqs,
        words,
        rest: await heard(await client.runs.messages.stream(runId, { starting_after: sure(seqs.at(-1)) })),
        again: await heard(await client.runs.messages.stream(runId)),
    };
}

async function failingStream(): Promise<Facts> {
    const types: unknown[] = [];
    const agent = await scripted();
    const error = await refused(async () => {
        const failing = script({ error: "llm_rate_limit", message: "slow down" });
        for await (const event of await streamed(agent, failing)) types.push(event.message_type);
    });
    return { types, error };
}


async function models(): Promise<Facts> {
    const found = await client.models.list();
    const embeddings = await client.models.embeddings.list();
    const health = await client.health();
    return {
        handles: found.map((model) => model.handle),
        windows: found.map((model) => model.context_window),
        embeddings: embeddings.map((model) => model.handle),
        dimensions: embeddings.map((model) => model.embedding_dim),
        health: health.status,
        version: health.version,
    };
}

async function refusals(): Promise<Facts> {
    const agent = await scripted();
    const lonely = await client.blocks.create({ label: "lonely", value: "" });
    const [block, nobody, run] = [`block-${UNKNOWN}`, `agent-${UNKNOWN}`, `run-${UNKNOWN}`];
    const ask = { messages: saying("Hello") };
    return {
        unknown_block: await refused(() => client.blocks.retrieve(block)),
        unknown_block_changed: await refused(() => client.blocks.update(block, { value: "x" })),
        unknown_block_deleted: await refused(() => client.blocks.delete(block)),
        unknown_agent: await refused(() => client.agents.retrieve(nobody)),
        unknown_agent_changed: await refused(() => client.agents.update(nobody, { name: "x" })),
        unknown_agent_deleted: await refused(() => client.agents.delete(nobody)),
        unknown_agent_told: await refused(() => client.agents.messages.create(nobody, ask)),
        unknown_agent_listed: await refused(() => client.agents.messages.list(nobody)),
        unknown_agent_blocks: await refused(() => client.agents.blocks.list(nobody)),
        unknown_label: await refused(() => client.agents.blocks.retrieve("nowhere", { agent_id: agent.id })),
        unknown_attached: await refused(() => client.agents.blocks.attach(block, { agent_id: agent.id })),
        not_attached: await refused(() => client.agents.blocks.detach(lonely.id, { agent_id: agent.id })),
        unknown_run: await refused(() => client.runs.retrieve(run)),
        unknown_model: await refused(() => client.agents.create({ model: "nobody/knows" })),
        bad_handle: await refused(() => client.agents.create({ model: "nothing" })),
        malformed_id: await refused(() => client.blocks.retrieve("block-1")),
        malformed_field: await refused(() => scripted([], { block_ids: ["block-1"] })),
        no_messages: await refused(() => client.agents.messages.create(agent.id, { messages: [] })),
    };
}

const scenes = {
    example,
    scripted_worker: scriptedWorker,
    older_worker: olderWorker,
    plain_words: plainWords,
    person,
    blocks,
    agents,
    core_memory: coreMemory,
    messages,
    streams,
    background,
    failing_stream: failingStream,
    models,
    refusals,
};

if (process.argv[3] === "--calls") void answerCalls(connect, "new");
else void play(scenes);
