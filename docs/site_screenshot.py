"""Make ``docs/site.png``: pages of the built site on a desk and on a phone, in light and dark, taken with Chromium.

Build the site first. Needs ``pip install pillow selenium`` and, of Debian, ``chromium chromium-driver``::

    sphinx-build docs docs/_build/html
    python docs/site_screenshot.py [--site docs/_build/html] [--pictures FOLDER] [PAGE ...]

With ``--pictures`` each page is also kept as a picture of its own, to be looked at. What is too wide is told.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service

HERE = Path(__file__).resolve().parent
#: Width and height in CSS pixels.
SCREENS = {"desk": (1280, 900), "phone": (390, 900)}
#: What a container and a closed network need.
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
#: Elements that stick out of the screen, and are in no frame that scrolls.
TOO_WIDE = """
const width = document.documentElement.clientWidth;
const scrolls = e => /auto|scroll/.test(getComputedStyle(e).overflowX);
const frame = e => e.tagName != "ARTICLE" && (scrolls(e) || frame(e.parentElement));
return [...document.querySelectorAll("article *")]
    .filter(e => e.getBoundingClientRect().right > width + 1 && !frame(e))
    .map(e => e.tagName + ": " + e.textContent.trim().slice(0, 60));
"""


@contextmanager
def chromium(screen: str, *, dark: bool) -> Iterator[webdriver.Chrome]:
    """A browser with a screen of this size."""
    width, height = SCREENS[screen]
    options = Options()
    options.binary_location = shutil.which("chromium") or sys.exit("there is no chromium")
    for flag in FLAGS:
        options.add_argument(flag)
    metrics = {"deviceMetrics": {"width": width, "height": height, "pixelRatio": 1, "mobile": screen == "phone"}}
    options.add_experimental_option("mobileEmulation", metrics)
    with webdriver.Chrome(options, Service(shutil.which("chromedriver"))) as browser:
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        yield browser


def photograph(site: Path, pages: list[str], folder: Path) -> list[str]:
    """Take pictures of all pages on all screens; gives what is too wide for its screen."""
    wide = []
    for screen in SCREENS:
        for dark in (False, True):
            with chromium(screen, dark=dark) as browser:
                for page in pages:
                    browser.get((site / f"{page}.html").as_uri())
                    name = f"{screen}-{'dark' if dark else 'light'}-{page.replace('/', '-')}.png"
                    browser.save_screenshot(folder / name)
                    wide += [f"{screen} {page}: {what}" for what in browser.execute_script(TOO_WIDE)]
    return sorted(set(wide))


def side_by_side(folder: Path, target: Path) -> None:
    """The landing page on a desk in light, and on a phone in dark."""
    pictures = [Image.open(folder / f"{name}-index.png").convert("RGB") for name in ("desk-light", "phone-dark")]
    gap = 20
    whole = Image.new("RGB", (sum(p.width for p in pictures) + gap, max(p.height for p in pictures)), "white")
    left = 0
    for picture in pictures:
        whole.paste(picture, (left, 0))
        left += picture.width + gap
    # 64 colours: a fifth of the bytes, and nobody sees it
    whole.quantize(64, dither=Image.Dither.NONE).save(target, optimize=True)


def main() -> None:
    """Take the pictures; ends with 1 where something is too wide for its screen."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pages", nargs="*", default=["index"], help="such as index howto/ceph (default: index)")
    parser.add_argument("--site", type=Path, default=HERE / "_build" / "html")
    parser.add_argument("--pictures", type=Path, help="keep the picture of each page here")
    parser.add_argument("--target", type=Path, default=HERE / "site.png")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.pictures or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        wide = photograph(arguments.site.resolve(), list(dict.fromkeys(["index", *arguments.pages])), folder)
        side_by_side(folder, arguments.target)
    sys.exit("\n".join(wide) or None)


if __name__ == "__main__":
    main()
