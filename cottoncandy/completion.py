"""Object names completed inside of strings, in IPython and Jupyter: ``%load_ext cottoncandy``.

``cci.download_raw_array('sub01/<tab>`` asks the store for the names that begin so: one request for each tab.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from itertools import islice
from typing import Any

from cottoncandy import keys
from cottoncandy.browser import S3FSLike
from cottoncandy.impatience import soon
from cottoncandy.interfaces import InterfaceObject
from cottoncandy.trees import shown_names

__all__ = ["add_to", "remove_from"]

# Names that one request brings.
_PAGE = 1000
# The call of an interface's method that a string is typed in, `cci.cp('a', 'b`, or what is in brackets, `node['a`.
# Other strings and names may stand before it; what is being typed has no quote.
_CALL = re.compile(r"""(?P<of>[^\W\d]\w*(?:\.\w+)*)\.\w+\((?:[^()"']|"[^"]*"|'[^']*')*["'](?P<typed>[^"']*)$""")
_ITEM = re.compile(r"""(?P<of>[^\W\d]\w*(?:\.\w+)*)\[["'](?P<typed>[^"']*)$""")


def add_to(shell: Any) -> None:
    """Complete object names in the strings that are typed into this shell, and nodes of a browser behind their dots."""
    from IPython.core.completer import context_matcher

    names = _Names(shell)
    remove_from(shell)
    matcher = context_matcher(identifier=_IDENTIFIER, priority=100)(lambda context: names.match(context))  # noqa: PLW0108 - a method takes no attributes
    shell.Completer.custom_matchers.append(matcher)
    _trusted().update(_nodes(S3FSLike))


def remove_from(shell: Any) -> None:
    """Complete them no longer."""
    matchers = shell.Completer.custom_matchers
    matchers[:] = [one for one in matchers if getattr(one, "matcher_identifier", "") != _IDENTIFIER]
    _trusted().difference_update(_nodes(S3FSLike))


def _trusted() -> set[Any]:
    """The classes whose own ``__getattr__`` IPython runs where jedi is off: none of others, as it may do anything.

    Those of IPython itself, by their modules and names, which it looks up by each tab; releases before 8.8 have no such
    list.
    """
    try:
        policies = importlib.import_module("IPython.core.guarded_eval").EVALUATION_POLICIES
    except (ImportError, AttributeError):
        return set()
    trusted = getattr(policies.get("limited"), "allowed_getattr_external", None)
    return trusted if isinstance(trusted, set) else set()


def _nodes(kind: type[Any]) -> Iterator[tuple[str, ...]]:
    """A class of a browser's nodes and all that derive from it, as IPython names them."""
    yield (kind.__module__, *kind.__qualname__.split("."))
    for below in kind.__subclasses__():
        yield from _nodes(below)


_IDENTIFIER = "cottoncandy.names"


class _Names:
    """The names for what is typed into one shell."""

    def __init__(self, shell: Any) -> None:
        self._shell = shell

    def match(self, context: Any) -> dict[str, Any]:
        """What IPython asks a matcher for, of the line up to the cursor."""
        from IPython.core.completer import SimpleCompletion

        line = context.text_until_cursor
        found = _CALL.search(line) or _ITEM.search(line)
        place = self._place(found["of"]) if found else None
        if found is None or place is None:
            return {"completions": []}
        names = [SimpleCompletion(name, type="object") for name in self._names(*place, found["typed"])]
        return {"completions": names, "matched_fragment": found["typed"], "suppress": bool(names), "ordered": True}

    def _place(self, expression: str) -> tuple[Any, str] | None:
        """The interface, and the directory in it, that an expression stands for; attributes are looked up, no more."""
        name, *attributes = expression.split(".")
        thing = self._shell.user_ns.get(name)
        for attribute in attributes:
            # of other things attributes may do whatever they like
            thing = getattr(thing, attribute, None) if isinstance(thing, (S3FSLike, InterfaceObject)) else None
        if isinstance(thing, S3FSLike):
            return thing._interface, keys.as_directory(thing._fullpath)  # noqa: SLF001 - a node's name is no attribute
        return (thing, "") if isinstance(thing, InterfaceObject) else None

    def _names(self, interface: Any, directory: str, typed: str) -> Iterator[str]:
        prefix = directory + typed.lstrip(keys.SEPARATOR)
        for name in soon(lambda: _beginning_so(interface, prefix)) or ():
            if name.isprintable() and not set(name) & {'"', "'", "\\"}:  # others cannot be typed as they are
                yield name.removeprefix(directory)


def _beginning_so(interface: Any, prefix: str) -> list[str]:
    listed = interface.backend_interface.level_names(prefix, page_size=_PAGE)
    return list(shown_names(islice(listed, _PAGE), prefix))
