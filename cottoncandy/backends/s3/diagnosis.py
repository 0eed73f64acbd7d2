"""What is wrong with the way to a bucket: the network, the server, the clock, the keys, the bucket. In this order."""

from __future__ import annotations

import http.client
import os
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from urllib.parse import SplitResult, urlsplit
from urllib.request import getproxies, proxy_bypass

from botocore.exceptions import ClientError

from cottoncandy.backends.s3 import certificates
from cottoncandy.backends.s3.bucket import Bucket
from cottoncandy.backends.s3.clients import core_session
from cottoncandy.backends.s3.lean.target import tls_context
from cottoncandy.backends.s3.refusals import code_of, status_of
from cottoncandy.backends.s3.session import Connection
from cottoncandy.backends.s3.settings import UNSIGNED_TEXT
from cottoncandy.errors import ConfigurationError, CottonCandyError
from cottoncandy.findings import FAIL, Finding, fail, ok, warn

# Seconds: a server that takes longer to answer is none to work with.
_PATIENCE = 10.0
# Seconds that a clock may differ: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
_SKEW_REFUSED = 15 * 60
_SKEW_ODD = 60
_SET_CLOCK = "set this machine's clock (`timedatectl set-ntp true`, or chronyd); in a container it is the host's"

#: What OpenSSL says of an answer that is not TLS. Of all else the advice to go without it would send data in the clear.
_NO_TLS = {"WRONG_VERSION_NUMBER", "HTTP_REQUEST"}
_CHECK_TLS = (
    "ask who runs the server: it may know no version or cipher of TLS that this machine accepts, or want a certificate "
    "of the client; or something on the way breaks connections"
)

_CHECK_KEYS = (
    "check both keys where they were found, and whether they are for this endpoint; what the call says comes before "
    "[login] of the configuration, ~/.passwd-s3fs, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and profiles"
)
#: What answers that concern the keys mean, and what to change.
_OF_KEYS = {
    "InvalidAccessKeyId": ("the server does not know the access key", _CHECK_KEYS),
    "SignatureDoesNotMatch": (
        "the secret key does not fit the access key",
        f"{_CHECK_KEYS}. If they are right, the server wants another region (region_name=) or signature_version",
    ),
    "ExpiredToken": ("the session token has expired", "log in again"),
    "InvalidToken": ("the session token is not valid", "log in again"),
    "RequestTimeTooSkewed": ("the keys were not looked at, for the clock is wrong", _SET_CLOCK),
    "AuthorizationHeaderMalformed": (
        "the bucket is in another region",
        "name it: region_name=, --region or AWS_REGION",
    ),
}


# What marks a request as one of S3, and names nobody: OpenStack Swift tells them from its own requests by that.
_OF_NOBODY = "AWSAccessKeyId=none&Expires=1&Signature=none"


