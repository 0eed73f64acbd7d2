"""Reading: one GET, its body straight into the caller's memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from botocore.exceptions import ClientError

from cottoncandy.backends.base import MIB, ObjectHead, ObjectReader
from cottoncandy.backends.s3.bucket import Bucket, Response, held, object_head, quoted
from cottoncandy.backends.s3.foreign import extent
from cottoncandy.backends.s3.lean.bodies import ResponseBody
from cottoncandy.backends.s3.refusals import status_of
from cottoncandy.errors import ServiceError, TransientError
from cottoncandy.pipelines import Begun

if TYPE_CHECKING:
    import http.client

    import urllib3
    from botocore.response import StreamingBody

#: Bytes that are read at once: where a connection breaks, no more than these are read again.
_BLOCK = 1 * MIB
#: Bytes that are read by botocore's ways at a time, at first. What came of them before a connection broke is lost: with
#: 256 KiB, a line that breaks each 150 KB would never move on.
_PIECE = 64 * 1024


def begin_open(bucket: Bucket, key: str, stop: int, e_tag: str | None) -> Begun[ObjectReader] | None:
    """Ask for the first bytes of an object; the answer is read later. None where that is not served."""

    def opened(response: Response) -> ObjectReader:
        return open_object(bucket, key, 0, stop, e_tag, response)

    begun: Begun[Response] | None = bucket.data.begin_get_object(
        Bucket=bucket.name, Key=key, Range=f"bytes=0-{stop - 1}", **held(e_tag), **bucket.reading
    )
    return None if begun is None else begun.then(opened)


def open_object(
    bucket: Bucket, key: str, start: int, stop: int | None, e_tag: str | None, response: Response | None = None
) -> S3Reader:
    """Ask for bytes ``start <= i < stop`` of an object, unless the answer is there already."""
    if stop is not None and stop <= start:
        return _nothing(bucket, key, start, e_tag)  # HTTP has no empty range
    response = response or _get(bucket, key, start, stop, e_tag)
    if response is None:
        return _nothing(bucket, key, start, e_tag)
    body = response["Body"]
    if not isinstance(body, ResponseBody):
        body = _source(body, response.get("ContentLength"))
    try:
        if key.endswith("/"):
            bucket.refuse_directory(key, response)
        if e_tag:
            bucket.require_version(key, response, e_tag)
        return _reader(bucket, key, response, body, start, stop)
    except BaseException:
        body.close()
        raise


def _get(bucket: Bucket, key: str, start: int, stop: int | None, e_tag: str | None) -> Response | None:
    """The answer; None where the range lies behind the end."""
    wanted: dict[str, Any] = {**held(e_tag)}
    if start or stop is not None:
        wanted["Range"] = f"bytes={start}-{'' if stop is None else stop - 1}"
    try:
        response: Response = bucket.connection.data.get_object(Bucket=bucket.name, Key=key, **wanted, **bucket.reading)
    except Exception as error:
        if isinstance(error, ClientError) and status_of(error) == 416:
            return None
        bucket.let_out(error, key)
        raise
    return response


def _nothing(bucket: Bucket, key: str, start: int, e_tag: str | None) -> S3Reader:
    response = bucket.head(key, e_tag)
    head = object_head(key, response, response["ContentLength"])
    position = min(start, head.size)
    return S3Reader(bucket, head, position, position, None)


def _reader(bucket: Bucket, key: str, response: Response, body: _Source, start: int, stop: int | None) -> S3Reader:
    content_range, length = response.get("ContentRange"), response.get("ContentLength")
    # some servers answer a range with the whole object; whether these fit was looked at where one can ask again
    first, size = extent(content_range, length) if content_range else (0, length)
    if content_range and first != start:
        raise ServiceError(f"{bucket.describe(key)}: S3 sent another range than was asked for")
    if size is None:
        size = bucket.head(key, quoted(response.get("ETag")))["ContentLength"]
    head = object_head(key, response, size)
    start = min(start, size)
    stop = size if stop is None else min(stop, size)
    reader = S3Reader(bucket, head, start, stop, body, brings_all=not content_range)
    if start != first:
        reader.skip(start - first)
    return reader


class _Source(Protocol):
    def readinto(self, buffer: memoryview) -> int: ...
    def close(self) -> None: ...


class S3Reader(ObjectReader):
    """The answer to one GET."""

    def __init__(
        self,
        bucket: Bucket,
        head: ObjectHead,
        start: int,
        stop: int,
        body: _Source | None,
        *,
        brings_all: bool = False,
    ) -> None:
        self.head = head
        self.start = start
        self.stop = stop
        self._bucket = bucket
        self._position = start
        self._body = body
        self._brings_all = brings_all

    def extend(self) -> bool:
        if self._brings_all:
            self.stop = self.head.size
        return self._brings_all

    def readinto(self, buffer: memoryview) -> int:
        """Fill (a part of) the buffer; 0 at ``stop``."""
        wanted = buffer[: min(self.stop - self._position, _BLOCK)]
        if not len(wanted) or self._body is None:
            return 0
        count = self._read(wanted, self._body)
        self._position += count
        return count

    def take(self, view: memoryview) -> bool:
        """Fill the view with all that is left, where the answer's body came with its head."""
        if type(self._body) is not ResponseBody or self.stop - self._position != len(view) or not self._body.take(view):
            return False
        self._position, self._body = self.stop, None
        return True

    def skip(self, count: int) -> None:
        """Throw away what the server sent before ``start``."""
        scratch = memoryview(bytearray(min(count, _BLOCK)))
        while count and self._body is not None:
            count -= self._read(scratch[:count], self._body)

    def _read(self, wanted: memoryview, body: _Source) -> int:
        try:
            count = body.readinto(wanted)
        except Exception as error:
            self._bucket.let_out(error, self.head.key)
            raise
        if not count:
            where = self._bucket.describe(self.head.key)
            raise TransientError(f"{where}: the answer ended at byte {self._position} of {self.stop}")
        return count

    def close(self) -> None:
        """Give the connection back, or drop it where bytes were left unread."""
        if self._body is not None:
            self._body.close()
            self._body = None


