"""browse: a store in the terminal, with arrow keys."""

from __future__ import annotations

from pathlib import Path

import click

from cottoncandy.cli.options import command, names_argument
from cottoncandy.cli.places import Access, open_store, place
from cottoncandy.extras import with_extra


@command()
@names_argument("name", default="")
@click.option("--screenshot", type=click.Path(path_type=Path), help="Write what is shown at first to an SVG, and end.")
def browse(name: str, *, screenshot: Path | None, access: Access) -> None:
    """Browse a store with arrow keys, look at arrays and files. Needs pip install 'cottoncandy[browse]'.

    Enter opens a directory, or tells all of an object; p previews an array or a file; r lists a directory anew; q ends.
    A directory costs one request when it is opened, and so does an object.
    """
    module = with_extra("cottoncandy.cli.browserapp", "browse")
    where = place(name, access)
    app = module.StoreBrowser(open_store(where, access), where)
    if screenshot is not None:
        app.screenshot_to = screenshot
    app.run(headless=screenshot is not None, size=(100, 28) if screenshot else None)
