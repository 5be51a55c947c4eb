/**
 * Driver of the SDKs before 1.0: calls every method of the shared-memory surface and reports what came back.
 *
 *     node driver.js BASE_URL [--calls]
 *
 * With `--calls` it makes the calls it is told instead (calls.ts).
 * A scene is a function below; its facts have the same names in all drivers. Whatever these SDKs find
 * wrong with an answer they print ("Failed to validate"), so nothing but the report may be printed.
 */

import { Letta, LettaClient } from "@letta-ai/letta-client";

import { answerCalls, Settings } from "./calls";
import { embeddingModels } from "./embeddings";
import { makeTeam } from "./example";
import { Facts, play, refused, script, sure, unique, waitFor } from "./report";

const BASE_URL = sure(process.argv[2]);
const UNKNOWN = "00000000-0000-4000-8000-00000000abcd";
/** For every agent: this generation's types know no agent without one, and complain. */
const EMBEDDING = "openai/text-embedding-3-small";

const connect = ({ token = "LETTA_API_KEY" }: Settings) => new LettaClient({ baseUrl: BASE_URL, token });

const client = connect({});

const saying = (content: string): Letta.MessageCreate[] => [{ role: "user", content }];

/** An agent attached to these blocks; unless it gets another model, its messages tell it what to say. */
async function scripted(blocks: Letta.Block[] = [], options: Letta.CreateAgentRequest = {}) {
    return client.agents.create({
        model: "offline/scripted",
        embedding: EMBEDDING,
        blockIds: blocks.map((block) => sure(block.id)),
        ...options,
    });
}

const tell = (agent: Letta.AgentState, words: string) =>
    client.agents.messages.create(agent.id, { messages: saying(words) });

function lastWords(messages: Letta.LettaMessageUnion[]): string {
    const last = sure(messages.at(-1));
    if (last.messageType !== "assistant_message") throw new Error(`the last message is a ${last.messageType}`);
    return String(last.content);
}

/** The system prompt that an agent's very next model call has. */
const promptOf = async (agent: Letta.AgentState) =>
    lastWords((await tell(agent, script({ echo: "system" }))).messages);

const valueOf = async (block: Letta.Block) => (await client.blocks.retrieve(sure(block.id))).value;

const types = (messages: Letta.LettaMessageUnion[]) => messages.map((message) => message.messageType);

const ids = (things: { id?: string }[]) => things.map((thing) => thing.id);

const labels = (blocks: Letta.Block[]) => blocks.map((block) => block.label).sort();

function blockFacts(block: Letta.Block): Facts {
    const { id, label, value, limit, metadata } = block;
    return { id, label, value, limit, metadata, description: block.description ?? null, read_only: block.readOnly };
}

function agentFacts(agent: Letta.AgentState): Facts {
    return {
        id: agent.id,
        name: agent.name,
        description: agent.description ?? null,
        model: agent.llmConfig.handle,
        tags: agent.tags,
        tools: agent.tools.map((tool) => tool.name).sort(),
        labels: labels(agent.memory.blocks),
    };
}

async function example(): Promise<Facts> {
    const team = await makeTeam(BASE_URL);
    const sharers = await team.client.blocks.agents.list(sure(team.block.id));
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
    const supervisor = await scripted([block], { memoryBlocks: [{ label: "persona", value: "I lead the team" }] });
    const worker = await scripted([block], { memoryBlocks: [{ label: "persona", value: "I find things out" }] });
    const before = await promptOf(supervisor);
    const fact = { label: "organization", new_string: "The office cat is called Miso." };
    const noted = script({ calls: [{ name: "memory_insert", arguments: fact }] }, { text: "Noted." });
    const answer = await tell(worker, noted);
    const statuses = answer.messages.flatMap((one) =>
        one.messageType === "tool_return_message" ? [one.status] : [],
    );
    return {
        before,
        answer: types(answer.messages),
        tool_status: statuses,
        value: await valueOf(block),
        after: await promptOf(supervisor),
        private: (await client.agents.blocks.retrieve(supervisor.id, "persona")).value,
    };
}

