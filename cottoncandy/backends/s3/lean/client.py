"""The lean client: boto3's own methods for what moves data."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar

from cottoncandy.backends.s3.body import Payload
from cottoncandy.backends.s3.foreign import contradiction
from cottoncandy.backends.s3.lean.checksums import body_checksum
from cottoncandy.backends.s3.lean.documents import read_document
from cottoncandy.backends.s3.lean.exchange import Answer, Exchange, Result
from cottoncandy.backends.s3.lean.operations import Unserved
from cottoncandy.backends.s3.lean.plain import Plainness, PlainWiring, find_keys
from cottoncandy.backends.s3.retrying import Renewal
from cottoncandy.pipelines import Begun
from cottoncandy.retry import RetryPolicy

if TYPE_CHECKING:
    from cottoncandy.backends.s3.lean.listing import ListPage

log = logging.getLogger(__name__)

#: Bytes behind an answer that should have none, which are read to keep its connection.
_LARGEST_REST = 2**14


# ---------------------------------------------------------------------- what is made of an answer
def _headers(answer: Answer) -> dict[str, Any]:
    """The response of an operation that answers in its headers."""
    if not answer.body.ended:
        with answer.body:
            answer.refuse_body(answer.body.read(_LARGEST_REST))
    return answer.response()


def _object(answer: Answer) -> dict[str, Any]:
    """The response that holds an object, its bytes still to be read."""
    response = answer.response()
    if reason := contradiction(response):
        raise answer.unreadable(reason)
    if answer.request.asks_for_checksum:
        answer.body.check = body_checksum(answer.head.headers)
    if answer.body.check is not None:
        response["ResponseMetadata"]["ChecksumAlgorithm"] = answer.body.check.algorithm
    response["Body"] = answer.body
    return response


def _document(answer: Answer) -> dict[str, Any]:
    """The response of an operation that answers in XML."""
    shape = answer.request.operation.output_shape
    return {**answer.document(lambda content: read_document(content, shape)), **answer.response()}


def _copied(answer: Answer) -> dict[str, Any]:
    """The response of CopyObject, whose XML is one of its members."""
    shape = answer.request.operation.output_shape.members["CopyObjectResult"]
    return {"CopyObjectResult": answer.document(lambda content: read_document(content, shape)), **answer.response()}


def _page_of(response: dict[str, Any]) -> ListPage:
    """A page of botocore's."""
    from cottoncandy.backends.s3.lean.listing import ListPage

    entries = response.get("Contents", ())
    return ListPage(
        objects=[
            (entry["Key"], entry.get("Size", 0), _iso(entry.get("LastModified")), entry.get("ETag"))
            for entry in entries
        ],
        prefixes=[entry["Prefix"] for entry in response.get("CommonPrefixes", ())],
        token=response.get("NextContinuationToken"),
        truncated=bool(response.get("IsTruncated")),
        next_marker=response.get("NextMarker"),
        server=response["ResponseMetadata"]["HTTPHeaders"].get("server", ""),
    )


def _iso(date: datetime | None) -> str:
    return date.isoformat() if date else ""


def _page(answer: Answer) -> ListPage:
    from cottoncandy.backends.s3.lean.listing import parse_page

    return answer.document(parse_page)._replace(server=answer.head.headers.get("server", ""))


def _decoded(response: dict[str, Any]) -> dict[str, Any]:
    """A listing with its keys as they are, where the server says that it has encoded them."""
    from botocore.handlers import decode_list_object_v2

    decode_list_object_v2(response, {"encoding_type_auto_set": True})
    return response


# ---------------------------------------------------------------------- clients
def _called(operation: str, method: str, read: Callable[[Answer], Result]) -> Callable[..., Result]:
    """A method of boto3's, and what is made of its answer."""

    def call(client: HotCalls, **arguments: Any) -> Result:
        return client._call(operation, method, arguments, read)  # noqa: SLF001 - it becomes a method

    return call


