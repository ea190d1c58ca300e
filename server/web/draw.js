// Drawing: a job becomes pictures in the gallery, with partial pictures on the way.

import { ask, fieldsOf, patiently, SEED_LIMIT, stream } from "./api.js";
import { checked, recipeOf, textsOf } from "./png.js";
import { keep } from "./store.js";

/** The settings as a job; its seed decides all of its pictures. */
export function jobOf({ count, near, kin, ...settings }) {
  return { ...checked(settings), count, near, kin };
}

export const seedsOf = ({ seed, count }) =>
  Array.from({ length: count }, (_, i) => (seed + i) % SEED_LIMIT);

/** A drawn file as a picture of the gallery; `of` is the id of the one it is kin to. */
export async function keepFile(dataUrl, parsed, started, of = null) {
  const file = fileOf(dataUrl);
  const recipe = recipeOf(await textsOf(file));
  if (recipe.kin) recipe.kin.of = of;
  const { sources = {}, words = {}, unrecognised = [] } = parsed ?? {};
  const took = Math.round(performance.now() - started);
  return keep({ file, recipe, sources, words, unrecognised, took });
}

/** A data URL as a blob. Fetching it would need another word in the page's policy. */
export function fileOf(dataUrl) {
  const [head, data] = dataUrl.split(",");
  const bytes = Uint8Array.from(atob(data), (char) => char.charCodeAt(0));
  return new Blob([bytes], { type: head.slice(5).split(";")[0] });
}

/** A blob as a data URL. */
export function dataUrlOf(blob) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(blob);
  });
}

/**
 * Draw a job.
 * @param {object} job
 * @param {AbortSignal} signal
 * @param {object} show what to call on the way: `partial(index, url)`,
 *   `picture(index, picture)`, `say(words)`, `progress(done, of)`,
 *   `waiting(seconds, problem)`.
 */
export async function draw(job, signal, show) {
  const started = performance.now();
  if (job.near || job.towards || job.start || job.kin) {
    await drawAtOnce(job, signal, show, started);
  } else {
    await drawStream(job, signal, show, started);
  }
}

async function drawStream(job, signal, show, started) {
  let parsed = null;
  let steps = 1; // that each picture takes
  const done = Array.from({ length: job.count }, () => 0);
  const kept = [];
  const progress = () => {
    const sum = done.reduce((a, b) => a + b, 0);
    show.progress(sum, steps * job.count);
  };
  await stream(job, signal, (name, data) => {
    if (name === "waiting") show.waiting(data.seconds, data.problem);
    if (name === "queued") {
      const ahead = data.position;
      show.say(ahead ? `In the queue, ${ahead} pictures ahead` : "Drawing …");
    }
    if (name === "parsed") parsed = data;
    if (name === "encoded") steps = (data.steps ?? 0) + 1;
    if (name === "partial") {
      done[data.index] = Math.min(done[data.index] + 1, steps - 1);
      show.partial(data.index, data.image);
    }
    if (name === "image") {
      done[data.index] = steps;
      const keeping = keepFile(data.image, parsed, started);
      kept.push(keeping.then((picture) => show.picture(data.index, picture)));
    }
    if (name === "partial" || name === "image") {
      const ready = done.filter((n) => n === steps).length;
      show.say(`Drawing: ${ready} of ${job.count} done`);
      progress();
    }
  });
  await Promise.all(kept);
}

/** Where to ask for what comes in one answer, and the fields that only it has. */
function requestOf({ count, near, towards, mix, start, kin, seed }) {
  if (start) return ["edit", { ...start, num_samples: count }];
  if (kin) return ["relative", { image: kin.image, relation: kin.relation, num_samples: count }];
  if (towards) {
    const { prompt, seed: to_seed, attributes } = towards;
    return ["interpolate", { to_prompt: prompt, to_seed, to_attributes: attributes, mix }];
  }
  const { seed: from, strength } = near;
  return ["variations", { seed: from, strength, num_samples: count, variation_seed: seed }];
}

async function drawAtOnce(job, signal, show, started) {
  show.say("Drawing …");
  const { prompt, attributes, seed } = job;
  const [path, fields] = requestOf(job);
  const body = { prompt, attributes, seed, ...fieldsOf(job), ...fields };
  const answer = await patiently(() => ask(path, { body, signal }), signal, show.waiting);
  for (const [i, url] of answer.images.entries()) {
    show.picture(i, await keepFile(url, answer.start ?? answer, started, job.kin?.of));
  }
}
