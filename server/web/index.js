// The studio's start: what the address says is shown, and the pieces are put together.

import { ask, patiently } from "./api.js";
import { byId, toast } from "./dom.js";
import { startGallery } from "./gallery.js";
import { icon } from "./icons.js";
import { drawAgain, recipeIn, restoreFile } from "./recipe.js";
import { buildMenus, startSettings } from "./settings.js";
import { showKeys, startShortcuts } from "./shortcuts.js";
import { vocabularies } from "./state.js";
import { startStudio } from "./studio.js";
import { openStore } from "./store.js";

const PAGES = ["studio", "edit", "walk", "matrix", "runs"];
let open = null; // the dialog that the address asked for
let under = "#/"; // the address of the page under it
let visits = 0;

/** Show what the address says. */
async function route() {
  const [, name = "", rest = ""] = location.hash.match(/^#\/([a-z]*)[/?]?(.*)$/) ?? [];
  open?.close();
  open = null;
  const asked = location.hash;
  const visit = (visits += 1); // another one may come while a module loads
  const leave = () => {
    if (location.hash === asked) history.replaceState(null, "", under);
  };
  if (name === "picture") {
    const { showPicture } = await import("./picture.js");
    if (visit !== visits) return;
    open = showPicture(rest, leave);
    return;
  }
  if (name === "compare") {
    const { showComparison } = await import("./compare.js");
    if (visit !== visits) return;
    open = showComparison(rest.split(","), leave);
    return;
  }
  if (name === "draw") return openLink(rest);
  const page = PAGES.includes(name) ? name : "studio";
  under = asked || "#/";
  for (const other of PAGES) byId(other).hidden = other !== page;
  for (const link of document.querySelectorAll("nav a")) {
    const current = link.getAttribute("href") === (page === "studio" ? "#/" : `#/${page}`);
    if (current) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (page === "studio") return;
  const { show } = await import(`./${page}.js`);
  if (visit === visits) show(byId(page), decoded(rest));
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // somebody wrote it by hand
  }
}

/** Draw the picture that a link describes. */
async function openLink(query) {
  location.replace("#/");
  const recipe = recipeIn(query);
  if (!recipe?.prompt) return toast("That link describes no picture");
  try {
    const { model_version: model } = await ask("health");
    if (recipe.model && model !== recipe.model) {
      toast("The link was made with another model: the picture will differ");
    }
    await drawAgain(recipe);
  } catch (problem) {
    toast(problem.message);
  }
}

function startTheme() {
  const button = byId("theme");
  button.append(icon("theme"));
  button.addEventListener("click", () => {
    const { dataset } = document.documentElement;
    const system = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
    dataset.theme = (dataset.theme ?? system) === "dark" ? "light" : "dark";
    localStorage.setItem("theme", dataset.theme);
  });
}

/** PNGs can be dropped anywhere, pasted, or chosen. */
function startFiles() {
  const take = (files) => files?.[0] && restoreFile(files[0]);
  const { body } = document;
  const carriesFiles = (event) => event.dataTransfer?.types.includes("Files");
  addEventListener("dragover", (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    body.classList.add("dropping");
  });
  addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) body.classList.remove("dropping");
  });
  addEventListener("drop", (event) => {
    body.classList.remove("dropping");
    if (!carriesFiles(event)) return;
    event.preventDefault();
    take(event.dataTransfer.files);
  });
  addEventListener("paste", (event) => take(event.clipboardData?.files));
  byId("open-file").addEventListener("click", () => byId("file").click());
  byId("file").addEventListener("change", (event) => {
    take(event.target.files);
    event.target.value = "";
  });
}

/** Beside the pictures there is room for the panel on a wide screen only. */
function startPanel() {
  const wide = matchMedia("(min-width: 60rem)");
  const fit = () => (byId("panel").open = wide.matches);
  wide.addEventListener("change", fit);
  fit();
}

async function startServerSide() {
  const banner = byId("away");
  const onWait = (seconds, problem) => {
    banner.hidden = false;
    banner.textContent = `${problem.message}: trying again in ${seconds} s`;
  };
  try {
    const never = new AbortController().signal;
    const { attributes } = await patiently(() => ask("attributes"), never, onWait);
    Object.assign(vocabularies, attributes);
  } catch (problem) {
    banner.hidden = false;
    banner.textContent = `${problem.message}. Reload the page to try again.`;
    return;
  }
  banner.hidden = true;
  buildMenus();
  const { configured } = await ask("runs").catch(() => ({}));
  byId("runs-link").hidden = !configured;
  addEventListener("hashchange", route);
  await route();
  document.body.dataset.ready = "";
}

startTheme();
byId("help").append(icon("help"));
byId("help").addEventListener("click", showKeys);
startPanel();
startSettings();
startStudio();
startGallery();
startFiles();
startShortcuts();
await openStore();
await startServerSide();
