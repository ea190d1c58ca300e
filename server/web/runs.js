// Training runs: their curves while they grow, and their samples over time.

import { ask, request } from "./api.js";
import { chart } from "./chart.js";
import { el } from "./dom.js";

const AGAIN_MS = 5000;
const KINDS = {
  samples: "Held-out pictures, their reconstructions, and samples of their prompts",
  prompts: "The same prompts and latents over time",
  latent_kl: "KL of each latent dimension",
  training_progression: "All epochs as an animation",
};
let timer = null;
let showing = ""; // name and time of what is on the page
const chosen = new Map(); // the epoch that each slider was left at, if not the last

/** Show the list, or one run. */
export async function show(box, name) {
  clearTimeout(timer);
  showing = "";
  const refresh = async () => {
    if (box.hidden) return;
    try {
      if (!document.hidden) await (name ? showRun(box, name) : showList(box));
    } catch (problem) {
      box.replaceChildren(el("h1", {}, "Runs"), el("p", { class: "hint" }, problem.message));
    }
    timer = setTimeout(refresh, AGAIN_MS);
  };
  await refresh();
}

async function showList(box) {
  const { runs } = await ask("runs");
  const now = JSON.stringify(runs);
  if (now === showing) return;
  showing = now;
  const items = runs.map((run) =>
    el(
      "li",
      {},
      el("a", { href: `#/runs/${encodeURIComponent(run.name)}` }, run.name),
      ` ${run.epochs} epochs, last one ${new Date(1000 * run.updated).toLocaleString()}`,
    ),
  );
  const list = items.length
    ? el("ul", {}, ...items)
    : el("p", { class: "hint" }, "No run has finished an epoch yet.");
  box.replaceChildren(el("h1", {}, "Runs"), list);
}

async function showRun(box, name) {
  const path = `runs/${encodeURIComponent(name)}`;
  const run = await ask(path);
  const now = `${name} ${run.updated} ${run.pictures.length}`;
  if (now === showing || box.hidden) return;
  showing = now;
  const { rows } = run;
  const parts = Object.keys(rows[0] ?? {})
    .filter((column) => column.startsWith("Train_"))
    .map((column) => column.slice("Train_".length));
  const charts = parts.map((part) => [part, [`Train_${part}`, `Val_${part}`]]);
  if (rows[0]?.Active_Units !== undefined) charts.push(["Active latents", ["Active_Units"]]);
  charts.push(["Images a second", ["Images_per_s"]]);
  const figures = charts.map(([title, columns]) => {
    const drawn = chart(title, rows, columns);
    return drawn && el("figure", {}, el("figcaption", {}, title), drawn);
  });
  const legend = el(
    "p",
    { class: "hint" },
    el("span", { class: "key-0" }, "train"),
    ", ",
    el("span", { class: "key-1" }, "validation"),
  );
  const kinds = Object.entries(KINDS).map(([kind, title]) => {
    const pictures = run.pictures.filter((picture) => picture.kind === kind);
    return pictures.length ? scrubber(path, title, pictures) : null;
  });
  box.replaceChildren(
    el("p", {}, el("a", { href: "#/runs" }, "All runs")),
    el("h1", {}, name),
    legend,
    el("div", { class: "charts" }, ...figures.filter(Boolean)),
    ...kinds.filter(Boolean),
  );
}

/** Pictures of a kind, the last one first in sight, and a slider over the epochs. */
function scrubber(path, title, pictures) {
  const image = el("img", { alt: title });
  const said = el("output", {});
  const slider = el("input", {
    ...{ type: "range", min: 0, max: pictures.length - 1, "aria-label": `Epoch: ${title}` },
    hidden: pictures.length < 2,
  });
  const key = `${path} ${title}`;
  const last = pictures.length - 1;
  const left = pictures.findIndex(({ epoch }) => epoch === chosen.get(key));
  slider.value = left < 0 ? last : left;
  const showOne = async () => {
    const { file, epoch } = pictures[slider.value];
    said.textContent = epoch === null ? "" : `epoch ${epoch}`;
    const answer = await request(`${path}/${encodeURIComponent(file)}`);
    const blob = await answer.blob();
    if (pictures[slider.value].file !== file) return; // it has moved on
    const old = image.src;
    image.src = URL.createObjectURL(blob);
    URL.revokeObjectURL(old);
  };
  slider.addEventListener("input", () => {
    chosen.set(key, Number(slider.value) === last ? null : pictures[slider.value].epoch);
    showOne();
  });
  showOne();
  const caption = el("figcaption", {}, title, " ", said);
  return el("figure", {}, caption, slider, el("div", { class: "scroll", tabindex: 0 }, image));
}
