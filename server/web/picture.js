// One picture, large: how it was made, and what can be done with it.

import { ask } from "./api.js";
import { altOf } from "./card.js";
import { button, copy, dialog, el, spoken, swatch, toast } from "./dom.js";
import { dataUrlOf } from "./draw.js";
import { savePalette, savePng } from "./export.js";
import { neighbours } from "./gallery.js";
import { isPlain, isWalk, linkTo, restore } from "./recipe.js";
import { frames, relatives } from "./relatives.js";
import { RELATIONS, randomSeed, set } from "./state.js";
import { find, remove, setFavourite, urlOf } from "./store.js";
import { drawNow } from "./studio.js";

const SOURCES = {
  rules: "from the prompt",
  llm: "from a language model",
  request: "set by hand",
  kin: "as it was turned",
};

function facts(rows) {
  const list = el("dl", { class: "facts" });
  for (const [name, ...value] of rows) list.append(el("dt", {}, name), el("dd", {}, ...value));
  return list;
}

/** Where each attribute came from, as a table. */
function attributesOf({ recipe, sources, words }) {
  const { slides = {} } = recipe;
  const rows = Object.entries(recipe.attributes).map(([name, value]) => {
    const much = name in slides ? `× ${slides[name]} ` : "";
    const word = words?.[name] ? ` (“${words[name]}”)` : "";
    const turned = name === "view" && recipe.kin?.relation === value;
    const source = turned ? "kin" : sources?.[name];
    const from = source ? `${SOURCES[source] ?? source}${word}` : "";
    const square = swatch(name, value);
    return [spoken(name), square, ` ${value} ${much}`, el("span", { class: "from" }, from)];
  });
  return rows.length ? facts(rows) : el("p", {}, "None: the words alone steered it.");
}

function made(picture) {
  const { recipe, took, unrecognised, at } = picture;
  const rows = [
    ["seed", el("code", {}, String(recipe.seed))],
    ["guidance", String(recipe.guidance)],
    ["temperature", String(recipe.temperature)],
    ["model", el("code", {}, recipe.model)],
    ["drawn", `${new Date(at).toLocaleString()}, in ${(took / 1000).toFixed(1)} s`],
  ];
  if (recipe.negative) rows.push(["away from", recipe.negative]);
  if (recipe.finish === "pixel") rows.push(["finish", `pixel art, ${recipe.colors} colours at most`]);
  if (recipe.shiny) rows.push(["palette", "a shiny's, which the seed picks"]);
  if (recipe.kin) {
    const { image, relation, of } = recipe.kin;
    const src = `data:image/png;base64,${image}`;
    const shown = el("img", { src, alt: "the picture it is kin to", class: "began" });
    const there = find(of);
    const first = there ? el("a", { href: `#/picture/${of}` }, shown) : shown;
    rows.push(["kin to", first, ` this creature, ${RELATIONS[relation]}`]);
  }
  if (recipe.start) {
    const { image, mask, strength } = recipe.start;
    const src = `data:image/png;base64,${image}`;
    const what = mask ? "a part of it drawn anew" : "all of it drawn anew";
    const told = ` ${Math.round(100 * strength)} % away, ${what}`;
    rows.push(["began as", el("img", { src, alt: "the picture it began as", class: "began" }), told]);
  }
  if (recipe.towards) {
    const far = `${Math.round(100 * recipe.mix)} % towards seed ${recipe.towards.seed}`;
    const other = isWalk(recipe) ? ` of “${recipe.towards.prompt}”` : "";
    rows.splice(1, 0, ["moved", far + other]);
  }
  if (unrecognised?.length) rows.push(["not understood", unrecognised.join(", ")]);
  return facts(rows);
}

const nearness = new Map(); // by the picture's id
let knows = true; // until the server says that it doesn't

/** Add how near it is to what the model learned from, if the server knows. */
async function addNearness({ id, file }, list) {
  if (!knows) return;
  try {
    const body = { image: await dataUrlOf(file) };
    if (!nearness.has(id)) nearness.set(id, await ask("nearest", { body }));
  } catch {
    return; // busy, say: the page is good without it
  }
  const { distance, nearer } = nearness.get(id);
  knows = distance !== null;
  if (!knows) return;
  const far = `the nearest is ${distance.toFixed(3)} away; of real pictures never trained on,`;
  const share = `${Math.round(100 * nearer)} % are nearer to one`;
  list.append(el("dt", {}, "in training"), el("dd", {}, `${far} ${share}`));
}

