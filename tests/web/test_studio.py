"""The studio in a real browser, against a real server with the shipped model."""

import base64
import io
import json
import os
import re
import signal
import threading
import zipfile
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from pokejax.images.given import read_picture
from pokejax.images.training_index import TrainingIndex
from server.bookmarks import Bookmarks
from server.limits import ApiKeys
from tests.helpers.live_server import wait_for
from tests.helpers.server_process import started
from tests.web.conftest import Site

pytest.importorskip("playwright.sync_api", reason="playwright isn't installed")

from playwright.sync_api import BrowserContext, Page, expect

expect.set_options(timeout=20_000)

PROMPT = "a small blue water turtle"
HALF_A_MINUTE = 30_000  # by the page's clock, which tests can turn on
# The newest first: each picture's recipe, and its file's bytes in base64.
_STORED = """async () => {
  const open = indexedDB.open("pokejax", 1);
  await new Promise((done) => (open.onsuccess = done));
  const all = open.result.transaction("pictures").objectStore("pictures").getAll();
  await new Promise((done) => (all.onsuccess = done));
  open.result.close();
  return Promise.all(all.result.reverse().map(async ({ recipe, file, favourite }) => {
    const bytes = new Uint8Array(await file.arrayBuffer());
    return { recipe, favourite, file: btoa(String.fromCharCode(...bytes)) };
  }));
}"""

# How much of the page has moved about since it was opened, as Lighthouse scores it.
_SHIFTED = """() => new Promise((done) => {
  let shifted = 0;
  const add = (list) => list.getEntries().forEach((entry) => (shifted += entry.value));
  new PerformanceObserver(add).observe({ type: "layout-shift", buffered: true });
  requestAnimationFrame(() => setTimeout(() => done(shifted)));
})"""


def draw(page: Page, prompt: str = PROMPT, *, seed: int = 7, count: int = 2) -> None:
    page.fill("#count-exact", str(count))
    page.fill("#seed", str(seed))
    page.fill("#prompt", prompt)
    page.press("#prompt", "Enter")
    said = "The picture is drawn" if count == 1 else f"{count} pictures are drawn"
    expect(page.locator(".status-text").first).to_have_text(said)


def stored(page: Page) -> list[dict]:
    return page.evaluate(_STORED)


def asked(site: Site, route: str = "generate", **body: object) -> list[str]:
    """The files that the API gives, in base64."""
    answer = httpx.post(f"{site.url}api/v1/{route}", json=body, timeout=60)
    return [url.partition(",")[2] for url in answer.json()["images"]]


def png(texts: dict[str, str], size: int = 8) -> bytes:
    info = PngInfo()
    for name, text in texts.items():
        info.add_itxt(name, text)
    buffer = io.BytesIO()
    Image.new("RGB", (size, size), "white").save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()


def drop(page: Page, content: bytes) -> None:
    """Drop a file on the page, as a hand would."""
    page.evaluate(
        """(data) => {
          const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
          const dataTransfer = new DataTransfer();
          dataTransfer.items.add(new File([bytes], "dropped.png"));
          const event = { dataTransfer, bubbles: true, cancelable: true };
          for (const name of ["dragover", "drop"]) {
            document.body.dispatchEvent(new DragEvent(name, event));
          }
        }""",
        base64.b64encode(content).decode(),
    )


def test_a_prompt_is_understood_then_drawn(page: Page, site: Site):
    prompt = f"{PROMPT} with a red shell and a quizzical look"
    page.fill("#prompt", prompt)
    expect(page.locator("#chips .unknown")).to_have_text("not understood: quizzical")
    expect(page.locator("#chips .part")).to_have_text("back Red")
    chip = page.locator("#chip-primary_color")
    expect(chip.locator("option:checked")).to_have_text("Blue")
    chip.select_option("Green")
    expect(page.locator(".by-hand")).to_have_count(1)
    expect(page.locator("#pick-primary_color")).to_have_value("Green")
    partial = page.locator("#results .waiting img:not([hidden])")
    site.live.gate.clear()
    page.fill("#count-exact", "3")
    page.fill("#seed", "42")
    page.press("#prompt", "Enter")
    expect(page.locator("#results .waiting")).to_have_count(3)
    expect(page.locator("progress")).to_be_visible()
    assert partial.count() == 0
    site.live.gate.set()
    expect(page.locator("#results a.shown")).to_have_count(3)
    expect(page.locator("#announced")).to_have_text("3 pictures are drawn")
    seeds = page.locator("#results button.seed")
    assert seeds.all_text_contents() == ["42", "43", "44"]
    seeds.nth(1).click()
    assert page.evaluate("navigator.clipboard.readText()") == "43"
    body = {"prompt": prompt, "seed": 42, "num_samples": 3}
    files = asked(site, **body, attributes={"primary_color": "Green"})
    assert [picture["file"] for picture in stored(page)] == files[::-1]


