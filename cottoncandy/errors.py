"""What can go wrong, as one tree.

::

    CottonCandyError
    ├── ObjectNotFound            FileNotFoundError      no such object
    ├── ContainerNotFound         FileNotFoundError      no such bucket, directory or folder
    ├── ObjectExists              FileExistsError        something is there and ``overwrite=False``
    ├── ContainerExists           FileExistsError        the bucket's name is taken
    ├── ContainerNotEmpty         OSError                a bucket that holds objects is not removed
    ├── ObjectChanged             OSError                the object was replaced while it was being read
    ├── InvalidObjectName         ValueError             a name that no object can have here
    ├── AccessDenied              PermissionError        the store refuses these credentials
    ├── CredentialsNotFound       PermissionError        no credentials, or only half of them
    ├── WrongKey                  PermissionError        no encryption key at hand opens this object
    ├── NotSupported              NotImplementedError    this backend cannot do that
    ├── PickleForbidden           PermissionError        the configuration lets no pickle be read
    ├── UnsupportedArray          TypeError, ValueError  an array that has no bytes of its own
    ├── CorruptObject             ValueError             bytes and metadata do not fit each other
    │   ├── NotAnArray                                   an object that is not described as an array
    │   └── ChecksumMismatch                             the bytes are not those that were stored
    │       └── DecryptionError                          an encrypted object was changed, or is none
    ├── OutOfMemory               MemoryError            an object, or a slice, that the memory does not hold
    ├── UnknownCodec              ValueError             no codec of that name
    ├── ConfigurationError        ValueError             an option that makes no sense
    └── ServiceError              OSError                the store answered with another error
        └── TransientError        ConnectionError        it may work when tried again

Each is also the builtin error that a caller would catch, so ``except FileNotFoundError`` works
without an import. Messages name the container, the object and what to do; they never hold a key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = [
    "AccessDenied",
    "ChecksumMismatch",
    "ConfigurationError",
    "ContainerExists",
    "ContainerNotEmpty",
    "ContainerNotFound",
    "CorruptObject",
    "CottonCandyError",
    "CredentialsNotFound",
    "DecryptionError",
    "InvalidObjectName",
    "NotAnArray",
    "NotSupported",
    "ObjectChanged",
    "ObjectExists",
    "ObjectNotFound",
    "OutOfMemory",
    "PickleForbidden",
    "ServiceError",
    "TransientError",
    "UnknownCodec",
    "UnsupportedArray",
    "WrongKey",
]


class CottonCandyError(Exception):
    """The root of all errors that cottoncandy raises on purpose."""


class ObjectNotFound(CottonCandyError, FileNotFoundError):
    """There is no object of that name in the container."""


class ContainerNotFound(CottonCandyError, FileNotFoundError):
    """There is no such bucket, directory or folder."""


class ObjectExists(CottonCandyError, FileExistsError):
    """An object of that name is there, and the call was told not to replace it."""


class ContainerExists(CottonCandyError, FileExistsError):
    """The container's name is taken."""


class ContainerNotEmpty(CottonCandyError, OSError):
    """A container that still holds objects is not removed."""


class ObjectChanged(CottonCandyError, OSError):
    """The object was replaced while it was being read; nothing of the mixture is returned."""


class InvalidObjectName(CottonCandyError, ValueError):
    """The name cannot be the name of an object here."""


class AccessDenied(CottonCandyError, PermissionError):
    """The store refuses what was asked with these credentials."""


class CredentialsNotFound(CottonCandyError, PermissionError):
    """No credentials were found, or only one half of a pair."""


class WrongKey(CottonCandyError, PermissionError):
    """The object is encrypted, and none of the keys at hand opens it."""


class NotSupported(CottonCandyError, NotImplementedError):
    """The backend cannot do what was asked."""


class PickleForbidden(CottonCandyError, PermissionError):
    """The configuration lets no pickle be read, because reading one runs what its writer put into it."""


class UnsupportedArray(CottonCandyError, TypeError, ValueError):
    """An array of references, not bytes (``object`` dtype and its like); or lists that make none, for their lengths."""


class CorruptObject(CottonCandyError, ValueError):
    """The stored bytes and the stored description do not fit each other."""


class OutOfMemory(CottonCandyError, MemoryError):
    """There is less memory than what was asked for takes."""

    def __new__(cls, *told: object) -> Self:  # noqa: D102 - of Python's own
        # as of all others: that of MemoryError, which unpickling would take, refuses what has two bases
        return Exception.__new__(cls, *told)

    @classmethod
    def of(cls, where: str, nbytes: int) -> OutOfMemory:
        """The error that names what was asked for, and how much it is.

        Parameters
        ----------
        where : str
            How errors name the object.
        nbytes : int
            Bytes.
        """
        size = f"{nbytes / 2**30:.1f} GiB" if nbytes >= 2**30 else f"{nbytes / 2**20:.0f} MiB"
        return cls(
            f"{where}: {size} do not fit into memory: take slices of it (open_array, download_dask_array), or read it "
            "into a file (download_raw_array with out=numpy.memmap, download_to_file)"
        )


class NotAnArray(CorruptObject):
    """The object's metadata do not describe an array: it was stored by another call."""


class ChecksumMismatch(CorruptObject):
    """The bytes that arrived are not the bytes that were stored."""


class DecryptionError(ChecksumMismatch):
    """An encrypted object is not what was stored: its bytes or metadata were changed, cut off or exchanged."""


class UnknownCodec(CottonCandyError, ValueError):
    """No codec is registered under that name."""


class ConfigurationError(CottonCandyError, ValueError):
    """An option's value makes no sense."""


class ServiceError(CottonCandyError, OSError):
    """The store answered with an error that has no name of its own here."""


class TransientError(ServiceError, ConnectionError):
    """The connection or the service failed in a way that may pass: trying again is sensible."""
