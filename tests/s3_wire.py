"""What the tests of the S3 backend share: backends behind a recording proxy, and answers in S3's words."""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from botocore.config import Config
from recorder import Hook, RecordingProxy, Request, Response
from stores import Store

from cottoncandy.backends.s3 import S3Backend
from cottoncandy.config import Options

#: Retries would only slow a test down, unless they are what it is about.
ONCE = {"total_max_attempts": 1}
MD5_OF_X = '"9dd4e461268c8034f5c8564e155c67a6"'


def error(code: str, status: int, message: str = "as told", headers: dict[str, str] | None = None) -> Response:
    """An error as S3 words it."""
    body = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    return Response(status, body.encode(), headers or {})


def ok(body: str = "", **headers: str) -> Response:
    told = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(200, body.encode(), {"x-amz-request-id": "1", **told})


def is_get(request: Request) -> bool:
    return request.method == "GET"


def shown(error: BaseException) -> str:
    """All that a user sees of an error."""
    return "".join(traceback.format_exception(error))


def answer_writes(request: Request) -> Response:
    """A server that takes every write, and has nothing but an object ``there``."""
    if request.method == "HEAD" and request.path.strip("/") in {"", "bucket"}:
        return ok()
    if request.method == "HEAD" and request.path.endswith("/there"):
        return Response(200, b"", {"ETag": MD5_OF_X, "Content-Length": "1"})
    return _ANSWERS.get(operation(request), _ANSWERS.get(request.method, Response(404)))


_ANSWERS = {
    "DELETE": Response(204),
    "GET": ok("<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"),
    "POST delete": ok("<DeleteResult></DeleteResult>"),
    "POST uploads": ok("<InitiateMultipartUploadResult><UploadId>u1</UploadId></InitiateMultipartUploadResult>"),
    "POST uploadId": ok(f"<CompleteMultipartUploadResult><ETag>{MD5_OF_X}</ETag></CompleteMultipartUploadResult>"),
    "PUT": ok(ETag=MD5_OF_X),
    "PUT copy": ok(f"<CopyObjectResult><ETag>{MD5_OF_X}</ETag></CopyObjectResult>"),
}


def connect(endpoint: str | None, container: str | None = "bucket", **changes: Any) -> S3Backend:
    """A backend with keys that every lenient server takes."""
    given: dict[str, Any] = {"access_key": "AKID", "secret_key": "SECRET"} | changes
    arguments = {"container": container, "endpoint_url": endpoint, "options": Options.load(create=False)} | given
    return S3Backend.connect(**arguments)


@contextmanager
def elsewhere(hook: Hook = answer_writes, **changes: Any) -> Iterator[tuple[S3Backend, RecordingProxy]]:
    """A backend on a server that is not Amazon's, and answers as the hook does."""
    with RecordingProxy(hook=hook, keep_bodies=True) as proxy:
        backend = connect(proxy.url, **({"config": Config(retries=ONCE)} | changes))
        yield backend, proxy
        backend.close()


@contextmanager
def amazon(hook: Hook = answer_writes, config: Config | None = None, **changes: Any) -> Iterator[Any]:
    """A backend on Amazon's own endpoint, which a forward proxy stands for: nothing leaves the machine."""
    with RecordingProxy(hook=hook, keep_bodies=True) as proxy:
        ours = Config(proxies={"http": proxy.url}, retries=ONCE)
        backend = connect(None, **({"use_ssl": False, "config": ours.merge(config or Config())} | changes))
        yield backend, proxy
        backend.close()


@contextmanager
def before(store: Store, hook: Hook | None = None, **changes: Any) -> Iterator[tuple[S3Backend, RecordingProxy]]:
    """A backend on the store, with a proxy between that records, and breaks what the hook says."""
    if store.server is None:
        raise ValueError(f"{store.name} is no server")
    ca_bundle = store.server.ca_bundle
    with RecordingProxy(store.server.endpoint, hook=hook, keep_bodies=True, ca_bundle=ca_bundle) as proxy:
        backend = store.backend(endpoint_url=proxy.url, **changes)
        yield backend, proxy
        backend.close()


def nth(number: int, matches: Callable[[Request], bool], verdict: Any) -> Hook:
    """Say the verdict of the n-th request that matches (from 1), None of all others."""
    seen = 0

    def hook(request: Request) -> Any:
        nonlocal seen
        seen += matches(request)
        return verdict if matches(request) and seen == number else None

    return hook


def operation(request: Request) -> str:
    """The method, and what in the query tells operations apart."""
    told = [name for name in ("uploads", "uploadId", "partNumber", "delete", "list-type") if name in request.query]
    copies = ["copy"] if request.headers["x-amz-copy-source"] else []
    return " ".join([request.method, *told, *copies])


def access_key(request: Request) -> str | None:
    """Which key signed a request; None where it is not signed."""
    match = re.search(r"Credential=([^/]+)/", request.headers.get("Authorization", ""))
    return match[1] if match else None


def region(request: Request) -> str | None:
    """For which region a request was signed."""
    match = re.search(r"Credential=[^/]+/\d+/([^/]+)/s3/", request.headers.get("Authorization", ""))
    return match[1] if match else None
