// The line that says how far something is, with a bar and a way to stop it.

import { announce, el } from "./dom.js";

/** A status line; `element` goes where it shall stand. */
export function statusLine() {
  const text = el("p", { class: "status-text" });
  const bar = el("progress", { max: 1, "aria-label": "Progress" });
  const cancel = el("button", { type: "button", class: "quiet" }, "Cancel");
  const element = el("div", { class: "status", hidden: true }, text, bar, cancel);
  let controller = null;
  cancel.addEventListener("click", () => controller?.abort());

  function say(words, { wrong = false, busy = true } = {}) {
    element.hidden = !words;
    element.classList.toggle("wrong", wrong);
    bar.hidden = !busy;
    cancel.hidden = !busy;
    text.textContent = words;
  }

  /**
   * Run something that can be cancelled; what ran before is cancelled first.
   * @param {(signal: AbortSignal) => Promise<string>} task returns the last words.
   */
  async function run(task) {
    controller?.abort();
    const mine = new AbortController();
    controller = mine;
    bar.removeAttribute("value");
    say("Asking …");
    try {
      const words = await task(mine.signal);
      if (controller === mine) say(words, { busy: false });
      announce(words);
    } catch (problem) {
      if (controller !== mine) return;
      const words = mine.signal.aborted ? "Cancelled" : problem.message;
      say(words, { wrong: !mine.signal.aborted, busy: false });
      announce(words);
    } finally {
      if (controller === mine) controller = null;
    }
  }

  return {
    element,
    run,
    cancel: () => controller?.abort(),
    say: (words) => say(words),
    progress: (done, of) => {
      bar.max = of;
      bar.value = done;
    },
    waiting: (seconds, problem) =>
      say(`${problem.message.replace(/\.$/, "")}: trying again in ${Math.ceil(seconds)} s`),
  };
}