function exportRow(picture) {
  const scale = el("select", { "aria-label": "Size of the PNG" });
  for (const n of [1, 2, 4, 8, 16]) scale.append(el("option", { value: n }, `${n}×`));
  scale.value = "4";
  const way = el("select", { "aria-label": "How the PNG is enlarged" });
  way.append(el("option", {}, "squares"), el("option", {}, "Scale2x"));
  const clear = el("input", { type: "checkbox", id: "clear" });
  const save = () => {
    const rounded = way.value === "Scale2x";
    savePng(picture, Number(scale.value), { transparent: clear.checked, rounded });
  };
  return el(
    "div",
    { class: "row" },
    button("Save PNG", save),
    scale,
    way,
    el("label", { class: "check", for: "clear" }, clear, "transparent"),
    ...(picture.recipe.finish === "pixel"
      ? ["gpl", "hex"].map((ending) => button(`.${ending}`, () => savePalette(picture, ending), {
          ...{ class: "quiet", "aria-label": `Save the palette as .${ending}` },
        }))
      : []),
  );
}

function variationRow(picture, box) {
  const { recipe } = picture;
  const far = el("input", {
    ...{ type: "range", min: 0.05, max: 1, step: 0.05, value: 0.3, id: "strength" },
  });
  const run = async () => {
    box.close();
    location.hash = "#/";
    await restore(recipe, 4);
    const near = { seed: recipe.seed, strength: Number(far.value) };
    set({ near, seed: randomSeed(), locked: false });
    drawNow();
  };
  return el(
    "div",
    { class: "row" },
    button("Draw variations", () => run().catch((problem) => toast(problem.message))),
    el("label", { for: "strength" }, "how far"),
    far,
  );
}

/** Copy a link; chats and mail cut long ones, so its length is told. */
function copyLink(recipe) {
  const link = linkTo(recipe);
  if (!link) toast("The picture that it was drawn from is too large for a link: save the PNG, which holds it");
  else copy(link, recipe.start || recipe.kin ? `Link of ${link.length.toLocaleString()} characters` : "Link");
}

async function settingsBack({ recipe }, box) {
  try {
    await restore(recipe);
    box.close();
    location.hash = "#/";
    document.getElementById("prompt").focus();
    toast("Settings restored: draw to see this picture again");
  } catch (problem) {
    toast(problem.message);
  }
}

/** Show a picture by its id; `leave` is called when it is closed by hand. */
export function showPicture(id, leave) {
  const picture = find(id);
  if (!picture) {
    toast("That picture isn't in this browser's gallery");
    leave();
    return null;
  }
  const { recipe } = picture;
  const large = el("img", { src: urlOf(picture), alt: altOf(picture), class: "large" });
  const { before, after } = neighbours(id);
  const go = (other) => location.replace(`#/picture/${other}`);
  const arrows = el(
    "div",
    { class: "row arrows" },
    button("← Newer", () => go(before), { class: "quiet", disabled: !before }),
    button("Older →", () => go(after), { class: "quiet", disabled: !after }),
  );
  const right = el("div", { class: "about" });
  const moves = recipe.kin?.relation === "frame" ? frames(picture, large) : null;
  const left = el("div", {}, large, moves, arrows);
  const both = el("div", { class: "picture" }, left, right);
  const box = dialog(recipe.prompt, {}, both);
  const heart = button(picture.favourite ? "♥ Favourite" : "♡ Favourite", () => {
    setFavourite(picture, !picture.favourite);
    heart.textContent = picture.favourite ? "♥ Favourite" : "♡ Favourite";
    heart.setAttribute("aria-pressed", String(picture.favourite));
  }, { "aria-pressed": String(picture.favourite) });
  const gone = () => {
    box.close();
    remove([picture]);
  };
  const actions = el("div", { class: "row" });
  if (recipe.start) {
    const again = async () => (await import("./edit.js")).editAgain(recipe);
    actions.append(button("Edit it again", again, { class: "primary" }));
  } else if (!isWalk(recipe)) {
    actions.append(
      button("Use these settings", () => settingsBack(picture, box), { class: "primary" }),
    );
  }
  if (isWalk(recipe)) {
    const again = async () => (await import("./walk.js")).walkAgain(recipe);
    actions.append(button("Walk again", again, { class: "primary" }));
  }
  actions.append(button("Copy link", () => copyLink(recipe)));
  actions.append(button("Edit", () => (location.hash = `#/edit/${id}`)));
  actions.append(button("Copy seed", () => copy(String(recipe.seed), "Seed")), heart);
  actions.append(button("Delete", gone));
  right.append(actions, exportRow(picture));
  if (isPlain(recipe)) right.append(variationRow(picture, box));
  right.append(relatives(picture, box));
  const how = made(picture);
  addNearness(picture, how);
  right.append(el("h3", {}, "How this was made"), how);
  right.append(el("h3", {}, "How it was understood"), attributesOf(picture));
  box.addEventListener("keydown", (event) => {
    const other = { ArrowLeft: before, ArrowRight: after }[event.key];
    if (!other || ["INPUT", "SELECT"].includes(event.target.tagName)) return;
    go(other);
  });
  box.addEventListener("close", leave);
  return box;
}