async function olderWorker(): Promise<Facts> {
    const block = await client.blocks.create({ label: "organization", value: "Nothing is known yet." });
    const supervisor = await scripted([block]);
    const worker = await scripted([block], { agentType: "memgpt_agent" });
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
    await client.blocks.modify(sure(block.id), { value: "The canteen closes at two." });
    return { after: await promptOf(supervisor) };
}

async function blocks(): Promise<Facts> {
    const label = unique("block");
    const before = await client.blocks.count();
    const made = await client.blocks.create({
        label,
        value: "one",
        limit: 500,
        description: "A note",
        readOnly: true,
    });
    const madeId = sure(made.id);
    const others: Letta.Block[] = [];
    for (const value of ["0", "1", "2", "3"]) others.push(await client.blocks.create({ label, value }));
    const counted = await client.blocks.count();
    const changed = await client.blocks.modify(madeId, {
        value: "two",
        description: "Another",
        metadata: { colour: "red" },
        limit: 600,
    });
    const listed = await client.blocks.list({ label, limit: 100 });
    const agent = await scripted([made]);
    const sharers = await client.blocks.agents.list(madeId);
    const first = await client.blocks.list({ label, limit: 2 });
    const second = await client.blocks.list({ label, limit: 2, after: first.at(-1)?.id });
    await client.blocks.delete(madeId);
    return {
        label,
        created: blockFacts(made),
        changed: blockFacts(changed),
        retrieved: blockFacts(await client.blocks.retrieve(sure(others[0]?.id))),
        made: ids([made, ...others]),
        listed: ids(listed),
        paged: ids([...first, ...second]),
        counted: counted - before,
        sharers: ids(sharers),
        agent: agent.id,
        after_delete: await refused(() => client.blocks.retrieve(madeId)),
        labels_after_delete: labels(await client.agents.blocks.list(agent.id)),
    };
}

async function agents(): Promise<Facts> {
    const [name, tag] = [unique("agent"), unique("tag")];
    const before = await client.agents.count();
    const made = await scripted([], {
        name,
        description: "A helper",
        tags: [tag],
        memoryBlocks: [
            { label: "persona", value: "I help" },
            { label: "human", value: "Ada" },
        ],
    });
    const others: Letta.AgentState[] = [];
    for (let n = 0; n < 4; n += 1) others.push(await scripted([], { tags: [tag] }));
    const counted = await client.agents.count();
    const changed = await client.agents.modify(made.id, {
        name: `${name}-renamed`,
        description: "Another",
        tags: [tag, "new"],
    });
    const retrieved = await client.agents.retrieve(made.id);
    const listed = await client.agents.list({ tags: [tag], limit: 100 });
    const named = await client.agents.list({ name: `${name}-renamed` });
    const first = await client.agents.list({ tags: [tag], limit: 2 });
    const second = await client.agents.list({ tags: [tag], limit: 2, after: first.at(-1)?.id });
    await client.agents.delete(made.id);
    return {
        name,
        tag,
        created: agentFacts(made),
        changed: agentFacts(changed),
        retrieved: agentFacts(retrieved),
        made: ids([made, ...others]),
        listed: ids(listed),
        paged: ids([...first, ...second]),
        named: ids(named),
        counted: counted - before,
        after_delete: await refused(() => client.agents.retrieve(made.id)),
    };
}

