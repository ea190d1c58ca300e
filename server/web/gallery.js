// The gallery: every picture ever drawn here, searched, selected, exported.

import { card, imageOf, walkable } from "./card.js";
import { byId, el } from "./dom.js";
import { saveSheet, saveZip } from "./export.js";
import { isPlain } from "./recipe.js";
import { RELATIONS } from "./state.js";
import { onPictures, pictures, remove } from "./store.js";

const cards = new Map(); // by the picture's id
const selected = new Set();
const grid = byId("gallery");
const search = byId("search");
const onlyFavourites = byId("favourites");

/** Whether a picture has every word of the search, or the attribute, as in size:tiny. */
export function matches({ recipe }, words) {
  const values = Object.entries(recipe.attributes);
  const kin = RELATIONS[recipe.kin?.relation] ?? "";
  const all = [recipe.prompt, recipe.seed, kin, ...values.map(([, value]) => value)];
  if (recipe.shiny) all.push("shiny");
  const text = all.join(" ").toLowerCase();
  return words
    .toLowerCase()
    .split(/\s+/)
    .every((word) => {
      const [name, wanted] = word.split(":");
      if (!wanted) return text.includes(word);
      if (name === "seed") return String(recipe.seed) === wanted;
      return values.some(
        ([key, value]) =>
          key.replace("color", "colour").includes(name.replace("color", "colour")) &&
          value.toLowerCase().startsWith(wanted),
      );
    });
}

function show() {
  const alive = new Set(pictures.map((picture) => picture.id));
  for (const [id, { element }] of cards) {
    if (alive.has(id)) continue;
    element.remove();
    cards.delete(id);
    selected.delete(id);
  }
  let before = null; // the card that the next one stands after
  let shown = 0;
  for (const picture of pictures) {
    let made = cards.get(picture.id);
    if (made?.picture !== picture) {
      made?.element.remove();
      made = { ...card(picture, { mark: select }), picture };
      cards.set(picture.id, made);
    }
    made.showHeart();
    const { element } = made;
    const inPlace = before ? before.nextSibling === element : grid.firstChild === element;
    if (!inPlace) before ? before.after(element) : grid.prepend(element);
    before = element;
    const hit = matches(picture, search.value.trim());
    element.hidden = !hit || (onlyFavourites.checked && !picture.favourite);
    made.box.checked = selected.has(picture.id);
    shown += !element.hidden;
  }
  byId("gallery-count").textContent = shown === pictures.length
    ? `${shown}`
    : `${shown} of ${pictures.length}`;
  byId("gallery-section").hidden = pictures.length === 0;
  byId("nothing-found").hidden = shown > 0;
  showSelection();
}

function select(picture, on) {
  if (on) selected.add(picture.id);
  else selected.delete(picture.id);
  showSelection();
}

/** The selected pictures; all that are shown if none is. */
function chosen() {
  const ids = selected.size ? selected : new Set(visible());
  return pictures.filter((picture) => ids.has(picture.id));
}

const visible = () =>
  [...cards].filter(([, { element }]) => !element.hidden).map(([id]) => id);

function showSelection() {
  const n = selected.size;
  byId("selection").hidden = n === 0;
  byId("selection-count").textContent = `${n} selected`;
  byId("compare").disabled = n < 2 || n > 4;
  // A walk draws its ends anew, from words and seeds.
  byId("walk-between").disabled = n !== 2 || !chosen().every(({ recipe }) => isPlain(recipe));
  grid.classList.toggle("selecting", n > 0);
}

function clear() {
  selected.clear();
  show();
}

export function startGallery() {
  walkable(grid);
  onPictures(show);
  search.addEventListener("input", show);
  onlyFavourites.addEventListener("change", show);
  const on = (id, run) => byId(id).addEventListener("click", run);
  on("save-sheet", () => saveSheet(chosen()));
  on("save-zip", () => saveZip(chosen()));
  on("sheet-of-selected", () => saveSheet(chosen()));
  on("zip-of-selected", () => saveZip(chosen()));
  on("delete-selected", () => remove(chosen()));
  on("select-none", clear);
  on("select-all", () => {
    for (const id of visible()) selected.add(id);
    show();
  });
  on("compare", () => (location.hash = `#/compare/${[...selected].join(",")}`));
  on("walk-between", () => (location.hash = `#/walk/${[...selected].reverse().join(",")}`));
  show();
}

/** Pictures in the order they are shown in, for walking from one to the next. */
export function neighbours(id) {
  const ids = pictures.map((picture) => picture.id).filter((other) => {
    const made = cards.get(other);
    return other === id || !made?.element.hidden;
  });
  const at = ids.indexOf(id);
  return { before: ids[at - 1], after: ids[at + 1] };
}

/** A stripe of small pictures to choose from. */
export function strip(choose, most = 60) {
  const choices = pictures.filter(({ recipe }) => isPlain(recipe)).slice(0, most);
  const box = el("div", { class: "grid strip" });
  for (const picture of choices) {
    const image = imageOf(picture, { lazy: true });
    const button = el("button", { type: "button", class: "shown" }, image);
    button.addEventListener("click", () => choose(picture));
    box.append(button);
  }
  return box;
}
