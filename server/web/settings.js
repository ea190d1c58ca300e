// The panel of settings, and the chips under the prompt: two views of one state.

import { ask } from "./api.js";
import { byId, copy, el, spoken, swatch } from "./dom.js";
import { icon } from "./icons.js";
import { jobOf, seedsOf } from "./draw.js";
import { isSlide, onChange, randomSeed, read, RELATIONS, set, setAttribute } from "./state.js";
import { setRead, setSlide, state, vocabularies } from "./state.js";

const TYPING_MS = 250;

/** A menu of one attribute's words; its first entry leaves it to the prompt. */
function menu(name, properties) {
  const words = vocabularies[name].map((word) => el("option", { value: word }, word));
  const pick = el(
    "select",
    properties,
    el("optgroup", { label: "as the prompt says" }, el("option", { value: "" })),
    el("optgroup", { label: "by hand" }, ...words),
  );
  pick.addEventListener("change", () => setAttribute(name, pick.value));
  return pick;
}

function showMenu(pick, name) {
  pick.options[0].textContent = read.attributes[name] ?? "any";
  pick.value = state.attributes[name] ?? "";
}

/** Build the menus of all attributes; called once the words are known. */
export function buildMenus() {
  const menus = Object.keys(vocabularies).map((name) => {
    const pick = menu(name, { id: `pick-${name}` });
    const label = el("label", { for: pick.id }, spoken(name));
    byId("menus").append(el("div", { class: "field" }, label, pick));
    return [name, pick];
  });
  onChange(() => {
    for (const [name, pick] of menus) showMenu(pick, name);
    showChips();
    byId("reset").hidden = !Object.keys({ ...state.attributes, ...state.slides }).length;
  });
  byId("reset").addEventListener("click", () => set({ attributes: {}, slides: {} }));
}

/** How much of an attribute there shall be, from none to three times as much. */
function slideOf(name) {
  if (!isSlide(name)) return null;
  const value = state.slides[name] ?? 1;
  const least = Math.min(0, value); // a recipe may hold less than none
  const slide = el("input", {
    ...{ type: "range", id: `chip-slide-${name}`, min: least, max: 3, step: 0.25, value },
    ...{ "aria-label": `how much ${spoken(name)}`, title: `how much: × ${value}` },
  });
  slide.addEventListener("input", () => (slide.title = `how much: × ${slide.value}`));
  // Only once it is let go: the chips are built anew by that.
  slide.addEventListener("change", () => setSlide(name, Number(slide.value)));
  return slide;
}

/** A chip is a menu, too: what was understood, with all that it could be instead. */
function showChips() {
  const focused = document.activeElement?.id;
  const names = Object.keys(vocabularies).filter(
    (name) => state.attributes[name] || read.attributes[name],
  );
  const chips = names.map((name) => {
    const byHand = name in state.attributes;
    const value = state.attributes[name] ?? read.attributes[name];
    const why = byHand ? "set by hand" : `from “${read.words[name] ?? "the prompt"}”`;
    const pick = menu(name, { id: `chip-${name}`, "aria-label": `${spoken(name)}, ${why}` });
    showMenu(pick, name);
    const square = swatch(name, value);
    const label = el("span", { class: "chip-name", "aria-hidden": "true" }, spoken(name));
    const kind = byHand || name in state.slides ? "chip by-hand" : "chip";
    const parts = [square, label, pick, slideOf(name)];
    return el("span", { class: kind, role: "listitem", title: why }, ...parts);
  });
  const unknown = read.unrecognised.map((word) =>
    el(
      "span",
      { class: "chip unknown", role: "listitem", title: "No rule knows this word" },
      el("span", { class: "visually-hidden" }, "not understood: "),
      word,
    ),
  );
  const parts = Object.entries(read.parts).map(([place, color]) =>
    el(
      "span",
      { class: "chip part", role: "listitem", title: "Painted where most creatures have it, if the model draws thumbnails" },
      ...(color === "None"
        ? [`no ${place}`]
        : [swatch("color", color), el("span", { class: "chip-name" }, `${place} `), color]),
    ),
  );
  byId("chips").replaceChildren(...chips, ...parts, ...unknown);
  byId("chips-hint").hidden = !chips.length && !parts.length && !unknown.length;
  if (focused?.startsWith("chip-")) byId(focused)?.focus();
}

