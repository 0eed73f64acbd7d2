"""The operations that the library itself sends most, described as botocore's model describes them.

Of arguments and answers only those are here that it uses: calls that ask for more get botocore's own model, which takes
a third of a second to load. `tests/test_lean_plain.py` holds every line against it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Shape:
    """A value: botocore's ``Shape``, as far as it is read here."""

    type_name: str
    serialization: Mapping[str, Any] = field(default_factory=dict)
    members: Mapping[str, Shape] = field(default_factory=dict)
    member: Shape | None = None


@dataclass(frozen=True, slots=True)
class PlainOperation:
    """An operation: botocore's ``OperationModel``, as far as it is read here."""

    name: str
    http: Mapping[str, str]
    input_shape: Shape
    output_shape: Shape
    has_streaming_output: bool = False


def _located(location: str, names: Mapping[str, str], types: Mapping[str, str]) -> dict[str, Shape]:
    return {
        name: Shape(types.get(name, "string"), {"location": location, "name": on_wire})
        for name, on_wire in names.items()
    }


_TYPES = {
    "ContentLength": "long",
    "DeleteMarker": "boolean",
    "Expires": "timestamp",
    "FetchOwner": "boolean",
    "LastModified": "timestamp",
    "MaxKeys": "integer",
    "MissingMeta": "integer",
    "PartNumber": "integer",
}
_HEADERS = _located(
    "header",
    {
        "ACL": "x-amz-acl",
        "AcceptRanges": "accept-ranges",
        "BucketRegion": "x-amz-bucket-region",
        "CacheControl": "Cache-Control",
        "ContentDisposition": "Content-Disposition",
        "ContentEncoding": "Content-Encoding",
        "ContentLanguage": "Content-Language",
        "ContentLength": "Content-Length",
        "ContentRange": "Content-Range",
        "ContentType": "Content-Type",
        "CopySource": "x-amz-copy-source",
        "CopySourceIfMatch": "x-amz-copy-source-if-match",
        "CopySourceVersionId": "x-amz-copy-source-version-id",
        "DeleteMarker": "x-amz-delete-marker",
        "ETag": "ETag",
        "Expiration": "x-amz-expiration",
        "Expires": "Expires",
        "IfMatch": "If-Match",
        "IfNoneMatch": "If-None-Match",
        "LastModified": "Last-Modified",
        "MetadataDirective": "x-amz-metadata-directive",
        "MissingMeta": "x-amz-missing-meta",
        "Range": "Range",
        "RequestCharged": "x-amz-request-charged",
        "RequestPayer": "x-amz-request-payer",
        "ServerSideEncryption": "x-amz-server-side-encryption",
        "StorageClass": "x-amz-storage-class",
        "VersionId": "x-amz-version-id",
    },
    _TYPES,
)
_QUERY = _located(
    "querystring",
    {
        "ContinuationToken": "continuation-token",
        "Delimiter": "delimiter",
        "EncodingType": "encoding-type",
        "MaxKeys": "max-keys",
        "PartNumber": "partNumber",
        "Prefix": "prefix",
        "StartAfter": "start-after",
        "UploadId": "uploadId",
    },
    _TYPES,
)
_BUCKET = {"Bucket": Shape("string", {"location": "uri", "name": "Bucket"})}
_KEY = {**_BUCKET, "Key": Shape("string", {"location": "uri", "name": "Key"})}
_METADATA = {"Metadata": Shape("map", {"location": "headers", "name": "x-amz-meta-"})}
_BODY = {"Body": Shape("blob")}


def _headers(names: str) -> dict[str, Shape]:
    return {name: _HEADERS[name] for name in names.split()}


def _query(names: str) -> dict[str, Shape]:
    return {name: _QUERY[name] for name in names.split()}


def _texts(names: str) -> dict[str, Shape]:
    return {name: Shape("string") for name in names.split()}


def _structure(members: Mapping[str, Shape]) -> Shape:
    return Shape("structure", members=members)


def _list(element: str, members: Mapping[str, Shape]) -> Shape:
    return Shape("list", {"flattened": True, "name": element}, member=_structure(members))