def test_a_seed_is_rolled_unless_it_is_locked(page: Page):
    draw(page, seed=5, count=1)
    draw(page, seed=5, count=1)  # typed, so locked
    page.click("#lock")
    page.press("#prompt", "Enter")
    expect(page.locator("#gallery a.shown")).to_have_count(3)
    newest, second, first = stored(page)
    assert first["file"] == second["file"] != newest["file"]
    assert newest["recipe"]["seed"] != 5
    page.click("#reroll")
    rolled = int(page.input_value("#seed"))
    assert rolled != newest["recipe"]["seed"]
    page.fill("#count-exact", "2")
    page.click("#copy-seeds")
    expect(page.locator(".toast").last).to_have_text("Seeds copied")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == f"{rolled}, {(rolled + 1) % 2**31}"
    page.click("#surprise")
    expect(page.locator("#prompt")).not_to_have_value(PROMPT)
    expect(page.locator("#chips .chip").first).to_be_visible()


def test_partial_pictures_and_progress_come_first(page: Page):
    page.evaluate(
        """() => {
          window.partials = 0;
          window.far = new Set();
          window.heard = [];
          new MutationObserver((changes) => {
            for (const { target } of changes) {
              window.partials += target.matches(".waiting img") && !target.hidden;
              if (target.matches("progress")) window.far.add(target.value);
            }
          }).observe(document.getElementById("studio"),
            { subtree: true, attributeFilter: ["src", "value"] });
          const hear = ({ addedNodes }) => window.heard.push(addedNodes[0].textContent);
          new MutationObserver((changes) => changes.forEach(hear))
            .observe(document.getElementById("announced"), { childList: true });
        }"""
    )
    draw(page, count=2)
    assert page.evaluate("window.partials") >= 1
    assert page.evaluate("window.far.size") > 2
    heard = ["1 of 2 pictures", "2 of 2 pictures", "2 pictures are drawn"]
    assert page.evaluate("window.heard") == heard


def test_the_place_in_the_queue_is_shown_and_can_be_left(page: Page, site: Site):
    batcher = site.live.service.batcher
    assert batcher
    site.live.gate.clear()
    body = {"prompt": "a fish", "num_samples": 12}
    other = threading.Thread(target=asked, args=(site,), kwargs=body)
    other.start()
    ahead = 12 - batcher.max_rows  # the others are being drawn
    wait_for(lambda: batcher.depth == ahead)
    page.fill("#prompt", PROMPT)
    page.click("#draw")
    said = page.locator(".status-text").first
    expect(said).to_have_text(f"In the queue, {ahead} pictures ahead")
    wait_for(lambda: batcher.depth == ahead + 6)
    page.get_by_role("button", name="Cancel").click()
    expect(said).to_have_text("Cancelled")
    expect(page.locator("#results .card")).to_have_count(0)
    wait_for(lambda: batcher.depth == ahead)
    site.live.gate.set()
    other.join(60)
    draw(page)
    assert len(stored(page)) == 2


@pytest.mark.parametrize("restarted", [False, True])
def test_a_broken_connection_is_mended(
    page: Page,
    site: Site,
    complaints: list[str],
    monkeypatch: pytest.MonkeyPatch,
    restarted: bool,
):
    complaints += ["net::", "404"]  # the browser's own words on broken requests
    site.live.gate.clear()
    page.fill("#count-exact", "9")  # one more than a tile holds
    page.fill("#seed", "11")
    page.fill("#prompt", PROMPT)
    page.press("#prompt", "Enter")
    wait_for(site.live.is_held)
    page.clock.install()
    site.link.cut()
    expect(page.locator(".status-text").first).to_contain_text("trying again in")
    if restarted:  # it can't read the other one's bookmarks
        jobs = site.live.app.app.dependencies["jobs"].dependency()
        monkeypatch.setattr(jobs, "_bookmarks", Bookmarks(""))
    site.link.mend()
    site.live.gate.set()
    page.clock.run_for(HALF_A_MINUTE)
    expect(page.locator(".status-text").first).to_have_text("9 pictures are drawn")
    files = asked(site, prompt=PROMPT, seed=11, num_samples=9)
    assert sorted(p["file"] for p in stored(page)) == sorted(files)


def test_a_killed_server_is_waited_for(
    page: Page, complaints: list[str], tiny_run: Path, tmp_path: Path
):
    complaints += ["net::", "503"]  # while there is none, and while it starts
    model, log = tiny_run / "model.safetensors", tmp_path / "log"
    with started(model, log) as running:
        page.goto(running.url)
        draw(page, count=2)
        os.kill(running.process.pid, signal.SIGSTOP)  # it takes a request, no more
        page.fill("#count-exact", "9")
        page.fill("#seed", "11")
        page.press("#prompt", "Enter")
        page.clock.install()
        os.kill(running.process.pid, signal.SIGKILL)
        said = page.locator(".status-text").first
        expect(said).to_contain_text("trying again in")
    with started(model, log, port=str(running.port)) as running:
        page.clock.run_for(HALF_A_MINUTE)
        expect(said).to_have_text("9 pictures are drawn")
        body = {"prompt": PROMPT, "seed": 11, "num_samples": 9}
        answer = httpx.post(f"{running.url}/api/v1/generate", json=body).json()
    files = [url.partition(",")[2] for url in answer["images"]]
    assert sorted(p["file"] for p in stored(page)[:9]) == sorted(files)
    assert len(stored(page)) == 11


