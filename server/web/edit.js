// Editing: paint over a picture what shall be drawn anew, or a doodle to draw from.

import { ask, fieldsOf, patiently } from "./api.js";
import { card, walkable } from "./card.js";
import { button, el, toast } from "./dom.js";
import { dataUrlOf, fileOf, keepFile } from "./draw.js";
import { easel } from "./easel.js";
import { paletteOf } from "./pixels.js";
import { canvasOf } from "./png.js";
import { randomSeed, set, state } from "./state.js";
import { statusLine } from "./status.js";
import { find } from "./store.js";

const SIDE = 64; // of a new doodle; the server takes any
const USUAL = { whole: 0.6, part: 1 }; // strengths, as the server has them
const TOOLS = {
  mask: ["brush", "eraser"],
  pixels: ["pencil", "eraser", "fill", "line", "rectangle", "eyedropper"],
};
const COLORS = [
  ...["#1f1f24", "#6b6f78", "#b9bdc6", "#ffffff", "#7a3b2e", "#c08552", "#f2c9a1", "#d8402f"],
  ...["#e8822a", "#f0c52e", "#4c9f4b", "#2f6b3f", "#3d7fd6", "#8fd3e8", "#8757b3", "#e87fae"],
];
const status = statusLine();
const hand = { layer: "pixels", tool: "pencil", color: COLORS[0], width: 1 };
let pictures = 4; // to redraw
const results = el("div", { class: "grid large", role: "list", "aria-label": "Redrawn pictures" });
let place = null;
let work = null; // {image, file, mask, prompt, attributes, strength}: what is edited
let painting = null; // its easel

/** Edit again what a picture with this recipe was drawn from. */
export async function editAgain(recipe) {
  const { image, mask, strength } = recipe.start;
  try {
    const file = fileOf(`data:image/png;base64,${image}`);
    await open(file, recipe, recipe.attributes);
    work.strength = strength;
    if (mask) {
      const { data } = await imageOf(fileOf(`data:image/png;base64,${mask}`), false);
      work.mask = Array.from({ length: data.length / 4 }, (_, i) => data[4 * i] > 127);
    }
  } catch {
    return toast("The picture that it was drawn from can't be read");
  }
  set({ seed: recipe.seed, locked: true, ...fieldsToRestore(recipe) });
  if (location.hash === "#/edit" && place) build();
  else location.hash = "#/edit";
}

const fieldsToRestore = ({ guidance, temperature, finish, colors, negative, ...more }) => ({
  ...{ guidance, temperature, finish, colors, negative, near: null, kin: null },
  ...{ slides: more.slides ?? {}, shiny: more.shiny ?? false },
});

/** Show the page; `id` is of a picture of the gallery, or empty. */
export async function show(box, id) {
  place = box;
  const picture = find(id);
  if (picture) {
    const { recipe, sources } = picture;
    const byHand = Object.entries(recipe.attributes).filter(
      ([name]) => sources?.[name] === "request",
    );
    await open(picture.file, recipe, Object.fromEntries(byHand));
    set({ shiny: false }); // whatever palette it has is its own now
    hand.layer = "mask";
    hand.width = 3;
  } else if (!work) blank();
  build();
}

function blank() {
  const { prompt, attributes } = state;
  const image = new ImageData(SIDE, SIDE);
  work = { image, file: null, mask: null, prompt, attributes, strength: null };
  hand.layer = "pixels";
  hand.width = 1;
}

async function open(file, { prompt }, attributes) {
  const image = await imageOf(file);
  work = { image, file, mask: null, prompt, attributes, strength: null };
}

/** The pixels of a file; `transparent` leaves out what is around the creature. */
async function imageOf(file, transparent = true) {
  const canvas = await canvasOf(file, { transparent });
  return canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
}

async function urlOf({ data, width, height }) {
  const canvas = new OffscreenCanvas(width, height);
  canvas.getContext("2d").putImageData(new ImageData(data, width, height), 0, 0);
  return dataUrlOf(await canvas.convertToBlob({ type: "image/png" }));
}

const isMasked = () => painting.mask.includes(1);
const usual = () => (isMasked() ? USUAL.part : USUAL.whole);

function maskUrl() {
  const { width, height } = work.image;
  const bytes = [...painting.mask].flatMap((on) => [255 * on, 255 * on, 255 * on, 255]);
  return urlOf({ data: new Uint8ClampedArray(bytes), width, height });
}

