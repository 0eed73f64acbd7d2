"""An S3 server that says what it is told to say: names that no honest one gives, answers that do not fit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote, unquote

from botocore.config import Config
from recorder import RecordingProxy, Request, Response

import cottoncandy as cc

Answer = Callable[[Request], Response | None]


def page(keys: Iterable[str], token: str | None = None, prefixes: Iterable[str] = (), size: int | str = 1) -> Response:
    """A page of a listing; with a token it says that there are more."""
    entries = "".join(
        f"<Contents><Key>{quote(key)}</Key><LastModified>2026-01-02T03:04:05.000Z</LastModified>"
        f"<ETag>&quot;e&quot;</ETag><Size>{size}</Size></Contents>"
        for key in keys
    )
    entries += "".join(f"<CommonPrefixes><Prefix>{quote(key)}</Prefix></CommonPrefixes>" for key in prefixes)
    more = f"<NextContinuationToken>{token}</NextContinuationToken>" if token else ""
    body = f"<EncodingType>url</EncodingType><IsTruncated>{str(bool(token)).lower()}</IsTruncated>{more}{entries}"
    return Response(200, f"<ListBucketResult>{body}</ListBucketResult>".encode(), {"Content-Type": "application/xml"})


def holding(*names: str) -> Answer:
    """A server that lists these names, in their order, and gives one byte for each object."""

    def answer(request: Request) -> Response:
        if "list-type" in request.query:
            prefix = request.query.get("prefix", "")
            return page(sorted((name for name in names if name.startswith(prefix)), key=str.encode))
        name = unquote(request.path).removeprefix("/bucket/")
        return Response(200, name[-1:].encode(), {"ETag": '"e"'}) if name in {"", "/bucket", *names} else Response(404)

    return answer


@contextmanager
def interface(answer: Answer, **arguments: Any) -> Iterator[tuple[Any, RecordingProxy]]:
    """An interface on such a server, which asks once and does not wait."""
    with RecordingProxy(hook=answer) as proxy:
        keys = {"ACCESS_KEY": "AKID", "SECRET_KEY": "SECRET", "config": Config(retries={"total_max_attempts": 1})}
        cci = cc.get_interface("bucket", endpoint_url=proxy.url, verbose=False, **keys | arguments)
        yield cci, proxy
        cci.backend_interface.close()