def test_a_busy_server_is_waited_for(page: Page, site: Site, complaints: list[str]):
    complaints += ["429", "503"]
    said = page.locator(".status-text").first
    batcher = site.live.service.batcher
    assert batcher

    def ask(count: int) -> threading.Thread:
        body = {"prompt": "a fish", "num_samples": count}
        thread = threading.Thread(target=asked, args=(site,), kwargs=body)
        thread.start()
        return thread

    site.live.gate.clear()
    asking = [ask(batcher.max_rows)]  # a tile, which is being drawn
    wait_for(site.live.is_held)
    asking += [ask(8), ask(8)]
    wait_for(lambda: batcher.depth == 16)
    page.clock.install()
    page.fill("#count-exact", "1")
    page.fill("#prompt", PROMPT)
    page.press("#prompt", "Enter")
    expect(said).to_contain_text(re.compile(r"trying again in \d+ s"))
    site.live.gate.set()
    for thread in asking:
        thread.join(60)
    page.clock.run_for(HALF_A_MINUTE)
    expect(said).to_have_text("The picture is drawn")
    site.live.service.state = "draining"
    page.press("#prompt", "Enter")
    expect(said).to_contain_text("the server is shutting down: trying again in")
    site.live.service.state = "ready"
    page.clock.run_for(HALF_A_MINUTE)
    expect(said).to_have_text("The picture is drawn")
    expect(page.locator("#gallery .card")).to_have_count(2)


def test_a_key_is_asked_for(
    page: Page, site: Site, complaints: list[str], monkeypatch: pytest.MonkeyPatch
):
    complaints.append("401")
    monkeypatch.setattr(site.live.app, "_keys", ApiKeys(["secret"]))
    page.reload()
    dialog = page.get_by_role("dialog", name="A key, please")
    page.get_by_label("API key").fill("wrong")
    page.keyboard.press("Enter")
    expect(dialog.locator(".wrong")).to_be_visible()
    page.get_by_label("API key").fill("secret")
    page.keyboard.press("Enter")
    expect(page.locator("#pick-size")).to_be_attached()
    draw(page, count=1)


def test_the_gallery_outlives_a_reload(page: Page, context: BrowserContext):
    draw(page, "a tiny red fire fox", count=1)
    draw(page, "a huge green snake", count=1)
    cards = page.locator("#gallery .card:visible")
    cards.nth(0).get_by_label("Favourite").click()
    other = context.new_page()  # a second tab
    other.goto(page.url)
    expect(other.locator("#gallery .card")).to_have_count(2)
    page.bring_to_front()  # a tab behind draws a frame a second
    page.reload()
    expect(cards).to_have_count(2)
    page.check("#favourites")
    expect(cards).to_have_count(1)
    page.uncheck("#favourites")
    for words, n in {"fox": 1, "colour:red": 1, "size:huge snake": 1, "owl": 0}.items():
        page.fill("#search", words)
        expect(cards).to_have_count(n)
    page.fill("#search", "")
    cards.nth(0).locator(".mark").check()
    page.click("#delete-selected")
    expect(cards).to_have_count(1)
    expect(other.locator("#gallery .card")).to_have_count(1)
    page.get_by_role("button", name="Undo").click()
    expect(cards).to_have_count(2)
    expect(other.locator("#gallery .card")).to_have_count(2)
    assert [p["favourite"] for p in stored(page)] == [True, False]


def test_any_pictures_settings_come_back(
    page: Page, site: Site, monkeypatch: pytest.MonkeyPatch
):
    pictures = (
        np.zeros((1, 64, 64, 3), np.uint8),
        np.full((1, 64, 64, 3), 255, np.uint8),
    )
    index = TrainingIndex.of(*pictures)
    monkeypatch.setattr(site.live.service, "training_index", index)
    page.fill("#guidance-exact", "1.5")
    page.fill("#temperature-exact", "0.5")
    page.select_option("#pick-habitat", "Sea")
    draw(page, "a red <script>alert(1)</script> fox", seed=21)
    page.select_option("#pick-habitat", "")
    page.fill("#guidance-exact", "1")
    page.fill("#temperature-exact", "1")
    draw(page, "a green snake", seed=3)
    page.locator("#gallery a.shown").first.click()  # drawn before it could be read
    expect(page.get_by_role("dialog")).to_contain_text("from the prompt (“green”)")
    page.keyboard.press("Escape")
    page.locator("#gallery a.shown").nth(2).click()  # seed 22 of the first two
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("away; of real pictures never trained on, 0 % are")
    made = dialog.inner_text()
    for fact in ("22", "1.5", "Red", "from the prompt (“red”)", "Sea", "set by hand"):
        assert fact in made
    page.get_by_role("button", name="Use these settings").click()
    expect(page.locator("#pick-habitat")).to_have_value("Sea")
    expect(page.locator("#seed")).to_have_value("22")
    page.press("#prompt", "Enter")
    expect(page.locator("#gallery a.shown")).to_have_count(5)
    pictures = stored(page)
    assert pictures[0]["file"] == pictures[3]["file"]


def test_variations_are_near_and_can_be_had_again(page: Page):
    draw(page, count=1)
    page.locator("#results a.shown").click()
    page.get_by_role("button", name="Draw variations").click()
    expect(page.locator("#gallery a.shown")).to_have_count(5)
    page.locator("#gallery a.shown").first.click()
    page.get_by_role("button", name="Copy link").click()
    expect(page.get_by_role("dialog").get_by_text("Link copied")).to_be_visible()
    page.goto("about:blank")
    page.go_back()
    expect(page.locator("#gallery a.shown")).to_have_count(5)
    page.goto(page.evaluate("navigator.clipboard.readText()"))
    expect(page.locator("#gallery a.shown")).to_have_count(6)
    again, variation, *_, first = stored(page)
    assert again["file"] == variation["file"] != first["file"]


