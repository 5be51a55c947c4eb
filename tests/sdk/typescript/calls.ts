/**
 * Calls: the methods of one SDK, called from another process and answered as JSON, one line each.
 *
 * Requests and answers speak Python: `agents.core_memory.retrieve`, `agent_id`. A request names a method, the
 * values of its path in the order of the URL, and its other arguments; `null` for a method asks for the names
 * of all there are. It says which client is to call it: the token, time-out and headers that are not those of
 * any client. An argument `request` is the whole body. The old generation takes and answers camelCase, and time-outs and headers with each call.
 */

import { createInterface } from "node:readline";

import { Facts, refused } from "./report";

type Generation = "old" | "new";
export type Settings = { token?: string; timeout_s?: number; headers?: Record<string, string> };
type Request = { method: string | null; path: Facts; args: Facts; take: number | null; client: Settings };

/** Whose keys are the caller's own: no SDK changes those. */
const FREE_FORM = [
    ...["metadata", "args", "json_schema", "args_json_schema", "env_vars", "parameters"],
    "tool_exec_environment_variables",
];

/** One answer per line of standard input; `connect` makes a client of these settings. */
export async function answerCalls(connect: (settings: Settings) => object, generation: Generation): Promise<void> {
    const clients = new Map<string, object>();
    const printed: string[] = [];
    for (const name of ["debug", "log", "info", "warn", "error"] as const) {
        console[name] = (...said: unknown[]) => void printed.push(said.map(String).join(" "));
    }
    for await (const line of createInterface({ input: process.stdin })) {
        const asked = JSON.parse(line) as Request;
        const named = JSON.stringify(asked.client);
        const client = clients.get(named) ?? connect(asked.client);
        clients.set(named, client);
        const reply: Facts = {};
        if (asked.method === null) reply.answer = [...methodsOf(client, "", generation)].sort();
        else {
            const error = await refused(async () => (reply.answer = (await called(client, generation, asked)) ?? null));
            if (error.class !== null) reply.error = error;
        }
        const said = { ...reply, faults: [], printed: printed.splice(0).join("\n") };
        process.stdout.write(`${JSON.stringify(said)}\n`);
    }
}

async function called(client: object, generation: Generation, asked: Request): Promise<unknown> {
    const names = String(asked.method).split(".").map(camel);
    const method = String(names.pop());
    const owner = names.reduce<any>((part, name) => part[name], client);
    const path = Object.entries(asked.path);
    const isOld = generation === "old";
    const values = (isOld ? path : path.slice(-1)).map(([, value]) => value);
    const named = "request" in asked.args ? asked.args.request : isOld ? renamed(asked.args, camel) : { ...Object.fromEntries(path.slice(0, -1)), ...asked.args };
    const options: unknown[] = Object.keys(named as Facts).length > 0 ? [named] : [];
    const { timeout_s, headers } = asked.client;
    if (isOld && (timeout_s ?? headers)) options.push({ timeoutInSeconds: timeout_s, headers });
    const answer = await gathered(await owner[method](...values, ...options), asked.take);
    return isOld ? renamed(answer, snake) : answer;
}

/** Pages that ask for the next by themselves and streams are lists, of so many items at the most. */
async function gathered(answer: any, take: number | null): Promise<unknown> {
    if (typeof answer !== "object" || answer === null || !(Symbol.asyncIterator in answer)) return answer;
    const found: unknown[] = [];
    for await (const one of answer) {
        found.push(one);
        if (found.length === take) break;
    }
    return found;
}

/** The value with every key written otherwise, but for those that are the caller's own. */
function renamed(value: unknown, spell: (name: string) => string): unknown {
    if (Array.isArray(value)) return value.map((one) => renamed(one, spell));
    if (typeof value !== "object" || value === null || value instanceof Date) return value;
    const entries = Object.entries(value).map(([name, one]) => [
        spell(name),
        FREE_FORM.includes(snake(name)) ? one : renamed(one, spell),
    ]);
    return Object.fromEntries(entries);
}

/** All methods below a resource; of the client itself only `health`, the others are its plumbing. */
function methodsOf(resource: any, path: string, generation: Generation): Set<string> {
    const found = new Set<string>();
    const below = (name: string) => {
        for (const one of methodsOf(resource[name], `${path}${snake(name)}.`, generation)) found.add(one);
    };
    for (let kind = Object.getPrototypeOf(resource); kind !== Object.prototype; kind = Object.getPrototypeOf(kind)) {
        for (const [name, part] of Object.entries(Object.getOwnPropertyDescriptors(kind))) {
            if (name === "constructor" || name.startsWith("_")) continue;
            if (typeof part.value === "function" && (path || name === "health")) found.add(path + snake(name));
            else if (part.get && generation === "old") below(name);
        }
    }
    if (generation === "new") {
        const isResource = (name: string) => !name.startsWith("_") && "_client" in Object(resource[name]);
        Object.keys(resource).filter(isResource).forEach(below);
    }
    return found;
}

const camel = (name: string) => name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
const snake = (name: string) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