_PAID = "RequestPayer"
_DESCRIBES = "CacheControl ContentDisposition ContentEncoding ContentLanguage ContentType StorageClass"
_FOUND = _METADATA | _headers(
    f"AcceptRanges ContentLength ContentRange DeleteMarker ETag Expiration Expires LastModified MissingMeta "
    f"RequestCharged ServerSideEncryption VersionId {_DESCRIBES}"
)
_READ = _KEY | _headers(f"IfMatch IfNoneMatch Range {_PAID}")
_WRITE = _KEY | _METADATA | _headers(f"ACL ServerSideEncryption {_PAID} {_DESCRIBES}")
_WRITTEN = _headers("Expiration RequestCharged ServerSideEncryption VersionId")
_PART = _KEY | _query("UploadId") | _headers(_PAID)
_OBJECT = "/{Bucket}/{Key+}"


def _operation(name: str, method: str, uri: str, inputs: Any, outputs: Any, *, streams: bool = False) -> PlainOperation:
    http = {"method": method, "requestUri": uri}
    return PlainOperation(name, http, _structure(inputs), _structure(outputs), streams)


def knows(operation: str, parameter: str) -> bool:
    """Whether a parameter of an operation is described here."""
    return operation in OPERATIONS and parameter in OPERATIONS[operation].input_shape.members


OPERATIONS: Mapping[str, PlainOperation] = {
    operation.name: operation
    for operation in (
        _operation("GetObject", "GET", _OBJECT, _READ, _BODY | _FOUND, streams=True),
        _operation("HeadObject", "HEAD", _OBJECT, _READ, _FOUND),
        _operation("PutObject", "PUT", _OBJECT, _WRITE | _BODY | _headers("IfNoneMatch"), _WRITTEN | _headers("ETag")),
        _operation(
            "CopyObject",
            "PUT",
            _OBJECT,
            _WRITE | _headers("CopySource CopySourceIfMatch IfNoneMatch MetadataDirective"),
            _WRITTEN | _headers("CopySourceVersionId") | {"CopyObjectResult": _structure(_texts("ETag"))},
        ),
        _operation(
            "DeleteObject",
            "DELETE",
            _OBJECT,
            _KEY | _headers(_PAID),
            _headers("DeleteMarker RequestCharged VersionId"),
        ),
        _operation(
            "DeleteObjects",
            "POST",
            "/{Bucket}?delete",
            _BUCKET | _headers(_PAID) | {"Delete": Shape("structure")},
            _headers("RequestCharged")
            | {
                "Deleted": _list("Deleted", _texts("Key VersionId DeleteMarkerVersionId")),
                "Errors": _list("Error", _texts("Key VersionId Code Message")),
            },
        ),
        _operation(
            "ListObjectsV2",
            "GET",
            "/{Bucket}?list-type=2",
            _BUCKET | _query("ContinuationToken Delimiter EncodingType MaxKeys Prefix StartAfter") | _headers(_PAID),
            _headers("RequestCharged"),
        ),
        _operation("HeadBucket", "HEAD", "/{Bucket}", _BUCKET, _headers("BucketRegion")),
        _operation(
            "CreateMultipartUpload",
            "POST",
            f"{_OBJECT}?uploads",
            _WRITE,
            _headers("RequestCharged ServerSideEncryption VersionId") | _texts("Bucket Key UploadId"),
        ),
        _operation(
            "UploadPart",
            "PUT",
            _OBJECT,
            _PART | _query("PartNumber") | _BODY,
            _headers("ETag RequestCharged ServerSideEncryption VersionId"),
        ),
        _operation(
            "CompleteMultipartUpload",
            "POST",
            _OBJECT,
            _PART | _headers("IfNoneMatch") | {"MultipartUpload": Shape("structure")},
            _WRITTEN | _texts("Location Bucket Key ETag"),
        ),
        _operation("AbortMultipartUpload", "DELETE", _OBJECT, _PART, _headers("RequestCharged VersionId")),
    )
}
