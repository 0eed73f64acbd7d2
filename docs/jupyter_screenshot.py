"""Make ``docs/jupyter.png``: run ``docs/jupyter.ipynb`` in JupyterLab in a real browser, and take its picture.

Needs ``pip install jupyterlab ipywidgets pillow selenium`` and, of Debian, ``chromium chromium-driver``::

    python docs/jupyter_screenshot.py [PICTURE] [--dark]
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support import expected_conditions
from selenium.webdriver.support.ui import WebDriverWait

HERE = Path(__file__).resolve().parent
WIDTH, HEIGHT = 900, 1450
#: What a container and a closed network need.
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"),
    *(
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        f"--window-size={WIDTH},{HEIGHT}",
    ),
)


@contextmanager
def served(folder: Path, *, dark: bool) -> Iterator[str]:
    """JupyterLab in the folder; its address."""
    settings = folder / ".settings" / "@jupyterlab" / "apputils-extension"
    settings.mkdir(parents=True)
    theme = {"theme": "JupyterLab Dark" if dark else "JupyterLab Light"}
    (settings / "themes.jupyterlab-settings").write_text(json.dumps(theme))
    news = {"fetchNews": "false", "checkForUpdates": False}
    (settings / "notification.jupyterlab-settings").write_text(json.dumps(news))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    flags = ["--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}", "--expose-app-in-browser"]
    server = subprocess.Popen(  # noqa: S603 - Python itself
        [sys.executable, "-m", "jupyterlab", *flags, "--IdentityProvider.token=", f"--ServerApp.root_dir={folder}"],
        env={
            **os.environ,
            "JUPYTERLAB_SETTINGS_DIR": str(folder / ".settings"),
            "JUPYTER_DATA_DIR": str(folder / ".data"),
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        url = f"http://127.0.0.1:{port}"
        _wait(f"{url}/api", server)
        yield url
    finally:
        server.terminate()
        server.wait()


def _wait(url: str, server: subprocess.Popen[bytes]) -> None:
    for _ in range(300):
        if server.poll() is not None:
            sys.exit("JupyterLab did not start")
        try:
            urllib.request.urlopen(url, timeout=5).close()  # noqa: S310 - our own server
        except OSError:
            time.sleep(0.2)
        else:
            return
    sys.exit("JupyterLab did not answer")


def photograph(url: str, picture: Path) -> None:
    """Run the notebook in the page, and take a picture when its last output is there."""
    options = Options()
    options.binary_location = shutil.which("chromium") or sys.exit("there is no chromium")
    for flag in FLAGS:
        options.add_argument(flag)
    with webdriver.Chrome(options, Service(shutil.which("chromedriver"))) as browser:
        browser.get(url)
        wait = WebDriverWait(browser, 120)
        kernel = "window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel"
        wait.until(lambda _: browser.execute_script(f"return {kernel}?.connectionStatus == 'connected'"))
        browser.execute_script("window.jupyterapp.commands.execute('notebook:run-all-cells')")
        picture_shown = expected_conditions.visibility_of_element_located((By.CSS_SELECTOR, ".jp-RenderedImage img"))
        wait.until(picture_shown)
        browser.execute_script("document.querySelector('.jp-WindowedPanel-outer').scrollTop = 0")
        time.sleep(2)
        browser.save_screenshot(picture)


def main() -> None:
    """Make the picture."""
    names = [argument for argument in sys.argv[1:] if not argument.startswith("--")]
    target = Path(names[0]) if names else HERE / "jupyter.png"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copy(HERE / "jupyter.ipynb", folder)
        with served(folder, dark="--dark" in sys.argv) as url:
            photograph(f"{url}/doc/tree/jupyter.ipynb", folder / "picture.png")
        # 128 colours: a quarter of the bytes, and nobody sees it
        picture = Image.open(folder / "picture.png").convert("RGB")
        picture.quantize(128, dither=Image.Dither.NONE).save(target, optimize=True)


if __name__ == "__main__":
    main()
