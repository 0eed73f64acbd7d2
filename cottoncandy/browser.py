"""Browse a bucket by attributes: tab completion and reprs over an interface.

Displaying a node costs at most one request where its parent was listed before; looking for attributes that begin with
an underscore (as notebooks do), ``hasattr`` and copies cost none.
"""

from __future__ import annotations

import contextlib
import keyword
import re
import unicodedata
from dataclasses import dataclass
from typing import Any, Protocol

from cottoncandy import arrayformat, keys
from cottoncandy.backends.base import Backend, ObjectHead, ObjectInfo
from cottoncandy.errors import ObjectNotFound

__all__ = ["S3HDF5", "BrowserObject", "S3Directory", "S3FSLike", "browse"]

# Names with such an extension hold arrays, as an HDF5 file does.
_HDF_EXTENSIONS = frozenset({"grp", "arr", "hdf", "h5", "hf5", "hdf5", "he5"})
_NO_IDENTIFIER = re.compile(r"\W")


class Interface(Protocol):
    """What a browser needs of an interface."""

    @property
    def bucket_name(self) -> str | None: ...
    @property
    def backend_interface(self) -> Backend: ...
    def get_object(self, object_name: str) -> Any: ...
    def lsdir(self, path: str = "/") -> list[str]: ...
    def glob(self, pattern: str) -> list[str]: ...
    def download_raw_array(self, object_name: str) -> Any: ...
    def cloud2dict(self, object_root: str, verbose: bool = True, keys: Any = None) -> dict[str, Any]: ...


# ---------------------------------------------------------------------- names
def identifier(name: str) -> str:
    """The attribute for an object's name: ``sub01.grp`` → ``sub01_DOT_grp``, ``01sub`` → ``NUM_01sub``, ``-`` → ``_``.

    Examples
    --------
    >>> identifier('01-sub.grp')
    'NUM_01_sub_DOT_grp'
    """
    # Python itself brings attributes into this form when it reads them
    text = unicodedata.normalize("NFKC", name)
    text = _NO_IDENTIFIER.sub("_", text.replace(".", "_DOT_"))
    if not text.isidentifier():
        text = f"NUM_{text}"
    if text.startswith("_"):
        text = f"US{text}"
    return f"{text}_" if keyword.iskeyword(text) else text


def guess_name(attribute: str) -> str:
    """The name that an attribute stands for, as far as that can be told without a listing."""
    return attribute.removeprefix("NUM_").replace("_DOT_", ".")


def identifiers(names: list[str], taken: frozenset[str] = frozenset()) -> dict[str, str]:
    """The names by their attributes. Where two names make the same attribute, each gets one of its own.

    A name that is an identifier keeps it; the others get a number in the order of their names.

    Examples
    --------
    >>> identifiers(['a-b', 'a_b'])
    {'a_b': 'a_b', 'a_b__2': 'a-b'}
    """
    result: dict[str, str] = {}
    for name in sorted(names, key=lambda name: (identifier(name) != name, name)):
        attribute, number = identifier(name), 1
        while attribute in result or attribute in taken:
            number += 1
            attribute = f"{identifier(name)}__{number}"
        result[attribute] = name
    return result


@dataclass(frozen=True, slots=True)
class Extensions:
    """The configured extensions: of a group of arrays, and of an array."""

    group: str = "grp"
    dataset: str = "arr"

    def holds_arrays(self, name: str) -> bool:
        """Whether a component of the name has an extension under which arrays are kept."""
        known = _HDF_EXTENSIONS | {self.group, self.dataset}
        return any(_extension(part) in known for part in name.split(keys.SEPARATOR))

    def is_group(self, name: str) -> bool:
        """Whether the name is that of a group."""
        return _extension(keys.basename(name)) == self.group


def _extension(component: str) -> str:
    return component.rpartition(".")[2].lower() if "." in component else ""