def check_link(page: Page) -> None:
    """The newest picture's link gives its very file in another browser, too."""
    page.goto(page.url.partition("#")[0] + "#/")
    page.locator("#gallery a.shown").first.click()
    page.get_by_role("button", name="Copy link").click()
    expect(page.locator(".toast").last).to_contain_text("copied")
    link = page.evaluate("navigator.clipboard.readText()")
    page.go_back()
    expect(page.get_by_role("dialog")).to_have_count(0)
    browser = page.context.browser
    assert browser
    elsewhere = browser.new_page()
    elsewhere.goto(link)
    expect(elsewhere.locator("#gallery a.shown")).to_have_count(1)
    assert stored(elsewhere)[0]["file"] == stored(page)[0]["file"]
    elsewhere.context.close()


def test_a_link_gives_the_same_picture_elsewhere(
    page: Page, site: Site, complaints: list[str]
):
    page.select_option("#pick-style", "vector")
    draw(page, seed=9, count=1)
    check_link(page)
    page.evaluate(
        """async () => {
          const { keep } = await import("/web/store.js");
          const start = { image: "A".repeat(16000), strength: 1 };
          const recipe = { prompt: "a fox", seed: 1, attributes: {}, model: "", start };
          keep({ recipe, took: 1, file: new Blob() });
        }"""
    )
    page.locator("#gallery a.shown").first.click()
    page.get_by_role("button", name="Copy link").click()
    expect(page.locator(".toast").last).to_contain_text("too large for a link")
    complaints.append("400")
    page.goto("about:blank")
    page.goto(f"{site.url}#/draw?prompt=a+fox&seed=1&init=%25&strength=1")
    said = page.locator("#status .status-text")
    expect(said).to_have_text("image: not base64, nor a data URL in base64")


def test_pictures_are_saved_as_files(page: Page, tmp_path: Path):
    page.select_option("#finish", "pixel")
    draw(page, count=3)
    newest = base64.b64decode(stored(page)[0]["file"])
    page.locator("#gallery a.shown").first.click()
    page.get_by_label("Size of the PNG").select_option("1")
    with page.expect_download() as saving:
        page.get_by_role("button", name="Save PNG").click()
    assert saving.value.path().read_bytes() == newest
    page.get_by_label("Size of the PNG").select_option("16")
    page.get_by_label("transparent").check()
    with page.expect_download() as saving:
        page.get_by_role("button", name="Save PNG").click()
    with Image.open(saving.value.path()) as image:
        assert image.size == (1024, 1024) and image.mode == "RGBA"
        assert image.text["seed"] == "9"  # type: ignore[attr-defined]
        own = np.asarray(image)[8::16, 8::16]
    # White that is the creature's own stays.
    indices = np.asarray(Image.open(io.BytesIO(newest)))
    np.testing.assert_array_equal(own[..., 3], 255 * (indices > 0))
    there = indices > 0
    np.testing.assert_array_equal(own[there], rgba(stored(page)[0]["file"])[there])
    page.keyboard.press("Escape")
    with page.expect_download() as saving:
        page.click("#save-zip")
    with zipfile.ZipFile(saving.value.path()) as archive:
        assert archive.testzip() is None
        *names, recipes = archive.namelist()
        expected = [base64.b64decode(p["file"]) for p in stored(page)]
        assert [archive.read(name) for name in names] == expected
        assert json.loads(archive.read(recipes))[0]["seed"] == 9
    with page.expect_download() as saving:
        page.click("#save-sheet")
    with Image.open(saving.value.path()) as image:
        assert image.size == (512, 512)


def test_pictures_are_compared(page: Page):
    draw(page, count=2)
    for mark in page.locator("#gallery .mark").all():
        mark.check()
    page.click("#compare")
    differing = page.locator(".compare .differs th")
    expect(differing).to_have_text(["seed"])
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    to = page.locator("#gallery a.shown").first.get_attribute("href")
    page.evaluate("(to) => { location.hash = '#/edit'; location.hash = to; }", to)
    expect(page.get_by_role("dialog")).to_have_count(1)


def test_a_dropped_picture_brings_its_settings(page: Page):
    wild = "a red fox <script>alert(1)</script><img src=x onerror=alert(1)>"
    attributes = '{"size": "Huge", "type1": "Cheese"}'
    texts = {"prompt": wild, "seed": "77", "attributes": attributes}
    drop(page, png(texts | {"guidance": "2.5", "temperature": "1e99"}))
    expect(page.locator("#prompt")).to_have_value(wild)
    expect(page.locator("#seed")).to_have_value("77")
    expect(page.locator("#pick-size")).to_have_value("Huge")
    expect(page.locator("#guidance-exact")).to_have_value("2.5")
    expect(page.locator("#temperature-exact")).to_have_value("1")
    assert page.locator("main img[src='x']").count() == 0
    info = PngInfo()
    parameters = "a blue\nbird\nNegative prompt: ugly,\nred\n"
    parameters += "Steps: 20, CFG scale: 14, Seed: 123, Size: 64x64"
    info.add_text("parameters", parameters, zip=True)
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "PNG", pnginfo=info)
    page.set_input_files(
        "#file",
        {"name": "a.png", "mimeType": "image/png", "buffer": buffer.getvalue()},
    )
    expect(page.locator("#prompt")).to_have_value("a blue bird")
    expect(page.locator("#seed")).to_have_value("123")
    expect(page.locator("#negative")).to_have_value("ugly, red")
    expect(page.locator("#guidance-exact")).to_have_value("2")
    drop(page, b"no picture at all")
    expect(page.locator(".toast").last).to_contain_text("holds no settings")


