"""Browse a bucket by attributes: tab completion and reprs over an interface.

Displaying a node costs at most one request where its parent was listed before; looking for attributes that begin with
an underscore (as notebooks do), ``hasattr`` and copies cost none.
"""

from __future__ import annotations

from cottoncandy.browser.directories import S3Directory, browse
from cottoncandy.browser.groups import S3HDF5
from cottoncandy.browser.names import Extensions as Extensions
from cottoncandy.browser.nodes import BrowserObject, S3FSLike

__all__ = ["S3HDF5", "BrowserObject", "S3Directory", "S3FSLike", "browse"]
