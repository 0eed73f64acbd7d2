"""One array to one object and back: description, codec and transfer put together."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from cottoncandy import arrayformat, checksums, codecs, keys
from cottoncandy.backends.base import GIB, MIB, Backend, ObjectReader, WriteOptions
from cottoncandy.backends.encrypted.mark import refuse_mark
from cottoncandy.bodies import in_order
from cottoncandy.codecs.registry import is_known
from cottoncandy.configfiles import warn_once
from cottoncandy.errors import (
    ChecksumMismatch,
    ConfigurationError,
    CorruptObject,
    InvalidObjectName,
    OutOfMemory,
    UnknownCodec,
    UnsupportedArray,
)
from cottoncandy.parallel import number_of_threads
from cottoncandy.plainarrays import as_array
from cottoncandy.scattered import Bytes
from cottoncandy.stream import ObjectSource, TransferSettings, begin_upload, upload

if TYPE_CHECKING:
    from cottoncandy.config import Options

log = logging.getLogger(__name__)

# What `compression=True` takes for large, at the latest: the configuration's `large_array` counts from here on.
_LARGE = 2 * GIB
# A codec adds such a share of its data at most, and some bytes: BZ2 a hundredth. A strange one may add more.
_MOST_ADDED = 16
# Bytes that are read at a time into an array that does not lie in one piece.
_SLAB = 8 * MIB


@dataclass(frozen=True, slots=True)
class CompressionDefaults:
    """What ``compression=True`` means.

    Attributes
    ----------
    small, large : str or None
        The codec below 2 GiB, and from there on; None is no compression. Where the small one packs less, the large one
        begins there: what takes its place for more has a name that 0.4.0 does not know.
    origins : dict of str
        Of codecs that the configuration names, the option, its value, and where it stands.
    """

    small: str | None = "Blosc"
    large: str | None = "Zstd"
    origins: Mapping[str | None, str] = field(default_factory=dict)

    @classmethod
    def from_options(cls, options: Options) -> CompressionDefaults:
        """Take the defaults from the configuration.

        A codec that is not known is warned of. It is no error yet: somebody may register it, or only wants to read.
        """
        if not options.flag("compression", "do_compression"):
            return cls(None, None)
        keys = "large_array", "small_array"
        large, small = names = [options.text("compression", key) for key in keys]
        origins = {name: options.describe("compression", key) for name, key in zip(names, keys, strict=True)}
        for name, origin in origins.items():
            if not _is_none(name) and not is_known(str(name)):
                warn_once(f"{origin}: no such codec is known")
        return cls(small, large, origins)

    def choose(self, compression: str | bool | None, nbytes: int, describe: Callable[[], str]) -> str | None:
        """The codec's name for a caller's ``compression`` argument; None is no compression.

        Raises
        ------
        UnknownCodec, ConfigurationError, UnsupportedArray
            With what ``describe`` says of where the array is to go.
        """
        by_default = _is_true(compression)
        if by_default:
            compression = self._default(nbytes)
        if _is_none(compression):
            return None
        if isinstance(compression, str):
            try:
                return codecs.codec_for(compression, nbytes).name
            except (UnknownCodec, UnsupportedArray) as error:
                origin = self.origins.get(compression) if by_default else None
                raise type(error)(": ".join(filter(None, (describe(), origin, str(error))))) from None
        raise ConfigurationError(f"{describe()}: compression is True, False or a codec's name, not {compression!r}")

    def _default(self, nbytes: int) -> str | None:
        if nbytes >= _LARGE:
            return self.large
        if self.small is None or _is_none(self.small) or not is_known(self.small):
            return self.small
        largest = codecs.get_codec(self.small).largest
        return self.small if largest is None or nbytes <= largest else self.large


def _is_none(compression: Any) -> bool:
    """Whether it is no compression."""
    return compression is False or compression is None or str(compression).lower() in {"false", "none", ""}


def _is_true(compression: Any) -> bool:
    """Whether it leaves the choice to us; numpy's own True, as a comparison gives it, is not Python's."""
    return compression is True or (isinstance(compression, np.bool_) and bool(compression))


def refuse_names(metadata: Mapping[str, Any], reserved: Collection[str], describe: Callable[[], str]) -> None:
    """Refuse a caller's metadata under names that the library itself needs.

    Raises
    ------
    ValueError
        With what ``describe`` says of the object.
    """
    refuse_mark(metadata, describe)
    taken = sorted({name.lower() for name in metadata} & set(reserved))
    if taken:
        reason = "the library describes the array under that name; take another"
        raise ValueError(f"{describe()}: metadata {', '.join(taken)}: {reason}")


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
    later: bool = False,
) -> Any:
    """Upload an array as one object, from the memory where it lies.

    Gives the receipt. A small array may be sent so that it is answered ``later``: then what `begin_upload` gives.
    """
    describe, count = partial(backend.describe, key), number_of_threads(threads, settings.threads)
    if key.endswith(keys.SEPARATOR):  # one without items has no body, which is all that a store refuses there
        raise InvalidObjectName(f"{describe()}: {keys.IS_DIRECTORYS}")
    array = as_array(array, describe)
    if metadata:
        refuse_names(metadata, arrayformat.RESERVED_KEYS, describe)
    codec = defaults.choose(compression, array.nbytes, describe)
    try:
        description, view = arrayformat.describe(array, codec)
    except UnsupportedArray as error:
        raise UnsupportedArray(f"{describe()}: {error}") from None
    if (
        _is_true(compression)
        and description.compression
        and not codecs.is_compressible(view, description.stored.dtype.itemsize)
    ):
        description, view = arrayformat.describe(array, None)
    own = description.metadata()
    if settings.checksum:
        own[checksums.KEY] = checksums.checksum(view, count)
        arrayformat.add_description_checksum(own)
    body = view if description.compression is None else _encode(description, view, backend)
    if later:
        return begin_upload(backend, key, body, {**metadata, **own}, options)
    most = len(view) + len(view) // _MOST_ADDED + MIB
    return upload(backend, key, body, {**metadata, **own}, options, settings, threads, most=most)


def _encode(description: arrayformat.ArrayDescription, view: Bytes, backend: Backend) -> Any:
    codec = codecs.get_codec(str(description.compression))
    # `describe` gives what lies scattered to those codecs alone that take it
    encode = partial(codec.encode, cast("memoryview", view), description.stored.dtype.itemsize)
    return encode() if backend.limits.parallel_parts else in_order(encode)


def load_array(
    backend: Backend,
    key: str,
    settings: TransferSettings,
    threads: int | None = None,
    *,
    out: npt.NDArray[Any] | None = None,
    e_tag: str | None = None,
    opened: ObjectReader | None = None,
) -> tuple[npt.NDArray[Any], dict[str, str]]:
    """Download an array and its object's metadata.

    The memory is allocated once; an uncompressed array's bytes go there as they arrive. What arrives damaged is read
    once more, from the beginning.

    Parameters
    ----------
    backend : Backend
    key : str
    settings : TransferSettings
    threads : int, optional
    out : numpy.ndarray, optional
        Fill this one, of the same shape and dtype, and give it back. What does not lie in the stored order gets its
        items by way of an intermediate: some MiB at a time, or as large as the array where that is compressed.
    e_tag : str, optional
        Read only this version.
    opened : ObjectReader, optional
        The answer to the opening request, where it is there already (`Backend.begin_open`).

    Raises
    ------
    ObjectNotFound
    ObjectChanged
        If there is another version than ``e_tag`` names.
    CorruptObject
        If the object is no raw array, or its bytes do not fit its description.
    ChecksumMismatch
        If they are not those that were stored, the second time, too. What ``out`` holds then is of no use.
    OutOfMemory
    TypeError, ValueError
        If ``out`` is none that can be filled, or has another shape or dtype.
    """
    if out is not None:
        _check_writeable(out, backend.describe(key))
    damaged: object = None
    while True:
        with ObjectSource(backend, key, settings, e_tag=e_tag, opened=opened) as source:
            download = _Download(source, threads)
            try:
                return download.new() if out is None else download.into(out), dict(source.head.metadata)
            except MemoryError as error:
                raise OutOfMemory.of(download.where, download.description.nbytes) from error
            except CorruptObject as error:
                told = download.told(error)
                if damaged == (source.head.e_tag,):
                    raise told from error
                # another object that is there by then has a second try of its own
                damaged, opened = (source.head.e_tag,), None
                log.warning("%s: reading it once more", told)


def _check_writeable(out: Any, where: str) -> None:
    if not isinstance(out, np.ndarray):
        raise TypeError(f"{where} cannot be read into out: it is no numpy array but {type(out).__name__}")
    if not out.flags.writeable:
        raise ValueError(f"{where} cannot be read into out: it is read-only (open a numpy.memmap with mode 'r+')")


def unpack_in_place(source: ObjectSource, way: codecs.InPlace, nbytes: int, threads: int) -> memoryview:
    """Read a body into the end of new memory, and unpack it to its beginning.

    Returns
    -------
    memoryview
        Writeable, the ``nbytes`` bytes of data.

    Raises
    ------
    CorruptObject
    """
    packed = source.head.size
    memory = np.empty(way.room(packed, nbytes), np.uint8).data
    source.fill(0, memory[len(memory) - packed :], threads)
    way.unpack(memory, packed, nbytes)
    return memory[:nbytes]


class _Download:
    """An array on its way down."""

    __slots__ = ("asked", "checksum", "description", "source", "threads", "where")

    def __init__(self, source: ObjectSource, threads: int | None) -> None:
        self.source = source
        self.asked, self.threads = threads, number_of_threads(threads, source.settings.threads)
        self.where = source.where
        metadata = arrayformat.lowered(source.head.metadata)
        self.checksum = arrayformat.read_checksum(metadata, self.where)
        self.description = arrayformat.ArrayDescription.from_metadata(metadata, source.head.size, self.where)

    def new(self) -> npt.NDArray[Any]:
        name = self.description.compression
        way = None if name is None else codecs.get_codec(name).in_place
        if way is None:
            stored, view = arrayformat.allocate(self.description.stored)
            self._fill(view)
        else:
            view = unpack_in_place(self.source, way, self.description.nbytes, self.threads)
            self._compare(view)
            stored = arrayformat.array_in(view, self.description.stored)
        return self.description.from_stored(stored)

    def into(self, out: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Fill an array of the caller's."""
        shape, dtype = self.description.shape, self.description.dtype
        if (out.shape, out.dtype) != (shape, dtype):
            raise ValueError(
                f"{self.where} has shape {shape} and dtype {dtype}, and cannot be read into out: "
                f"it has shape {out.shape} and dtype {out.dtype}"
            )
        stored = np.asarray(out.T if self.description.order == "F" else out)
        is_text = self.description.utf8 is not None
        if stored.flags.c_contiguous and not is_text:
            self._fill(arrayformat.bytes_of(stored))
        elif self.description.compression is None and not is_text:
            self._fill_by_slabs(stored)
        else:
            out[...] = self.new()
        return out

    def _fill(self, view: memoryview) -> None:
        """Fill memory that has the stored order."""
        if self.description.compression is not None:
            self._unpack(view)
        elif self.checksum is not None and len(view) > checksums.BLOCK:
            filled = checksums.Filled(view)
            self.source.fill(0, view, self.threads, filled.grown)
            checksums.compare(filled.hexdigest(), self.checksum)
        else:
            self.source.fill(0, view, self.threads)
            self._compare(view)

    def _unpack(self, view: memoryview) -> None:
        with self._progress(), closing(self.source.parts(self.asked)) as parts:
            codecs.get_codec(str(self.description.compression)).decode(parts, view)
        self._compare(view)

    def _compare(self, view: memoryview) -> None:
        """Hold what lies in memory to the checksum, where there is one."""
        if self.checksum is not None:
            checksums.compare(checksums.checksum(view, self.threads), self.checksum)

    def _progress(self) -> AbstractContextManager[object]:
        """One bar for all that is read in several calls."""
        return self.source.settings.progress.transfer("download", self.source.key, self.source.head.size)

    def _fill_by_slabs(self, stored: npt.NDArray[Any]) -> None:
        """Fill an array that does not lie in one piece, in the C order of its items."""
        from cottoncandy import chunking, slicing

        start, running = 0, checksums.Running()
        with self._progress():
            for block in chunking.blocks(slicing.slabs(stored.shape, stored.dtype.itemsize, "C", _SLAB)):
                slab = arrayformat.ArrayDescription(stored.dtype, block.shape, "C", None)
                array, view = arrayformat.allocate(slab)
                self.source.fill(start, view, self.threads)
                running.update(view)
                stored[block.slices] = array
                start += len(view)
        if self.checksum is not None:
            checksums.compare(running.hexdigest(), self.checksum)

    def told(self, error: CorruptObject) -> CorruptObject:
        return damage(error, self.where, has_checksum=self.checksum is not None)


def damage(error: CorruptObject, where: str, *, has_checksum: bool) -> CorruptObject:
    """The error that names the object; where it has a checksum, its bytes are not those that were stored."""
    known = not has_checksum or isinstance(error, ChecksumMismatch)
    kind, text = type(error) if known else ChecksumMismatch, str(error)
    return kind(text if where in text else f"{where}: {text}")
