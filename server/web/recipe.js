// Recipes as links, and back into the settings.

import { ask } from "./api.js";
import { toast } from "./dom.js";
import { checked, parsed, recipeOf, textsOf } from "./png.js";
import { set, setRead } from "./state.js";

/** A link that draws the same picture again. */
export function linkTo(recipe) {
  const query = new URLSearchParams({
    prompt: recipe.prompt,
    seed: recipe.seed,
    guidance: recipe.guidance,
    temperature: recipe.temperature,
    finish: recipe.finish ?? "auto",
    colors: recipe.colors ?? 15,
    negative: recipe.negative ?? "",
    slides: JSON.stringify(recipe.slides ?? {}),
    model: recipe.model,
    ...recipe.attributes,
  });
  if (recipe.towards) {
    query.set("towards_seed", recipe.towards.seed);
    query.set("mix", recipe.mix);
  }
  return `${location.origin}/#/draw?${query}`;
}

/** The recipe in a link's query. */
export function recipeIn(query) {
  const given = Object.fromEntries(new URLSearchParams(query));
  const recipe = checked({ ...given, attributes: given, slides: parsed(given.slides) });
  if (given.towards_seed !== undefined) {
    const { prompt, attributes } = recipe;
    const { seed } = checked({ prompt, seed: given.towards_seed });
    recipe.towards = { prompt, seed, attributes };
    recipe.mix = Math.min(1, Math.max(0, Number(given.mix) || 0));
  }
  return recipe;
}

/** Whether it lies between two prompts or attributes, as only a walk draws it. */
export function isWalk({ towards, prompt, attributes }) {
  if (!towards) return false;
  const same = JSON.stringify(towards.attributes) === JSON.stringify(attributes);
  return towards.prompt !== prompt || !same;
}

/** Put a recipe into the settings, so that drawing gives its very picture. */
export async function restore(recipe, count = 1) {
  // By hand is only what the prompt doesn't say itself.
  const query = new URLSearchParams({ prompt: recipe.prompt });
  const answer = await ask(`parse?${query}`);
  const byHand = Object.entries(recipe.attributes).filter(
    ([name, value]) => answer.attributes[name] !== value,
  );
  const near = recipe.towards
    ? { seed: recipe.seed, strength: recipe.mix }
    : null;
  setRead(answer);
  set({
    prompt: recipe.prompt,
    attributes: Object.fromEntries(byHand),
    seed: near ? recipe.towards.seed : recipe.seed,
    locked: true,
    guidance: recipe.guidance,
    temperature: recipe.temperature,
    finish: recipe.finish ?? "auto",
    colors: recipe.colors ?? 15,
    negative: recipe.negative ?? "",
    slides: recipe.slides ?? {},
    near,
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
