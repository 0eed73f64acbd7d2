"""Signatures of version 4, with the key of the day kept.

Source: https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
"""

from __future__ import annotations

import hashlib
import hmac
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from operator import itemgetter
from typing import Any

from cottoncandy.backends.s3.lean.operations import Unserved

UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD"
EMPTY_PAYLOAD = hashlib.sha256(b"").hexdigest()


#: Copies of it cost half of new ones: OpenSSL looks each new one up.
_SHA256 = hashlib.sha256()
#: What HMAC adds to each byte of its key (RFC 2104), and the length of SHA-256's blocks.
_INNER, _OUTER = (bytes(byte ^ pad for byte in range(256)) for pad in (0x36, 0x5C))
_BLOCK = 64
#: Blanks that are not signed as they are: several, or those around a value.
_BLANKS = re.compile(r"[^\S\n]\s|:[^\S\n]")


class Signer:
    """Signs requests with the credentials of a botocore client.

    They are asked for anew for each request, so that rotated ones are used at once. The repr shows none.
    """

    def __init__(self, credentials: Any) -> None:
        self._credentials = credentials
        self._kept: _Signing | None = None
        self._second = (0, "")  # the last one, as a number and as text

    def sign(self, method: str, path: str, query: str, region: str, payload: str, headers: Mapping[str, str]) -> str:
        """The lines of a request's headers, signed: those given, and those that a signature adds.

        Parameters
        ----------
        method : str
        path, query : str
            As they go over the wire: percent-encoded, the query sorted.
        region : str
        payload : str
            The body's SHA-256 in hex, or `UNSIGNED_PAYLOAD`.
        headers : Mapping
            All that is to be signed, ``host`` among them.
        """
        now, keys = self._now(), self._credentials.get_frozen_credentials()
        kept = self._kept
        same_keys = kept is not None and (kept.keys is keys or kept.keys == keys)  # most often one object
        if kept is None or not same_keys or kept.region != region or kept.day != now[:8]:
            kept = self._kept = _signing(keys, now[:8], region)
        headers = {**headers, "x-amz-content-sha256": payload, "x-amz-date": now}
        if keys.token:
            headers["x-amz-security-token"] = keys.token
        form, values = form_of(tuple(headers)), tuple(headers.values())
        request = _SHA256.copy()
        request.update(f"{method}\n{path}\n{query}\n{form.canonical(values)}\n{form.names}\n{payload}".encode())
        signature = kept.sign(f"AWS4-HMAC-SHA256\n{now}\n{kept.scope}\n{request.hexdigest()}".encode())
        authorization = f"Authorization: {kept.beginning}, SignedHeaders={form.names}, Signature={signature}\r\n"
        return form.lines % values + authorization

    def _now(self) -> str:
        """The time, as ``20261122T193306Z``."""
        second = int(time.time())
        kept, text = self._second
        if kept != second:
            text = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(second))
            self._second = (second, text)
        return text


@dataclass(frozen=True, slots=True)
class _Signing:
    """What is the same for all requests of a day, a region and a pair of keys. The repr shows none.

    Attributes
    ----------
    keys
        botocore's frozen credentials.
    day, region : str
    scope : str
        What the signature is good for.
    beginning : str
        Of the header Authorization.
    inner, outer
        The two halves of an HMAC (RFC 2104) that hold the key.
    """

    keys: Any = field(repr=False)
    day: str
    region: str
    scope: str
    beginning: str = field(repr=False)
    inner: Any = field(repr=False)
    outer: Any = field(repr=False)

    def sign(self, text: bytes) -> str:
        """The HMAC of a text."""
        inner, outer = self.inner.copy(), self.outer.copy()
        inner.update(text)
        outer.update(inner.digest())
        return str(outer.hexdigest())


def _signing(keys: Any, day: str, region: str) -> _Signing:
    shown = f"{keys.access_key}{keys.token or ''}"
    if not (shown.isascii() and shown.isprintable()):
        raise Unserved("no header can hold these keys")  # botocore says so in its own words
    scope = f"{day}/{region}/s3/aws4_request"
    beginning = f"AWS4-HMAC-SHA256 Credential={keys.access_key}/{scope}"
    return _Signing(keys, day, region, scope, beginning, *_halves(_signing_key(keys.secret_key, day, region)))


def _signing_key(secret: str, day: str, region: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in (day, region, "s3", "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def _halves(key: bytes) -> tuple[Any, Any]:
    padded = key.ljust(_BLOCK, b"\0")
    return hashlib.sha256(padded.translate(_INNER)), hashlib.sha256(padded.translate(_OUTER))


@dataclass(frozen=True, slots=True)
class Form:
    """What headers of certain names, in a certain order, look like.

    Attributes
    ----------
    lines : str
        A template of the lines of a request.
    names : str
        The names as a signature tells them.
    """

    lines: str
    names: str
    _signed: str
    _sorted: Callable[[tuple[str, ...]], tuple[str, ...]]

    def canonical(self, values: tuple[str, ...]) -> str:
        """The headers as they are signed: a line for each, sorted, runs of blanks made one."""
        text = self._signed % self._sorted(values)
        if (" " in text or "\t" in text) and _BLANKS.search(text):
            text = self._signed % tuple(" ".join(value.split()) for value in self._sorted(values))
        return text


# requests that are sent often have few different forms, but users name their metadata as they like
@lru_cache(maxsize=256)
def form_of(names: tuple[str, ...]) -> Form:
    """The form of headers of these names, of which there are two at least."""
    lower = [name.lower() for name in names]
    order = sorted(range(len(names)), key=lower.__getitem__)
    escaped = [name.replace("%", "%%") for name in names]
    return Form(
        lines="".join([f"{name}: %s\r\n" for name in escaped]),
        names=";".join([lower[i] for i in order]),
        _signed="".join([f"{escaped[i].lower()}:%s\n" for i in order]),
        _sorted=itemgetter(*order),
    )
