// Recipes as links, and back into the settings.

import { ask } from "./api.js";
import { toast } from "./dom.js";
import { recipeOf, textsOf } from "./png.js";
import { set, setRead } from "./state.js";
import { drawNow, drawRecipe } from "./studio.js";

const MOST_LINK = 16000; // characters, which any browser takes

/**
 * A link that draws the same picture again; it holds what the texts of its file do. Null if
 * that is too much for a link, because of the picture that it began as or is kin to.
 */
export function linkTo(recipe) {
  const { prompt, seed, attributes, guidance, temperature, model } = recipe;
  const { towards, start, kin } = recipe;
  const { finish = "auto", colors = 15, negative = "" } = recipe;
  const query = new URLSearchParams({
    ...{ prompt, seed, attributes: JSON.stringify(attributes), guidance, temperature },
    ...{ finish, colors, negative, slides: JSON.stringify(recipe.slides ?? {}), model },
  });
  if (recipe.shiny) query.set("shiny", "true");
  if (kin) {
    query.set("relative", kin.image);
    query.set("relation", kin.relation);
  }
  if (towards) {
    query.set("towards_prompt", towards.prompt);
    query.set("towards_seed", towards.seed);
    query.set("towards_attributes", JSON.stringify(towards.attributes));
    query.set("mix", recipe.mix);
  }
  if (start) {
    query.set("init", start.image);
    query.set("strength", start.strength);
    if (start.mask) query.set("mask", start.mask);
  }
  const link = `${location.origin}/#/draw?${query}`;
  return link.length > MOST_LINK ? null : link;
}

/** The recipe in a link's query; null if there is none. */
export const recipeIn = (query) => recipeOf(Object.fromEntries(new URLSearchParams(query)));

/** Whether prompt, attributes and seed alone say what is drawn. */
export const isPlain = ({ towards, start, kin }) => !towards && !start && !kin;

/** Whether it lies between two prompts or attributes, as only a walk draws it. */
export function isWalk({ towards, prompt, attributes }) {
  if (!towards) return false;
  const same = JSON.stringify(towards.attributes) === JSON.stringify(attributes);
  return towards.prompt !== prompt || !same;
}

/** How a prompt reads, and which of a recipe's attributes it doesn't say itself. */
export async function readAgain({ prompt, attributes }) {
  const answer = await ask(`parse?${new URLSearchParams({ prompt })}`);
  const byHand = Object.entries(attributes).filter(
    ([name, value]) => answer.attributes[name] !== value,
  );
  return { answer, byHand: Object.fromEntries(byHand) };
}

/** Draw a recipe's very picture, and leave the settings as they are. */
export async function drawAside(recipe) {
  const { byHand } = await readAgain(recipe);
  await drawRecipe({ ...recipe, attributes: byHand });
}

/** Draw a recipe's very picture, by the settings if they can hold it. */
export async function drawAgain(recipe) {
  if (recipe.start || isWalk(recipe)) return drawAside(recipe);
  await restore(recipe);
  await drawNow();
}

/** Put a recipe into the settings, so that drawing gives its very picture. */
export async function restore(recipe, count = 1) {
  const { answer, byHand } = await readAgain(recipe);
  const near = recipe.towards
    ? { seed: recipe.seed, strength: recipe.mix }
    : null;
  const { kin = null } = recipe;
  if (byHand.view === kin?.relation) delete byHand.view; // which the relation says
  setRead(answer);
  set({
    prompt: recipe.prompt,
    attributes: byHand,
    seed: near ? recipe.towards.seed : recipe.seed,
    locked: true,
    guidance: recipe.guidance,
    temperature: recipe.temperature,
    finish: recipe.finish ?? "auto",
    colors: recipe.colors ?? 15,
    negative: recipe.negative ?? "",
    slides: recipe.slides ?? {},
    shiny: recipe.shiny ?? false,
    near,
    kin,
    count,
  });
}

/** Take the settings from a file that was dropped, pasted or chosen. */
export async function restoreFile(file) {
  const recipe = recipeOf(await textsOf(file));
  if (!recipe?.prompt) {
    toast(`${file.name || "That file"} holds no settings: a PNG made here, or by A1111, does`);
    return;
  }
  if (recipe.start) return (await import("./edit.js")).editAgain(recipe);
  if (isWalk(recipe)) return (await import("./walk.js")).walkAgain(recipe);
  location.hash = "#/";
  try {
    await restore(recipe);
    toast("The picture's settings are back: draw to see it again");
  } catch (problem) {
    toast(problem.message);
  }
}
