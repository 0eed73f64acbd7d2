"""browse: a store in the terminal, with arrow keys."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from cottoncandy.cli.options import command, names_argument
from cottoncandy.cli.places import Access, open_store, place
from cottoncandy.cli.streams import is_terminal
from cottoncandy.extras import with_extra


@command()
@names_argument("name", default="")
@click.option("--screenshot", type=click.Path(path_type=Path), help="Write what is shown at first to an SVG, and end.")
def browse(name: str, *, screenshot: Path | None, access: Access) -> None:
    """Browse a store with arrow keys, look at arrays and files. Needs pip install 'cottoncandy[browse]'.

    Enter opens a directory, or tells all of an object; p previews an array or a file; r lists a directory anew; q ends.
    A directory costs one request when it is opened, and so does an object. It is for a terminal: without one, there are
    tree and ls -l, and --screenshot.
    """
    if screenshot is None and "TEXTUAL_DRIVER" not in os.environ:  # as textual-serve sets it, for web pages
        _require_terminal()
    module = with_extra("cottoncandy.cli.browserapp", "browse")
    where = place(name, access)
    app = module.StoreBrowser(open_store(where, access), where)
    if screenshot is not None:
        app.screenshot_to = screenshot
    app.run(headless=screenshot is not None, size=(100, 28) if screenshot else None)


def _require_terminal() -> None:
    """Refuse to begin where nobody can press a key: textual would ask for the next one without end.

    It reads and writes what the process was started with, whatever stands in for that meanwhile.
    """
    written = sys.__stdout__ if sys.platform == "win32" else sys.__stderr__
    if not (is_terminal(sys.__stdin__) and is_terminal(written)):
        raise click.UsageError(
            "browse is for a terminal, and the input or what it draws on is none: tree and ls -l need none, "
            "--screenshot FILE writes a picture"
        )
