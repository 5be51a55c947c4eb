/** Where this version of the SDK keeps the embedding models. */

import { LettaClient } from "@letta-ai/letta-client";

export const embeddingModels = (client: LettaClient) => client.embeddingModels.list();
