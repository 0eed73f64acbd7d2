"""A glance at what is stored: a few values of an array, the beginning of a file. Little is read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from cottoncandy.backends.base import MIB
from cottoncandy.cli.output import size_text
from cottoncandy.datasets import previews
from cottoncandy.errors import NotAnArray

if TYPE_CHECKING:
    from cottoncandy.datasets import Dataset
    from cottoncandy.interfaces import DefaultInterface

# Runs of items that are read of an array, and items in all.
_RUNS = 16
_ITEMS = 4096
# Bytes: an array that is compressed as a whole has to be read whole.
_LARGEST_WHOLE = 64 * MIB
_BINS = 12
_BAR = 32
# As what the values are counted; integers as they are, for nanoseconds since 1970 differ by less than a float tells.
_EXACT = {"b": np.uint8, "f": np.float64}
# Bytes of a file that are shown.
_BEGINNING = 2048


def preview(cci: DefaultInterface, name: str) -> str:
    """What an object holds, in a few lines: values and a histogram of a sample, or the beginning of a file."""
    try:
        dataset = cci.open_array(name)
    except NotAnArray:
        with cci.download_stream(name) as stream:
            return _beginning(stream.read(_BEGINNING))
    return "\n".join(_array_lines(dataset))


def _array_lines(dataset: Dataset) -> Iterator[str]:
    stored = f"{dataset.compression or 'not compressed'}, {size_text(dataset.stored, human=True)}"
    yield f"{dataset.dtype} {dataset.shape}, order {dataset.order}, {stored}"
    whole = dataset.compression is not None and not dataset.compression.endswith("-blocks")
    if whole and dataset.stored > _LARGEST_WHOLE:
        yield f"{dataset.compression} packs it as a whole: all {size_text(dataset.stored, human=True)} would be read"
        return
    values = np.asarray(dataset[previews.spread(dataset, _ITEMS, _RUNS)])
    yield f"a sample of {values.size} of {dataset.size} values"
    yield ""
    if values.dtype.kind in "biuf" and values.size:
        yield from _numbers(values.astype(_EXACT.get(values.dtype.kind, values.dtype)).ravel())
        yield ""
    yield np.array2string(values.ravel()[:24], max_line_width=60, threshold=24)


def _numbers(values: npt.NDArray[Any]) -> Iterator[str]:
    finite = values[np.isfinite(values)]
    if len(finite) < len(values):
        yield f"{len(values) - len(finite)} are not finite"
    if not len(finite):
        return
    mean = finite.mean(dtype=np.longdouble)  # of large numbers the sum may be none
    yield f"min {finite.min():.6g}   mean {mean:.6g}   max {finite.max():.6g}"
    yield ""
    counts, edges, start = previews.histogram(finite, _BINS)
    if start:
        yield f"distance from {start}"
    for count, edge in zip(counts, edges, strict=False):
        yield f"{edge:>12.4g} {'█' * round(_BAR * count / counts.max())} {count}"


def _beginning(data: bytes) -> str:
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        # a character that is cut in two at the end is no reason
        text = data[: error.start].decode() if error.start > len(data) - 4 else ""
    if text and all(character.isprintable() or character in "\n\r\t" for character in text):
        return text
    return "\n".join(f"{at:08x}  {data[at : at + 16].hex(' ')}" for at in range(0, min(len(data), 512), 16))
