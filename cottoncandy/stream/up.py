"""Sending: one request when the bytes are few, else parts in threads; all of the object or nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, islice
from typing import cast

from cottoncandy import partsizes, progress
from cottoncandy.allornothing import give_up
from cottoncandy.backends.base import MIB, Backend, MultipartUpload, Receipt, TransferLimits, WriteOptions
from cottoncandy.bodies import BytesLike, Late
from cottoncandy.buffers import BufferPool
from cottoncandy.parallel import for_each, number_of_threads
from cottoncandy.pipelines import Begun
from cottoncandy.scattered import Scattered, contiguous
from cottoncandy.stream.settings import TransferSettings

#: A part's number, from 1 on, its bytes, and where in the object it begins.
Part = tuple[int, BytesLike | Scattered, int]

# Bytes of a part that is gathered from a stream, as of compressed bytes, or from an array that lies scattered; each
# thread holds one. The least that S3 takes.
_STREAM_PART = 5 * MIB
# Bytes of such parts that are on their way at a time, however many threads are configured: with what makes them and the
# next one an upload takes less than 64 MiB. The same where the store's own way copies each part once more.
_MOST_GATHERED = 25 * MIB
_MOST_COPIED = 20 * MIB


def upload(
    backend: Backend,
    key: str,
    body: BytesLike | Scattered | Iterable[BytesLike | Late],
    metadata: Mapping[str, str],
    options: WriteOptions,
    settings: TransferSettings,
    threads: int | None = None,
    *,
    size: int | None = None,
    most: int | None = None,
) -> Receipt:
    """Send an object: whole, or not at all.

    Parameters
    ----------
    backend : Backend
    key : str
    body : bytes-like, Scattered, or iterable of bytes-like
        Contiguous memory is sent from where it lies; what lies scattered, and the pieces of an iterable, are gathered
        into parts, so at most a few parts are in memory. The first piece may be a `Late`, where parts may go in any
        order.
    metadata : Mapping of str to str
    options : WriteOptions
    settings : TransferSettings
    threads : int, optional
        By default as many of those that are configured as have room in 25 MiB where parts are gathered.
    size : int, optional
        The bytes of an iterable body all together, where they are known: progress is shown with them.
    most : int, optional
        What they are thought to come to at most, where only that is known. Parts do not grow beyond what it takes.

    Returns
    -------
    dict
        In the shape of a boto3 response: at least ``ETag`` and ``ResponseMetadata``.
    """
    count = number_of_threads(threads, settings.threads)
    if isinstance(body, (bytes, bytearray, memoryview)):
        body = memoryview(body).cast("B")
        size = len(body)
        if size <= min(settings.upload_threshold, backend.limits.largest_put):
            return _put(backend, key, body, metadata, options, settings)
    elif isinstance(body, Scattered):
        size = len(body)
    parts = _parts(body, backend, settings, most if size is None else size)
    drawn = list(islice(parts, 2))
    if len(drawn) < 2:
        return _put(backend, key, contiguous(drawn[0][1]) if drawn else b"", metadata, options, settings)
    is_bounded = threads is None and not _goes_from_its_place(body, backend)
    room = (_MOST_COPIED if backend.limits.copies_parts else _MOST_GATHERED) if is_bounded else None
    runs = _runs(_resumed(drawn, parts), count, room)
    with settings.progress.transfer("upload", key, size):
        return _upload_parts(backend, key, runs, metadata, options)


def begin_upload(
    backend: Backend,
    key: str,
    body: BytesLike | Scattered | Iterable[BytesLike],
    metadata: Mapping[str, str],
    options: WriteOptions,
) -> Begun[Receipt] | None:
    """Send a small object, whose receipt comes later; None where that is not served (`Backend.begin_put`)."""
    if isinstance(body, Scattered):
        body = body.gather()
    elif not isinstance(body, (bytes, bytearray, memoryview)):
        body = b"".join(body)
    begun = backend.begin_put(key, body, metadata, options)
    count = progress.current()
    if begun is None or count is None:
        return begun

    def counted(receipt: Receipt) -> Receipt:
        count.add(len(body))
        return receipt

    return begun.then(counted)


def _put(
    backend: Backend,
    key: str,
    body: BytesLike,
    metadata: Mapping[str, str],
    options: WriteOptions,
    settings: TransferSettings,
) -> Receipt:
    if len(body) < progress.LEAST and progress.current() is None:  # nobody counts so few
        return backend.put(key, body, metadata, options)
    with settings.progress.transfer("upload", key, len(body)), progress.sending(len(body)):
        return backend.put(key, body, metadata, options)


def _resumed(drawn: list[Part], parts: Iterator[Part]) -> Iterator[Part]:
    """The parts that were drawn, and the others; none is held longer than it takes to send it."""
    while drawn:
        yield drawn.pop(0)
    yield from parts


def _goes_from_its_place(body: object, backend: Backend) -> bool:
    """Whether a body takes no memory of its own on its way, however large its parts are."""
    return isinstance(body, memoryview) and not backend.limits.copies_parts


def _runs(parts: Iterator[Part], threads: int, room: int | None) -> Iterator[tuple[int, Iterator[Part]]]:
    """The parts in runs, and how many of each are sent at a time: where memory has room for so many bytes, fewer.

    A run is to be drawn to its end before the next one.
    """

    def at_a_time(part: Part) -> int:
        return threads if room is None else partsizes.at_a_time(threads, len(part[1]), room)

    def run(count: int) -> Iterator[Part]:
        while following and at_a_time(following[0]) >= count:
            yield following.pop()
            following.extend(islice(parts, 1))

    following = list(islice(parts, 1))
    while following:
        count = at_a_time(following[0])
        yield count, run(count)


def _upload_parts(
    backend: Backend,
    key: str,
    runs: Iterator[tuple[int, Iterator[Part]]],
    metadata: Mapping[str, str],
    options: WriteOptions,
) -> Receipt:
    buffers = BufferPool()
    sending = backend.start_upload(key, metadata, options)
    try:
        for threads, parts in runs:
            for_each(
                lambda part: _send_part(sending, buffers, *part), parts, threads if backend.limits.parallel_parts else 1
            )
        return sending.complete()
    except BaseException:  # Ctrl-C as well
        give_up(sending, backend.describe(key))
        raise


def _send_part(
    upload: MultipartUpload, buffers: BufferPool, number: int, body: BytesLike | Scattered, start: int
) -> None:
    with progress.sending(len(body)):
        upload.send_part(number, contiguous(body, buffers), start)


def _parts(
    body: memoryview | Scattered | Iterable[BytesLike | Late],
    backend: Backend,
    settings: TransferSettings,
    most: int | None,
) -> Iterator[Part]:
    limits = backend.limits
    if not isinstance(body, (memoryview, Scattered)):
        return _gather_all(iter(body), stream_part_sizes(settings, limits, most), most)
    wanted = settings.upload_part if _goes_from_its_place(body, backend) else stream_part(settings)
    step = partsizes.part_size(len(body), wanted, limits)
    return _placed(body[start:stop] for start, stop in partsizes.spans(len(body), step))


def _placed(bodies: Iterable[BytesLike | Scattered]) -> Iterator[Part]:
    """Parts in their order, with what is to be known of each."""
    number = start = 0
    for body in bodies:
        number, size = number + 1, len(body)
        yield number, body, start
        del body  # its sender may be done with it: its memory takes the next one
        start += size


def stream_part(settings: TransferSettings) -> int:
    """Bytes of a part of what comes in pieces, as long as parts need not grow."""
    return min(settings.upload_part, _STREAM_PART)


def stream_part_sizes(settings: TransferSettings, limits: TransferLimits, most: int | None) -> Iterator[int]:
    """Sizes of the parts of what comes in pieces, as a file does; without end.

    They hold ``most`` bytes, or the largest object.
    """
    return partsizes.growing_part_sizes(stream_part(settings), limits, most)


def _gather_all(pieces: Iterator[BytesLike | Late], sizes: Iterator[int], most: int | None) -> Iterator[Part]:
    """The parts; the first one comes last where its beginning is not known before."""
    head = next(pieces, b"")
    if not isinstance(head, Late):
        yield from _placed(_gather(chain((head,), cast("Iterator[BytesLike]", pieces)), sizes, most))
        return
    gathered = _placed(_gather(chain((bytearray(head.size),), cast("Iterator[BytesLike]", pieces)), sizes, most))
    number, first, start = next(gathered)
    yield from gathered
    if head.value is None or len(head.value) != head.size:
        raise ValueError("an encoder has not told the beginning of its body")
    memoryview(cast("BytesLike", first))[: head.size] = head.value
    yield number, first, start


def _gather(pieces: Iterable[BytesLike], sizes: Iterator[int], most: int | None) -> Iterator[BytesLike]:
    """Pieces of any size as parts of the given sizes; the last one is what is left.

    Where no more than ``most`` bytes are thought to come, no more memory is taken at first.
    """
    buffers, size = BufferPool(), next(sizes)
    part, filled = memoryview(b""), 0
    for piece in pieces:
        rest = memoryview(piece).cast("B")
        while rest:
            if not filled and len(rest) == size:
                yield rest  # as it is: a copy saved
                size = next(sizes)
                break
            if not filled:
                part = buffers.take(size if most is None else min(size, most))
            taken, rest = rest[: size - filled], rest[size - filled :]
            if filled + len(taken) > len(part):
                larger = buffers.take(size)
                larger[:filled], part = part[:filled], larger
            part[filled : filled + len(taken)] = taken
            filled += len(taken)
            if filled == size:
                yield part
                part, filled, size = memoryview(b""), 0, next(sizes)
    if filled:
        yield part[:filled]