async function coreMemory(): Promise<Facts> {
    const agent = await scripted([], {
        memoryBlocks: [
            { label: "persona", value: "I am private" },
            { label: "notes", value: "Mine" },
        ],
    });
    const shared = await client.blocks.create({ label: "shared", value: "Ours" });
    const clashing = await client.blocks.create({ label: "notes", value: "Not mine" });
    const [sharedId, clashingId] = [sure(shared.id), sure(clashing.id)];
    const attached = await client.agents.blocks.attach(agent.id, sharedId);
    const again = await client.agents.blocks.attach(agent.id, sharedId);
    const changed = await client.agents.blocks.modify(agent.id, "shared", { value: "Ours, by label" });
    const facts = {
        attached: labels(attached.memory.blocks),
        attached_again: labels(again.memory.blocks),
        listed: labels(await client.agents.blocks.list(agent.id)),
        private: (await client.agents.blocks.retrieve(agent.id, "persona")).value,
        changed: changed.value,
        changed_for_all: await valueOf(shared),
        prompt: await promptOf(agent),
        clash: await refused(() => client.agents.blocks.attach(agent.id, clashingId)),
        memory: labels((await client.agents.coreMemory.retrieve(agent.id)).blocks),
    };
    const detached = await client.agents.blocks.detach(agent.id, sharedId);
    return {
        ...facts,
        detached: labels(detached.memory.blocks),
        prompt_after_detach: await promptOf(agent),
        detach_again: await refused(() => client.agents.blocks.detach(agent.id, sharedId)),
        detached_block: await valueOf(shared),
    };
}

