"""How Sphinx builds the documentation: ``sphinx-build -W --keep-going docs docs/_build/html``. No network is needed."""

from __future__ import annotations

import cottoncandy

project = "cottoncandy"
author = "the cottoncandy developers"
project_copyright = author
version = release = cottoncandy.__version__

extensions = ["myst_parser", "numpydoc", "sphinx.ext.autodoc"]
exclude_patterns = ["_build"]
# single backticks in docstrings name what they link to
default_role = "py:obj"

html_theme = "furo"
html_title = f"cottoncandy {release}"
html_copy_source = False
pygments_style = "friendly"
pygments_dark_style = "monokai"

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
# docstrings name the types; signatures stay short
autodoc_typehints = "none"
autodoc_preserve_defaults = True
# the reference lists members itself, in an order that teaches
numpydoc_show_class_members = False
