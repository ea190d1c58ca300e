// A picture that is painted on: six tools for its pixels, and a mask over it.

import { el } from "./dom.js";
import { area, hexOf, line, rectangle, rgbOf, widened } from "./pixels.js";

const MOST_UNDONE = 50;
const SHAPES = { line, rectangle };
const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/**
 * An easel for a picture.
 * @param {ImageData} image is painted on.
 * @param {object} hand what is held: `layer` ("mask" or "pixels"), `tool`, `color` as
 *   #rrggbb, `width` of the brush. It is read at each stroke.
 * @param {object} on `painted()` after each stroke, `picked(color)` by the eyedropper.
 */
export function easel(image, hand, on) {
  const { width, height } = image;
  const picture = el("canvas", {
    ...{ width, height, tabindex: 0, role: "application", class: "canvas-pixels" },
    "aria-label": `Canvas of ${width} by ${height} pixels: arrows move, space paints`,
  });
  const above = el("canvas", { width, height, class: "canvas-above", "aria-hidden": "true" });
  const element = el("div", { class: "easel" }, picture, above);
  const mask = new Uint8Array(width * height);
  const undone = []; // what to go back to
  let from = null; // where the stroke began
  let last = null;
  let cursor = [width >> 1, height >> 1];

  const inside = ([x, y]) => x >= 0 && y >= 0 && x < width && y < height;

  function show(shape = []) {
    picture.getContext("2d").putImageData(image, 0, 0);
    const context = above.getContext("2d");
    context.clearRect(0, 0, width, height);
    const { color, caretColor } = getComputedStyle(above);
    context.fillStyle = color;
    context.globalAlpha = 0.6;
    for (const [i, on] of mask.entries()) {
      if (on) context.fillRect(i % width, Math.floor(i / width), 1, 1);
    }
    context.globalAlpha = 1;
    context.fillStyle = hand.color;
    for (const [x, y] of shape) context.fillRect(x, y, 1, 1);
    if (document.activeElement !== picture || !picture.matches(":focus-visible")) return;
    context.fillStyle = caretColor;
    context.fillRect(...cursor, 1, 1);
  }

  function put(points) {
    const clear = hand.tool === "eraser";
    for (const [x, y] of points.filter(inside)) {
      const i = y * width + x;
      if (hand.layer === "mask") mask[i] = clear ? 0 : 1;
      else image.data.set(clear ? [0, 0, 0, 0] : [...rgbOf(hand.color), 255], 4 * i);
    }
  }

  const shapeOf = () => (hand.layer === "pixels" ? SHAPES[hand.tool] : undefined);

  function begin(point) {
    if (hand.layer === "pixels" && hand.tool === "eyedropper") {
      const at = 4 * (point[1] * width + point[0]);
      if (image.data[at + 3]) on.picked(hexOf(image.data.subarray(at, at + 3)));
      return;
    }
    undone.push({ data: image.data.slice(), mask: mask.slice() });
    if (undone.length > MOST_UNDONE) undone.shift();
    from = last = point;
    if (hand.layer === "pixels" && hand.tool === "fill") {
      put(area(image, point));
      end();
    } else move(point);
  }

  function move(point) {
    if (!from) return;
    const shape = shapeOf();
    if (shape) {
      show(widened(shape(from, point), hand.width));
      return;
    }
    put(widened(line(last, point), hand.width));
    last = point;
    show();
  }

  function end(point = last) {
    if (!from) return;
    const shape = shapeOf();
    if (shape) put(widened(shape(from, point), hand.width));
    from = null;
    show();
    on.painted();
  }

  function pointOf({ clientX, clientY }) {
    const { left, top, width: wide, height: high } = picture.getBoundingClientRect();
    const x = Math.floor(((clientX - left) / wide) * width);
    const y = Math.floor(((clientY - top) / high) * height);
    return [Math.min(Math.max(x, 0), width - 1), Math.min(Math.max(y, 0), height - 1)];
  }

  picture.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    picture.setPointerCapture(event.pointerId);
    begin(pointOf(event));
  });
  picture.addEventListener("pointermove", (event) => move(pointOf(event)));
  picture.addEventListener("pointerup", (event) => end(pointOf(event)));
  picture.addEventListener("pointercancel", () => end());
  picture.addEventListener("focus", () => show());
  picture.addEventListener("blur", () => show());
  picture.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const step = STEPS[event.key];
    if (step) {
      const next = [cursor[0] + step[0], cursor[1] + step[1]];
      if (inside(next)) cursor = next;
      if (from) move(cursor);
      else show();
    } else if (event.key === " ") {
      // A line or a rectangle has two ends; all else is done at once.
      if (from) end(cursor);
      else {
        begin(cursor);
        if (!shapeOf()) end(cursor);
      }
    } else return;
    event.preventDefault();
  });

  show();
  return {
    element,
    mask,
    show,
    /** Take back the latest stroke. */
    undo() {
      const before = undone.pop();
      if (!before) return;
      image.data.set(before.data);
      mask.set(before.mask);
      show();
      on.painted();
    },
    /** Forget the mask. */
    clearMask() {
      undone.push({ data: image.data.slice(), mask: mask.slice() });
      mask.fill(0);
      show();
      on.painted();
    },
  };
}