def _begun(operation: str, read: Callable[[Answer], Result]) -> Callable[..., Begun[Result] | None]:
    """The same, but that the answer is read later."""

    def begin(client: HotCalls, **arguments: Any) -> Begun[Result] | None:
        return client._begin(operation, arguments, read)  # noqa: SLF001 - it becomes a method

    return begin


class HotCalls(ABC):
    """boto3's methods for what moves data, over connections of our own; what these do not serve goes another way."""

    _exchange: Exchange | None

    # ------------------------------------------------------------------ boto3's methods
    # the `Body` of an answer has `readinto`, too; one that is sent may be a memoryview, and is sent from where it lies
    get_object = _called("GetObject", "get_object", _object)
    head_object = _called("HeadObject", "head_object", _headers)
    put_object = _called("PutObject", "put_object", _headers)
    copy_object = _called("CopyObject", "copy_object", _copied)
    upload_part = _called("UploadPart", "upload_part", _headers)
    create_multipart_upload = _called("CreateMultipartUpload", "create_multipart_upload", _document)
    complete_multipart_upload = _called("CompleteMultipartUpload", "complete_multipart_upload", _document)
    abort_multipart_upload = _called("AbortMultipartUpload", "abort_multipart_upload", _headers)
    delete_object = _called("DeleteObject", "delete_object", _headers)
    delete_objects = _called("DeleteObjects", "delete_objects", _document)
    head_bucket = _called("HeadBucket", "head_bucket", _headers)

    def list_page(self, **arguments: Any) -> ListPage:
        """What boto3's ``list_objects_v2`` gives, without a dict and a date for each object.

        The arguments are boto3's, but for ``EncodingType``: keys come as they are.

        Raises
        ------
        botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError
        """
        arguments["EncodingType"] = "url"
        return self._call("ListObjectsV2", "list_page", arguments, _page)

    # ------------------------------------------------------------------ sent now, answered later
    def answers_later(self, of_use: int) -> bool:
        """Whether requests can be begun here, so many at a time."""
        return self._exchange is not None and self._exchange.is_ready(of_use)

    # These are read later, and are not tried again; None where that is not served.
    begin_get_object = _begun("GetObject", _object)
    begin_put_object = _begun("PutObject", _headers)
    begin_copy_object = _begun("CopyObject", _copied)

    def begin_list_page(self, **arguments: Any) -> Begun[ListPage] | None:
        """`list_page`, in the same manner."""
        arguments["EncodingType"] = "url"
        return self._begin("ListObjectsV2", arguments, _page)

    def _begin(self, name: str, arguments: Mapping[str, Any], read: Callable[[Answer], Result]) -> Begun[Result] | None:
        if self._exchange is None:
            return None
        try:
            return self._exchange.begin(name, arguments, read)
        except Unserved:
            return None

    # ------------------------------------------------------------------ which way
    def _call(self, name: str, method: str, arguments: Mapping[str, Any], read: Callable[[Answer], Result]) -> Result:
        if self._exchange is not None:
            try:
                return self._exchange.call(name, arguments, read)
            except Unserved as reason:
                log.debug("%s goes %s: %s", name, self._other_name, reason)
        result: Result = self._other_way(method)(**arguments)
        return result

    #: Of the other way, for the log.
    _other_name: ClassVar[str]

    @abstractmethod
    def _other_way(self, method: str) -> Callable[..., Any]:
        """The method of that name where it is served in any case."""


