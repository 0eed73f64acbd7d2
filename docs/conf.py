"""How Sphinx builds the documentation: ``sphinx-build -W --keep-going docs docs/_build/html``. No network is needed."""

from __future__ import annotations

import os

import cottoncandy

# Notebooks are run here: with nobody's own options, and without bars, which a busy machine would show.
os.environ |= {"COTTONCANDY_CONFIG_FILE": os.devnull, "COTTONCANDY_PROGRESS_SHOW": "False"}

project = "cottoncandy"
author = "the cottoncandy developers"
project_copyright = author
version = release = cottoncandy.__version__

extensions = ["myst_nb", "numpydoc", "sphinx.ext.autodoc", "sphinx_copybutton", "sphinx_design"]
exclude_patterns = ["_build", "*.ipynb"]  # notebooks of the site are text
# single backticks in docstrings name what they link to
default_role = "py:obj"

html_theme = "furo"
html_title = f"cottoncandy {release}"
html_copy_source = False
html_static_path = ["_static"]
html_css_files = ["site.css"]
pygments_style = "friendly"
pygments_dark_style = "monokai"

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

nb_execution_mode = "force"
nb_execution_in_temp = True
nb_execution_raise_on_error = True
nb_execution_show_tb = True
nb_execution_timeout = 120  # seconds a cell, on a busy machine

copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

autodoc_member_order = "bysource"
# docstrings name the types; signatures stay short
autodoc_typehints = "none"
autodoc_preserve_defaults = True
# the reference lists members itself, in an order that teaches
numpydoc_show_class_members = False
