// The first page: ask, and watch the pictures arrive.

import { blank, card, walkable } from "./card.js";
import { announce, byId, el } from "./dom.js";
import { draw, jobOf, seedsOf } from "./draw.js";
import { randomSeed, set, state } from "./state.js";
import { statusLine } from "./status.js";
import { onPictures, pictures } from "./store.js";
import { surprise } from "./surprise.js";

const EXAMPLES = [
  "a small blue water turtle with a red shell",
  "a huge green forest snake with glowing eyes",
  "a tiny yellow electric mouse from the mountains",
];
const status = statusLine();
let shown = []; // {picture, element, showHeart} of the last job

/** Draw what the settings say. */
export async function drawNow() {
  if (!state.prompt.trim()) {
    byId("prompt").focus();
    announce("Describe a creature first");
    return;
  }
  if (!state.locked) set({ seed: randomSeed() });
  await drawJob(jobOf(state));
}

/** Draw the picture of a recipe, which the settings needn't hold, and tell how it was made. */
export async function drawRecipe(recipe) {
  const [{ picture } = {}] = await drawJob({ ...recipe, count: 1 });
  if (picture) location.hash = `#/picture/${picture.id}`;
}

async function drawJob(job) {
  const grid = byId("results");
  const mine = []; // those of this job, if another one takes its place
  byId("welcome").hidden = true;
  await status.run(async (signal) => {
    const blanks = seedsOf(job).map(blank);
    grid.replaceChildren(...blanks.map(({ element }) => element));
    shown = mine;
    if (grid.getBoundingClientRect().top > innerHeight * 0.8) {
      status.element.scrollIntoView({ block: "start" });
    }
    try {
      await draw(job, signal, {
        ...status,
        partial: (i, url) => blanks[i].preview(url),
        picture: (i, picture) => {
          const made = card(picture);
          blanks[i].element.replaceWith(made.element);
          mine.push({ ...made, picture });
          announce(`${mine.length} of ${job.count} pictures`);
        },
      });
    } finally {
      // What was cancelled leaves no empty frames, and a later job's frames are its own.
      for (const { element } of blanks) element.remove();
    }
    return job.count === 1 ? "The picture is drawn" : `${job.count} pictures are drawn`;
  });
  return mine;
}

export const cancelDrawing = () => status.cancel();

/** Fill the prompt with something lively. */
export function surpriseMe() {
  set({ prompt: surprise(), attributes: {}, near: null, kin: null });
}

export function startStudio() {
  byId("status").append(status.element);
  walkable(byId("results"));
  byId("ask").addEventListener("submit", (event) => {
    event.preventDefault();
    drawNow();
  });
  byId("prompt").addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    drawNow();
  });
  byId("surprise").addEventListener("click", surpriseMe);
  byId("examples").append(
    ...EXAMPLES.map((prompt) => {
      const click = () => {
        set({ prompt, near: null, kin: null });
        drawNow();
      };
      return el("button", { type: "button", class: "quiet example", on: { click } }, prompt);
    }),
  );
  onPictures(() => {
    const alive = new Set(pictures.map((picture) => picture.id));
    for (const { picture, element, showHeart } of shown) {
      showHeart();
      element.hidden = !alive.has(picture.id);
    }
  });
}
