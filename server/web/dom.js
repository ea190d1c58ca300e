// Elements, messages and small things that every module needs. Nothing here, or anywhere
// in the studio, parses HTML: text stays text.

/**
 * Make an element.
 * @param {string} tag
 * @param {object} properties attributes by name; `on` holds listeners by event.
 * @param {...(Node|string)} children
 */
export function el(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "on") {
      for (const [event, listener] of Object.entries(value)) {
        element.addEventListener(event, listener);
      }
    } else {
      element.setAttribute(name, value === true ? "" : value);
    }
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** A button that does something; it sends no form. */
export const button = (text, click, properties = {}) =>
  el("button", { type: "button", on: { click }, ...properties }, text);

export const byId = (id) => document.getElementById(id);

/** "primary_color" as people say it. */
export function spoken(name) {
  const special = { type1: "type", type2: "second type", evolution_stage: "stage" };
  return special[name] ?? name.replaceAll("_", " ").replace("color", "colour");
}

/** A square in the colour that a value has, or suggests; nothing for other attributes. */
export function swatch(name, value) {
  if (!/color|type|habitat/.test(name) || value === "None") return null;
  return el("span", { class: "swatch", "data-word": value });
}

/** Where messages go: an open dialog keeps people, and screen readers, from all else. */
const place = (kind) => document.querySelector(`dialog[open] > .${kind}`) ?? byId(kind);

/** Tell screen readers, and only them. */
export function announce(text) {
  place("announced").textContent = text;
}

/** A message that leaves by itself, with something to do about it if `action` is given. */
export function toast(text, action = null) {
  const box = el("div", { class: "toast" }, el("span", {}, text));
  const leave = () => box.remove();
  if (action) {
    const run = () => {
      leave();
      action.run();
    };
    box.append(el("button", { type: "button", on: { click: run } }, action.label));
  }
  place("toasts").append(box);
  setTimeout(leave, action ? 10000 : 5000);
}

/** Copy, and say so; where the clipboard is closed to pages, show what to copy. */
export async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
    toast(`${what} copied`);
  } catch {
    toast(`${what}: ${text}`);
  }
}

/** Wait, unless the signal says to stop. */
export function sleep(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, milliseconds);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });
}

/** Offer a blob as a file. */
export function download(blob, name) {
  const url = URL.createObjectURL(blob);
  el("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60000);
}

/** A dialog that is taken out of the page once it's closed. */
export function dialog(title, properties, ...children) {
  const heading = el("h2", { id: "dialog-title" }, title);
  const close = el(
    "button",
    { type: "button", class: "quiet close", "aria-label": "Close" },
    "×",
  );
  const box = el(
    "dialog",
    { "aria-labelledby": "dialog-title", ...properties },
    el("div", { class: "dialog-head" }, heading, close),
    ...children,
    el("p", { class: "announced visually-hidden", role: "status" }),
    el("div", { class: "toasts", role: "status" }),
  );
  close.addEventListener("click", () => box.close());
  box.addEventListener("click", (event) => event.target === box && box.close());
  box.addEventListener("close", () => box.remove());
  document.body.append(box);
  box.showModal();
  return box;
}