/** Read the prompt while it is typed. */
function watchPrompt() {
  const field = byId("prompt");
  let timer = null;
  let asking = null;
  let reading = null;
  const readNow = async () => {
    asking?.abort();
    asking = new AbortController();
    const prompt = state.prompt.trim();
    reading = prompt;
    if (!prompt) return setRead({ attributes: {}, words: {}, unrecognised: [], parts: {} });
    try {
      const query = new URLSearchParams({ prompt });
      setRead(await ask(`parse?${query}`, { signal: asking.signal }));
    } catch {
      // Drawing will say what is wrong; while typing it would only disturb.
    }
  };
  field.addEventListener("input", () => set({ prompt: field.value, near: null }));
  onChange(() => {
    if (field.value !== state.prompt) field.value = state.prompt;
    if (state.prompt.trim() === reading) return;
    reading = state.prompt.trim();
    clearTimeout(timer);
    timer = setTimeout(readNow, TYPING_MS);
  });
}

/** A slider and a number that are one. */
function watchNumber(name) {
  const fields = [byId(name), byId(`${name}-exact`)];
  for (const field of fields) {
    field.addEventListener("input", () => {
      const value = Number(field.value);
      const { min, max } = byId(`${name}-exact`);
      if (field.value !== "" && value >= Number(min) && value <= Number(max)) {
        set({ [name]: name === "count" ? Math.round(value) : value });
      }
    });
  }
  onChange(() => {
    for (const field of fields) {
      if (Number(field.value) !== state[name]) field.value = state[name];
    }
  });
}

/** A field of its own; `read` makes a setting of its text. */
function watchField(name, read) {
  const field = byId(name);
  field.addEventListener("input", () => {
    if (field.value !== "" && field.checkValidity()) set({ [name]: read(field.value) });
    else if (field.type === "text") set({ [name]: "" });
  });
  onChange(() => {
    if (read(field.value) !== state[name]) field.value = state[name];
  });
}

function watchSeed() {
  const field = byId("seed");
  const lock = byId("lock");
  field.addEventListener("input", () => {
    if (field.value !== "" && field.checkValidity()) {
      set({ seed: Number(field.value), locked: true });
    }
  });
  lock.addEventListener("click", () => set({ locked: !state.locked }));
  byId("reroll").append(icon("dice"));
  byId("reroll").addEventListener("click", () => set({ seed: randomSeed() }));
  byId("copy-seeds").addEventListener("click", () => copy(seedsOf(state).join(", "), "Seeds"));
  onChange(() => {
    if (Number(field.value) !== state.seed) field.value = state.seed;
    lock.replaceChildren(icon(state.locked ? "locked" : "open"));
    lock.setAttribute("aria-pressed", String(state.locked));
    byId("seed-hint").textContent = state.locked
      ? "Locked: drawing again gives the same pictures."
      : "A new one each time. Lock it to draw the same again.";
  });
}

/** Say that what is drawn is akin to a picture, until somebody stops it. */
function watchKin() {
  const image = byId("near-image");
  byId("near-off").addEventListener("click", () => set({ near: null, kin: null }));
  onChange(() => {
    const { near, kin } = state;
    byId("near").hidden = !near && !kin;
    image.hidden = !kin;
    if (kin) {
      image.src = `data:image/png;base64,${kin.image}`;
      byId("near-text").textContent = `This creature, ${RELATIONS[kin.relation]}`;
    } else if (near) {
      const far = Math.round(100 * near.strength);
      byId("near-text").textContent = `Variations of seed ${near.seed}, ${far} % away`;
    }
  });
}

function watchShiny() {
  const box = byId("shiny");
  box.addEventListener("change", () => set({ shiny: box.checked }));
  onChange(() => (box.checked = state.shiny));
}

export function startSettings() {
  for (const name of ["count", "guidance", "temperature"]) watchNumber(name);
  watchField("finish", String);
  watchField("colors", Number);
  watchField("negative", String);
  watchSeed();
  watchShiny();
  watchKin();
  watchPrompt();
  onChange(() => {
    const { count } = jobOf(state);
    byId("draw").textContent = count === 1 ? "Draw" : `Draw ${count}`;
  });
}
