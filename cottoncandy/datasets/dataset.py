"""What a user holds of an array in the store."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from cottoncandy import checksums, display, rawarrays, slicing
from cottoncandy.arrayformat import RESERVED_KEYS, ArrayDescription, lowered
from cottoncandy.backends.base import Backend, ObjectHead
from cottoncandy.backends.encrypted.mark import refuse_encrypted
from cottoncandy.codecs.blocks import block_size, packed_in_blocks
from cottoncandy.datasets import masks, previews
from cottoncandy.datasets.readers import BlockReader, Kept, Memory, PlainReader, Version
from cottoncandy.errors import CorruptObject, ObjectChanged, OutOfMemory
from cottoncandy.extras import with_extra
from cottoncandy.parallel import number_of_threads
from cottoncandy.pools import ahead
from cottoncandy.stream import TransferSettings

if TYPE_CHECKING:
    import dask.array
    from matplotlib.axes import Axes

__all__ = ["Dataset"]

Array = npt.NDArray[Any]

# Bytes that are read at a time when an array is walked through.
_BATCH = 8 * 2**20
# The same across the order in which it is stored, where each time all of it may have to be read.
_BATCH_ACROSS = 64 * 2**20
# Bytes of a chunk of a dask array.
_CHUNK = 64 * 2**20


class Dataset:
    """An array in the store: it tells what it is, and reads what is sliced out of it.

    Slices are those of numpy, with the same result: integers, slices with steps, ``...``, `numpy.newaxis`, masks, lists
    of integers. Of an uncompressed array only the bytes of the slice are read, near ranges at once and far ones in
    parallel; of one that is packed in blocks (``compression='Zstd-blocks'``), only the blocks that the slice touches.
    An array that is compressed as a whole is read whole at the first slice, and kept.

    It is held to the version that was there when it was opened. It pickles, without what it keeps.

    Parameters
    ----------
    backend : Backend
    key : str
        A clean object name.
    head : ObjectHead
        What the store told of the object.
    settings : TransferSettings
    threads : int, optional
        Connections for one slice; by default as many as are of use.

    Attributes
    ----------
    name : str
        The object's name.
    shape : tuple of int
    dtype : numpy.dtype
    order : str
        ``'C'`` or ``'F'``: how it is stored. Slices along the first axis (the last one for ``'F'``) are the fastest.
    compression : str or None
        The codec's name.
    stored : int
        Bytes of the object.
    e_tag : str or None
        The version.

    Raises
    ------
    NotAnArray, CorruptObject
        If the object is no raw array, or contradicts itself.

    See Also
    --------
    ArrayInterface.open_array

    Examples
    --------
    >>> response = cci.upload_raw_array('sub01/bold', np.arange(12.0).reshape(3, 4), compression=False)
    >>> bold = cci.open_array('sub01/bold')
    >>> bold.shape, bold.dtype
    ((3, 4), dtype('float64'))
    >>> bold[1:, ::2]
    array([[ 4.,  6.],
           [ 8., 10.]])
    """

    def __init__(
        self, backend: Backend, key: str, head: ObjectHead, settings: TransferSettings, threads: int | None = None
    ) -> None:
        refuse_encrypted(backend, head)
        number_of_threads(threads, settings.threads)  # found out here, not by the first slice
        description = ArrayDescription.from_metadata(head.metadata, head.size, backend.describe(key))
        self._version = Version(backend, key, head, settings, threads)
        self._description = description
        self.name = key
        self.shape = description.shape
        self.dtype = description.dtype
        self.order: str = description.order
        self.compression = description.compression
        self.stored = head.size
        self.e_tag = head.e_tag
        self._blocks = BlockReader(self._version, description)
        self._whole = Kept(self._load)
        self._is_text = description.utf8 is not None  # of any width: nobody knows where an item lies

    @classmethod
    def open(cls, backend: Backend, key: str, settings: TransferSettings, threads: int | None = None) -> Dataset:
        """Open an array: one request, which brings none of its bytes.

        Raises
        ------
        ObjectNotFound
        NotAnArray, CorruptObject
        """
        return cls(backend, key, backend.stat(key), settings, threads)

    # ------------------------------------------------------------------ facts
    @property
    def ndim(self) -> int:
        """How many axes there are."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """How many items there are."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of the array, unpacked."""
        return self._description.nbytes

    @property
    def metadata(self) -> dict[str, str]:
        """The object's user metadata, as the store gives it back."""
        return dict(self._version.head.metadata)

    @property
    def chunks(self) -> tuple[int, ...] | None:
        """The shape of what is well read at a time: some MiB that are stored in one piece; None for a scalar."""
        return tuple(sizes[0] for sizes in self._slabs(_BATCH)) or None

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("a 0-d array has no length")
        return self.shape[0]

    def __repr__(self) -> str:
        packed = f"{self.compression}, " if self.compression else ""
        stored = f" in {self.stored / 2**20:.2f}" if self.compression else ""
        what = f"shape {self.shape}, {self.dtype}, {packed}{self.nbytes / 2**20:.2f}{stored} MB"
        return f"<cottoncandy-dataset <bucket:{self._version.backend.container}> ({self.name}: {what})>"

    def _repr_html_(self) -> str:
        backend = self._version.backend
        return display.facts(f"{backend.name}: {backend.container}/{self.name}", self._facts())

    def _facts(self) -> Iterator[tuple[str, str]]:
        """What there is to know of it; none of it needs a request."""
        ratio = f" ({self.nbytes / self.stored:.1f} to 1)" if self.compression and self.stored else ""
        yield "shape", str(self.shape)
        yield "dtype", str(self.dtype)
        yield "order", self.order
        yield "size", display.size(self.nbytes)
        yield "stored", f"{display.size(self.stored)}, {self.compression or 'not compressed'}{ratio}"
        yield "date", display.date(self._version.head.last_modified)
        yield from ((name, text) for name, text in self.metadata.items() if name.lower() not in RESERVED_KEYS)

    def preview(self, ax: Axes | None = None, *, whole: bool = False) -> Axes:
        """Draw it: a line, an image, the middle slice of three or four axes, or a histogram of more.

        Little of it is read: at most 16 MiB, with at most 64 requests. Of a large array a part is drawn, evenly spaced
        where that costs little: the title tells which. Needs ``pip install 'cottoncandy[preview]'``.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw; a figure of its own by default.
        whole : bool
            Also read an array of more than 16 MiB that is compressed as a whole.

        Returns
        -------
        matplotlib.axes.Axes

        Raises
        ------
        ValueError
            If all of a large array would have to be read.
        UnsupportedArray
            If it holds no numbers.

        Examples
        --------
        >>> response = cci.upload_raw_array('sub01/bold', arr, compression='Zstd-blocks')
        >>> ax = cci.open_array('sub01/bold').preview()
        >>> ax.get_title()
        'sub01/bold[2, :, :]'
        """
        return previews.preview(self, ax, whole=whole)

    # ------------------------------------------------------------------ reading
    @property
    def piece(self) -> int | None:
        """Bytes of the array that have to be read for any of them; None where that is all of it, compressed or not."""
        if self._is_text or not self._version.backend.limits.ranges:
            return None
        if self.compression is None:
            return self.dtype.itemsize
        return block_size(self.dtype.itemsize) if packed_in_blocks(self.compression) else None

    @property
    def is_kept(self) -> bool:
        """Whether slices come from memory: of an array that is compressed as a whole, after the first one."""
        return self._whole.is_made

    def __getitem__(self, index: Any) -> Any:
        """What numpy gives for the index.

        Raises
        ------
        IndexError
        ObjectChanged
            If the object was replaced since it was opened.
        """
        shape = masks.result_shape(index, self.shape)
        if not self.nbytes:
            return np.ndarray(self.shape, self.dtype)[index]
        if 0 in shape:
            return np.empty(shape, self.dtype)
        with self._told(math.prod(shape) * self.dtype.itemsize):
            mask = masks.dense_mask(index, self.shape)
            return self._read(index) if mask is None else self._read_masked(mask).reshape(shape)

    def _read_masked(self, mask: Array) -> Array:
        """What a mask over all axes picks out, some MiB of the array at a time: each item's place would take more."""
        step, filled = self._step(), 0
        found = np.empty(np.count_nonzero(mask), self.dtype)
        for start in range(0, len(self), step):
            part = mask[start : start + step]
            count = np.count_nonzero(part)
            if count:
                found[filled : filled + count] = self._read(slice(start, start + len(part)))[part]
                filled += count
        return found

    def _read(self, index: Any) -> Any:
        codec = packed_in_blocks(self.compression)
        if self.piece is None:
            kept = self._whole.get()
            return _own(kept[index], kept)
        if masks.takes_less_whole(index, self.shape, self.dtype.itemsize):
            return self._read(...)[index]
        memory = Memory.for_index(index, self._description)
        if codec is None and memory.selection.is_all_of(self.size):
            # with its checksum; a list of all places has made one axis of several
            self._load(out=memory.array.reshape(self.shape, order=self._description.order))
            return memory.array[memory.selection.rest]
        # of packed blocks nobody knows the size beforehand
        with self._version.settings.progress.transfer("read", self.name, memory.data.nbytes if codec is None else None):
            if codec is None:
                PlainReader(self._version).fill(memory)
            else:
                self._blocks.fill(memory, codec)
        return memory.array[memory.selection.rest]

    def _load(self, out: Array | None = None) -> Array:
        version = self._version
        where = (version.backend, version.key, version.settings, version.threads)
        return rawarrays.load_array(*where, out=out, e_tag=self.e_tag)[0]

    @contextmanager
    def _told(self, nbytes: int) -> Iterator[None]:
        """Errors name the object, and tell what to do."""
        where = self._version.where
        try:
            yield
        except OutOfMemory:
            raise  # of all of it
        except MemoryError as error:
            raise OutOfMemory.of(f"a slice of {where}", nbytes) from error
        except ObjectChanged as error:
            raise ObjectChanged(f"{where} was replaced since it was opened: open it again") from error
        except CorruptObject as error:
            has_checksum = checksums.KEY in lowered(self._version.head.metadata)
            raise rawarrays.damage(error, where, has_checksum=has_checksum) from error

    def load(self) -> Array:
        """Read all of it."""
        array: Array = self[...]
        return array

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> Array:
        if copy is False:
            raise ValueError("an array in the store is read into new memory: it cannot be had without a copy")
        return self.load().astype(dtype or self.dtype, copy=False)

    def __iter__(self) -> Iterator[Any]:
        """What lies along the first axis, one by one; some MiB are read at a time, and the next ones meanwhile."""
        if not self.shape:
            raise TypeError("iteration over a 0-d array")
        for items in ahead(self._batches(self._step())):
            yield from items

    def _step(self) -> int:
        """How many items of the first axis are read at a time, where all are to be read."""
        batch = _BATCH_ACROSS if self.order == "F" else _BATCH
        return max(1, batch * len(self) // max(1, self.nbytes))

    def _batches(self, step: int) -> Generator[Array, None, None]:
        for start in range(0, len(self), step):
            yield self[start : start + step]

    # ------------------------------------------------------------------ no operand
    def _refuse_operator(self, *others: object) -> Any:
        """Leave it to an array on the other side; refuse all else, of which Python's ``==`` would just say False."""
        if any(isinstance(other, np.generic) or hasattr(other, "__array_ufunc__") for other in others):
            return NotImplemented
        raise TypeError(
            f"{self._version.where}: an array in the store is compared and computed with when it is read: slice it "
            "first (array[...]), take numpy.asarray(array), or array.to_dask()"
        )

    __lt__ = __le__ = __gt__ = __ge__ = _refuse_operator
    __eq__ = __ne__ = _refuse_operator
    __add__ = __sub__ = __mul__ = __matmul__ = __truediv__ = __floordiv__ = __mod__ = __pow__ = _refuse_operator
    __radd__ = __rsub__ = __rmul__ = __rmatmul__ = __rtruediv__ = __rfloordiv__ = __rmod__ = __rpow__ = _refuse_operator
    __and__ = __or__ = __xor__ = __rand__ = __ror__ = __rxor__ = _refuse_operator
    __neg__ = __pos__ = __abs__ = __invert__ = _refuse_operator
    __hash__ = object.__hash__  # it is one handle; another one of the same array is another key

    # ------------------------------------------------------------------ dask
    def to_dask(self, chunks: Any = None, name: str = "dataset") -> dask.array.Array:
        """Give it as a dask array, whose workers read what they need of it.

        Parameters
        ----------
        chunks : optional
            As `dask.array.from_array` takes them. By default some 64 MiB each, which are stored in one piece.
        name : str
            What the array's name in graphs begins with. A token of bucket, object and version follows.

        Returns
        -------
        dask.array.Array

        Raises
        ------
        ConfigurationError
            If dask is not installed.

        Examples
        --------
        >>> response = cci.upload_raw_array('sub01/bold', np.arange(12.0).reshape(3, 4), compression=False)
        >>> float(cci.open_array('sub01/bold').to_dask()[:, 1].sum().compute())
        15.0
        """
        arrays = with_extra("dask.array", "dask")
        from dask.base import tokenize

        chunks = self._slabs(_CHUNK) if chunks is None else chunks
        token = tokenize(self, chunks)
        meta = np.empty((0,) * self.ndim, self.dtype)
        return arrays.from_array(self, chunks=chunks, name=f"{name}-{token}", meta=meta)  # type: ignore[no-any-return]

    def _slabs(self, nbytes: int) -> tuple[tuple[int, ...], ...]:
        return slicing.slabs(self.shape, self.dtype.itemsize, self.order, nbytes)

    def __dask_tokenize__(self) -> tuple[Any, ...]:
        return (type(self).__name__, self._version.backend.address, self.name, self.e_tag, self.stored)


def _own(found: Any, kept: Array) -> Any:
    """What was taken of an array that is kept, in memory of its own: nobody writes into what is kept."""
    if isinstance(found, np.void):  # a record is a view, too
        return found.copy()
    is_view = isinstance(found, np.ndarray) and np.may_share_memory(found, kept)
    return found.copy(order="K") if is_view else found
