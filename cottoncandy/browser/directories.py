"""Nodes of directories, in which the names tell where arrays are; and `browse`, the way in."""

from __future__ import annotations

from typing import Any

from cottoncandy import keys
from cottoncandy.browser.groups import S3HDF5
from cottoncandy.browser.listing import Interface
from cottoncandy.browser.names import Extensions
from cottoncandy.browser.nodes import S3FSLike
from cottoncandy.errors import ObjectNotFound

__all__ = ["S3Directory", "browse"]

_USUAL = Extensions()


def browse(
    interface: Interface, name: str = "", extensions: Extensions = _USUAL, *, as_group: bool = False
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
    return kind(interface, name, extensions, as_group=as_group)


class S3Directory(S3FSLike):
    """A directory, or an object that is no array."""

    def _kind_of_child(self, name: str) -> type[S3FSLike]:
        if self._extensions.holds_arrays(keys.join(self._fullpath, name)):
            return S3HDF5
        return _CHILDREN.get(name, S3Directory)


class _Load(S3Directory):
    """The name ``load`` where no extension tells of arrays: an object or a directory, or how the array above is loaded.

    Only the store knows which, and it is asked when the node is called: so the name goes on to mean what is stored.
    """

    def __call__(self) -> Any:
        """The store's own object of this name; the array whose name is before this one, where there is no such object.

        Raises
        ------
        ObjectNotFound
            If there is neither.
        """
        found, (above, _, _) = super().__call__(), self._fullpath.rpartition(keys.SEPARATOR)
        backend = self._interface.backend_interface
        if not above or backend.exists(self._fullpath):
            return found
        try:
            return self._interface._load_raw(above)  # noqa: SLF001 - the error is told here
        except ObjectNotFound:
            raise ObjectNotFound(
                f"{backend.describe(above)} does not exist: there is no array to load. A directory of arrays is loaded "
                f"by cloud2dict({above!r})"
            ) from None


#: Names that are more than those of children.
_CHILDREN = {"load": _Load}