class LeanClient(HotCalls):
    """A boto3 S3 client whose hot methods are fast; everything else is the client's that it wraps.

    Parameters
    ----------
    client
        A boto3 low-level S3 client. Credentials, endpoint, region, addressing, timeouts, TLS and retries are its own.
    headers : Mapping, optional
        Go with every lean request.
    known_handlers : Collection, optional
        Event handlers on the client that the lean way need not call, as `headers` does their work, or they concern
        botocore alone. Any other that botocore has not registered itself makes a call go botocore's way.
    policy : RetryPolicy, optional
        The client's number of attempts with our back-off by default.
    lean : bool
        False lets all calls go botocore's way.

    Notes
    -----
    Bodies are sent unsigned (``UNSIGNED-PAYLOAD``) unless the client's Config says ``payload_signing_enabled``: over
    TLS they are protected anyway, and over plain HTTP nothing is secret.
    Threads may share a client; after a fork it makes new connections.

    Examples
    --------
    >>> import boto3
    >>> client = LeanClient(boto3.client('s3', region_name='eu-west-1'))
    """

    _other_name = "botocore's way"

    def __init__(
        self,
        client: Any,
        *,
        headers: Mapping[str, str] | None = None,
        known_handlers: Collection[Callable[..., Any]] = (),
        policy: RetryPolicy | None = None,
        renewal: Renewal | None = None,
        lean: bool = True,
    ) -> None:
        self._client = client
        self._exchange: Exchange | None = None
        if not lean:
            return
        from cottoncandy.backends.s3.lean.wiring import Wiring

        try:
            wiring = Wiring(client, known_handlers)
        except Unserved as reason:
            log.debug("all calls go botocore's way: %s", reason)
        else:
            policy = policy or RetryPolicy(attempts=wiring.attempts)
            self._exchange = Exchange(wiring, headers or {}, policy, renewal)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # as when a copy is made of an object that is not yet filled
            raise AttributeError(name)
        return getattr(self._client, name)

    def __repr__(self) -> str:
        return f"<LeanClient of {self._client!r}>"

    def close(self) -> None:
        """Close all connections; the next call opens new ones."""
        if self._exchange is not None:
            self._exchange.close()
        self._client.close()

    # ------------------------------------------------------------------ of lists
    def list_objects_v2(self, **arguments: Any) -> dict[str, Any]:
        """boto3's ``list_objects_v2``; `list_page` is faster."""
        if "EncodingType" in arguments:
            return self._call("ListObjectsV2", "list_objects_v2", arguments, _document)
        arguments["EncodingType"] = "url"
        return _decoded(self._call("ListObjectsV2", "list_objects_v2", arguments, _document))

    def list_page_v1(self, **arguments: Any) -> ListPage:
        """What boto3's ``list_objects`` gives: the first version of lists, always botocore's way."""
        return _page_of(self._client.list_objects(**arguments))

    def _page_by_botocore(self, **arguments: Any) -> ListPage:
        return _page_of(_decoded(self._client.list_objects_v2(**arguments)))

    def _other_way(self, method: str) -> Callable[..., Any]:
        if method == "list_page":
            return self._page_by_botocore
        botocore_way = getattr(self._client, method)
        return lambda **arguments: botocore_way(**_with_payload(arguments))


class PlainClient(HotCalls):
    """The hot methods without botocore, where nothing unusual is configured.

    Parameters
    ----------
    plainness : Plainness
    policy : RetryPolicy
    full : callable
        Gives the `LeanClient` that knows all of botocore's configuration: for what is not served here.
    """

    _other_name = "the way that knows all of botocore's configuration"

    def __init__(self, plainness: Plainness, policy: RetryPolicy, full: Callable[[], LeanClient]) -> None:
        from cottoncandy import __version__

        self._full = full
        wiring = PlainWiring(plainness, f"cottoncandy/{__version__}")
        self._exchange = Exchange(wiring, {}, policy, Renewal(lambda: wiring.credentials, find_keys))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._full(), name)

    def __repr__(self) -> str:
        return "<PlainClient>"

    def close(self) -> None:
        """Close all connections; the next call opens new ones."""
        if self._exchange is not None:
            self._exchange.close()

    def _other_way(self, method: str) -> Callable[..., Any]:
        found: Callable[..., Any] = getattr(self._full(), method)
        return found


def _with_payload(arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments with a body that botocore takes."""
    body = arguments.get("Body")
    return {**arguments, "Body": Payload(body)} if isinstance(body, (bytes, bytearray, memoryview)) else arguments
