// The API key, kept for this tab only, and the question for it.

import { dialog, el } from "./dom.js";

const PLACE = "pokejax-key";
let key = sessionStorage.getItem(PLACE) ?? "";
let asking = null;

/** Headers that show the key, if there is one. */
export function keyHeaders() {
  return key ? { "X-API-Key": key } : {};
}

/** Ask for a key; resolves to whether one was given. All who wait share one question. */
export function askForKey() {
  asking ??= question().finally(() => (asking = null));
  return asking;
}

function question() {
  return new Promise((resolve) => {
    const field = el("input", {
      id: "key",
      type: "password",
      autocomplete: "off",
      required: true,
    });
    const wrong = key && el("p", { class: "wrong" }, "That key isn't known here.");
    const form = el(
      "form",
      { method: "dialog" },
      wrong || null,
      el("p", {}, "This server asks for a key. It is kept until you close this tab."),
      el("label", { for: "key" }, "API key"),
      field,
      el("button", { class: "primary" }, "Use this key"),
    );
    const box = dialog("A key, please", { class: "narrow" }, form);
    let given = false;
    form.addEventListener("submit", () => {
      key = field.value.trim();
      sessionStorage.setItem(PLACE, key);
      given = true;
    });
    box.addEventListener("close", () => resolve(given));
    field.focus();
  });
}