async function messages(): Promise<Facts> {
    const agent = await scripted();
    const answer = await tell(agent, script({ reasoning: "Let me think.", text: "Good morning." }));
    const ask = { messages: saying(script({ text: "In the background." })) };
    const begun = await client.agents.messages.createAsync(agent.id, ask);
    const runId = sure(begun.id);
    const ended = await waitFor(
        "the end of a run",
        () => client.runs.retrieve(runId),
        (run) => run.status === "completed",
    );
    const listed = await client.agents.messages.list(agent.id);
    const thought = sure(answer.messages[0]);
    const { usage } = answer;
    return {
        types: types(answer.messages),
        reasoning: thought.messageType === "reasoning_message" ? thought.reasoning : null,
        words: lastWords(answer.messages),
        stop_reason: answer.stopReason.stopReason,
        steps: usage.stepCount,
        tokens: [usage.promptTokens, usage.completionTokens, usage.totalTokens],
        run: { id: runId, status: begun.status },
        ended: {
            id: ended.id,
            status: ended.status,
            took: (sure(ended.completedAt).getTime() - sure(ended.createdAt).getTime()) / 1000,
        },
        agent_id: agent.id,
        listed: types(listed),
        said: listed.flatMap((one) => (one.messageType === "assistant_message" ? [one.content] : [])),
        latest: lastWords(await client.agents.messages.list(agent.id, { limit: 1 })),
        whole_seconds: listed.every((one) => one.date.getMilliseconds() === 0),
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

type Told = Letta.agents.LettaStreamingResponse;

/** What a stream said; neighbours of one type are one, their texts put together. */
async function heard(stream: AsyncIterable<Told>): Promise<Facts> {
    const facts = { types: [] as string[], pieces: 0, words: "", thoughts: "", arguments: "" };
    const [reasons, steps]: unknown[][] = [[], []];
    for await (const event of stream) {
        if (facts.types.at(-1) !== event.messageType) facts.types.push(String(event.messageType));
        if (event.messageType === "assistant_message") {
            facts.pieces += 1;
            facts.words += String(event.content);
        } else if (event.messageType === "reasoning_message") facts.thoughts += event.reasoning;
        else if (event.messageType === "tool_call_message") facts.arguments += event.toolCall.arguments ?? "";
        else if (event.messageType === "stop_reason") reasons?.push(event.stopReason);
        else if (event.messageType === "usage_statistics") steps?.push(event.stepCount);
    }
    return { ...facts, stop_reason: reasons, steps };
}

const streamed = (agent: Letta.AgentState, words: string, options = {}) =>
    client.agents.messages.createStream(agent.id, { messages: saying(words), ...options });

async function streams(): Promise<Facts> {
    const agent = await scripted([], { memoryBlocks: NOTES });
    const speaker = await scripted([], { agentType: "memgpt_agent" });
    const voice = script({ calls: [BYE], pace_ms: 40 });
    const facts = {
        steps: await heard(await streamed(agent, SCRIPT)),
        tokens: await heard(await streamed(agent, SCRIPT, { streamTokens: true })),
        quiet: await heard(await streamed(agent, SCRIPT, { includePings: false })),
        voice: await heard(await streamed(speaker, voice, { streamTokens: true })),
    };
    const listed = await client.agents.messages.list(agent.id);
    const called = listed.flatMap((one) => (one.messageType === "tool_call_message" ? [one.toolCall.arguments] : []));
    return {
        ...facts,
        listed_words: lastWords(listed),
        listed_arguments: called.at(-1),
        listed_voice: lastWords(await client.agents.messages.list(speaker.id)),
    };
}

async function background(): Promise<Facts> {
    const agent = await scripted([], { memoryBlocks: NOTES });
    const first: Told[] = [];
    let words = "";
    for await (const event of await streamed(agent, SCRIPT, { streamTokens: true, background: true })) {
        first.push(event);
        if (event.messageType !== "assistant_message") continue;
        words = String(event.content);
        break;
    }
    // Of a ping these SDKs know no field but its type; the others keep the names they have on the wire.
    const seqs = first.map((event) => ("seqId" in event ? event.seqId : (event as Facts)["seq_id"] as number));
    const runId = String((first[0] as Facts)["run_id"]);
    return {
        seqs,
        words,
        rest: await heard(await client.runs.stream(runId, { startingAfter: sure(seqs.at(-1)) })),
        again: await heard(await client.runs.stream(runId)),
    };
}

async function failingStream(): Promise<Facts> {
    const types: unknown[] = [];
    const agent = await scripted();
    const error = await refused(async () => {
        const failing = script({ error: "llm_rate_limit", message: "slow down" });
        for await (const event of await streamed(agent, failing)) types.push(event.messageType);
    });
    return { types, error };
}


async function models(): Promise<Facts> {
    const found = await client.models.list();
    const embeddings = await embeddingModels(client);
    const health = await client.health.check();
    return {
        handles: found.map((model) => model.handle),
        windows: found.map((model) => model.contextWindow),
        embeddings: embeddings.map((model) => model.handle),
        dimensions: embeddings.map((model) => model.embeddingDim),
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
        unknown_block_changed: await refused(() => client.blocks.modify(block, { value: "x" })),
        unknown_block_deleted: await refused(() => client.blocks.delete(block)),
        unknown_agent: await refused(() => client.agents.retrieve(nobody)),
        unknown_agent_changed: await refused(() => client.agents.modify(nobody, { name: "x" })),
        unknown_agent_deleted: await refused(() => client.agents.delete(nobody)),
        unknown_agent_told: await refused(() => client.agents.messages.create(nobody, ask)),
        unknown_agent_listed: await refused(() => client.agents.messages.list(nobody)),
        unknown_agent_blocks: await refused(() => client.agents.blocks.list(nobody)),
        unknown_label: await refused(() => client.agents.blocks.retrieve(agent.id, "nowhere")),
        unknown_attached: await refused(() => client.agents.blocks.attach(agent.id, block)),
        not_attached: await refused(() => client.agents.blocks.detach(agent.id, sure(lonely.id))),
        unknown_run: await refused(() => client.runs.retrieve(run)),
        unknown_model: await refused(() => client.agents.create({ model: "nobody/knows" })),
        bad_handle: await refused(() => client.agents.create({ model: "nothing" })),
        malformed_id: await refused(() => client.blocks.retrieve("block-1")),
        malformed_field: await refused(() => scripted([], { blockIds: ["block-1"] })),
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

if (process.argv[3] === "--calls") void answerCalls(connect, "old");
else void play(scenes);