def test_a_walk_is_seen_and_saved(page: Page):
    draw(page, count=1)
    draw(page, "a red dragon", count=1)
    for mark in page.locator("#gallery .mark").all():
        mark.check()
    page.click("#walk-between")
    page.fill("#frames", "5")
    page.locator("#walk").get_by_role("button", name="Walk", exact=True).click()
    frame = page.locator(".stage img")
    first = frame.get_attribute("src") or ""
    ends = {p["file"] for p in stored(page)}
    assert first.partition(",")[2] in ends
    page.get_by_label("Frame", exact=True).press("End")
    expect(frame).to_have_attribute("alt", "frame 5 of 5")
    assert frame.get_attribute("src") != first
    with page.expect_download() as saving:
        page.get_by_role("button", name="Save GIF").click()
    with Image.open(saving.value.path()) as gif:
        assert gif.size == (256, 256)
        assert gif.n_frames == 5  # type: ignore[attr-defined]
    page.get_by_label("Frame", exact=True).press("ArrowLeft")
    page.get_by_role("button", name="Keep this frame").click()
    expect(page.locator("#gallery .card")).to_have_count(3)
    expect(frame).to_have_attribute("alt", "frame 4 of 5")
    page.go_back()
    expect(page.locator("#studio")).to_be_visible()
    check_link(page)
    kept = base64.b64decode(stored(page)[0]["file"])
    page.reload()
    drop(page, kept)
    page.fill("#frames", "5")
    page.locator("#walk").get_by_role("button", name="Walk", exact=True).click()
    expect(frame).to_have_attribute("alt", "frame 4 of 5")
    expect(page.locator(".slot img")).to_have_count(2)


def paint(page: Page, *strokes: tuple[int, int]) -> None:
    """Draw from the first pixel of the easel to each of the others."""
    box = page.locator(".canvas-pixels").bounding_box()
    assert box
    for i, (x, y) in enumerate(strokes):
        at = (x + 0.5) * box["width"] / 64, (y + 0.5) * box["height"] / 64
        page.mouse.move(box["x"] + at[0], box["y"] + at[1])
        if i == 0:
            page.mouse.down()
    page.mouse.up()


def rgba(encoded: str) -> np.ndarray:
    image = Image.open(io.BytesIO(base64.b64decode(encoded)))
    return np.asarray(image.convert("RGBA"))


def redraw(page: Page) -> None:
    page.get_by_role("button", name="Redraw", exact=True).click()
    said = page.locator("#edit .status-text")
    expect(said).to_have_text("The picture is redrawn")


def test_what_is_painted_over_is_redrawn(page: Page):
    draw(page, count=1)
    page.locator("#results a.shown").click()
    page.get_by_role("button", name="Edit", exact=True).click()
    far = page.locator("output[for=edit-strength]")
    expect(far).to_have_text("60 % of all of it")
    paint(page, (5, 5), (50, 5))
    expect(far).to_have_text("100 % of the painted part")
    page.get_by_role("button", name="Clear mask").click()
    expect(far).to_have_text("60 % of all of it")
    paint(page, (0, 20), (40, 20), (40, 30))
    page.get_by_role("button", name="eraser").click()
    paint(page, (40, 30))
    page.fill("#edit-prompt", "a red dragon")
    page.fill("#edit-count", "1")
    redraw(page)
    after, before = stored(page)
    start = after["recipe"]["start"]
    assert start["strength"] == 1 and after["recipe"]["prompt"] == "a red dragon"
    mask = rgba(start["mask"])[..., 0] > 0
    assert mask[19:22, :40].all() and not mask[30, 40] and mask.sum() < 200
    given = read_picture(base64.b64decode(before["file"]), 64)
    drawn = rgba(after["file"])[..., :3]
    np.testing.assert_array_equal(drawn[~mask], given[~mask][:, :3])
    assert (drawn[mask] != given[mask][:, :3]).any()
    page.locator("#edit a.shown").click()
    expect(page.get_by_role("dialog")).to_contain_text("100 % away, a part of it")
    page.get_by_role("button", name="Edit it again").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(far).to_have_text("100 % of the painted part")
    redraw(page)
    again, *_ = pictures = stored(page)
    assert len(pictures) == 3 and again["file"] == after["file"]
    check_link(page)


