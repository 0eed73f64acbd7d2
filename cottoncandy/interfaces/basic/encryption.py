"""Keys of what is encrypted on this side."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cottoncandy import keys
from cottoncandy.errors import CorruptObject, CottonCandyError, ObjectChanged, ObjectNotFound, WrongKey
from cottoncandy.interfaces.basic.core import InterfaceCore

# What is wrong with one object and tells nothing of the others. Of what is wrong with the store, the first is enough.
_OF_ONE_OBJECT = (WrongKey, CorruptObject, ObjectChanged)
# How many of those that are left an error tells of.
_SHOWN = 3


class Encryption(InterfaceCore):
    """What there is to do with encryption keys, once an interface has one."""

    def rotate_encryption_key(self, prefix: str = "", threads: int | None = None) -> int:
        """Close encrypted objects with the current key, which older ones opened until now.

        Each object has a key of its own, and only that is wrapped anew: the bytes stay where they are. An object
        changes in one step, so the call may be broken off and made again. When it has returned, nothing below that name
        needs the older keys any more; but somebody who had one of them may have kept what it opened.

        An object that cannot be given the current key keeps none of the others from it: they are gone through to the
        end, and then an error names those that are left.

        Nobody should write below that name meanwhile. On S3, an object's own ACL gives way to the configured one, as
        in a copy.

        Parameters
        ----------
        prefix : str
            A name: the object of that name, and those below it; all of the bucket by default.
        threads : int, optional
            Connections; by default as many as are of use.

        Returns
        -------
        int
            How many objects needed it. Those that are plain, or have the current key, are left as they are.

        Raises
        ------
        NotSupported
            If the interface has no encryption key.
        WrongKey, DecryptionError, ObjectChanged
            If there are objects that none of the keys opens, or that are damaged, or were replaced meanwhile; all
            others have the current key then.

        Examples
        --------
        >>> old, new = cc.generate_encryption_key(), cc.generate_encryption_key()
        >>> before = cc.get_interface('my_store', backend='local', verbose=False, encryption_key=old)
        >>> response = before.upload_object('diary.txt', b'slept well')
        >>> keys = cc.EncryptionKeys(new, old)
        >>> cc.get_interface('my_store', backend='local', verbose=False, encryption_key=keys).rotate_encryption_key()
        1
        >>> after = cc.get_interface('my_store', backend='local', verbose=False, encryption_key=new)
        >>> after.download_object('diary.txt')
        b'slept well'
        """
        below, backend = keys.as_directory(prefix), self.backend_interface
        listed = (info.key for info in backend.list_objects(below.rstrip(keys.SEPARATOR)))
        names = [name for name in listed if f"{name}/".startswith(below)]
        found = self._gather(_rotation(backend.rotate_key), names, threads)
        left = [one for one in found if isinstance(one, CottonCandyError)]
        rotated = sum(one is True for one in found)
        if left:
            raise _told(left, rotated, backend.describe()) from left[0]
        return rotated


def _rotation(rotate: Callable[[str], bool]) -> Callable[[str], bool | CottonCandyError]:
    """The rotation of one object that gives back what is wrong with it, for the others to be rotated all the same."""

    def attempt(name: str) -> bool | CottonCandyError:
        try:
            return rotate(name)
        except ObjectNotFound:
            return False  # it was removed since it was listed
        except _OF_ONE_OBJECT as error:
            return error.with_traceback(None)

    return attempt


def _told(left: Sequence[CottonCandyError], rotated: int, where: str) -> CottonCandyError:
    """What to say of the objects that could not be given the current key: it is of the first one's kind."""
    reasons = "; ".join(map(str, left[:_SHOWN]))
    more = f"; and {len(left) - _SHOWN} more" if len(left) > _SHOWN else ""
    return type(left[0])(
        f"{where}: {rotated} objects were given the current key, {len(left)} could not be, and keep the one that they "
        f"have. See to them, and call again: {reasons}{more}"
    )
