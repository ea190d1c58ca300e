// Pictures as files: one of any size, many as a sheet or a ZIP.

import { download, toast } from "./dom.js";
import { hexOf } from "./pixels.js";
import { enlarged, enlargedPng, ownPalette } from "./png.js";
import { zip } from "./zip.js";

const MOST_ON_A_SHEET = 400;

/** A name for a picture's file. */
export function nameOf({ recipe: { prompt, seed, kin, shiny } }, ending = "png") {
  const words = prompt.toLowerCase().match(/[a-z0-9]+/g) ?? ["creature"];
  const title = words.slice(0, 8).join("-").slice(0, 60);
  const parts = [title, String(seed), kin?.relation, shiny && "shiny"].filter(Boolean);
  return `${parts.join("_")}.${ending}`;
}

export async function savePng(picture, scale, options) {
  download(await enlargedPng(picture.file, scale, options), nameOf(picture));
}

/** The palette of finished pixel art, as GIMP and Aseprite (gpl) or Lospec (hex) have it. */
export async function savePalette(picture, ending) {
  const colors = (await ownPalette(picture.file)).map((rgb) => ({ rgb, hex: hexOf(rgb) }));
  const name = picture.recipe.prompt.replaceAll("\n", " ");
  const rows = colors.map(({ rgb, hex }) =>
    [...rgb].map((value) => String(value).padStart(3)).join(" ") + `\t${hex}`,
  );
  const text = ending === "gpl"
    ? ["GIMP Palette", `Name: ${name}`, "Columns: 8", "#", ...rows]
    : colors.map(({ hex }) => hex.slice(1));
  download(new Blob([text.join("\n"), "\n"]), nameOf(picture, ending));
}

/** The pictures in rows, on one PNG of pixels four times as large. */
export async function saveSheet(pictures, columns = null) {
  if (pictures.length > MOST_ON_A_SHEET) {
    toast(`A sheet holds ${MOST_ON_A_SHEET} pictures: search or select fewer`);
    return;
  }
  const tiles = await Promise.all(pictures.map(({ file }) => enlarged(file, 4)));
  const side = Math.max(...tiles.map((tile) => tile.width));
  const across = columns ?? Math.ceil(Math.sqrt(tiles.length));
  const down = Math.ceil(tiles.length / across);
  const sheet = new OffscreenCanvas(across * side, down * side);
  const context = sheet.getContext("2d");
  context.fillStyle = "white";
  context.fillRect(0, 0, sheet.width, sheet.height);
  for (const [i, tile] of tiles.entries()) {
    context.drawImage(tile, (i % across) * side, Math.floor(i / across) * side);
  }
  download(await sheet.convertToBlob({ type: "image/png" }), "sheet.png");
}

/** The pictures as they were drawn, and their recipes as JSON. */
export async function saveZip(pictures) {
  const taken = new Set();
  const files = pictures.map((picture) => {
    let name = nameOf(picture);
    for (let i = 2; taken.has(name); i += 1) name = nameOf(picture, `${i}.png`);
    taken.add(name);
    return [name, picture.file];
  });
  const recipes = pictures.map(({ recipe }, i) => ({ file: files[i][0], ...recipe }));
  const json = JSON.stringify(recipes, null, 2);
  files.push(["recipes.json", new Blob([json])]);
  download(await zip(files), "creatures.zip");
}
