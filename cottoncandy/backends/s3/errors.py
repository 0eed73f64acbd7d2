"""The one door: errors of botocore, urllib3 and the network become those of `cottoncandy.errors`.

What leaves here names the bucket and the object and says what to do. An error of botocore's that may quote a key
or a header in its text is not chained.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from botocore import exceptions as boto
from botocore.exceptions import BotoCoreError, ClientError

from cottoncandy.backends.s3 import certificates
from cottoncandy.backends.s3.foreign import UNREADABLE
from cottoncandy.backends.s3.refusals import code_of, headers_of, is_of_another_region, message_of, status_of
from cottoncandy.backends.s3.retrying import is_passing
from cottoncandy.backends.s3.settings import is_amazon
from cottoncandy.errors import (
    AccessDenied,
    ChecksumMismatch,
    ConfigurationError,
    ContainerExists,
    ContainerNotEmpty,
    ContainerNotFound,
    CottonCandyError,
    CredentialsNotFound,
    InvalidObjectName,
    NotSupported,
    ObjectChanged,
    ObjectNotFound,
    ServiceError,
    TransientError,
)
from cottoncandy.extras import loaded_kinds

Kind = type[CottonCandyError]


class InvalidBucketName(ConfigurationError):
    """No bucket can have this name."""


_NO_CREDENTIALS = (
    "no credentials were found. Pass ACCESS_KEY and SECRET_KEY; or put them into [login] of the configuration, "
    "into ~/.passwd-s3fs or into AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; or log in with a profile "
    "(AWS_PROFILE, profile_name=). Public data needs none: signature_version='unsigned'"
)
_OTHER_REGION = (
    "the bucket is in another region: name it with region_name=; or the server has another address: check endpoint_url"
)
_BUCKET_NAME = "no bucket can have this name: 3 to 63 lower-case letters, digits, '-' and '.'"
_KEY_NAME = "no object can have this name here: a key has 1 to 1024 bytes of UTF-8"
_METADATA = "(2 KB in all on Amazon): keep it in an object of its own"
_DENIED = "access is denied to these credentials (or there is nothing, and they may not look)"
_BY_PATH = (
    " Or use Config(s3={'addressing_style': 'path'}): this is a host of the bucket's own, which not every server has"
)

_RULES: dict[str, tuple[Kind, str]] = {
    "AccessDenied": (AccessDenied, _DENIED),
    "AuthorizationHeaderMalformed": (ServiceError, _OTHER_REGION),
    "BucketAlreadyExists": (ContainerExists, "the name is taken: choose another"),
    "BucketNotEmpty": (ContainerNotEmpty, "it still holds objects or unfinished uploads: delete them first"),
    "ExpiredToken": (AccessDenied, "the session token has expired: log in again"),
    "IllegalLocationConstraintException": (ServiceError, _OTHER_REGION),
    "ConditionalRequestConflict": (TransientError, "another write or deletion of it was under way: try again"),
    "InvalidAccessKeyId": (AccessDenied, "the store does not know the access key: check it, and the endpoint"),
    "InvalidBucketName": (InvalidBucketName, _BUCKET_NAME),
    "InvalidObjectState": (
        ServiceError,
        "the object is archived, and cannot be read as it is: restore it first (S3's RestoreObject), and wait for that",
    ),
    "InvalidObjectName": (InvalidObjectName, _KEY_NAME),
    "InvalidToken": (AccessDenied, "the session token is not valid: log in again"),
    "KeyTooLongError": (InvalidObjectName, _KEY_NAME),
    "MetadataTooLarge": (
        ConfigurationError,
        f"the metadata is larger than the store takes {_METADATA}",
    ),
    "NoSuchBucket": (ContainerNotFound, "there is no such bucket"),
    "NoSuchKey": (ObjectNotFound, "there is no such object"),
    "NoSuchVersion": (ObjectNotFound, "there is no such version"),
    "NotImplemented": (NotSupported, "the store cannot do that"),
    "PermanentRedirect": (ServiceError, _OTHER_REGION),
    "QuotaExceeded": (ServiceError, "the store takes no more: a quota is used up. Delete something, or ask for more"),
    "RequestTimeTooSkewed": (AccessDenied, "this machine's clock differs from the store's: set it"),
    "SignatureDoesNotMatch": (
        AccessDenied,
        "the secret key does not fit the access key, or the store wants another signature_version or region_name",
    ),
    UNREADABLE: (TransientError, "what the server answers makes no sense, each time it was asked"),
}
#: What a server says about keys and signatures is left out: it may repeat them.
_ABOUT_KEYS = {"AuthorizationHeaderMalformed", "InvalidAccessKeyId", "InvalidToken", "SignatureDoesNotMatch"}
_REDIRECTS = (301, 302, 307, 308)
_BY_STATUS: dict[int, tuple[Kind, str]] = {
    **dict.fromkeys(_REDIRECTS, (ServiceError, _OTHER_REGION)),
    401: (AccessDenied, _DENIED),
    407: (ServiceError, "a proxy between wants a login: name user and password in its address (HTTPS_PROXY)"),
    501: _RULES["NotImplemented"],
}
#: With these a server refuses what is too large, often without a word, as to all HEADs.
_OF_SIZE = {400, 431}
#: Bytes, on Amazon: https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html and UsingMetadata.html
_LONGEST_KEY, _MOST_METADATA = 1024, 2048
#: Bytes, on OpenStack Swift (max_meta_value_length), which says so in its own log only.
_LONGEST_VALUE = 256
_LONG_VALUE = "OpenStack Swift fails so where one value has more than 256, until its max_meta_value_length allows more"

#: Modules and the errors of the network that they raise.
_ELSEWHERE = (
    ("ssl", "SSLError"),
    ("http.client", "HTTPException"),
    ("urllib3.exceptions", "HTTPError"),
    ("botocore.parsers", "ResponseParserError"),
)


def _network() -> tuple[type[BaseException], ...]:
    """Errors of the network, and of the libraries that talk over it."""
    return (ConnectionError, TimeoutError, *loaded_kinds(_ELSEWHERE))


_BROKE = "the connection to {endpoint} broke ({kind})"
#: What never reached a server: the first line that fits says what it becomes.
_FAILURES: tuple[tuple[tuple[type[BaseException], ...], Kind, str], ...] = (
    ((boto.NoCredentialsError,), CredentialsNotFound, _NO_CREDENTIALS),
    (
        (boto.PartialCredentialsError, boto.CredentialRetrievalError, boto.TokenRetrievalError, boto.SSOError),
        CredentialsNotFound,
        "{error}; complete the credentials, or log in again",
    ),
    (
        (
            boto.ConfigNotFound,
            boto.ConfigParseError,
            boto.InvalidConfigError,
            boto.InvalidDNSNameError,
            boto.InvalidProxiesConfigError,
            boto.InvalidRegionError,
            boto.InvalidRetryConfigurationError,
            boto.InvalidS3AddressingStyleError,
            boto.NoRegionError,
            boto.ProfileNotFound,
            boto.UnknownSignatureVersionError,
            boto.UnsupportedSignatureVersionError,
        ),
        ConfigurationError,
        "{error}",
    ),
    ((boto.FlexibleChecksumError,), ChecksumMismatch, "the bytes that arrived are not those that were stored"),
    (
        (boto.EndpointConnectionError, boto.ConnectTimeoutError, boto.ProxyConnectionError),
        TransientError,
        "no connection to {asked}: is the address right, is the server up, does a proxy or a VPN stand between?",
    ),
    (
        (boto.SSLError,),
        TransientError,
        f"{_BROKE}: does it speak TLS there? `cottoncandy doctor` tells more",
    ),
    (
        (boto.HTTPClientError, boto.IncompleteReadError),
        TransientError,
        _BROKE,
    ),
    ((BotoCoreError,), ServiceError, "{error}"),
)


@dataclass(frozen=True, slots=True)
class Place:
    """What an error is about.

    Attributes
    ----------
    name : str
        The bucket or object, in words.
    endpoint : str
    missing : type
        What an answer 404 without a code means.
    precondition : type
        What an answer 412 means.
    key : str or None
        The object's.
    metadata : int
        Bytes of user metadata that were sent.
    """

    name: str
    endpoint: str
    missing: Kind = ObjectNotFound
    precondition: Kind = ObjectChanged
    key: str | None = None
    metadata: int = 0


class Door(AbstractContextManager[None]):
    """Raises every foreign error of its block as one of ours.

    Parameters
    ----------
    place : callable
        Gives the `Place` that the error is about; called when there is one.
    """

    __slots__ = ("_place",)

    def __init__(self, place: Callable[[], Place]) -> None:
        self._place = place

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, *_: object) -> None:
        if error is not None:
            let_out(error, self._place)


def let_out(error: BaseException, place: Callable[[], Place]) -> None:
    """Raise a foreign error as one of ours; give any other back to the caller.

    Parameters
    ----------
    error : BaseException
    place : callable
        Gives the `Place` that the error is about; called when there is one.
    """
    # some of ours are ConnectionErrors too
    if isinstance(error, CottonCandyError) or not isinstance(error, (BotoCoreError, ClientError, *_network())):
        return
    ours, chained = translation(error, place())
    _forget_requests(error)
    try:
        raise ours from (error if chained else None)
    finally:
        if not chained:  # nor is it to be found behind ours: it may hold what the server repeats of the request
            ours.__context__ = None
        del ours  # with its traceback it would be a circle, which keeps the memory that was being filled


def _forget_requests(error: BaseException | None) -> None:
    """Take the requests out of errors: they hold signatures and tokens, and go wherever an error is shown or sent.

    botocore's errors have them, and so do the variables on the way, which some tracebacks show.
    """
    while error is not None:
        if isinstance(error, BotoCoreError):
            state = vars(error)
            state["kwargs"] = {name: value for name, value in error.kwargs.items() if name != "request"}
            if isinstance(error, boto.HTTPClientError):
                state["request"] = None
        traceback.clear_frames(error.__traceback__)  # of those that are done; the lines stay
        error = error.__cause__ or error.__context__


def translation(error: BaseException, place: Place) -> tuple[CottonCandyError, bool]:
    """Our error for a foreign one, and whether the foreign one may be shown as its cause."""
    if isinstance(error, ClientError):
        code, told = code_of(error), _sent_on(error, place) or _deleted(error, place)
        ours = told or refusal(place, code, status_of(error), message_of(error))
        return ours, code not in _ABOUT_KEYS
    if isinstance(error, boto.ParamValidationError):
        return _invalid(error, place), False
    if isinstance(error, boto.HTTPClientError) and isinstance(error.kwargs.get("error"), ValueError):
        # http.client refuses a header and quotes it: it may be the Authorization
        reason = "a key or a header holds a character that cannot be sent, as a line break: copy it again"
        return ConfigurationError(f"{place.name}: {reason}"), False
    return _failure(error, place), True


# ---------------------------------------------------------------------- what a server answered
def _sent_on(error: ClientError, place: Place) -> CottonCandyError | None:
    """The error for a server that sends on to another address, which no signed request follows."""
    address = urlsplit(headers_of(error).get("location", ""))
    if status_of(error) not in _REDIRECTS or is_of_another_region(error) or not address.hostname:
        return None
    where, asked = f"{address.scheme}://{_host(address)}", urlsplit(place.endpoint)
    is_same = address.hostname == asked.hostname
    advice = "use that as endpoint_url" if is_same else "use that as endpoint_url if it is the store's"
    return ServiceError(f"{place.name}: the server sends on to {where}: {advice} ({status_of(error)})")


def _deleted(error: ClientError, place: Place) -> CottonCandyError | None:
    """The error for a version that holds nothing: it says that the object was deleted.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/DeleteMarker.html
    """
    if status_of(error) != 405 or headers_of(error).get("x-amz-delete-marker") != "true":
        return None
    reason = "the object was deleted here, there is nothing to read: take the version before it"
    return ObjectNotFound(f"{place.name}: {reason} ({code_of(error)})")


def _host(address: SplitResult) -> str:
    """Host and port, without the name and password that may stand before them."""
    return address.netloc.rpartition("@")[2]


def refusal(place: Place, code: str, status: int, said: str) -> CottonCandyError:
    """The error for a server's answer, or for what it says of one key among many."""
    kind, reason = _rule(code, status, place)
    if not reason and status in _OF_SIZE:
        kind, reason = _too_large(kind, place)
    elif code == "InternalError" and place.metadata > _LONGEST_VALUE:
        reason += f"; its metadata has {place.metadata} bytes: {_LONG_VALUE}"
    told = f": {said}" if said and code not in _ABOUT_KEYS and not code.isdigit() else ""
    return kind(f"{place.name}: {reason or 'the store refused'} ({code or status}{told})")


