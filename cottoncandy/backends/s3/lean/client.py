"""The lean client: boto3's own methods for what moves data."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from typing import Any

from botocore import parsers
from botocore.awsrequest import HeadersDict
from botocore.handlers import decode_list_object_v2

from cottoncandy.backends.s3.body import Payload
from cottoncandy.backends.s3.lean.checksums import body_checksum
from cottoncandy.backends.s3.lean.exchange import Answer, Exchange, Result
from cottoncandy.backends.s3.lean.listing import ListPage, parse_page, parse_time
from cottoncandy.backends.s3.lean.operations import Unserved
from cottoncandy.backends.s3.lean.wiring import Handler, Wiring
from cottoncandy.retry import RetryPolicy

log = logging.getLogger(__name__)

#: Bytes behind an answer that should have none, which are read to keep its connection.
_LARGEST_REST = 2**14


class LeanClient:
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

    def __init__(
        self,
        client: Any,
        *,
        headers: Mapping[str, str] | None = None,
        known_handlers: Collection[Handler] = (),
        policy: RetryPolicy | None = None,
        lean: bool = True,
    ) -> None:
        self._client = client
        self._exchange: Exchange | None = None
        if not lean:
            return
        try:
            wiring = Wiring(client, known_handlers)
        except Unserved as reason:
            log.debug("all calls go botocore's way: %s", reason)
        else:
            self._exchange = Exchange(client, wiring, headers or {}, policy or RetryPolicy(attempts=wiring.attempts))

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

    # ------------------------------------------------------------------ boto3's methods
    def get_object(self, **arguments: Any) -> dict[str, Any]:
        """boto3's ``get_object``. The ``Body`` has `readinto`, which reads straight into memory."""
        return self._call("GetObject", arguments, self._client.get_object, _object)

    def head_object(self, **arguments: Any) -> dict[str, Any]:
        """boto3's ``head_object``."""
        return self._call("HeadObject", arguments, self._client.head_object, _headers)

    def put_object(self, **arguments: Any) -> dict[str, Any]:
        """boto3's ``put_object``. The ``Body`` may be a memoryview too, and is sent from where it lies."""
        return self._call("PutObject", arguments, self._client.put_object, _headers)

    def upload_part(self, **arguments: Any) -> dict[str, Any]:
        """boto3's ``upload_part``. The ``Body`` may be a memoryview too, and is sent from where it lies."""
        return self._call("UploadPart", arguments, self._client.upload_part, _headers)

    def create_multipart_upload(self, **arguments: Any) -> dict[str, Any]:
        """boto3's ``create_multipart_upload``."""
        return self._call("CreateMultipartUpload", arguments, self._client.create_multipart_upload, _document)

    def complete_multipart_upload(self, **arguments: Any) -> dict[str, Any]:
        """boto3's ``complete_multipart_upload``."""
        return self._call("CompleteMultipartUpload", arguments, self._client.complete_multipart_upload, _document)

    def abort_multipart_upload(self, **arguments: Any) -> dict[str, Any]:
        """boto3's ``abort_multipart_upload``."""
        return self._call("AbortMultipartUpload", arguments, self._client.abort_multipart_upload, _headers)

    def delete_object(self, **arguments: Any) -> dict[str, Any]:
        """boto3's ``delete_object``."""
        return self._call("DeleteObject", arguments, self._client.delete_object, _headers)

    def delete_objects(self, **arguments: Any) -> dict[str, Any]:
        """boto3's ``delete_objects``."""
        return self._call("DeleteObjects", arguments, self._client.delete_objects, _document)

    def list_objects_v2(self, **arguments: Any) -> dict[str, Any]:
        """boto3's ``list_objects_v2``; `list_page` is faster."""
        if "EncodingType" in arguments:
            return self._call("ListObjectsV2", arguments, self._client.list_objects_v2, _document)
        arguments["EncodingType"] = "url"
        return _decoded(self._call("ListObjectsV2", arguments, self._client.list_objects_v2, _document))

    # ------------------------------------------------------------------ beyond boto3
    def list_page(self, **arguments: Any) -> ListPage:
        """What boto3's ``list_objects_v2`` gives, without a dict and a date for each object.

        The arguments are boto3's, but for ``EncodingType``: keys come as they are.

        Raises
        ------
        botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError
        """
        arguments["EncodingType"] = "url"
        return self._call("ListObjectsV2", arguments, self._page_by_botocore, _page)

    def list_page_v1(self, **arguments: Any) -> ListPage:
        """What boto3's ``list_objects`` gives: the first version of lists, always botocore's way."""
        return _page_of(self._client.list_objects(**arguments))

    def _page_by_botocore(self, **arguments: Any) -> ListPage:
        return _page_of(_decoded(self._client.list_objects_v2(**arguments)))

    # ------------------------------------------------------------------ both ways
    def _call(
        self,
        name: str,
        arguments: Mapping[str, Any],
        botocore_way: Callable[..., Result],
        read: Callable[[Answer], Result],
    ) -> Result:
        if self._exchange is not None:
            try:
                return self._exchange.call(name, arguments, read)
            except Unserved as reason:
                log.debug("%s goes botocore's way: %s", name, reason)
        if isinstance(arguments.get("Body"), memoryview):  # which botocore does not take
            arguments = {**arguments, "Body": Payload(arguments["Body"])}
        return botocore_way(**arguments)


# ---------------------------------------------------------------------- what is made of an answer
def _headers(answer: Answer) -> dict[str, Any]:
    """The response of an operation that answers in its headers."""
    if not answer.body.ended:
        with answer.body:
            answer.body.read(_LARGEST_REST)
    return answer.response()


def _object(answer: Answer) -> dict[str, Any]:
    """The response that holds an object, its bytes still to be read."""
    response = answer.response()
    if answer.request.asks_for_checksum:
        answer.body.check = body_checksum(answer.head.headers)
    if answer.body.check is not None:
        response["ResponseMetadata"]["ChecksumAlgorithm"] = answer.body.check.algorithm
    response["Body"] = answer.body
    return response


def _document(answer: Answer) -> dict[str, Any]:
    """The response of an operation that answers in XML."""
    model, head = answer.request.operation.model, answer.head

    def parse(content: bytes) -> dict[str, Any]:
        raw = {"status_code": head.status, "headers": HeadersDict(head.headers), "body": content, "context": {}}
        parsed: dict[str, Any] = parsers.RestXMLParser(timestamp_parser=parse_time).parse(raw, model.output_shape)
        return parsed

    response = answer.document(parse)
    response["ResponseMetadata"]["RetryAttempts"] = answer.failures
    return response


def _page_of(response: dict[str, Any]) -> ListPage:
    """A page of botocore's."""
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
    return answer.document(parse_page)._replace(server=answer.head.headers.get("server", ""))


def _decoded(response: dict[str, Any]) -> dict[str, Any]:
    """A listing with its keys as they are, where the server says that it has encoded them."""
    decode_list_object_v2(response, {"encoding_type_auto_set": True})
    return response