function build() {
  const { image } = work;
  const colors = el("div", { class: "row colors", role: "group", "aria-label": "Colours" });
  const tools = el("div", { class: "row", role: "group", "aria-label": "Tools" });
  const any = el("input", { type: "color", "aria-label": "Any colour" });
  const brush = el("input", { type: "range", id: "edit-width", min: 1, max: 8 });
  const strength = el("input", { type: "range", id: "edit-strength", min: 0, max: 1, step: 0.05 });
  const far = el("output", { for: "edit-strength" });
  const prompt = el("textarea", { id: "edit-prompt", rows: 2, maxlength: 1000 });
  const count = el("input", { type: "number", id: "edit-count", min: 1, max: 16, value: pictures });
  const draw = el("button", { class: "primary" }, "Redraw");
  const hint = el("p", { class: "hint" });
  const clear = button("Clear mask", () => painting.clearMask());
  const layers = { mask: "Redraw parts", pixels: "Doodle" };

  const showHand = () => {
    if (!TOOLS[hand.layer].includes(hand.tool)) [hand.tool] = TOOLS[hand.layer];
    for (const [layer, tab] of Object.entries(tabs)) {
      tab.setAttribute("aria-pressed", String(layer === hand.layer));
    }
    tools.replaceChildren(
      ...TOOLS[hand.layer].map((tool) => {
        const take = () => {
          hand.tool = tool;
          showHand();
          tools.querySelector('[aria-pressed="true"]').focus();
        };
        return button(tool, take, { "aria-pressed": String(hand.tool === tool) });
      }),
      button("Undo", () => painting.undo(), { class: "quiet" }),
    );
    colors.hidden = hand.layer === "mask";
    clear.hidden = hand.layer !== "mask";
    any.value = hand.color;
    brush.value = hand.width;
    for (const swatch of colors.querySelectorAll("button")) {
      swatch.setAttribute("aria-pressed", String(swatch.value === hand.color));
    }
    hint.textContent = hand.layer === "mask"
      ? "Paint over what shall be drawn anew; all else stays as it is."
      : "Rough shapes in flat colours are enough.";
  };
  const tabs = Object.fromEntries(
    Object.entries(layers).map(([layer, name]) => [
      layer,
      button(name, () => {
        hand.layer = layer;
        hand.width = layer === "mask" ? 3 : 1;
        showHand();
      }),
    ]),
  );
  const showStrength = () => {
    strength.value = work.strength ?? usual();
    const words = isMasked() ? "of the painted part" : "of all of it";
    far.textContent = `${Math.round(100 * strength.value)} % ${words}`;
  };
  painting = easel(image, hand, {
    painted: () => {
      work.touched = work.touched || hand.layer === "pixels";
      work.mask = painting.mask;
      showStrength();
    },
    picked: (color) => {
      hand.color = color;
      hand.tool = "pencil";
      showHand();
    },
  });
  if (work.mask) painting.mask.set(work.mask);
  const own = paletteOf(image);
  for (const color of own.length ? own : COLORS) {
    const swatch = button("", () => {
      hand.color = color;
      showHand();
    }, { class: "paint", value: color, "aria-label": color });
    swatch.style.background = color;
    colors.append(swatch);
  }
  colors.append(any);
  any.addEventListener("input", () => {
    hand.color = any.value;
    showHand();
  });
  brush.addEventListener("input", () => (hand.width = Number(brush.value)));
  strength.addEventListener("input", () => {
    work.strength = Number(strength.value);
    showStrength();
  });
  count.addEventListener("input", () => (pictures = Number(count.value)));
  prompt.value = work.prompt;
  prompt.addEventListener("input", () => (work.prompt = prompt.value));
  const form = el(
    "form",
    { class: "edit-form" },
    el("div", { class: "row", role: "group", "aria-label": "What to do" }, ...Object.values(tabs)),
    hint,
    tools,
    colors,
    slider("brush", brush),
    clear,
    slider("how far away", strength, far),
    el("label", { for: "edit-prompt" }, "What it shall be"),
    prompt,
    el("div", { class: "row" }, draw, el("label", { for: "edit-count" }, "pictures"), count,
      button("New doodle", () => {
        blank();
        build();
      }, { class: "quiet" })),
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    redraw(pictures);
  });
  place.replaceChildren(
    el("h1", {}, "Edit"),
    el("div", { class: "edit" }, painting.element, form),
    status.element,
    results,
  );
  walkable(results);
  showHand();
  showStrength();
  painting.show();
}

function slider(name, input, output = null) {
  return el("div", { class: "row" }, el("label", { for: input.id }, name), input, output);
}

function redraw(count) {
  if (!work.prompt.trim()) return toast("Say what it shall be first");
  if (!state.locked) set({ seed: randomSeed() });
  const { seed } = state;
  const { prompt, attributes, file, touched, image } = work;
  const started = performance.now();
  return status.run(async (signal) => {
    status.say("Redrawing …");
    const body = {
      ...{ prompt, attributes, seed, num_samples: count, ...fieldsOf(state) },
      image: await (file && !touched ? dataUrlOf(file) : urlOf(image)),
      mask: isMasked() ? await maskUrl() : undefined,
      strength: work.strength ?? usual(),
    };
    const answer = await patiently(() => ask("edit", { body, signal }), signal, status.waiting);
    results.replaceChildren();
    for (const url of answer.images) {
      const picture = await keepFile(url, answer, started);
      results.append(card(picture).element);
    }
    return count === 1 ? "The picture is redrawn" : `${count} pictures are redrawn`;
  });
}
