"""Whether what is stored is still what was stored."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cottoncandy import keys
from cottoncandy.interfaces.basic.core import InterfaceCore
from cottoncandy.parallel import number_of_threads

if TYPE_CHECKING:
    from cottoncandy.verification import VerifyReport


class Integrity(InterfaceCore):
    """Looking for damage."""

    def verify(self, prefix: str = "", threads: int | None = None) -> VerifyReport:
        """Read every array of a branch, and hold it to its checksum.

        All parts of chunked and sparse arrays must be there, and be of one upload. Other objects are not read: nothing
        tells what their bytes should be; but a ``.npy`` file must have the bytes that its header tells of. Damage is
        reported, not raised.

        Parameters
        ----------
        prefix : str
            A name: the object of that name, and all below it, but nothing beside it. All of the bucket by default.
        threads : int, optional
            Objects at a time; by default as many as are of use, up to the configured ``most_threads``.

        Returns
        -------
        VerifyReport
            With ``ok``, ``damaged``, ``without_checksum`` and counts.

        Raises
        ------
        ObjectNotFound
            If there is neither an object of that name nor anything below it.
        TransientError, ContainerNotFound, CredentialsNotFound
            If the store cannot be reached any more.

        Notes
        -----
        Memory: some MiB for each connection, whatever the size of the arrays; but for ``'LZ4'``, which is unpacked as a
        whole (2 GB at most).

        Examples
        --------
        >>> response = cci.upload_raw_array('sub01/bold', arr)
        >>> cci.verify('sub01').ok
        True
        """
        from cottoncandy.verification import verify_branch

        few = number_of_threads(threads, self._settings.threads)
        most = number_of_threads(threads, self._settings.most_threads)
        return verify_branch(self.backend_interface, keys.clean(prefix), self._settings, few, most)
