// A walk from one picture to another: a slider over its frames, and the GIF.

import { ask, fieldsOf, patiently } from "./api.js";
import { altOf } from "./card.js";
import { download, el, toast } from "./dom.js";
import { fileOf, keepFile } from "./draw.js";
import { strip } from "./gallery.js";
import { statusLine } from "./status.js";
import { find, onPictures, urlOf } from "./store.js";

const GIF_SCALE = 4;
const FRAME_MS = 100; // as the GIF's
const status = statusLine();
const choices = el("div");
const ends = [null, null];
let place = null;
let active = 0; // which end the next chosen picture becomes
let walk = null; // {body, images, answer, started}
let playing = null;
let mix = 0; // where the slider starts: 0 is the first frame, 1 the last

/** Walk again where the frame with this recipe comes from. */
export function walkAgain({ towards, mix: far, ...from }) {
  ends[0] = { recipe: from };
  ends[1] = { recipe: { ...from, ...towards } };
  walk = null;
  mix = far;
  location.hash = "#/walk";
}

/** Show the page; `ids` are of pictures to walk between, from the gallery. */
export function show(box, ids) {
  ids.split(",").forEach((id, i) => {
    if (!find(id) || i > 1) return;
    ends[i] = find(id);
    walk = null;
    mix = 0;
  });
  if (!place) {
    place = box;
    onPictures(() => box.hidden || showChoices());
  }
  build();
}

function slot(i) {
  const picture = ends[i];
  const name = i ? "To" : "From";
  let inside = el("span", { class: "hint" }, "choose below");
  if (picture) {
    // An end that isn't in the gallery is seen once the walk is drawn.
    const src = picture.id ? urlOf(picture) : walk?.images.at(-i);
    const alt = altOf(picture);
    inside = src ? el("img", { src, alt }) : el("span", { class: "hint" }, alt);
  }
  const click = () => {
    active = i;
    build();
  };
  const button = el(
    "button",
    { type: "button", class: "slot", "aria-pressed": String(active === i), on: { click } },
    el("span", { class: "slot-name" }, name),
    inside,
  );
  return button;
}

function choose(picture) {
  ends[active] = picture;
  mix = 0;
  active = 1 - active;
  walk = null;
  build();
}

function build() {
  stop();
  const stage = el("div", { class: "stage" });
  const frames = el("input", {
    ...{ type: "number", id: "frames", min: 2, max: 60, value: walk?.images.length ?? 24 },
  });
  const start = el(
    "button",
    { type: "button", class: "primary", disabled: !(ends[0] && ends[1]) },
    "Walk",
  );
  start.addEventListener("click", () => frames.reportValidity() && run(Number(frames.value)));
  place.replaceChildren(
    el("h1", {}, "Walk between two"),
    el("div", { class: "walk" }, slot(0), stage, slot(1)),
    el(
      "div",
      { class: "row centred" },
      el("label", { for: "frames" }, "frames"),
      frames,
      start,
    ),
    status.element,
    choices,
  );
  showChoices();
  if (walk) showFrames(stage);
}

function showChoices() {
  const pictures = strip(choose);
  const hint = pictures.childElementCount
    ? "Choose a picture for each end."
    : "Draw some pictures first: a walk leads from one to another.";
  choices.replaceChildren(el("p", { class: "hint" }, hint), pictures);
}

function run(frames) {
  const [a, b] = ends.map(({ recipe }) => recipe);
  const body = {
    ...{ prompt: a.prompt, seed: a.seed, attributes: a.attributes, frames },
    ...{ to_prompt: b.prompt, to_seed: b.seed, to_attributes: b.attributes },
    ...fieldsOf(a),
  };
  const started = performance.now();
  status.run(async (signal) => {
    status.say(`Drawing ${frames} frames …`);
    const answer = await patiently(
      () => ask("interpolate", { body, signal }),
      signal,
      status.waiting,
    );
    walk = { body, images: answer.images, answer, started };
    build();
    return "Drag the slider to walk";
  });
}

function showFrames(stage) {
  const { images } = walk;
  const image = el("img", { class: "large", alt: "" });
  const slider = el("input", {
    ...{ type: "range", min: 0, max: images.length - 1, "aria-label": "Frame" },
  });
  slider.value = Math.round(mix * (images.length - 1));
  const showFrame = () => {
    image.src = images[slider.value];
    image.alt = `frame ${Number(slider.value) + 1} of ${images.length}`;
  };
  slider.addEventListener("input", () => {
    stop();
    showFrame();
  });
  const play = el("button", { type: "button" }, "Play");
  play.addEventListener("click", () => {
    if (playing) return stop();
    let step = 1;
    play.textContent = "Pause";
    const timer = setInterval(() => {
      const at = Number(slider.value);
      if (at + step < 0 || at + step >= images.length) step = -step;
      slider.value = at + step;
      showFrame();
    }, FRAME_MS);
    playing = { timer, play };
  });
  const gif = el("button", { type: "button", on: { click: saveGif } }, "Save GIF");
  const keepIt = el("button", { type: "button" }, "Keep this frame");
  keepIt.addEventListener("click", async () => {
    await keepFile(images[slider.value], null, walk.started);
    toast("The frame is in the gallery");
  });
  const buttons = el("div", { class: "row centred" }, play, gif, keepIt);
  stage.append(image, slider, buttons);
  showFrame();
}

function stop() {
  if (!playing) return;
  clearInterval(playing.timer);
  playing.play.textContent = "Play";
  playing = null;
}

/** The GIF of the same walk, drawn again in pixels four times as large. */
function saveGif() {
  const body = { ...walk.body, gif: true, scale: GIF_SCALE };
  status.run(async (signal) => {
    status.say("Making the GIF …");
    const { gif } = await patiently(
      () => ask("interpolate", { body, signal }),
      signal,
      status.waiting,
    );
    download(fileOf(gif), `walk_${body.seed}_${body.to_seed}.gif`);
    return "The GIF is saved";
  });
}
