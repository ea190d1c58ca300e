// PNG files: the texts in them, and enlarging that keeps the texts.

import { isSlide, RELATIONS, vocabularies } from "./state.js";
import { SEED_LIMIT } from "./api.js";

const MOST_BYTES = 20e6;
const latin1 = new TextDecoder("latin1");
const utf8 = new TextDecoder();

/** The chunks of a PNG as `{kind, data, whole}`, views of its bytes; [] if it is none. */
function chunks(bytes) {
  const found = [];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const isPng = bytes.length > 8 && view.getUint32(0) === 0x89504e47;
  for (let at = 8; isPng && at + 12 <= bytes.length; ) {
    const end = at + 12 + view.getUint32(at);
    if (end > bytes.length) break;
    const kind = latin1.decode(bytes.subarray(at + 4, at + 8));
    const data = bytes.subarray(at + 8, end - 4);
    found.push({ kind, data, whole: bytes.subarray(at, end) });
    at = end;
  }
  return found;
}

async function inflate(data) {
  const stream = new Blob([data]).stream();
  const whole = stream.pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(whole).arrayBuffer());
}

async function textOf({ kind, data }) {
  const zero = data.indexOf(0);
  const name = latin1.decode(data.subarray(0, zero));
  let rest = data.subarray(zero + 1);
  if (kind === "tEXt") return [name, latin1.decode(rest)];
  if (kind === "zTXt") return [name, latin1.decode(await inflate(rest.subarray(1)))];
  const packed = rest[0] === 1;
  rest = rest.subarray(2);
  rest = rest.subarray(rest.indexOf(0) + 1); // the language
  rest = rest.subarray(rest.indexOf(0) + 1); // the keyword in that language
  return [name, utf8.decode(packed ? await inflate(rest) : rest)];
}

/** The texts in a PNG, by keyword; none of any other file. */
export async function textsOf(blob) {
  if (blob.size > MOST_BYTES) return {};
  const bytes = new Uint8Array(await blob.arrayBuffer());
  const texts = {};
  for (const chunk of chunks(bytes)) {
    if (!["tEXt", "zTXt", "iTXt"].includes(chunk.kind)) continue;
    try {
      const [name, text] = await textOf(chunk);
      texts[name] = text;
    } catch {
      // One broken text must not hide the others.
    }
  }
  return texts;
}

/** The recipe in a PNG's texts, ours or A1111's; null if there is none. */
export function recipeOf(texts) {
  if (texts.prompt === undefined && texts.parameters !== undefined) {
    return recipeOfA1111(texts.parameters);
  }
  if (!texts.prompt || texts.seed === undefined) return null;
  const finish = texts.finish ?? "raw"; // only pixel art says how it was finished
  const { attributes, slides } = texts;
  const objects = { attributes: parsed(attributes), slides: parsed(slides) };
  const recipe = checked({ ...texts, finish, ...objects });
  if (texts.init !== undefined) {
    const strength = within(texts.strength, 0, 1, 0.6);
    recipe.start = { image: texts.init, mask: texts.mask, strength };
  }
  if (Object.hasOwn(RELATIONS, texts.relation) && texts.relative !== undefined) {
    recipe.kin = { image: texts.relative, relation: texts.relation };
  }
  if (texts.towards_seed !== undefined) {
    const { prompt, seed, attributes } = checked({
      prompt: texts.towards_prompt ?? texts.prompt,
      seed: texts.towards_seed,
      attributes: parsed(texts.towards_attributes),
    });
    recipe.towards = { prompt, seed, attributes };
    recipe.mix = within(texts.mix, 0, 1, 0);
  }
  return recipe;
}

/** Its two prompts, of any number of lines, and a line of settings. */
function recipeOfA1111(parameters) {
  const lines = parameters.split("\n");
  const at = lines.findLastIndex((line) => line.startsWith("Steps: "));
  const above = lines.slice(0, at < 0 ? lines.length : at).join("\n");
  const [prompt, negative] = above.split("\nNegative prompt: ");
  const setting = (name) => lines[at]?.match(`(?:^|, )${name}: ([\\d.]+)`)?.[1];
  const guidance = Number(setting("CFG scale") ?? 7) / 7; // 7 is what is usual there
  return checked({ prompt, negative, guidance, seed: setting("Seed") });
}

function parsed(text) {
  try {
    return JSON.parse(text) ?? {};
  } catch {
    return {};
  }
}

function within(value, least, most, otherwise) {
  const number = Number(value ?? otherwise);
  return number >= least && number <= most ? number : otherwise;
}

/** A prompt. Line ends are spaces to the server; other control characters it refuses. */
const cleaned = (text) => String(text).replace(/\p{Cc}/gu, " ").slice(0, 1000).trim();

/** A recipe from strings that anybody may have written, with only what can be drawn. */
export function checked({ prompt, seed, attributes, model, ...settings }) {
  const { guidance, temperature, finish, colors, negative, slides, shiny } = settings;
  const known = Object.entries(attributes ?? {}).filter(([name, value]) =>
    vocabularies[name]?.includes(value),
  );
  const slid = Object.entries(slides ?? {})
    .filter(([name]) => isSlide(name))
    .map(([name, value]) => [name, within(value, -1, 3, 1)])
    .filter(([, value]) => value !== 1);
  return {
    prompt: cleaned(prompt),
    seed: Math.floor(within(seed, 0, Number.MAX_VALUE, 0)) % SEED_LIMIT,
    attributes: Object.fromEntries(known),
    slides: Object.fromEntries(slid),
    guidance: within(guidance, 0, 10, 1),
    temperature: within(temperature, 0, 10, 1),
    finish: ["raw", "pixel"].includes(finish) ? finish : "auto",
    colors: Math.floor(within(colors, 2, 255, 15)),
    negative: cleaned(negative ?? ""),
    shiny: String(shiny) === "true",
    model: model ?? "",
  };
}

