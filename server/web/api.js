// Talking to the server: errors that say what to do, waiting when it is busy, and streams
// that pick up where they broke.

import { sleep } from "./dom.js";
import { askForKey, keyHeaders } from "./key.js";

export const SEED_LIMIT = 2 ** 31;
const PASSING = new Set([
  ...["starting", "draining", "deadline_exceeded", "queue_full", "rate_limited"],
  ...["too_many_streams", "unreachable", "proxy"],
]);

/** What went wrong, in words for people; `passing` if trying again may help. */
class Problem extends Error {
  constructor(message, code, retryAfter = null) {
    super(message);
    this.code = code;
    this.retryAfter = retryAfter;
    this.passing = PASSING.has(code);
  }
}

/** A request under /api/v1; asks for a key if one is needed. */
export async function request(path, { body, signal, headers = {} } = {}) {
  for (;;) {
    const options = { signal, headers: { ...headers, ...keyHeaders() } };
    if (body) {
      options.method = "POST";
      options.headers["Content-Type"] = "application/json";
      options.body = JSON.stringify(body);
    }
    let response;
    try {
      response = await fetch(`/api/v1/${path}`, options);
    } catch (error) {
      if (signal?.aborted) throw error;
      throw new Problem("The server can't be reached", "unreachable");
    }
    if (response.ok) return response;
    const problem = await problemOf(response);
    if (problem.code !== "invalid_api_key" || !(await askForKey())) throw problem;
  }
}

async function problemOf(response) {
  const after = Number(response.headers.get("Retry-After")) || null;
  try {
    const { message, code } = (await response.json()).error;
    return new Problem(message, code, after);
  } catch {
    // Not our server's words: something in between answered.
    const code = response.status >= 502 ? "proxy" : "unknown";
    return new Problem(`The server answered ${response.status}`, code, after);
  }
}

export async function ask(path, options) {
  const response = await request(path, options);
  try {
    return await response.json();
  } catch (error) {
    if (options?.signal?.aborted) throw error;
    throw new Problem("The connection broke", "unreachable");
  }
}

/**
 * Do something, again and again if the server is busy or away.
 * @param {(fine: () => void) => Promise} attempt calls `fine` when there is progress.
 * @param {(seconds: number, problem: Problem) => void} onWait called every second.
 */
export async function patiently(attempt, signal, onWait) {
  let failures = 0;
  for (;;) {
    try {
      return await attempt(() => (failures = 0));
    } catch (problem) {
      if (signal.aborted || !problem.passing) throw problem;
      const wait = problem.retryAfter ?? Math.min(2 ** failures, 15);
      failures += 1;
      for (let left = wait; left > 0; left -= 1) {
        onWait(left, problem);
        await sleep(1000, signal);
      }
    }
  }
}

/** The fields of a request that are the same however it is drawn. */
export function fieldsOf({ negative, slides = {}, shiny = false, ...settings }) {
  const { guidance, temperature, finish = "auto", colors = 15 } = settings;
  return {
    guidance,
    temperature,
    colors,
    ...(finish === "auto" ? {} : { finish }),
    ...(negative ? { negative_prompt: negative } : {}),
    ...(shiny ? { shiny } : {}),
    ...(Object.keys(slides).length ? { slides } : {}),
  };
}

/**
 * Draw pictures as a stream.
 * @param {object} job prompt, attributes, seed, count, and what `fieldsOf` takes
 * @param {(name: string, data: object) => void} on the server's events, and `waiting`.
 */
export async function stream(job, signal, on) {
  const arrived = new Set();
  let last = null;
  let skipped = 0;
  const attempt = async (fine) => {
    if (!last) {
      // A new job, of what is still missing. Seeds count up, so it is the same.
      while (arrived.has(skipped)) skipped += 1;
      if (skipped === job.count) return;
    }
    const { slides = {}, ...fields } = fieldsOf(job);
    const query = new URLSearchParams({
      prompt: job.prompt,
      seed: (job.seed + skipped) % SEED_LIMIT,
      num_samples: job.count - skipped,
      ...fields,
      ...job.attributes,
    });
    for (const [name, value] of Object.entries(slides)) query.set(`slides.${name}`, value);
    const headers = last ? { "Last-Event-ID": last } : {};
    try {
      const path = `generate/stream?${query}`;
      const response = await request(path, { signal, headers });
      for await (const event of events(response, signal)) {
        last = event.id ?? last;
        fine();
        if (event.name === "error") {
          const { message, code } = event.data.error;
          last = null;
          throw new Problem(message, code);
        }
        const index = (event.data.index ?? 0) + skipped;
        if (event.name === "image") {
          if (arrived.has(index)) continue;
          arrived.add(index);
        }
        on(event.name, { ...event.data, index });
        if (event.name === "done") return;
      }
    } catch (problem) {
      if (problem.code !== "unknown_job") throw problem;
      last = null; // it was forgotten, or the server is another one by now
    }
    if (arrived.size < job.count) throw new Problem("The connection broke", "unreachable");
  };
  const onWait = (seconds, problem) => on("waiting", { seconds, problem });
  await patiently(attempt, signal, onWait);
}

async function* events(response, signal) {
  if (response.status === 204) return; // all was sent before
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    let part;
    try {
      part = await reader.read();
    } catch (error) {
      if (signal.aborted) throw error;
      throw new Problem("The connection broke", "unreachable");
    }
    if (part.done) return;
    text += part.value;
    const blocks = text.split("\n\n");
    text = blocks.pop();
    for (const block of blocks) {
      const field = (name) =>
        block.match(new RegExp(`^${name}: (.*)$`, "m"))?.[1] ?? null;
      const data = field("data");
      if (data === null) continue; // a comment that keeps the connection open
      yield { id: field("id"), name: field("event"), data: JSON.parse(data) };
    }
  }
}
