"""Checksums of whole bodies, as the client's configuration asks for them: of what is sent, and of what comes.

Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from botocore.exceptions import FlexibleChecksumError

from cottoncandy.backends.s3.lean.operations import Unserved

CHECKSUM_ALGORITHM = "x-amz-sdk-checksum-algorithm"
_CRC32 = "x-amz-checksum-crc32"


def md5_of(body: memoryview) -> str:
    """The value of Content-MD5."""
    return base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()


def add_request_checksum(headers: dict[str, str], body: memoryview, *, by_default: bool) -> None:
    """Add the CRC32 of a body where the caller asks for it, or the configuration does and the caller gives no other.

    botocore sends it behind the body, in a trailer; S3 takes it in a header as well.
    """
    asked = headers.get(CHECKSUM_ALGORITHM, "CRC32" if by_default else None)
    if asked is None or any(name.startswith("x-amz-checksum-") for name in headers):
        return
    if asked.upper() != "CRC32":
        raise Unserved(f"checksum {asked}")
    from cottoncandy.codecs.pieces import deflate

    headers[CHECKSUM_ALGORITHM] = asked
    headers[_CRC32] = base64.b64encode(deflate.crc32(body).to_bytes(4, "big")).decode()


class BodyChecksum:
    """Compares an object's bytes with the checksum that came with them."""

    def __init__(self, algorithm: str, expected: str) -> None:
        self.algorithm = algorithm
        self._expected = expected
        self._digest: Any = _known()[algorithm]()

    def update(self, piece: memoryview) -> None:
        """Take the next piece."""
        self._digest.update(piece)

    def finish(self) -> None:
        """Raise `FlexibleChecksumError` if the bytes are not those that were stored."""
        found = base64.b64encode(self._digest.digest()).decode()
        if found != self._expected:
            raise FlexibleChecksumError(
                error_msg=f"Expected checksum {self._expected} did not match calculated checksum: {found}"
            )


@lru_cache
def _known() -> dict[str, Any]:
    """What the installed botocore can check, what it prefers first. Releases before 1.23 can check nothing."""
    from botocore import httpchecksum

    classes: dict[str, Any] = getattr(httpchecksum, "_CHECKSUM_CLS", {})
    return {name: classes[name] for name in getattr(httpchecksum, "_ALGORITHMS_PRIORITY_LIST", ()) if name in classes}


def body_checksum(headers: Mapping[str, str]) -> BodyChecksum | None:
    """The check for an answer's body; None where it brings no checksum of the whole that can be made here.

    One with a ``-`` is of the checksums of an upload's parts.
    """
    for algorithm in _known():
        expected = headers.get(f"x-amz-checksum-{algorithm}")
        if expected and "-" not in expected:
            return BodyChecksum(algorithm, expected)
    return None
