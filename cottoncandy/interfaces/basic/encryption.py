"""Keys of what is encrypted on this side."""

from __future__ import annotations

from cottoncandy import keys
from cottoncandy.interfaces.basic.core import InterfaceCore


class Encryption(InterfaceCore):
    """What there is to do with encryption keys, once an interface has one."""

    def rotate_encryption_key(self, prefix: str = "", threads: int | None = None) -> int:
        """Close encrypted objects with the current key, which older ones opened until now.

        Each object has a key of its own, and only that is wrapped anew: the bytes stay where they are. An object
        changes in one step, so the call may be broken off and made again. When it is through, nothing below that name
        needs the older keys any more; but who had one of them may have kept what it opened.

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
        WrongKey
            If there is an object that none of the keys opens.

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
        return sum(self._gather(backend.rotate_key, names, threads))
