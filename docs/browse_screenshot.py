"""Make the picture of the terminal browser: ``python docs/browse_screenshot.py`` writes ``docs/browse.svg``."""

from __future__ import annotations

import asyncio
import os
import re
import tempfile
from pathlib import Path

import numpy as np

import cottoncandy as cc
from cottoncandy.cli.browserapp import StoreBrowser
from cottoncandy.cli.places import Place

PICTURE = Path(__file__).parent / "browse.svg"
# Loads a font from elsewhere; any fixed one does.
_FONT = re.compile(r"@font-face\s*{.*?}\s*", re.DOTALL)


def fill(directory: str) -> cc.interfaces.DefaultInterface:
    """A store as a small study has it."""
    cci = cc.get_interface(directory, backend="local", verbose=False)
    noise = np.random.default_rng(0)
    for subject in ("sub01", "sub02"):
        bold = 800 + 90 * noise.standard_normal((40, 64, 64)).astype("float32")
        cci.upload_raw_array(f"{subject}/bold", bold, compression="Zstd-blocks", TR="2.0")
        cci.dict2cloud(f"{subject}/results.grp", {"mean": bold.mean(0), "mask": bold[0] > 0}, verbose=False)
    cci.upload_json("dataset_description.json", {"Name": "A study"})
    return cci


async def picture(directory: str) -> str:
    """What is shown when a directory was opened, and an array in it previewed."""
    app = StoreBrowser(fill(directory), Place("local", directory, ""))
    async with app.run_test(size=(110, 30)) as pilot:
        for key in ("", "down", "down", "enter", "down", "p"):
            await pilot.press(*filter(None, [key]))
            await app.workers.wait_for_complete()
            await pilot.pause(0.5)
        return app.export_screenshot(title="cottoncandy browse local://study")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        PICTURE.write_text(_FONT.sub("", asyncio.run(picture("study"))), encoding="utf-8")