def test_a_doodle_is_drawn_from(page: Page):
    page.get_by_role("link", name="Edit").click()

    def take(tool: str) -> None:
        page.get_by_role("button", name=tool, exact=True).click()

    def pixel(x: int, y: int) -> list[int]:
        data = f"getContext('2d').getImageData({x}, {y}, 1, 1).data"
        return page.locator(".canvas-pixels").evaluate(f"(c) => [...c.{data}]")

    red, green, clear = [216, 64, 47, 255], [76, 159, 75, 255], [0, 0, 0, 0]
    take("#d8402f")
    take("rectangle")
    paint(page, (10, 10), (40, 40))
    assert (pixel(10, 25), pixel(25, 25)) == (red, clear)
    take("#4c9f4b")
    take("fill")
    paint(page, (25, 25))
    assert (pixel(25, 25), pixel(39, 39), pixel(50, 50)) == (green, green, clear)
    take("line")
    paint(page, (50, 0), (50, 40), (60, 10))
    assert (pixel(55, 5), pixel(50, 30)) == (green, clear)
    take("eyedropper")
    paint(page, (10, 10))
    paint(page, (2, 2), (6, 2))  # the pencil is taken up again
    assert pixel(4, 2) == red
    take("eraser")
    paint(page, (4, 2))
    assert pixel(4, 2) == clear
    take("Undo")
    assert pixel(4, 2) == red
    take("pencil")
    page.locator(".canvas-pixels").focus()
    for key in ("ArrowDown", "ArrowRight", " "):
        page.keyboard.press(key)
    assert pixel(33, 33) == red
    page.fill("#edit-prompt", "a green fox")
    page.fill("#edit-count", "1")
    redraw(page)
    (drawn,) = stored(page)
    given = rgba(drawn["recipe"]["start"]["image"])
    assert [given[y, x].tolist() for x, y in ((25, 25), (10, 25), (33, 33))] == [
        green,
        red,
        red,
    ]
    assert given[50, 50, 3] == 0 and drawn["recipe"]["start"]["strength"] == 0.6
    assert drawn["recipe"]["attributes"]["primary_color"] == "Green"


def test_pixel_art_and_its_palette(page: Page):
    page.select_option("#finish", "pixel")
    page.fill("#colors", "6")
    page.fill("#negative", "a red bird")
    page.fill("#prompt", PROMPT)
    page.locator("#chip-slide-size").press("End")
    draw(page, count=1)
    (picture,) = stored(page)
    file = Image.open(io.BytesIO(base64.b64decode(picture["file"])))
    assert file.mode == "P" and file.info["negative"] == "a red bird"
    assert json.loads(file.info["slides"]) == {"size": 3}
    own = np.reshape(file.getpalette() or [], (-1, 3))[1:].tolist()
    assert 2 <= len(own) <= 6
    page.locator("#results a.shown").click()
    saved: dict[str, list[str]] = {}
    for ending in ("gpl", "hex"):
        with page.expect_download() as saving:
            page.get_by_label(f"Save the palette as .{ending}").click()
        assert saving.value.suggested_filename.endswith(f".{ending}")
        saved[ending] = saving.value.path().read_text().splitlines()
    assert [list(bytes.fromhex(line)) for line in saved["hex"]] == own
    head, rows = saved["gpl"][:4], saved["gpl"][4:]
    assert head == ["GIMP Palette", f"Name: {PROMPT}", "Columns: 8", "#"]
    assert [list(map(int, row.split("\t")[0].split())) for row in rows] == own
    page.get_by_role("button", name="Use these settings").click()
    expect(page.locator("#negative")).to_have_value("a red bird")
    expect(page.locator("#chip-slide-size")).to_have_value("3")
    page.press("#prompt", "Enter")
    expect(page.locator("#gallery a.shown")).to_have_count(2)
    assert stored(page)[0]["file"] == picture["file"]


def more(page: Page, name: str) -> None:
    """Take one of the buttons below "More of this creature"."""
    page.get_by_role("dialog").get_by_role("button", name=name, exact=True).click()


def test_a_creature_is_turned_round_and_moves(page: Page, site: Site):
    draw(page, count=1)
    page.locator("#results a.shown").click()
    more(page, "Turn round")
    expect(page.get_by_role("dialog")).to_contain_text("this creature, turned round")
    body = {"prompt": PROMPT, "seed": 7}
    (image,) = asked(site, **body, background="transparent")
    back, _ = stored(page)
    assert [back["file"]] == asked(
        site, "relative", **body, image=image, relation="back"
    )
    page.get_by_role("link", name="the picture it is kin to").click()
    expect(page.get_by_role("dialog").locator("img.large")).to_have_attribute(
        "alt", f"{PROMPT}, seed 7"
    )
    more(page, "Move")
    pause = page.get_by_role("button", name="Pause")
    moving = page.get_by_role("dialog").locator("img.large")
    expect(moving).to_have_attribute("alt", f"{PROMPT}, seed 7, moved")
    for kind in ("data:", "blob:"):
        expect(moving).to_have_attribute("src", re.compile(kind))
    pause.click()
    expect(page.get_by_role("button", name="Play")).to_be_visible()
    page.keyboard.press("Escape")
    check_link(page)
    page.fill("#search", "turned")
    expect(page.locator("#gallery .card:visible")).to_have_count(1)
    page.fill("#search", "")
    page.fill("#prompt", "a fish")
    drop(page, base64.b64decode(back["file"]))
    expect(page.locator("#near-text")).to_have_text("This creature, turned round")
    expect(page.locator("#prompt")).to_have_value(PROMPT)
    expect(page.locator(".by-hand")).to_have_count(0)
    page.press("#prompt", "Enter")
    expect(page.locator("#gallery .card")).to_have_count(4)
    assert stored(page)[0]["file"] == back["file"]
    page.get_by_role("button", name="Stop").click()
    expect(page.locator("#near")).to_be_hidden()


