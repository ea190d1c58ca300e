"""How smoothly the studio's gallery scrolls, as Chromium traces it.

    make serve                            # in another terminal
    python benchmarks/studio_gallery.py

Fills the gallery of a new browser with 500 pictures and turns the wheel to its end.
Says how many frames were dropped, and how long the page's own tasks kept the processor:
one above 16.7 ms drops a frame, however quick the rest is. It's the time of the
processor that is counted, so a busy machine changes only the frames.
"""

import argparse
import base64
import io
import json
import shutil
from collections.abc import Sequence

import numpy as np
from PIL import Image

FRAME_MS = 1000 / 60
CATEGORIES = [
    *("toplevel", "devtools.timeline", "disabled-by-default-devtools.timeline"),
    "disabled-by-default-devtools.timeline.frame",
]
FILL = """async ([data, count]) => {
  const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
  const open = indexedDB.open("pokejax", 1);
  await new Promise((done) => (open.onsuccess = done));
  const change = open.result.transaction("pictures", "readwrite");
  const recipe = { prompt: "a fox", attributes: {}, model: "" };
  for (let i = 0; i < count; i += 1) {
    change.objectStore("pictures").put({
      id: `many-${i}`, at: i, favourite: false, took: 1, file: new Blob([bytes]),
      recipe: { ...recipe, seed: i },
    });
  }
  await new Promise((done) => (change.oncomplete = done));
  open.result.close();
}"""


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description="Trace the scrolling of a large gallery.",
        epilog="example: python benchmarks/studio_gallery.py --pictures 2000",
    )
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--pictures", type=int, default=500)
    args = parser.parse_args(argv)
    events = trace(args.url, args.pictures)
    names = {
        (e["pid"], e["tid"]): e["args"]["name"]
        for e in events
        if e.get("name") == "thread_name"
    }
    tasks = [
        e.get("tdur", 0) / 1000
        for e in events
        if e.get("name") == "RunTask"
        and names.get((e["pid"], e["tid"])) == "CrRendererMain"
    ]
    frames = {
        name: sum(e.get("name") == name for e in events)
        for name in ("DrawFrame", "DroppedFrame")
    }
    late = sum(task > FRAME_MS for task in tasks)
    print(f"frames drawn {frames['DrawFrame']}, dropped {frames['DroppedFrame']}")
    print(f"the page's tasks: {len(tasks)}, above {FRAME_MS:.1f} ms: {late},", end=" ")
    print(f"longest {max(tasks, default=0):.1f} ms, all {sum(tasks):.0f} ms")


def trace(url: str, pictures: int) -> list[dict]:
    """Events of one scroll from the top of the gallery to its end."""
    from playwright.sync_api import sync_playwright

    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "PNG")
    data = base64.b64encode(buffer.getvalue()).decode()
    with sync_playwright() as api:
        flags = ["--headless=new", "--no-sandbox", "--disable-gpu"]
        chromium = shutil.which("chromium")
        browser = api.chromium.launch(executable_path=chromium, args=flags)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto(url)
        page.wait_for_selector("body[data-ready]")
        page.evaluate(FILL, [data, pictures])
        page.reload()
        page.locator("#gallery .card").nth(pictures - 1).wait_for(state="attached")
        page.wait_for_timeout(2000)  # until all is quiet
        browser.start_tracing(page=page, categories=CATEGORIES)
        page.mouse.move(800, 600)
        end = "scrollY + innerHeight >= document.documentElement.scrollHeight - 1"
        while not page.evaluate(end):
            page.mouse.wheel(0, 110)  # a notch
            page.wait_for_timeout(FRAME_MS)
        events = json.loads(browser.stop_tracing())["traceEvents"]
        browser.close()
    return events


if __name__ == "__main__":
    main()
