"""Take docs/images/studio-*.png anew, of a studio that runs: `make serve`.

    python docs/screenshots.py [--url http://127.0.0.1:8000]

Nothing is picked: the prompts are README's, the seed is that of `make run`. It takes
Debian's chromium, as the studio's tests do.
"""

import argparse
import io
import shutil
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

PROMPTS = (
    "a red fire lizard",
    "a yellow electric mouse",
    "a purple ghost",
    "a big green grass dinosaur with a quizzical look",
)
SEED = 7
SIZES = {"desktop": (1280, 860, 1), "phone": (375, 760, 2)}  # the last: device pixels
COLORS = 200  # of the files, which makes them a third as large
SECONDS_MS = 60_000


def main() -> None:
    """Draw the same pictures in each look, and take one page of each."""
    parser = argparse.ArgumentParser(description="Take the studio's screenshots.")
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    url = parser.parse_args().url.rstrip("/") + "/"
    expect.set_options(timeout=SECONDS_MS)
    with sync_playwright() as api:
        flags = ["--headless=new", "--no-sandbox", "--disable-gpu"]
        chromium = shutil.which("chromium")
        browser = api.chromium.launch(executable_path=chromium, args=flags)
        save(drawn(browser, url, "desktop", "light"), "desktop-light")
        page = drawn(browser, url, "desktop", "dark")
        page.locator("#results a.shown").first.click()
        page.get_by_role("button", name="Game pack").wait_for()
        save(page, "desktop-dark")
        page = drawn(browser, url, "desktop", "light")
        edit(page, url)
        save(page, "edit")
        save(drawn(browser, url, "phone", "light"), "phone-light")
        page = drawn(browser, url, "phone", "dark")
        walk(page, url)
        save(page, "phone-dark")


def drawn(browser: Browser, url: str, kind: str, scheme: str) -> Page:
    """The studio in a browser of its own, with pictures of all prompts."""
    width, height, scale = SIZES[kind]
    page = browser.new_page(
        viewport={"width": width, "height": height},
        color_scheme=scheme,  # type: ignore[arg-type]
        device_scale_factor=scale,
        reduced_motion="reduce",
    )
    page.set_default_timeout(SECONDS_MS)
    page.goto(url)
    page.wait_for_selector("body[data-ready]")
    panel = "document.getElementById('panel').open"
    page.evaluate(f"{panel} = true")
    page.fill("#seed", str(SEED))
    for i, prompt in enumerate(PROMPTS, 1):
        page.fill("#prompt", prompt)
        page.press("#prompt", "Enter")
        expect(page.locator("#gallery .card")).to_have_count(6 * i)
        expect(page.locator("#status .status-text")).to_have_text(
            "6 pictures are drawn"
        )
    page.evaluate(f"{panel} = {str(kind == 'desktop').lower()}")
    page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
    return page


def walk(page: Page, url: str) -> None:
    """Half the way from one creature to another."""
    page.goto(f"{url}#/walk")
    for i in (5, 17):  # the first of the fourth prompt, and of the second
        page.locator(".strip button").nth(i).click()
    page.locator("#walk").get_by_role("button", name="Walk", exact=True).click()
    page.get_by_label("Frame", exact=True).fill("12")
    page.evaluate("document.activeElement.blur()")


def edit(page: Page, url: str) -> None:
    """A picture whose upper left is redrawn."""
    page.locator("#gallery a.shown").nth(17).click()
    page.get_by_role("button", name="Edit", exact=True).click()
    page.get_by_label("brush").fill("8")
    box = page.locator(".canvas-pixels").bounding_box()
    assert box
    pixel = box["width"] / 64
    for row in range(6, 30, 6):
        y = box["y"] + row * pixel
        page.mouse.move(box["x"] + 6 * pixel, y)
        page.mouse.down()
        page.mouse.move(box["x"] + 34 * pixel, y)
        page.mouse.up()
    page.fill("#edit-prompt", "a yellow bird")
    page.fill("#edit-count", "3")
    page.get_by_role("button", name="Redraw", exact=True).click()
    expect(page.locator("#edit a.shown")).to_have_count(3)
    page.set_viewport_size({"width": 1280, "height": 1030})
    page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")


def save(page: Page, name: str) -> None:
    """Write what is seen as a small PNG, and close the page."""
    page.wait_for_timeout(500)  # the pictures in it are decoded one after another
    image = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    small = image.quantize(COLORS, dither=Image.Dither.NONE)
    small.save(Path(__file__).parent / f"images/studio-{name}.png", optimize=True)
    page.close()


if __name__ == "__main__":
    main()
