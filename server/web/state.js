// What is asked for next: the prompt and its settings, shared by the whole page.

import { SEED_LIMIT } from "./api.js";

const PLACE = "pokejax-draft";
const listeners = new Set();

/** The words each attribute can have, by its name; filled when the server has answered. */
export const vocabularies = {};

/** Whether there can be more or less of an attribute; not of how a picture is drawn. */
export const isSlide = (name) =>
  Object.hasOwn(vocabularies, name) && !["view", "style"].includes(name);

/** What a picture can be to another one of its creature, as people say it. */
export const RELATIONS = {
  front: "turned to the front",
  back: "turned round",
  evolution: "evolved",
  frame: "moved",
};

/** How the current prompt reads. */
export const read = { attributes: {}, words: {}, unrecognised: [], parts: {} };

export const state = {
  prompt: "",
  attributes: {}, // set by hand; they win over the prompt
  slides: {}, // how much of an attribute, where that isn't 1
  count: 6, // two rows of three
  seed: randomSeed(),
  locked: false,
  guidance: 1,
  temperature: 1,
  finish: "auto", // or raw, pixel
  colors: 15, // of the palette of pixel art
  shiny: false, // another palette, which takes pixel art
  negative: "", // what to keep away from
  // One of these at most: what is drawn isn't new, but akin to a picture.
  near: null, // {seed, strength}: variations of `seed`, that far towards others
  kin: null, // {image, relation, of}: a creature's PNG in base64, what of it is drawn, its id
};

try {
  Object.assign(state, JSON.parse(sessionStorage.getItem(PLACE) ?? "{}"));
} catch {
  // Nothing kept, or nothing readable: start anew.
}

/** Change settings and tell all that show them. */
export function set(changes) {
  Object.assign(state, changes);
  for (const listener of listeners) listener();
  try {
    sessionStorage.setItem(PLACE, JSON.stringify(state));
  } catch {
    // Only a reload will miss it.
  }
}

/** Tell how the prompt reads. */
export function setRead(answer) {
  Object.assign(read, answer);
  for (const listener of listeners) listener();
}

export function onChange(listener) {
  listeners.add(listener);
  listener();
}

/** Set one attribute by hand, or leave it to the prompt (empty). */
export function setAttribute(name, value) {
  const { [name]: _, ...others } = state.attributes;
  set({ attributes: value ? { ...others, [name]: value } : others });
}

/** Say how much of one attribute there shall be. */
export function setSlide(name, value) {
  const { [name]: _, ...others } = state.slides;
  set({ slides: value === 1 ? others : { ...others, [name]: value } });
}

export function randomSeed() {
  return crypto.getRandomValues(new Uint32Array(1))[0] % SEED_LIMIT;
}
