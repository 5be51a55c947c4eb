/** The example that V1's users know, as they wrote it for the SDKs before 1.0; only the base URL is ours. */

import { LettaClient } from "@letta-ai/letta-client";

export async function makeTeam(baseUrl: string) {
    const client = new LettaClient({ baseUrl, token: "LETTA_API_KEY" });

    // a block of its own, to be shared
    const block = await client.blocks.create({
        label: "organization",
        description: "What everybody in the organization has to know.",
        value: "There is nothing to know yet; write here what there is.",
    });

    // a supervisor and a worker, both attached to it
    const supervisor = await client.agents.create({
        model: "anthropic/claude-3-5-sonnet-20241022",
        embedding: "openai/text-embedding-3-small",
        memoryBlocks: [{ label: "persona", value: "I am a supervisor" }],
        blockIds: [block.id!],
    });
    const worker = await client.agents.create({
        model: "anthropic/claude-3-5-sonnet-20241022",
        embedding: "openai/text-embedding-3-small",
        memoryBlocks: [{ label: "persona", value: "I am a worker" }],
        blockIds: [block.id!],
    });
    return { client, block, supervisor, worker };
}