def test_a_creature_evolves_or_the_page_says_that_it_cannot(
    page: Page,
    site: Site,
    complaints: list[str],
    monkeypatch: pytest.MonkeyPatch,
):
    draw(page, count=1)
    page.locator("#results a.shown").click()
    more(page, "Evolve")
    expect(page.locator("#gallery .card")).to_have_count(5)
    made = [picture["recipe"] for picture in stored(page)[:4]]
    assert [recipe["seed"] for recipe in made] == [10, 9, 8, 7]
    assert {recipe["kin"]["relation"] for recipe in made} == {"evolution"}
    page.fill("#prompt", "a huge blue water turtle")  # of the same creature
    expect(page.locator("#near-text")).to_have_text("This creature, evolved")
    with page.expect_download() as saving:
        page.click("#save-zip")
    with zipfile.ZipFile(saving.value.path()) as archive:
        assert archive.namelist()[0].endswith("_10_evolution.png")
        kept = json.loads(archive.read("recipes.json"))[0]
        assert kept["kin"]["relation"] == "evolution"
    for i in (0, 1):
        page.locator("#gallery .mark").nth(i).check()
    expect(page.locator("#walk-between")).to_be_disabled()
    page.click("#select-none")
    texts = {"prompt": "a fox", "seed": "1", "relative": "aGk=", "relation": "side"}
    drop(page, png(texts))
    expect(page.locator("#prompt")).to_have_value("a fox")
    expect(page.locator("#near")).to_be_hidden()
    complaints.append("400")
    drop(page, png(texts | {"relation": "back"}))
    expect(page.locator("#near")).to_be_visible()
    page.press("#prompt", "Enter")
    said = page.locator("#status .status-text")
    expect(said).to_contain_text("image: not a picture")
    sampler = site.live.service.require_ready().sampler
    monkeypatch.setattr(sampler, "relations", frozenset(("front",)))
    page.locator("#gallery a.shown").last.click()
    section = page.locator(".relatives")
    expect(section).to_contain_text("hasn't learned to turn round, evolve, move.")
    names = section.locator(".row button").all_text_contents()
    assert names == ["Shiny", "Game pack"]


def test_shinies_scale2x_and_a_game_pack(page: Page, site: Site):
    draw(page, count=1)
    page.locator("#results a.shown").click()
    more(page, "Shiny")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("a shiny's")
    body = {"prompt": PROMPT, "seed": 7}
    shiny, plain = stored(page)
    assert [shiny["file"]] == asked(site, **body, shiny=True)
    files = [base64.b64decode(picture["file"]) for picture in (plain, shiny)]
    first, second = (Image.open(io.BytesIO(file)) for file in files)
    np.testing.assert_array_equal(np.asarray(first), np.asarray(second))
    assert first.getpalette() != second.getpalette()
    page.get_by_label("How the PNG is enlarged").select_option("Scale2x")
    with page.expect_download() as saving:
        page.get_by_role("button", name="Save PNG").click()
    assert saving.value.suggested_filename.endswith("_7_shiny.png")
    saved = base64.b64encode(saving.value.path().read_bytes()).decode()
    (large,) = asked(site, **body, shiny=True, scale=4, upscale="scale2x")
    np.testing.assert_array_equal(rgba(saved), rgba(large))
    site.live.gate.clear()
    with page.expect_download() as saving:
        more(page, "Game pack")
        expect(dialog.locator(".status-text")).to_have_text("Packing …")
        expect(dialog.locator("progress")).to_be_visible()
        site.live.gate.set()
    expect(dialog.locator(".announced")).to_have_text("The game pack is saved")
    pack = httpx.post(f"{site.url}api/v1/creature", json=body, timeout=60).content
    assert saving.value.path().read_bytes() == pack
    more(page, "Usual palette")  # which is in the gallery, and isn't drawn anew
    expect(dialog.get_by_role("button", name="Shiny")).to_be_visible()
    assert len(stored(page)) == 2
    page.keyboard.press("Escape")
    check_link(page)
    page.locator("#gallery a.shown").first.click()
    page.get_by_role("button", name="Use these settings").click()
    expect(page.locator("#shiny")).to_be_checked()
    page.press("#prompt", "Enter")
    expect(page.locator("#gallery .card")).to_have_count(3)
    assert stored(page)[0]["file"] == shiny["file"]


def test_a_matrix_of_prompts_seeds_and_values(page: Page):
    page.get_by_role("link", name="Matrix").click()
    page.fill("#matrix-prompts", "a fox\na snake")
    page.fill("#matrix-seeds", "2")
    page.select_option("#matrix-attribute", "primary_color")
    page.locator("#matrix .checks input").nth(2).uncheck()  # Yellow
    expect(page.get_by_text("8 pictures", exact=True)).to_be_visible()
    page.get_by_role("button", name="Draw the matrix").click()
    expect(page.locator(".matrix a.shown")).to_have_count(8)
    with page.expect_download():
        page.get_by_role("button", name="Save as a sheet").click()
    colors = [p["recipe"]["attributes"]["primary_color"] for p in stored(page)]
    assert sorted(colors) == ["Orange"] * 4 + ["Red"] * 4
    page.fill("#matrix-prompts", "a fox\n" * 100)
    expect(page.get_by_role("button", name="Draw the matrix")).to_be_disabled()


