"""Whether somebody looks on, and the bars that are drawn for them."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, Protocol

__all__ = ["Bar", "MakeBar", "is_interactive", "readable_size", "short_name", "tqdm_bars"]

# Characters of a name beside a bar.
_NAME = 32


class Bar(Protocol):
    """What draws: tqdm's bars are such."""

    def update(self, n: float) -> Any:
        """Go on by so many; back, if it is negative."""

    def close(self) -> None:
        """Nothing more comes."""


#: ``make(total=..., desc=..., unit=..., unit_scale=..., unit_divisor=...)``: tqdm's own arguments.
MakeBar = Callable[..., Bar]


def is_interactive() -> bool:
    """Whether somebody looks on: in a notebook, or at a prompt on a terminal; and this is the main thread."""
    # what is false in scripts comes first: short listings ask, too
    if not (_in_notebook() or (hasattr(sys, "ps1") and sys.stderr is not None and sys.stderr.isatty())):
        return False
    return threading.current_thread() is threading.main_thread() and not _is_child()


def _is_child() -> bool:
    """Whether this is a worker of multiprocessing, which has the prompt's memory but no prompt."""
    process = sys.modules.get("multiprocessing.process")
    return process is not None and process.parent_process() is not None


def _in_notebook() -> bool:
    module = sys.modules.get("IPython")
    shell = module.get_ipython() if module is not None else None
    return shell is not None and "IPKernelApp" in getattr(shell, "config", ())


def tqdm_bars() -> MakeBar:
    """The bar of tqdm for where we are, as `tqdm.auto` chooses it; no warning where widgets are not installed."""
    if _in_notebook() and find_spec("ipywidgets") is not None:
        from tqdm.notebook import tqdm_notebook

        return tqdm_notebook  # type: ignore[no-any-return] # tqdm has no hints
    from tqdm.std import tqdm

    return tqdm  # type: ignore[no-any-return]


def short_name(name: str) -> str:
    """A name as it may stand in one line of a terminal: what it means to a terminal is taken out."""
    plain = "".join(character if character.isprintable() else "?" for character in name)
    return plain if len(plain) <= _NAME else f"...{plain[3 - _NAME :]}"


def readable_size(nbytes: float) -> str:
    """Bytes as a bar tells of them, in three digits: ``'200 MB'``."""
    for unit in ("B", "kB", "MB", "GB"):
        if nbytes < 1000:
            return f"{nbytes:.3g} {unit}"
        nbytes /= 1024
    return f"{nbytes:.3g} TB"
