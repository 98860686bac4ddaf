"""Film the page in Chromium: the animated picture of the README.

    python bench/film.py [docs/pictures/see-it-learn.webp]

Plays the training, goes to the backward pass at epoch 57, explains two gradients, and drags a weight. Needs
`pip install '.[browser,plot]'` and Chromium.
"""

import io
import pathlib
import shutil
import sys

from PIL import Image
from playwright.sync_api import Page, sync_playwright

ROOT = pathlib.Path(__file__).parent.parent
SIZE = (1120, 800)
OPTIONS = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]


def main() -> None:
    path = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "docs/pictures/see-it-learn.webp")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    with sync_playwright() as tools:
        browser = tools.chromium.launch(executable_path=chromium, args=OPTIONS)
        page = browser.new_page(viewport={"width": SIZE[0], "height": SIZE[1]}, reduced_motion="reduce")
        page.goto((ROOT / "docs" / "see-it-learn.html").as_uri())
        page.wait_for_selector("#agreement:has-text('jax.grad')")
        pictures, times = zip(*shoot(page), strict=True)
        browser.close()
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=times, loop=0, quality=55, method=6)
    print(f"{path}: {len(pictures)} pictures, {path.stat().st_size / 1e3:.0f} kB")


def shoot(page: Page):
    """Yield each picture with the milliseconds for which it is shown."""

    def picture() -> Image.Image:
        page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        shot = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
        return shot.resize((SIZE[0] * 3 // 4, SIZE[1] * 3 // 4), Image.Resampling.LANCZOS)

    page.get_by_label("Row", exact=True).first.fill("17")
    for epoch in (0, 1, 2, 3, 4, 5, 6, 8, 10, 13, 16, 20, 25, 31, 38, 46, 57):
        page.get_by_label("Epoch", exact=True).fill(str(epoch))
        yield picture(), 1200 if epoch in (0, 57) else 180
    page.get_by_text("← Backward").click()
    yield picture(), 1800
    page.locator("#network").get_by_label("hidden unit 7:").click()
    yield picture(), 2500
    page.get_by_label("Name of the number").select_option("grad_w1")
    page.get_by_label("Input", exact=True).fill("2")
    yield picture(), 3000
    page.get_by_text("Forward →").click()
    page.locator("#nudge-panel").scroll_into_view_if_needed()
    for change in (0, 0.15, 0.3, 0.45, 0.6, 0.75, 0.6, 0.45, 0.3, 0.15):
        page.evaluate("(change) => update({ nudge: get(current().values.w1, 2, 7) + change })", change)
        yield picture(), 1000 if change == 0 else 250


if __name__ == "__main__":
    main()
