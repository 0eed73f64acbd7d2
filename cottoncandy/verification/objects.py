"""One object: its bytes are read, unpacked and hashed a piece at a time, and held to what its metadata tell."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing, suppress
from functools import partial

from cottoncandy import checksums, codecs, npyfiles
from cottoncandy.arrayformat import ArrayDescription, allocate, is_array, read_checksum
from cottoncandy.bodies import BytesLike
from cottoncandy.errors import CorruptObject, OutOfMemory, UnsupportedArray
from cottoncandy.rawarrays import unpack_in_place
from cottoncandy.stream import ObjectSource
from cottoncandy.verification.report import Findings

# Bytes that the first request brings: all of a small array, and enough to see that an object is none.
FIRST = 64 * 2**10


def check_object(source: ObjectSource, findings: Findings) -> None:
    """Look at an object, whatever it is.

    Raises
    ------
    CorruptObject
        If it is damaged.
    """
    metadata, where = source.head.metadata, source.backend.describe(source.key)
    expected = read_checksum(metadata, where)
    description = None
    if is_array(metadata):
        description = ArrayDescription.from_metadata(metadata, source.head.size, where)
    if expected is not None:
        checksums.compare(_checksum(source, description), expected)
        findings.checked(source.head.size)
    elif description is not None:
        _checksum(source, description)
        findings.without_checksum(source.key, source.head.size)
    else:
        # a .npy header does not tell how many bytes Python objects have
        with suppress(UnsupportedArray):
            npyfiles.check(source.head.size, partial(source.fill, threads=1), FIRST)  # all that is on its way
        findings.unchecked()


def _checksum(source: ObjectSource, description: ArrayDescription | None) -> str:
    """The checksum of an array's bytes, or of an object's where that is none. Memory: some pieces."""
    running, nbytes = checksums.Running(), source.head.size if description is None else description.nbytes
    threads = None if source.head.size > source.settings.download_threshold else 1
    left = nbytes
    with closing(_pieces(source, description, threads)) as pieces:
        for piece in pieces:
            left -= len(piece)
            if left < 0:
                break
            running.update(piece)
    if left:
        raise CorruptObject(f"its data has {'more than ' * (left < 0)}{nbytes - max(left, 0)} bytes, not {nbytes}")
    return running.hexdigest()


def _pieces(
    source: ObjectSource, description: ArrayDescription | None, threads: int | None
) -> Generator[BytesLike, None, None]:
    """An array's bytes, or an object's, piece by piece."""
    if description is None or description.compression is None:
        yield from source.parts(threads)
    else:
        yield from _unpacked(source, description, codecs.get_codec(description.compression), threads)


def _unpacked(
    source: ObjectSource, description: ArrayDescription, codec: codecs.Codec, threads: int | None
) -> Generator[BytesLike, None, None]:
    """The pieces of a body; what is unpacked as a whole only is one."""
    if codec.in_place is not None:
        try:
            yield unpack_in_place(source, codec.in_place, description.nbytes, threads or source.settings.threads)
        except MemoryError as error:
            raise OutOfMemory.of(source.where, description.nbytes) from error
        return
    with closing(source.parts(threads)) as parts:
        if codec.pieces is not None:
            yield from codec.pieces(parts, description.nbytes)
        else:
            _, view = allocate(description.stored)
            codec.decode(parts, view)
            yield view
