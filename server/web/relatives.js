// What else there can be of a picture's creature: it turned round, evolved, moved, shiny,
// and all the files that a game takes.

import { ask, patiently, request } from "./api.js";
import { button, download, el, toast } from "./dom.js";
import { dataUrlOf } from "./draw.js";
import { nameOf } from "./export.js";
import { withoutBackground } from "./png.js";
import { drawAside, isPlain, readAgain, restore } from "./recipe.js";
import { statusLine } from "./status.js";
import { pictures, urlOf } from "./store.js";
import { drawNow } from "./studio.js";

const STAGES = 4; // to choose from, and to draw again with other words
const MOST_COLORS = 85; // of a view in a pack
const FRAME_MS = 400;

/** A section of buttons; what the model hasn't learned is said in its place. */
export function relatives(picture, box) {
  const row = el("div", { class: "row" });
  const hint = el("p", { class: "hint" });
  const status = statusLine();
  box.addEventListener("close", status.cancel);
  offer(picture, box, row, status)
    .then((missing) => (hint.textContent = missing.join(" ")))
    .catch((problem) => (hint.textContent = problem.message));
  const title = el("h3", {}, "More of this creature");
  return el("section", { class: "relatives" }, title, row, status.element, hint);
}

/** Add what can be had to the row; returns why the rest can't. */
async function offer(picture, box, row, status) {
  const { recipe } = picture;
  const { relations, model_version: model } = await ask("health");
  const add = (name, title, run) => {
    const go = () => run().catch((problem) => toast(problem.message));
    row.append(button(name, go, { title }));
  };
  const side = recipe.attributes.view === "back" ? "front" : "back";
  const kinds = [
    ["Turn round", side, `The same creature's ${side}`],
    ["Evolve", "evolution", "Its next stage, a few to choose from"],
    ["Move", "frame", "The other frame of its animation"],
  ];
  for (const [name, relation, title] of kinds) {
    if (!relations.includes(relation)) continue;
    add(name, title, () => drawKin(picture, relation, box));
  }
  const missing = kinds.filter(([, relation]) => !relations.includes(relation));
  const names = missing.map(([name]) => name.toLowerCase()).join(", ");
  const why = names ? [`This model hasn't learned to ${names}.`] : [];
  if (recipe.model !== model) {
    return [...why, "Another model drew this picture: only that one can make it shiny or pack it."];
  }
  const [name, title] = recipe.shiny
    ? ["Usual palette", "The same pixels as they were"]
    : ["Shiny", "The same pixels in another palette"];
  add(name, title, () => drawShiny(recipe, box));
  if (!canPack(recipe)) {
    return [...why, "A game pack begins with a front drawn from words and a seed alone, so there is none of this."];
  }
  const files = "A ZIP: two frames, back, shinies, icon, sheet with JSON, palettes, card";
  add("Game pack", files, () => savePack(picture, status));
  return why;
}

/** Draw what is kin to a picture; the settings hold an evolution, whose words can change. */
async function drawKin({ id, file, recipe }, relation, box) {
  const cut = (await withoutBackground(file)) ?? file;
  const [, image] = (await dataUrlOf(cut)).split(",");
  const { start, towards, mix, ...own } = recipe;
  // A shiny's relatives take their colours from it.
  const wanted = { ...own, shiny: false, kin: { image, relation, of: id } };
  leave(box);
  if (relation !== "evolution") return drawAside(wanted);
  await restore(wanted, STAGES);
  await drawNow();
}

/** Show the same pixels in the other palette, drawn if they aren't in the gallery. */
async function drawShiny(recipe, box) {
  const wanted = { ...recipe, finish: "pixel", shiny: !recipe.shiny };
  const text = JSON.stringify(wanted);
  const there = pictures.find((picture) => JSON.stringify(picture.recipe) === text);
  if (there) return location.replace(`#/picture/${there.id}`);
  leave(box);
  await drawAside(wanted);
}

function leave(box) {
  box.close();
  location.hash = "#/";
}

/** Whether a pack's front is this picture, as pixel art. */
const canPack = ({ attributes, slides = {}, ...recipe }) =>
  isPlain(recipe) && !Object.keys(slides).length && (attributes.view ?? "front") === "front";

async function savePack(picture, status) {
  const { recipe } = picture;
  const { prompt, seed, guidance, temperature, colors, negative } = recipe;
  await status.run(async (signal) => {
    status.say("Packing …");
    const { byHand } = await readAgain(recipe);
    const body = {
      ...{ prompt, seed, guidance, temperature, attributes: byHand },
      ...{ colors: Math.min(colors, MOST_COLORS), negative_prompt: negative },
    };
    const pack = async () => (await request("creature", { body, signal })).blob();
    download(await patiently(pack, signal, status.waiting), nameOf(picture, "zip"));
    return "The game pack is saved";
  });
}

/** A button that plays the two frames of an animation in `image`. */
export function frames(picture, image) {
  const sources = [urlOf(picture), `data:image/png;base64,${picture.recipe.kin.image}`];
  let timer = null;
  let at = 0;
  const turn = () => {
    if (!image.isConnected) return clearInterval(timer); // the dialog is gone
    at = 1 - at;
    image.src = sources[at];
  };
  const play = () => {
    if (timer) clearInterval(timer);
    timer = timer ? null : setInterval(turn, FRAME_MS);
    knob.textContent = timer ? "Pause" : "Play";
  };
  const knob = button("Play", play);
  if (!matchMedia("(prefers-reduced-motion: reduce)").matches) play();
  return el("div", { class: "row centred" }, knob);
}
