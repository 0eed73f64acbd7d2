"""An encrypted object on its way up in parts."""

from __future__ import annotations

from dataclasses import dataclass

from cottoncandy.backends.base import BytesLike, MultipartUpload, Receipt
from cottoncandy.backends.encrypted.segments import Segments
from cottoncandy.buffers import BufferPool


@dataclass(frozen=True, slots=True)
class _Part:
    start: int
    stop: int
    final: bool


class EncryptedUpload(MultipartUpload):
    """Parts that are encrypted in the threads that send them; each is whole segments.

    A part that is no multiple of a segment, or smaller than the store's parts may be, is the last one, and ends with
    the last segment. If there was none, `complete` sends an empty last segment as a part of its own.

    Parameters
    ----------
    upload : MultipartUpload
        Of the encrypted bytes.
    segments : Segments
    smallest_part : int
        Bytes: what is smaller is the last part.
    where : str
        How errors name the object.
    """

    def __init__(self, upload: MultipartUpload, segments: Segments, smallest_part: int, where: str) -> None:
        self._upload, self._segments, self._smallest, self._where = upload, segments, smallest_part, where
        self._parts: dict[int, _Part] = {}
        self._buffers = BufferPool()

    def send_part(self, number: int, body: BytesLike, start: int | None = None) -> None:
        """Encrypt a part and send it."""
        start = self._end_before(number) if start is None else start
        first, rest = divmod(start, self._segments.layout.size)
        if rest:
            raise ValueError(
                f"{self._where}: part {number} begins at {start}, within a segment: see limits.part_multiple"
            )
        view = memoryview(body)
        final = len(view) < self._smallest or len(view) % self._segments.layout.size > 0
        self._parts[number] = _Part(start, start + len(view), final)
        self._send(number, view, first, final=final)

    def _send(self, number: int, view: memoryview, first: int, *, final: bool) -> None:
        size = self._segments.sealed_size(len(view), final=final)
        sealed = self._buffers.take(size)
        self._segments.seal(view, first, sealed, final=final)
        self._upload.send_part(number, sealed, first * self._segments.layout.stored)

    def _end_before(self, number: int) -> int:
        before = self._parts.get(number - 1)
        if before is None and number > 1:
            raise ValueError(
                f"{self._where}: where part {number} begins must be told, or it be sent after the one before"
            )
        return before.stop if before else 0

    def complete(self) -> Receipt:
        """Send the last segment if no part brought it, and make one object of the parts."""
        numbers, end = sorted(self._parts), 0
        for number in numbers:
            part = self._parts[number]
            if part.start != end or (part.final and number != numbers[-1]):
                raise ValueError(f"{self._where}: part {number} does not fit those beside it: see limits.part_multiple")
            end = part.stop
        if not numbers or not self._parts[numbers[-1]].final:
            self._send(max(numbers, default=0) + 1, memoryview(b""), end // self._segments.layout.size, final=True)
        return self._upload.complete()

    def abort(self) -> None:
        """Throw the parts away."""
        self._upload.abort()