def test_a_training_run_is_shown(page: Page, site: Site):
    run = site.runs / "mine <b>"
    run.mkdir()
    log = run / "training_losses.jsonl"
    row = {"Train_Loss": 1.0, "Val_Loss": 2.0, "Active_Units": 3, "Images_per_s": 9}
    log.write_text("".join(f"{json.dumps({'Epoch': e, **row})}\n" for e in (1, 2)))
    for epoch in (1, 2):
        Image.new("RGB", (8, 8)).save(run / f"samples_epoch_{epoch}.png")
    Image.new("RGB", (8, 8)).save(run / "latent_kl.png")
    page.clock.install()
    page.get_by_role("link", name="Runs").click()
    page.get_by_role("link", name="mine <b>").click()
    expect(page.locator("svg.chart")).to_have_count(3)
    expect(page.get_by_alt_text("KL of each latent dimension")).to_be_visible()
    expect(page.locator("output").first).to_have_text("epoch 2")
    page.get_by_label("Epoch: Held-out").press("Home")
    expect(page.locator("output").first).to_have_text("epoch 1")
    with log.open("a") as file:  # training goes on
        file.write(json.dumps({"Epoch": 3, **row}) + "\n")
    page.clock.run_for(HALF_A_MINUTE)
    expect(page.locator("svg.chart").first).to_contain_text("epoch 3")
    expect(page.locator("output").first).to_have_text("epoch 1")
    page.go_back()
    expect(page.get_by_role("link", name="mine <b>")).to_be_visible()


def test_the_keyboard_is_enough(page: Page):
    page.keyboard.press("/")
    page.keyboard.type(PROMPT)
    page.keyboard.press("Enter")
    expect(page.locator("#gallery a.shown")).to_have_count(6)
    expect(page.locator(".status-text").first).to_have_text("6 pictures are drawn")
    page.locator("#results a.shown").first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    title = page.locator("dialog .facts code").first
    seed = title.inner_text()
    page.keyboard.press("ArrowRight")
    expect(title).not_to_have_text(seed)
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.locator("#results a.shown").first.focus()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()


def test_nothing_is_wider_than_a_small_phone(page: Page):
    page.set_viewport_size({"width": 320, "height": 640})
    page.emulate_media(reduced_motion="reduce")
    page.click("summary")
    draw(page, "a " + "very" * 60 + " red fox", count=2)
    running = "document.getAnimations().length"
    assert page.evaluate(running) == 0
    for address in ("#/", "#/edit", "#/walk", "#/matrix", "#/runs"):
        page.goto(page.url.partition("#")[0] + address)
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= 320, address
    page.goto(page.url.partition("#")[0] + "#/")
    page.locator("#results a.shown").first.click()
    page.get_by_role("button", name="Game pack").wait_for()
    assert page.locator("dialog").evaluate("(d) => d.scrollWidth <= d.clientWidth")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(page: Page, scheme: str):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
    draw(page, f"{PROMPT} with a quizzical look", count=1)
    page.locator("#gallery .mark").check()

    def check(what: str) -> None:
        found = axe.run(page).response["violations"]
        assert [(v["id"], v["nodes"][0]["html"]) for v in found] == [], what

    check("studio")
    page.locator("#gallery a.shown").click()
    page.get_by_role("button", name="Move").wait_for()
    check("picture")
    more(page, "Move")
    page.get_by_role("button", name="Play").wait_for()  # it stands still at first
    check("moving")
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    check("keys")
    page.keyboard.press("Escape")
    for address in ("edit", "walk", "matrix", "runs"):
        page.goto(page.url.partition("#")[0] + f"#/{address}")
        page.wait_for_selector(f"#{address} h1")
        check(address)
    page.click("#theme")
    assert page.evaluate("document.documentElement.dataset.theme") != scheme


def test_the_first_paint_is_light(context: BrowserContext, site: Site):
    page = context.new_page()
    sizes: dict[str, int] = {}
    page.on("response", lambda r: sizes.update({r.url: len(r.body())}))
    page.goto(site.url, wait_until="networkidle")
    assert all(url.startswith(site.url) for url in sizes)
    assert sum(sizes.values()) < 150_000
    assert page.evaluate(_SHIFTED) < 0.1  # what web.dev/cls calls good


def test_a_large_gallery_loads_what_is_near(page: Page):
    content = base64.b64encode(png({}, size=64)).decode()
    page.evaluate(
        """async (data) => {
          const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
          const open = indexedDB.open("pokejax", 1);
          await new Promise((done) => (open.onsuccess = done));
          const change = open.result.transaction("pictures", "readwrite");
          for (let i = 0; i < 500; i += 1) {
            change.objectStore("pictures").put({
              id: `many-${i}`, at: i, favourite: false, took: 1,
              file: new Blob([bytes]),
              recipe: { prompt: "a fox", seed: i, attributes: {}, guidance: 1,
                        temperature: 1, model: "" },
            });
          }
          await new Promise((done) => (change.oncomplete = done));
          open.result.close();
        }""",
        content,
    )
    page.reload()
    expect(page.locator("#gallery .card")).to_have_count(500)
    loaded = "document.querySelectorAll('#gallery img[src]').length"
    assert page.evaluate(loaded) < 250
    page.locator("#gallery .card").last.scroll_into_view_if_needed()
    expect(page.locator("#gallery img").last).to_have_attribute("src", re.compile("."))