# ---------------------------------------------------------------------- out of botocore's body
def _source(body: Any, length: int | None) -> _Source:
    """The way out of an answer's body that copies least.

    urllib3's own ``readinto`` makes bytes of what it read and copies them. The answer of http.client below it
    reads into the buffer; it may be used where urllib3 neither decodes nor joins chunks. A body that sums up its
    bytes (Amazon's checksums) must see them itself. What is none of botocore's reads into buffers by itself.
    """
    import http.client

    import urllib3
    from botocore.response import StreamingBody

    raw: Any = getattr(body, "_raw_stream", None)
    answer: Any = getattr(raw, "_fp", None)
    plain = isinstance(answer, http.client.HTTPResponse) and not answer.chunked and answer.length is not None
    if plain and type(body) is StreamingBody and isinstance(raw, urllib3.HTTPResponse):
        return _Direct(raw, answer)
    source: _Source = _ByBlocks(body, length) if isinstance(body, StreamingBody) else body
    return source


class _Direct:
    """The body of a plain answer, under urllib3."""

    def __init__(self, raw: urllib3.HTTPResponse, answer: http.client.HTTPResponse) -> None:
        self._raw = raw
        self._answer = answer
        self._piece = _PIECE
        self._failure: Exception | None = None

    def readinto(self, buffer: memoryview) -> int:
        count = arrived = 0
        while count < len(buffer) and self._failure is None:
            try:
                arrived = self._answer.readinto(buffer[count : count + self._piece])
            except Exception as error:  # noqa: BLE001 - raised below, when what came before it was given
                self._failure, arrived = error, 0
            if not arrived:
                break
            count += arrived
            self._piece = min(2 * self._piece, _BLOCK)  # a line that has held so far
        if self._failure is not None and not count:
            raise self._failure
        return count

    def close(self) -> None:
        if not self._answer.isclosed():
            self._raw.close()  # bytes are left: the connection cannot be used again
        self._raw.release_conn()


class _ByBlocks:
    """Any body of botocore's: by small blocks, so that no copy of all is made."""

    def __init__(self, body: StreamingBody, length: int | None) -> None:
        self._body = body
        self._left = length

    def readinto(self, buffer: memoryview) -> int:
        block = self._body.read(min(len(buffer), _PIECE))
        buffer[: len(block)] = block
        if self._left is not None:
            self._left -= len(block)
            if not self._left:
                self._body.read(1)  # botocore compares checksums when it sees the end
        return len(block)

    def close(self) -> None:
        self._body.close()
