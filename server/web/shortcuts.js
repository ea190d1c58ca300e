// Keys, and the list of them.

import { byId, dialog, el } from "./dom.js";
import { cancelDrawing, surpriseMe } from "./studio.js";

const KEYS = [
  ["Enter", "draw, while writing the prompt"],
  ["Shift + Enter", "a new line in the prompt"],
  ["/", "go to the prompt"],
  ["s", "surprise me"],
  ["Esc", "stop drawing, or close what is open"],
  ["← ↑ → ↓", "move between pictures, in a grid or one by one"],
  ["Enter", "open the picture"],
  ["g", "go to the gallery's search"],
  ["← ↑ → ↓, space", "move over the canvas and paint, while editing"],
  ["?", "this list"],
];

export function showKeys() {
  const rows = KEYS.map(([key, what]) =>
    el("tr", {}, el("th", { scope: "row" }, el("kbd", {}, key)), el("td", {}, what)),
  );
  dialog("Keys", { class: "narrow" }, el("table", { class: "keys" }, ...rows));
}

const writes = (element) =>
  ["INPUT", "TEXTAREA", "SELECT"].includes(element.tagName) &&
  !["checkbox", "range", "button"].includes(element.type);

export function startShortcuts() {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (document.querySelector("dialog[open]")) return;
    if (event.key === "Escape") return cancelDrawing();
    if (writes(event.target)) return;
    const go = (id) => {
      location.hash = "#/";
      byId(id).focus();
    };
    const actions = {
      "?": showKeys,
      "/": () => go("prompt"),
      g: () => go("search"),
      s: () => {
        go("prompt");
        surpriseMe();
      },
    };
    if (!actions[event.key]) return;
    event.preventDefault();
    actions[event.key]();
  });
}