def _rule(code: str, status: int, place: Place) -> tuple[Kind, str]:
    if code in _RULES:
        return _RULES[code]
    if code == "PreconditionFailed" or status == 412:
        exists = issubclass(place.precondition, FileExistsError)
        return place.precondition, "it is there already" if exists else "it was replaced in the meantime"
    if code in {"404", "NotFound"}:
        return place.missing, "it does not exist"
    if is_passing(code, status):
        return TransientError, "the store is busy or fails: it was tried several times, try again later"
    if status == 403:  # those that say why do not mean the credentials
        return AccessDenied, _DENIED if not code or code.isdigit() else ""
    return _BY_STATUS.get(status, (ServiceError, ""))


def _too_large(kind: Kind, place: Place) -> tuple[Kind, str]:
    """What a refusal of few words may be for, by what was sent; not refused beforehand, as stores differ."""
    if place.key is not None and len(place.key.encode()) > _LONGEST_KEY:
        return InvalidObjectName, _KEY_NAME
    if place.metadata > _MOST_METADATA:
        has = f"its metadata has {place.metadata} bytes, which may be more than the store takes"
        return kind, f"the store refused; {has} {_METADATA}"
    return kind, ""


# ---------------------------------------------------------------------- what never reached one
def _invalid(error: boto.ParamValidationError, place: Place) -> CottonCandyError:
    report = str(error.kwargs.get("report", ""))
    if report.startswith("Invalid bucket name"):
        return InvalidBucketName(f"{place.name}: {_BUCKET_NAME}")
    if "parameter Key" in report:
        return InvalidObjectName(f"{place.name}: {_KEY_NAME}")
    # without the values: one may be an encryption key
    said = re.sub(r"value: .*?, (?=type: |valid )", "", " ".join(report.split()))
    return ConfigurationError(f"{place.name}: {said}")


def _failure(error: BaseException, place: Place) -> CottonCandyError:
    if (refused := certificates.refused(error)) is not None:
        said = f"the server's certificate is not trusted ({refused.fault})"
        return ServiceError(f"{place.name} at {place.endpoint}: {said}: {refused.advice}")
    rules = ((kind, reason) for kinds, kind, reason in _FAILURES if isinstance(error, kinds))
    kind, reason = next(rules, (TransientError, _BROKE))
    asked, by_path = _asked(error, place.endpoint)
    told = reason.format(error=error, endpoint=place.endpoint, asked=asked, kind=type(error).__name__)
    return kind(f"{place.name}: {told}{by_path}")


def _asked(error: BaseException, endpoint: str) -> tuple[str, str]:
    """The address that was asked, and what to do where it is the bucket's own host, which the endpoint may not have."""
    if not isinstance(error, boto.EndpointConnectionError):
        return endpoint, ""
    address = urlsplit(str(error.kwargs.get("endpoint_url", "")))
    if not address.hostname:
        return endpoint, ""
    is_buckets = address.hostname.endswith(f".{urlsplit(endpoint).hostname}") and not is_amazon(endpoint)
    return f"{address.scheme}://{_host(address)}", _BY_PATH if is_buckets else ""
