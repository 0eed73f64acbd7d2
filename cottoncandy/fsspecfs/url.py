"""A file system that is opened by URL: ``pandas.read_csv('cottoncandy://my-bucket/sub01/table.csv')``."""

from __future__ import annotations

import inspect
from typing import Any, Literal

from fsspec.spec import AbstractFileSystem
from fsspec.utils import tokenize

from cottoncandy.backends.encrypted.keys import KeySource
from cottoncandy.backends.opening import open_backend
from cottoncandy.config import Options
from cottoncandy.fsspecfs.filesystem import ObjectFileSystem
from cottoncandy.redaction import hidden, with_hidden_keys
from cottoncandy.stream import TransferSettings

# What fsspec, and libraries that open many file systems alike, say of any of them.
_OF_ANY_FILE_SYSTEM = (
    "asynchronous",
    "batch_size",
    "listings_expiry_time",
    "loop",
    "max_paths",
    "use_listings_cache",
)


class _Opened(type(ObjectFileSystem)):  # type: ignore[misc] # fsspec has no type hints
    """What is called when a file system is opened."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        """Have the arguments by their names, and keys such that no traceback with variables shows them."""
        args, kwargs = tuple(map(hidden, args)), with_hidden_keys(kwargs)
        bound = inspect.signature(cls.__init__).bind(None, *args, **kwargs)  # type: ignore[misc] # of this very class
        return super().__call__(**dict(zip(list(bound.arguments)[1:], args, strict=False)), **kwargs)


class CottonCandyFileSystem(ObjectFileSystem, metaclass=_Opened):
    """A bucket, directory or Drive as a file system of fsspec, by the protocol ``cottoncandy``.

    Each is made anew, also with the arguments of another: where a relative directory is, and what the configuration
    and the environment say, may have changed.

    Where the container's name cannot stand in a URL, as a directory's full path, it is given as an option and left
    out of the URL: ``cottoncandy:///sub01/table.csv``.

    Parameters
    ----------
    bucket : str, optional
        The bucket; with ``backend='local'`` a directory.
    backend : str
        ``'s3'``, ``'local'``, ``'gdrive'`` or the name of an installed backend.
    ACCESS_KEY, SECRET_KEY, endpoint_url : str, optional
        As in `cottoncandy.get_interface`; looked up by default.
    encryption_key : optional
        As in `cottoncandy.get_interface`.
    **options
        Passed to the backend.

    Examples
    --------
    >>> import fsspec
    >>> fs = fsspec.filesystem('cottoncandy', bucket='my_store', backend='local')
    >>> fs.pipe('notes/day1.txt', b'slept well')
    >>> fs.ls('notes', detail=False)
    ['notes/day1.txt']
    """

    def __init__(
        self,
        bucket: str | None = None,
        backend: str = "s3",
        ACCESS_KEY: str | None = None,  # noqa: N803 - the name in get_interface
        SECRET_KEY: str | None = None,  # noqa: N803 - the name in get_interface
        endpoint_url: str | None = None,
        encryption_key: KeySource | Literal[False] | None = None,
        **options: Any,
    ) -> None:
        own = {name: options.pop(name) for name in _OF_ANY_FILE_SYSTEM if name in options}
        configured = Options.load()
        options |= {"endpoint_url": endpoint_url, "encryption_key": encryption_key}
        connected = open_backend(backend, bucket, configured, ACCESS_KEY=ACCESS_KEY, SECRET_KEY=SECRET_KEY, **options)
        super().__init__(connected, TransferSettings.from_options(configured), bucket=bucket, **own)

    # fsspec sets it when it is made, and makes a pickle and JSON of that
    @property
    def storage_options(self) -> dict[str, Any]:
        """The options by which it is made again, also where another directory is the current one."""
        return self._given

    @storage_options.setter
    def storage_options(self, given: dict[str, Any]) -> None:
        directory = self._backend.on_disk()
        self._given = given if directory is None else {**given, "bucket": str(directory)}

    def to_dict(self, *, include_password: bool = True) -> dict[str, Any]:
        """Give the options by which it is made again, as fsspec does."""
        options: dict[str, Any] = AbstractFileSystem.to_dict(self, include_password=include_password)
        return options

    @property
    def _fs_token(self) -> str:
        # by their arguments alone two would be the same that are in two directories
        return str(tokenize(self._fs_token_, self.fsid))

    def __reduce__(self) -> tuple[Any, ...]:
        return _remade, (type(self), self.storage_options, self._bucket)


def _remade(kind: type[CottonCandyFileSystem], options: dict[str, Any], bucket: str | None) -> CottonCandyFileSystem:
    """What was pickled; in URLs its bucket is called as it was."""
    made = kind(**options)
    made._bucket = bucket  # noqa: SLF001 - of this class
    return made