/** The palette of finished pixel art as rows of RGB, without the background's. */
export async function ownPalette(blob) {
  const found = chunks(new Uint8Array(await blob.arrayBuffer()));
  const { data = [] } = found.find(({ kind }) => kind === "PLTE") ?? {};
  const rows = Array.from({ length: data.length / 3 }, (_, i) => data.slice(3 * i, 3 * i + 3));
  return rows.slice(1);
}

// What makes a palette's first colour transparent: in finished pixel art, the background.
const CLEAR_FIRST = Uint8Array.of(...[0, 0, 0, 1], ...[116, 82, 78, 83, 0], ...[64, 230, 216, 102]);

/** A picture in a palette, without the background; null of any other. */
export async function withoutBackground(blob) {
  const bytes = new Uint8Array(await blob.arrayBuffer());
  const found = chunks(bytes);
  if (found.some(({ kind }) => kind === "tRNS")) return blob;
  const palette = found.find(({ kind }) => kind === "PLTE");
  if (!palette) return null;
  const end = palette.whole.byteOffset + palette.whole.length;
  return new Blob([bytes.subarray(0, end), CLEAR_FIRST, bytes.subarray(end)]);
}

/** A canvas with a picture; `transparent` leaves out what is around the creature. */
export async function canvasOf(blob, { transparent = false } = {}) {
  const art = transparent ? await withoutBackground(blob) : null;
  const bitmap = await createImageBitmap(art ?? blob);
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  const pixels = canvas.getContext("2d");
  pixels.drawImage(bitmap, 0, 0);
  if (transparent && !art) clearBackground(pixels, bitmap.width, bitmap.height);
  return canvas;
}

/**
 * A canvas with the picture, each pixel `scale` pixels a side; `rounded` by Scale2x, as
 * often as `scale` is even.
 */
export async function enlarged(blob, scale, { transparent = false, rounded = false } = {}) {
  // What is around pixel art is none of its white, so that goes white only afterwards.
  const cut = transparent || (rounded && (await withoutBackground(blob)) !== null);
  let small = await canvasOf(blob, { transparent: cut });
  let times = scale;
  for (; rounded && times % 2 === 0; times /= 2) small = scale2x(small);
  const canvas = new OffscreenCanvas(small.width * times, small.height * times);
  const context = canvas.getContext("2d");
  context.imageSmoothingEnabled = false;
  context.drawImage(small, 0, 0, canvas.width, canvas.height);
  if (cut && !transparent) {
    context.globalCompositeOperation = "destination-over";
    context.fillStyle = "white";
    context.fillRect(0, 0, canvas.width, canvas.height);
  }
  return canvas;
}

/** Twice as large with staircases rounded off, after Andrea Mazzoleni's "Scale2x". */
function scale2x(small) {
  const { width, height } = small;
  const { data } = small.getContext("2d").getImageData(0, 0, width, height);
  const from = new Uint32Array(data.buffer);
  const image = new ImageData(2 * width, 2 * height);
  const to = new Uint32Array(image.data.buffer);
  const inside = (i, size) => Math.min(Math.max(i, 0), size - 1);
  const at = (x, y) => from[inside(y, height) * width + inside(x, width)];
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) {
      const [here, above, below] = [at(x, y), at(x, y - 1), at(x, y + 1)];
      const [left, right] = [at(x - 1, y), at(x + 1, y)];
      const corner = above !== below && left !== right;
      const i = 2 * (2 * width * y + x);
      to[i] = corner && left === above ? left : here;
      to[i + 1] = corner && above === right ? right : here;
      to[i + 2 * width] = corner && left === below ? left : here;
      to[i + 2 * width + 1] = corner && below === right ? right : here;
    }
  }
  const canvas = new OffscreenCanvas(image.width, image.height);
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}

/** Make what is nearly white and touches the border transparent. */
function clearBackground(context, width, height) {
  const image = context.getImageData(0, 0, width, height);
  const { data } = image;
  const white = (i) => Math.min(data[4 * i], data[4 * i + 1], data[4 * i + 2]) >= 235;
  const todo = [];
  for (let x = 0; x < width; x += 1) todo.push(x, (height - 1) * width + x);
  for (let y = 0; y < height; y += 1) todo.push(y * width, y * width + width - 1);
  while (todo.length) {
    const i = todo.pop();
    if (!data[4 * i + 3] || !white(i)) continue;
    data[4 * i + 3] = 0;
    const x = i % width;
    if (x > 0) todo.push(i - 1);
    if (x < width - 1) todo.push(i + 1);
    if (i >= width) todo.push(i - width);
    if (i < width * (height - 1)) todo.push(i + width);
  }
  context.putImageData(image, 0, 0);
}

/** The picture as a PNG of another size, with the texts of the first. */
export async function enlargedPng(blob, scale, options) {
  if (scale === 1 && !options?.transparent) return blob;
  const texts = chunks(new Uint8Array(await blob.arrayBuffer()))
    .filter(({ kind }) => ["tEXt", "zTXt", "iTXt"].includes(kind))
    .map(({ whole }) => whole);
  const canvas = await enlarged(blob, scale, options);
  const drawn = await canvas.convertToBlob({ type: "image/png" });
  const head = 8 + 25; // the signature and IHDR
  return new Blob([drawn.slice(0, head), ...texts, drawn.slice(head)], {
    type: "image/png",
  });
}
