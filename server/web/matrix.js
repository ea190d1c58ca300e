// A matrix: every prompt with every value of an attribute, and every seed.

import { blank, card, walkable } from "./card.js";
import { el, spoken } from "./dom.js";
import { draw, jobOf, seedsOf } from "./draw.js";
import { saveSheet } from "./export.js";
import { onChange, state, vocabularies } from "./state.js";
import { statusLine } from "./status.js";

const MOST = 256;
const status = statusLine();
let drawn = []; // [row][column], of the last matrix

export function show(box) {
  if (!box.childElementCount) build(box);
}

function build(box) {
  const prompts = el("textarea", { id: "matrix-prompts", rows: 4 });
  prompts.value = state.prompt || "a red fire lizard\na blue water fish";
  const columns = el("input", {
    ...{ type: "number", id: "matrix-seeds", min: 1, max: 16, value: 4, required: true },
  });
  const names = Object.keys(vocabularies);
  const attribute = el("select", { id: "matrix-attribute" });
  attribute.append(el("option", { value: "" }, "none"));
  attribute.append(...names.map((name) => el("option", { value: name }, spoken(name))));
  const values = el("div", { class: "checks", role: "group", "aria-label": "Values" });
  const size = el("p", { class: "hint" });
  const go = el("button", { class: "primary" }, "Draw the matrix");
  const sheet = el("button", { type: "button", hidden: true }, "Save as a sheet");
  const table = el("div", { class: "scroll" });

  const rows = () => {
    const lines = prompts.value.split("\n").map((line) => line.trim());
    const ticked = [...values.querySelectorAll(":checked")].map(({ value }) => value);
    const words = ticked.length ? ticked : [null];
    return lines
      .filter(Boolean)
      .flatMap((prompt) => words.map((word) => ({ prompt, word })));
  };
  const count = () => {
    const n = rows().length * Number(columns.value);
    size.textContent = n > MOST ? `${n} pictures: at most ${MOST}` : `${n} pictures`;
    go.disabled = n < 1 || n > MOST;
  };
  attribute.addEventListener("change", () => {
    const words = vocabularies[attribute.value] ?? [];
    values.replaceChildren(
      ...words.map((word, i) => {
        const tick = el("input", { type: "checkbox", value: word, checked: i < 3 });
        return el("label", { class: "check" }, tick, word);
      }),
    );
    count();
  });
  const form = el(
    "form",
    { class: "matrix-form" },
    field("Prompts, one a line", prompts),
    field("Seeds of each", columns),
    field("Attribute", attribute),
    values,
    el("div", { class: "row" }, go, sheet, size),
  );
  form.addEventListener("input", count);
  onChange(count);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    sheet.hidden = true;
    const asked = { ...state, near: null, kin: null, count: Number(columns.value) };
    run(table, rows(), asked, attribute.value).then(() => {
      sheet.hidden = !drawn.flat().length;
    });
  });
  sheet.addEventListener("click", () => {
    saveSheet(drawn.flat().filter(Boolean), Number(columns.value));
  });
  walkable(table);
  const hint = "Seeds, guidance and temperature are those of the settings on the first page.";
  box.append(el("h1", {}, "Matrix"), el("p", { class: "hint" }, hint), form);
  box.append(status.element, table);
}

function field(name, input) {
  const label = el("label", { for: input.id }, name);
  return el("div", { class: "field" }, label, input);
}

function run(place, rows, asked, attribute) {
  const seeds = seedsOf(asked);
  drawn = rows.map(() => []);
  const head = el("tr", {}, el("td", {}));
  head.append(...seeds.map((seed) => el("th", { scope: "col" }, el("code", {}, String(seed)))));
  const table = el("table", { class: "matrix" }, head);
  const cells = rows.map(({ prompt, word }) => {
    const blanks = seeds.map(blank);
    const title = [el("span", {}, prompt), word && el("strong", {}, word)];
    const name = el("th", { scope: "row" }, ...title.filter(Boolean));
    const row = blanks.map(({ element }) => el("td", {}, element));
    table.append(el("tr", {}, name, ...row));
    return blanks;
  });
  place.replaceChildren(table);
  return status.run(async (signal) => {
    const all = rows.length * seeds.length;
    for (const [i, { prompt, word }] of rows.entries()) {
      const byHand = word ? { ...asked.attributes, [attribute]: word } : asked.attributes;
      const before = i * seeds.length;
      await draw(jobOf({ ...asked, prompt, attributes: byHand }), signal, {
        waiting: status.waiting,
        say: () => status.say(`Drawing: row ${i + 1} of ${rows.length}`),
        progress: (done, of) => status.progress(before + (done / of) * seeds.length, all),
        partial: (j, url) => cells[i][j].preview(url),
        picture: (j, picture) => {
          drawn[i][j] = picture;
          cells[i][j].element.replaceWith(card(picture).element);
        },
      });
    }
    return `${all} pictures are drawn`;
  });
}