# ---------------------------------------------------------------------- nodes
def browse(
    interface: Interface, name: str = "", extensions: Extensions = Extensions(), *, as_group: bool = False
) -> S3FSLike:
    """The node of an object name; of the bucket's root by default.

    Parameters
    ----------
    interface : DefaultInterface
    name : str
    extensions : Extensions
    as_group : bool
        Take it for a group of arrays, whatever its name.
    """
    name = keys.clean(name).rstrip(keys.SEPARATOR)
    kind = S3HDF5 if as_group or extensions.holds_arrays(name) else S3Directory
    return kind(interface, name, extensions, is_leaf=False if as_group else None)


class BrowserObject:
    """The root of all nodes of a browser."""


@dataclass(frozen=True, slots=True)
class _Origin:
    """Where a node comes from: its parent, its name there, and the attribute that the name was guessed from."""

    parent: S3FSLike
    name: str
    attribute: str | None

    def looked_up(self) -> _Origin:
        """The name as the parent's listing has it; the guess where it is not in there."""
        self.parent._list()  # noqa: SLF001
        name = self.parent._names().get(self.attribute or "", self.name)  # noqa: SLF001
        return _Origin(self.parent, name, None)


class S3FSLike(BrowserObject):
    """A name in the bucket whose children are its attributes.

    ``node.sub01_DOT_grp`` and ``node['sub01.grp']`` are the same; press tab to see what there is. A name typed in
    full works though the listing did not show it.
    """

    def __init__(
        self, interface: Interface, fullpath: str, extensions: Extensions, is_leaf: bool | None = None
    ) -> None:
        self._interface = interface
        self._fullpath = fullpath
        self._extensions = extensions
        self._is_leaf = is_leaf
        self._children: dict[str, bool] | None = None
        self._nodes: dict[str, S3FSLike] = {}
        self._origin: _Origin | None = None

    # -------------------------------------------------------------- listing
    def _list(self) -> dict[str, bool]:
        """The children's names, and whether each is an object; one listing, kept for what comes next."""
        self._children = self._list_here()
        if not self._children and self._resolve():
            self._children = self._list_here()
        return self._children

    def _list_here(self) -> dict[str, bool]:
        prefix = keys.as_directory(self._fullpath)
        listed = self._interface.backend_interface.list_level(prefix)
        found = {
            entry.key.removeprefix(prefix).rstrip(keys.SEPARATOR): isinstance(entry, ObjectInfo) for entry in listed
        }
        found.pop("", None)  # a marker of the directory itself
        return found

    def _names(self) -> dict[str, str]:
        """The children's names by their attributes."""
        return identifiers(list(self._children or ()), frozenset(dir(type(self))))

    def _ls(self) -> list[str]:
        """List the full names of the children."""
        children = self._list()  # finds the full name of this node, too
        return [keys.join(self._fullpath, name) for name in children]

    def _glob(self, pattern: str = "") -> list[str]:
        """List the full names of all objects below this one, or of those that match a pattern below it."""
        self._resolve()
        return self._interface.glob(keys.as_directory(self._fullpath) + pattern)

    # -------------------------------------------------------------- children
    def __dir__(self) -> list[str]:
        self._list()
        return [*super().__dir__(), *self._names()]

    def _ipython_key_completions_(self) -> list[str]:
        return list(self._list())

    def __getattr__(self, attribute: str) -> S3FSLike:
        # notebooks, copy and pickle probe names like these: no request, and no endless recursion
        if attribute.startswith("_"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {attribute!r}")
        name = self._names().get(attribute)
        return self._child(guess_name(attribute), attribute) if name is None else self._child(name)

    def __getitem__(self, name: str) -> S3FSLike:
        """The child of exactly this name; ``'a/b'`` goes down two levels."""
        return self._child(keys.clean_object(name).rstrip(keys.SEPARATOR))

    def _child(self, name: str, attribute: str | None = None) -> S3FSLike:
        """The node of a child; the same one each time, so that it keeps what it has listed."""
        place = name if attribute is None else f"/{attribute}"  # no name begins with /
        if place not in self._nodes:
            self._nodes[place] = self._new_child(name)
            self._nodes[place]._origin = _Origin(self, name, attribute)  # noqa: SLF001 - a node of the same family
        node = self._nodes[place]
        node._is_leaf = (self._children or {}).get(name, node._is_leaf)  # noqa: SLF001
        return node

    def _new_child(self, name: str) -> S3FSLike:
        path = keys.join(self._fullpath, name)
        holds_arrays = isinstance(self, S3HDF5) or self._extensions.holds_arrays(path)
        return (S3HDF5 if holds_arrays else S3Directory)(self._interface, path, self._extensions)

    def _resolve(self) -> bool:
        """Find the names that were meant by attributes which may stand for several; whether that changes the path."""
        origin, before = self._origin, self._fullpath
        if origin is not None:
            origin.parent._resolve()  # noqa: SLF001 - a node of the same family
            if origin.attribute is not None and "_" in origin.name:
                origin = self._origin = origin.looked_up()
                self._is_leaf = (origin.parent._children or {}).get(origin.name)  # noqa: SLF001
            self._fullpath = keys.join(origin.parent._fullpath, origin.name)  # noqa: SLF001
        return self._fullpath != before

    # -------------------------------------------------------------- the object
    def __call__(self) -> Any:
        """The store's own object of this name: on S3 boto3's ``Object``."""
        self._resolve()
        return self._interface.get_object(self._fullpath)

    def __repr__(self) -> str:
        self._resolve()
        return f"cottoncandy-path <bucket:{self._interface.bucket_name}> {self._fullpath}"


class S3Directory(S3FSLike):
    """A directory, or an object that is no array."""


class S3HDF5(S3FSLike):
    """A group of arrays, or an array (a dataset), as in an HDF5 file."""

    def _look(self) -> ObjectHead | dict[str, bool]:
        """The head of an array, or the children of a group: one request where the kind is known or the name tells."""
        if self._is_leaf is False or (self._is_leaf is None and self._extensions.is_group(self._fullpath)):
            children = self._list()
            if children:
                return children
        head = self._head()
        if head is None and self._resolve():
            head = self._head()
        self._is_leaf = head is not None
        return self._list() if head is None else head

    def _head(self) -> ObjectHead | None:
        try:
            return self._interface.backend_interface.stat(self._fullpath)
        except ObjectNotFound:
            return None

    def keys(self) -> list[str]:
        """The names of the arrays and groups in a group; none for an array."""
        return [] if self._is_leaf else list(self._list())

    def load(self, key: str | None = None) -> Any:
        """Download the array, or the whole group as a dictionary.

        Parameters
        ----------
        key : str, optional
            Load this array (or group) of the group only.

        Returns
        -------
        numpy.ndarray or dict

        Raises
        ------
        ObjectNotFound
        """
        if key is not None:
            return self[key].load()
        found = self._load()
        if found is None and self._resolve():
            found = self._load()
        if found is None:
            raise ObjectNotFound(f"{self._interface.backend_interface.describe(self._fullpath)} does not exist")
        return found

    def _load(self) -> Any:
        if self._is_leaf is not False:
            with contextlib.suppress(ObjectNotFound):
                return self._interface.download_raw_array(self._fullpath)
        return self._interface.cloud2dict(self._fullpath, verbose=False) or None

    def __repr__(self) -> str:
        found = self._look()
        bucket = f"bucket:{self._interface.bucket_name}"
        if isinstance(found, dict):
            return f"<cottoncandy-group <{bucket}> ({self._fullpath}: {len(found)} keys)>"
        shape = arrayformat.lowered(found.metadata).get("shape", "")
        return f"<cottoncandy-dataset <{bucket} [{found.size / 2**20:.2f}MB:shape=({shape})]>"