@dataclass(frozen=True, slots=True)
class _Answer:
    """What the server said to a request that names nobody."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes
    seconds: float
    skew: float | None

    @property
    def is_s3(self) -> bool:
        s3_body = b"<ListAllMyBucketsResult" in self.body or (b"<Error>" in self.body and b"<Code>" in self.body)
        amazon = "amazons3" in self.headers.get("Server", "").lower()
        return s3_body or amazon or any(name.lower().startswith("x-amz-") for name in self.headers)


def diagnose(bucket: Bucket) -> Iterator[Finding]:
    """Look at the way to the bucket, step by step; the first step that fails is the last."""
    for step in (_endpoint, _credentials, _access):
        for finding in step(bucket):
            yield finding
            if finding.level == FAIL:
                return


# ---------------------------------------------------------------------- endpoint
def _endpoint(bucket: Bucket) -> Iterator[Finding]:
    connection = bucket.connection
    url = urlsplit(connection.address)
    proxy = getproxies().get(url.scheme)
    if proxy and not proxy_bypass(url.hostname or ""):
        advice = f"unset {_proxy_variable(url.scheme)} to look"
        yield warn("endpoint", f"{connection.address} by way of a proxy: not looked at", advice)
        return
    try:
        where = f"{connection.address} ({_resolved(url)})"
    except OSError as error:
        advice = "check endpoint_url for a typing error; is the network there, or a VPN needed?"
        yield fail("endpoint", f"no address is known for the host {url.hostname!r} ({error.strerror})", advice)
        return
    try:
        context = _tls(connection) if url.scheme == "https" else None
    except ConfigurationError as error:
        yield fail("endpoint", str(error), f"name a file of certificates (PEM) there: {certificates.AUTHORITIES}")
        return
    try:
        answer = _ask(url, context, url.path or "/")
        if not answer.is_s3:
            answer = _ask(url, context, f"{url.path or '/'}?{_OF_NOBODY}")
    except (OSError, http.client.HTTPException) as error:
        yield _unreachable(where, url, error)
        return
    yield from _judge(where, answer)


def _proxy_variable(scheme: str) -> str:
    """The variable that names the proxy: where both are set, the one in small letters counts."""
    small = f"{scheme}_proxy"
    return small if os.environ.get(small) else small.upper()


def _resolved(url: SplitResult) -> str:
    found = socket.getaddrinfo(url.hostname, _port(url), type=socket.SOCK_STREAM)
    return ", ".join(sorted({str(address[4][0]) for address in found})[:3])


def _port(url: SplitResult) -> int:
    return url.port or (443 if url.scheme == "https" else 80)


def _ask(url: SplitResult, context: ssl.SSLContext | None, target: str) -> _Answer:
    host, port = url.hostname or "", _port(url)
    opened = (
        http.client.HTTPSConnection(host, port, timeout=_PATIENCE, context=context)
        if context is not None
        else http.client.HTTPConnection(host, port, timeout=_PATIENCE)
    )
    with closing(opened):
        opened.connect()
        began = time.perf_counter()
        opened.request("GET", target)
        response = opened.getresponse()
        body = response.read(4096)
        seconds = time.perf_counter() - began
        return _Answer(response.status, response.headers, body, seconds, _skew(response.headers.get("Date")))


def _tls(connection: Connection) -> ssl.SSLContext:
    """What the requests for data trust, too."""
    verify = connection.settings.arguments.get("verify")
    if verify is None:  # as botocore looks it up
        core = core_session(connection.settings.profile_name)
        verify = core.get_config_variable("ca_bundle") or os.environ.get("REQUESTS_CA_BUNDLE")
    return tls_context(True if verify is None else verify, None, None)


def _skew(date: str | None) -> float | None:
    try:
        return time.time() - parsedate_to_datetime(date or "").timestamp()
    except ValueError:
        return None


def _unreachable(where: str, url: SplitResult, error: Exception) -> Finding:
    if (refused := certificates.refused(error)) is not None:
        return fail("endpoint", f"{where}: its certificate is not trusted ({refused.fault})", refused.advice)
    if isinstance(error, ssl.SSLError) and error.reason in _NO_TLS:
        return fail(
            "endpoint", f"{where}: this port does not speak TLS", "write http:// in endpoint_url, or another port"
        )
    if isinstance(error, ssl.SSLError):
        return fail("endpoint", f"{where}: TLS fails there ({error.reason or error})", _CHECK_TLS)
    if isinstance(error, ConnectionRefusedError):
        advice = "check host and port of endpoint_url; is the server up?"
        return fail("endpoint", f"{where}: nothing listens on port {_port(url)}", advice)
    if isinstance(error, TimeoutError):
        advice = "a firewall may stand between, or a VPN be needed; check host and port of endpoint_url"
        return fail("endpoint", f"{where}: no answer in {_PATIENCE:.0f} s", advice)
    said = f"{where}: the connection broke ({type(error).__name__})"
    advice = "check host and port of endpoint_url"
    return fail("endpoint", said, f"{advice}; {_CHECK_TLS if url.scheme == 'https' else 'is it https://?'}")


def _judge(where: str, answer: _Answer) -> Iterator[Finding]:
    server = answer.headers.get("Server", "")
    named = f", it calls itself {server}" if server.isprintable() and server else ""
    if not answer.is_s3:
        said = f"{where}: something answers (HTTP {answer.status}{named}), and it does not speak S3"
        yield fail(
            "endpoint", said, "endpoint_url is the address of the S3 service itself, not of a console or web page"
        )
        return
    yield ok("endpoint", f"{where} answers in {answer.seconds * 1000:.1f} ms{named}")
    if answer.skew is None:
        yield warn("clock", "the server does not tell the time")
        return
    said = f"{abs(answer.skew):.0f} s {'ahead of' if answer.skew > 0 else 'behind'} the server's"
    if abs(answer.skew) >= _SKEW_REFUSED:
        yield fail("clock", f"{said}: the server refuses what is signed so", _SET_CLOCK)
    elif abs(answer.skew) >= _SKEW_ODD:
        yield warn("clock", f"{said}; from 15 minutes on the server refuses", _SET_CLOCK)
    else:
        yield ok("clock", "as the server's, to a few seconds")


# ---------------------------------------------------------------------- keys and bucket
def _credentials(bucket: Bucket) -> Iterator[Finding]:
    connection = bucket.connection
    if connection.settings.config.get("signature_version") == UNSIGNED_TEXT:
        yield ok("credentials", "none: requests are not signed, as for public data")
        return
    source = connection.credentials_source()
    if source is None:
        advice = (
            "put them into [login] of the configuration, or into AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; or "
            "log in with a profile. Public data needs none: --no-sign-request"
        )
        yield fail("credentials", "none were found", advice)
        return
    yield ok("credentials", f"found in {source}")


def _access(bucket: Bucket) -> Iterator[Finding]:
    if bucket.container is None:
        yield from _account(bucket)
        return
    try:
        refused = _list_one(bucket)
    except CottonCandyError as error:
        yield fail("bucket", str(error))
        return
    if refused is not None:
        yield _refused(bucket, refused)
        return
    yield ok("bucket", f"{bucket.name!r} can be listed ({_style(bucket)})")
    yield from _region(bucket)


def _list_one(bucket: Bucket) -> ClientError | None:
    """What the server has against it. A GET: an answer to HEAD has no body, and so no reason."""
    with bucket.door():
        try:
            bucket.client.list_objects_v2(Bucket=bucket.name, MaxKeys=1)
        except ClientError as error:
            return error
    return None


def _account(bucket: Bucket) -> Iterator[Finding]:
    try:
        count = len(bucket.client.list_buckets().get("Buckets", []))
    except ClientError as error:
        yield _refused(bucket, error)
    else:
        advice = "name one, or set default_bucket in [basic] of the configuration"
        yield fail("bucket", f"none was named; these credentials see {count}", advice)


def _refused(bucket: Bucket, error: ClientError) -> Finding:
    code, status = code_of(error), status_of(error)
    if code in _OF_KEYS:
        said, advice = _OF_KEYS[code]
        return fail("clock" if code == "RequestTimeTooSkewed" else "credentials", f"{said} ({code})", advice)
    path = urlsplit(bucket.connection.address).path.strip("/")
    # some stores are behind a path, and know no such bucket there
    if status == 404 and path and (code != "NoSuchBucket" or path == bucket.container):
        advice = f"take {f'/{path}'!r} out of endpoint_url, where it is a bucket: that is named apart from the endpoint"
        return fail("bucket", f"{bucket.describe()}: the server answered {code or status}", advice)
    if code == "NoSuchBucket" or (status == 404 and code in {"", "404", "NotFound"}):
        advice = f"check the name; {_others(bucket)}. To make it: force_bucket_creation=True, or create_bucket()"
        return fail("bucket", f"there is no bucket {bucket.container!r} ({code or status})", advice)
    if code == "PermanentRedirect" or status in {301, 307}:
        region = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("x-amz-bucket-region")
        advice = f"name it: region_name={region!r}" if region else "name it (region_name=), or check endpoint_url"
        return fail("bucket", f"{bucket.container!r} is in another region", advice)
    if code == "AccessDenied" or status in {401, 403}:
        advice = (
            "the keys may be wrong, or may not list this bucket (s3:ListBucket): ask its owner; public data is read "
            "with --no-sign-request"
        )
        return fail("bucket", f"access to {bucket.container!r} is denied ({code or status})", advice)
    return fail("bucket", f"{bucket.describe()}: the server answered {code or status}")


def _others(bucket: Bucket) -> str:
    try:
        names = [entry["Name"] for entry in bucket.client.list_buckets().get("Buckets", [])]
    except Exception:  # noqa: BLE001 - it is an aside
        return "which there are cannot be listed"
    return f"there are: {', '.join(names[:8])}" if names else "there is none yet"


def _style(bucket: Bucket) -> str:
    config = bucket.client.meta.config
    style = (config.s3 or {}).get("addressing_style") or "auto"
    return f"{'path-style' if style == 'path' else f'addressing style {style}'}, region {config.region_name}"


def _region(bucket: Bucket) -> Iterator[Finding]:
    if not bucket.connection.amazon:
        return
    try:
        answer = bucket.client.head_bucket(Bucket=bucket.name)
    except ClientError:
        return
    there = answer["ResponseMetadata"]["HTTPHeaders"].get("x-amz-bucket-region")
    here = bucket.client.meta.config.region_name
    if there and here and there != here:
        yield warn(
            "region", f"the bucket is in {there}, the client in {here}", f"save a request: region_name={there!r}"
        )
