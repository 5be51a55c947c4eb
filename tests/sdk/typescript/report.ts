/** Report: what a driver found out, as one JSON object on standard output. Used by every TypeScript driver. */

export type Facts = Record<string, unknown>;
type Scene = () => Promise<Facts>;

const WAIT_MS = 20_000;
const POLL_MS = 50;

/** Play the scenes one after the other; one that fails is reported with its stack and the others go on. */
export async function play(scenes: Record<string, Scene>): Promise<void> {
    const report: Record<string, Facts> = {};
    for (const [name, scene] of Object.entries(scenes)) {
        try {
            report[name] = await scene();
        } catch (error) {
            report[name] = { failed: error instanceof Error ? (error.stack ?? error.message) : String(error) };
        }
    }
    process.stdout.write(JSON.stringify({ faults: [], scenes: report }));
}

/** The error that an act ends with: its class, its status, its body, and how long it took. */
export async function refused(act: () => PromiseLike<unknown>): Promise<Facts> {
    const began = performance.now();
    try {
        return { class: null, answer: JSON.stringify(await act()) };
    } catch (error) {
        const { statusCode, status, body, error: parsed } = error as Facts;
        return {
            class: (error as Error).constructor.name,
            status: statusCode ?? status,
            body: body ?? parsed,
            message: (error as Error).message,
            seconds: (performance.now() - began) / 1000,
        };
    }
}

/** What `read` answers as soon as it is `done`. */
export async function waitFor<T>(
    what: string,
    read: () => PromiseLike<T>,
    done: (answer: T) => boolean,
): Promise<T> {
    const deadline = performance.now() + WAIT_MS;
    for (;;) {
        const answer = await read();
        if (done(answer)) return answer;
        if (performance.now() > deadline) {
            throw new Error(`${what} did not happen within ${WAIT_MS} ms; last seen: ${JSON.stringify(answer)}`);
        }
        await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
}

/** Words that make an `offline/scripted` agent answer like this. */
export function script(...entries: Facts[]): string {
    return JSON.stringify({ script: entries });
}

export function unique(word: string): string {
    return `${word}-${crypto.randomUUID().slice(0, 8)}`;
}

/** What has to be there, or the scene fails. */
export function sure<T>(value: T | null | undefined): T {
    if (value === null || value === undefined) throw new Error("something that has to be in an answer is not");
    return value;
}
