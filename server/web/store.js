// The gallery's pictures: in memory for this tab, in IndexedDB for later, the same in
// every tab.
//
// A picture is {id, at, favourite, file, recipe, sources, words, unrecognised, took}; `at`
// is when it was drawn, `took` how many milliseconds that was, `file` its PNG.

import { toast } from "./dom.js";

const NAME = "pokejax";
const STORE = "pictures";
const others = new BroadcastChannel(NAME);
const listeners = new Set();
let database = null;

/** Newest first. */
export let pictures = [];

export function onPictures(listener) {
  listeners.add(listener);
}

function tell() {
  for (const listener of listeners) listener();
}

export const find = (id) => pictures.find((picture) => picture.id === id);

/** Open the database and load what is there. */
export async function openStore() {
  try {
    const opening = indexedDB.open(NAME, 1);
    opening.onupgradeneeded = () => {
      opening.result.createObjectStore(STORE, { keyPath: "id" });
    };
    database = await settled(opening);
    await reload();
    let soon = null; // pictures come in bursts
    others.onmessage = () => {
      clearTimeout(soon);
      soon = setTimeout(reload, 100);
    };
  } catch {
    toast("This browser keeps no pictures here: save those you like before you leave");
  }
}

async function reload() {
  const store = database.transaction(STORE).objectStore(STORE);
  const known = new Map(pictures.map((picture) => [picture.id, picture]));
  const stored = await settled(store.getAll());
  pictures = stored.map((picture) => Object.assign(known.get(picture.id) ?? {}, picture));
  pictures.sort(newestFirst);
  tell();
}

const newestFirst = (a, b) => b.at - a.at || (b.id > a.id ? 1 : -1);

function settled(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

async function write(change) {
  tell();
  if (!database) return;
  try {
    const transaction = database.transaction(STORE, "readwrite");
    change(transaction.objectStore(STORE));
    await new Promise((resolve, reject) => {
      transaction.oncomplete = resolve;
      transaction.onabort = () => reject(transaction.error);
    });
    others.postMessage("changed");
  } catch {
    toast("The gallery couldn't be saved: the browser's storage may be full");
  }
}

let number = 0;

/** Keep a new picture; returns it with its id. */
export function keep(picture) {
  number += 1;
  const at = Date.now();
  const unique = crypto.getRandomValues(new Uint32Array(1))[0].toString(36);
  const order = String(number).padStart(6, "0");
  const kept = { favourite: false, at, ...picture, id: `${at}-${order}-${unique}` };
  pictures = [kept, ...pictures];
  write((store) => store.put(kept));
  return kept;
}

export function setFavourite(picture, favourite) {
  picture.favourite = favourite;
  write((store) => store.put(picture));
}

/** Delete pictures; the toast's button brings them back. */
export function remove(gone) {
  const ids = new Set(gone.map((picture) => picture.id));
  pictures = pictures.filter((picture) => !ids.has(picture.id));
  write((store) => ids.forEach((id) => store.delete(id)));
  const run = () => {
    pictures = [...pictures, ...gone].sort(newestFirst);
    write((store) => gone.forEach((picture) => store.put(picture)));
  };
  const what = gone.length === 1 ? "Picture" : `${gone.length} pictures`;
  toast(`${what} deleted`, { label: "Undo", run });
}

const urls = new Map();

/** An address of a picture's file, for an <img>; made once. */
export function urlOf(picture) {
  let url = urls.get(picture.id);
  if (!url) {
    url = URL.createObjectURL(picture.file);
    urls.set(picture.id, url);
  }
  return url;
}
