"""One array to one object and back: description, codec and transfer put together."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from cottoncandy import arrayformat, codecs
from cottoncandy.backends.base import GIB, Backend, Receipt, WriteOptions
from cottoncandy.errors import ConfigurationError, CorruptObject, UnsupportedArray
from cottoncandy.stream import ObjectSource, TransferSettings, upload

if TYPE_CHECKING:
    from cottoncandy.config import Options

# What `compression=True` takes for large: the configuration's `large_array` counts from here on.
_LARGE = 2 * GIB


@dataclass(frozen=True, slots=True)
class CompressionDefaults:
    """What ``compression=True`` means.

    Attributes
    ----------
    small, large : str or None
        The codec below 2 GiB, and from there on; None is no compression.
    """

    small: str | None = "gzip"
    large: str | None = "Zstd"

    @classmethod
    def from_options(cls, options: Options) -> CompressionDefaults:
        """Take the defaults from the configuration."""
        if not options.flag("compression", "do_compression"):
            return cls(None, None)
        return cls(options.text("compression", "small_array"), options.text("compression", "large_array"))

    def choose(self, compression: str | bool | None, nbytes: int) -> str | None:
        """The codec's name for a caller's ``compression`` argument; None is no compression.

        Raises
        ------
        UnknownCodec
        """
        if compression is True:
            compression = self.small if nbytes < _LARGE else self.large
        if compression in (False, None) or str(compression).lower() in {"false", "none", ""}:
            return None
        if not isinstance(compression, str):
            raise ConfigurationError(f"compression is True, False or a codec's name, not {compression!r}")
        return codecs.codec_for(compression, nbytes).name


def as_array(value: Any, where: str) -> npt.NDArray[Any]:
    """The value as a numpy array that has bytes of its own.

    Raises
    ------
    UnsupportedArray
        Naming ``where`` the array was to go.
    """
    array = value if isinstance(value, np.ndarray) else np.asarray(value)
    try:
        arrayformat.check_dtype(array.dtype)
    except UnsupportedArray as error:
        raise UnsupportedArray(f"{where}: {error}") from None
    return array


def refuse_names(metadata: Mapping[str, Any], reserved: Collection[str]) -> None:
    """Refuse a caller's metadata under names that the library itself needs.

    Raises
    ------
    ValueError
    """
    taken = sorted({name.lower() for name in metadata} & set(reserved))
    if taken:
        raise ValueError(f"metadata {', '.join(taken)}: the library describes the array under that name; take another")


def store_array(
    backend: Backend,
    key: str,
    array: Any,
    *,
    compression: str | bool | None,
    defaults: CompressionDefaults,
    metadata: Mapping[str, str],
    options: WriteOptions,
    settings: TransferSettings,
    threads: int | None = None,
) -> Receipt:
    """Upload an array as one object, from the memory where it lies."""
    array = as_array(array, backend.describe(key))
    description, view = arrayformat.describe(array, defaults.choose(compression, array.nbytes))
    own = description.metadata()
    refuse_names(metadata, arrayformat.RESERVED_KEYS)
    body = view if description.compression is None else _encode(description, view)
    return upload(backend, key, body, {**metadata, **own}, options, settings, threads)


def _encode(description: arrayformat.ArrayDescription, view: memoryview) -> Any:
    codec = codecs.get_codec(str(description.compression))
    return codec.encode(view, description.dtype.itemsize)


def load_array(
    backend: Backend, key: str, settings: TransferSettings, threads: int | None = None
) -> tuple[npt.NDArray[Any], dict[str, str]]:
    """Download an array and its object's metadata.

    The memory is allocated once; an uncompressed array's bytes go straight into it.

    Raises
    ------
    ObjectNotFound
    CorruptObject
        If the object is no raw array, or its bytes do not fit its description.
    """
    threads = threads or settings.threads
    with ObjectSource(backend, key, settings) as source:
        where, metadata = backend.describe(key), dict(source.head.metadata)
        description = arrayformat.ArrayDescription.from_metadata(metadata, source.head.size, where)
        array, view = arrayformat.allocate(description)
        if description.compression is None:
            source.fill(0, view, threads)
        else:
            _decode(description.compression, source, view, where, threads)
        return array, metadata


def _decode(name: str, source: ObjectSource, view: memoryview, where: str, threads: int) -> None:
    try:
        with closing(source.parts(threads)) as parts:
            codecs.get_codec(name).decode(parts, view)
    except CorruptObject as error:
        raise CorruptObject(f"{where}: {error}") from error
