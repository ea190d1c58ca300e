// A picture as a card: the picture opens it, the seed is copied, the heart is set.

import { copy, el } from "./dom.js";
import { icon } from "./icons.js";
import { RELATIONS } from "./state.js";
import { setFavourite, urlOf } from "./store.js";

/** What somebody who doesn't see the picture is told. */
export function altOf({ recipe: { prompt, seed, kin, shiny } }) {
  const said = [prompt, `seed ${seed}`, kin && RELATIONS[kin.relation], shiny && "shiny"];
  return said.filter(Boolean).join(", ");
}

// Pictures far below the fold cost nothing until they come near.
const near = new IntersectionObserver(
  (entries) => {
    for (const { target, isIntersecting } of entries) {
      if (!isIntersecting) continue;
      target.src = target.loadFrom;
      near.unobserve(target);
    }
  },
  { rootMargin: "600px" },
);

/** An image of a picture; a `lazy` one loads when it comes near. */
export function imageOf(picture, { lazy = false } = {}) {
  const image = el("img", { alt: altOf(picture), width: 64, height: 64 });
  image.loadFrom = urlOf(picture);
  if (lazy) near.observe(image);
  else image.src = image.loadFrom;
  return image;
}

/** A card. `mark` is told when its box is ticked; without it there is no box. */
export function card(picture, { mark = null } = {}) {
  const image = imageOf(picture, { lazy: mark !== null });
  const { recipe } = picture;
  const heart = el("button", { type: "button", class: "quiet heart" });
  const showHeart = () => {
    heart.replaceChildren(icon(picture.favourite ? "heart" : "hollow"));
    heart.setAttribute("aria-label", "Favourite");
    heart.setAttribute("aria-pressed", String(picture.favourite));
  };
  heart.addEventListener("click", () => setFavourite(picture, !picture.favourite));
  showHeart();
  const seed = el(
    "button",
    {
      type: "button",
      class: "quiet seed",
      title: "Copy the seed",
      on: { click: () => copy(String(recipe.seed), "Seed") },
    },
    recipe.towards ? `${recipe.seed} → ${recipe.towards.seed}` : String(recipe.seed),
  );
  const box =
    mark &&
    el("input", {
      type: "checkbox",
      class: "mark",
      "aria-label": `Select ${altOf(picture)}`,
      on: { change: (event) => mark(picture, event.target.checked) },
    });
  const link = el("a", { class: "shown", href: `#/picture/${picture.id}` }, image);
  const foot = el("div", { class: "card-foot" }, seed, heart);
  const element = el("div", { class: "card", role: "listitem" }, link, box, foot);
  return { element, showHeart, box };
}

/** A card that waits for its picture. */
export function blank(seed) {
  const image = el("img", { alt: "", width: 64, height: 64, hidden: true });
  const shown = el("div", { class: "shown waiting" }, image);
  const foot = el("div", { class: "card-foot" }, el("span", { class: "seed" }, String(seed)));
  const element = el("div", { class: "card", role: "listitem" }, shown, foot);
  const preview = (url) => {
    image.src = url;
    image.hidden = false;
  };
  return { element, preview };
}

/** Let the arrow keys walk the pictures of a grid. */
export function walkable(grid) {
  grid.addEventListener("keydown", (event) => {
    const links = [...grid.querySelectorAll(".card:not([hidden]) a.shown")];
    const at = links.indexOf(document.activeElement);
    if (at < 0) return;
    const top = (link) => link.getBoundingClientRect().top;
    const columns = links.findIndex((link) => top(link) > top(links[0]));
    const row = columns < 0 ? links.length : columns;
    const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -row, ArrowDown: row };
    const ends = { Home: 0, End: links.length - 1 };
    const to = ends[event.key] ?? at + (steps[event.key] ?? NaN);
    if (!links[to]) return;
    event.preventDefault();
    links[to].focus();
  });
}
