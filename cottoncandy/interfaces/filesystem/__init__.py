"""The store as if it were a file system."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cottoncandy import keys
from cottoncandy.interfaces.filesystem.directories import Directories
from cottoncandy.interfaces.filesystem.looking import Looking
from cottoncandy.interfaces.filesystem.moving import Moving
from cottoncandy.interfaces.filesystem.syncing import Synchronizing

if TYPE_CHECKING:
    from cottoncandy.browser import BrowserObject

__all__ = ["FileSystemInterface"]


class FileSystemInterface(Looking, Moving, Directories, Synchronizing):
    """The names of a store as directories: ``ls``, ``glob``, ``cp``, ``mv``, ``rm``.

    The parameters are those of `BasicInterface`.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)

    def get_object_owner(self, object_name: str) -> str:
        """Print, and give, the name of an object's owner.

        Parameters
        ----------
        object_name : str

        Returns
        -------
        str

        Raises
        ------
        ObjectNotFound
        NotSupported
            If the store does not tell.
        """
        owner = self.backend_interface.owner(keys.clean_object(object_name))
        print(owner)  # noqa: T201 - documented to print
        return owner

    def get_browser(self) -> BrowserObject:
        """Give an object whose attributes, completed with tab, are the names in the bucket.

        See Also
        --------
        cottoncandy.get_browser
        """
        return self._browse()
