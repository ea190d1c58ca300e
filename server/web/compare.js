// Two to four pictures side by side, and where their recipes differ.

import { altOf } from "./card.js";
import { dialog, el, spoken, toast } from "./dom.js";
import { RELATIONS } from "./state.js";
import { find, urlOf } from "./store.js";

/** Compare pictures by their ids; `leave` is called when it is closed. */
export function showComparison(ids, leave) {
  const pictures = ids.map(find).filter(Boolean);
  if (pictures.length < 2) {
    toast("Those pictures aren't in this browser's gallery");
    leave();
    return null;
  }
  const values = pictures.map(({ recipe }) => {
    const { prompt, seed, guidance, temperature, model, finish, attributes } = recipe;
    const { kin, shiny, negative } = recipe;
    return {
      ...{ prompt, seed, guidance, temperature, model, finish, ...attributes },
      ...(negative && { "away from": negative }),
      ...(kin && { kin: RELATIONS[kin.relation] }),
      ...(shiny && { palette: "shiny" }),
    };
  });
  const names = [...new Set(values.flatMap((value) => Object.keys(value)))];
  const rows = names.map((name) => {
    const cells = values.map((value) => String(value[name] ?? "–"));
    const differs = new Set(cells).size > 1;
    return el(
      "tr",
      { class: differs ? "differs" : null },
      el("th", { scope: "row" }, spoken(name)),
      ...cells.map((cell) => el("td", {}, cell)),
    );
  });
  const images = pictures.map((picture) => {
    const large = { src: urlOf(picture), alt: altOf(picture), class: "compared" };
    return el("th", { scope: "col" }, el("img", large));
  });
  const head = el("tr", {}, el("td", {}), ...images);
  const table = el("table", { class: "compare" }, head, ...rows);
  const scroll = { class: "scroll", tabindex: 0, role: "region", "aria-label": "Comparison" };
  const box = dialog("Side by side", {}, el("div", scroll, table));
  box.addEventListener("close", leave);
  return box;
}
