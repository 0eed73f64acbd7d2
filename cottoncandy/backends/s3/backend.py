"""The S3 backend: the contract, in terms of boto3's low-level client."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from cottoncandy.backends.base import (
    GIB,
    MIB,
    Backend,
    BytesLike,
    ObjectHead,
    ObjectInfo,
    ObjectPrefix,
    ObjectReader,
    ObjectVersion,
    Receipt,
    UnfinishedUpload,
    WriteOptions,
)
from cottoncandy.backends.s3 import containers, reader, writing
from cottoncandy.backends.s3.bucket import Bucket, has_md5, object_head
from cottoncandy.backends.s3.session import Connection, log_boto
from cottoncandy.backends.s3.settings import Settings
from cottoncandy.config import Options
from cottoncandy.errors import NotSupported
from cottoncandy.pipelines import Begun

# What serves neither to open a bucket nor to move one array is imported where it is used: Python's garbage collector
# walks through all that is loaded, again and again, and what runs next finds the processor's caches empty.
if TYPE_CHECKING:
    from cottoncandy.backends.s3.copying import Copy
    from cottoncandy.backends.s3.upload import S3Upload
    from cottoncandy.findings import Finding

#: Bytes that CopyObject takes: https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html
_LARGEST_COPY = 5 * GIB
#: Bytes of a part that is copied: large enough for few requests, small enough to be done before a timeout, and to go
#: through this machine's memory where a server cannot copy it.
_COPY_PART = 64 * MIB


class S3Backend(Backend):
    """A bucket of Amazon S3, or of a server that speaks its protocol.

    Make one with `connect`. Threads share one client; after a fork and on the other side of a pickle it is made
    anew. Keys travel in a pickle only if they were passed by hand.

    Attributes
    ----------
    container : str or None
        The bucket's name.
    largest_copy : int
        Bytes: larger objects are copied in parts.
    """

    name = "s3"
    largest_copy = _LARGEST_COPY
    copy_part = _COPY_PART

    def __init__(self, container: str | None, connection: Connection) -> None:
        self.container = container
        self.limits = connection.settings.limits
        self.retry = connection.settings.retry
        self._bucket = Bucket(connection, container)

    @classmethod
    def default_container(cls, options: Options) -> str | None:
        """The configured ``default_bucket``."""
        return options.text("basic", "default_bucket")

    @classmethod
    def connect(
        cls,
        container: str | None,
        access_key: str | None,
        secret_key: str | None,
        endpoint_url: str | None,
        options: Options,
        **kwargs: Any,
    ) -> S3Backend:
        """Make the backend of a bucket.

        Parameters
        ----------
        container : str or None
        access_key, secret_key : str, optional
            Both or none. Without them the configuration is asked, then boto3's whole standard chain.
        endpoint_url : str, optional
            With its scheme. Without it the configuration is asked, then boto3 (``AWS_ENDPOINT_URL``, profiles).
        options : Options
        **kwargs
            ``region_name``, ``api_version``, ``use_ssl``, ``verify``, ``aws_session_token`` and
            ``config`` (a `botocore.config.Config`, which wins over the configuration) as in boto3's client;
            ``profile_name`` as in its session; ``signature_version`` (``'unsigned'`` reads public data without
            keys) and ``requester_pays`` (bool).

        Raises
        ------
        ConfigurationError
            For an argument that is not known, an endpoint without a scheme, a profile that is not there.
        CredentialsNotFound
            If one key of the pair is missing.
        """
        settings = Settings.gather(access_key, secret_key, endpoint_url, options, kwargs)
        if options.flag("login", "verbose_boto"):
            log_boto()
        connection = Connection(settings, settings.find_credentials(options, container), container)
        _ = connection.data  # a wrong profile or endpoint is told now
        return cls(container, connection)

    def at(self, container: str | None) -> S3Backend:
        """Another bucket by the same client."""
        return type(self)(container, self._bucket.connection)

    @property
    def address(self) -> str:
        """The endpoint and the bucket."""
        return f"{self._bucket.connection.address}/{self.container}"

    # ------------------------------------------------------------------ reading
    def stat(self, key: str) -> ObjectHead:
        """What is known of an object: one HEAD."""
        response = self._bucket.head(key)
        return object_head(key, response, response["ContentLength"])

    def has_md5(self, key: str) -> bool:
        """Not where the server encrypts with a key of its KMS, or of the uploader."""
        return has_md5(self._bucket.head(key))

    def open(self, key: str, start: int = 0, stop: int | None = None, *, e_tag: str | None = None) -> ObjectReader:
        """Begin to read an object: one GET."""
        return reader.open_object(self._bucket, key, start, stop, e_tag)

    def answers_later(self, of_use: int) -> bool:
        """Whether our own connections serve it, and there are enough of them."""
        is_so: bool = self._bucket.data.answers_later(of_use)
        return is_so

    def begin_open(self, key: str, stop: int, *, e_tag: str | None = None) -> Begun[ObjectReader] | None:
        """Send one GET."""
        return reader.begin_open(self._bucket, key, stop, e_tag)

    def begin_names(self, prefix: str) -> Begun[list[str]] | None:
        """Send one LIST."""
        from cottoncandy.backends.s3 import listing

        return listing.begin_names(self._bucket, prefix)

    # ------------------------------------------------------------------ writing
    def begin_put(
        self, key: str, body: BytesLike, metadata: Mapping[str, str], options: WriteOptions = WriteOptions()
    ) -> Begun[Receipt] | None:
        """Send one PUT."""
        return writing.begin_put(self._bucket, key, body, metadata, options)

    def begin_copy(
        self,
        source_key: str,
        key: str,
        size: int,
        options: WriteOptions = WriteOptions(),
        *,
        source_container: str | None = None,
    ) -> Begun[Receipt] | None:
        """Send one COPY."""
        return self._copy(source_container, source_key, key, options).begin(size)

    def put(
        self, key: str, body: BytesLike, metadata: Mapping[str, str], options: WriteOptions = WriteOptions()
    ) -> Receipt:
        """Write a whole object with one PUT."""
        return writing.put_object(self._bucket, key, body, metadata, options)

    def refuse_unknown(self, extra: Mapping[str, Any]) -> None:
        """Refuse what the installed boto3 does not know: later ones know more."""
        writing.refuse_unknown(self._bucket, extra)

    def start_upload(self, key: str, metadata: Mapping[str, str], options: WriteOptions = WriteOptions()) -> S3Upload:
        """Begin a multipart upload."""
        from cottoncandy.backends.s3 import upload

        writing.refuse_directory_name(self._bucket, key)
        return upload.start_upload(self._bucket, key, metadata, options)

    def copy(
        self,
        source_key: str,
        key: str,
        *,
        source_container: str | None = None,
        options: WriteOptions = WriteOptions(),
        metadata: Mapping[str, str] | None = None,
        e_tag: str | None = None,
        size: int | None = None,
    ) -> Receipt:
        """Copy an object inside the store. Onto itself it is left as it is, but for other metadata."""
        return self._copy(source_container, source_key, key, options).make(metadata, e_tag, size)

    def _copy(
        self, container: str | None, source_key: str, key: str, options: WriteOptions, version_id: str | None = None
    ) -> Copy:
        from cottoncandy.backends.s3.copying import Copy, Sizes

        source = Bucket(self._bucket.connection, container or self.container, version_id)
        sizes = Sizes(self.largest_copy, self.copy_part, self.limits.most_parts)
        return Copy(source, source_key, self._bucket, key, options, sizes)

    def delete(self, keys: Iterable[str], *, trash: bool = False) -> int:
        """Delete objects, up to 1,000 with one request."""
        from cottoncandy.backends.s3 import deleting

        return deleting.delete_objects(self._bucket, keys)

    # ------------------------------------------------------------------ listing
    def list_objects(self, prefix: str = "", *, page_size: int | None = None) -> Iterator[ObjectInfo]:
        """All objects whose key starts with ``prefix``."""
        from cottoncandy.backends.s3 import listing

        return listing.list_objects(self._bucket, prefix, page_size)

    def list_level(self, prefix: str = "", *, page_size: int | None = None) -> Iterator[ObjectInfo | ObjectPrefix]:
        """The objects and prefixes of one level."""
        from cottoncandy.backends.s3 import listing

        return listing.list_level(self._bucket, prefix, page_size)

    def list_names(self, prefix: str = "", *, page_size: int | None = None) -> Iterator[str]:
        """Their keys, without all that a listing tells besides."""
        from cottoncandy.backends.s3 import listing

        return listing.list_names(self._bucket, prefix, page_size)

    def level_names(self, prefix: str = "", *, page_size: int | None = None) -> Iterator[str]:
        """Those of one level."""
        from cottoncandy.backends.s3 import listing

        return listing.level_names(self._bucket, prefix, page_size)

    def unfinished_uploads(self, prefix: str = "") -> Iterator[UnfinishedUpload]:
        """Multipart uploads that were begun and neither completed nor aborted: their parts cost money."""
        from cottoncandy.backends.s3 import upload

        return upload.unfinished_uploads(self._bucket, prefix)

    # ------------------------------------------------------------------ buckets
    def list_containers(self) -> list[str]:
        """The names of all buckets of these credentials, sorted."""
        return containers.list_buckets(self._bucket)

    def container_exists(self, container: str) -> bool:
        """Whether there is such a bucket."""
        return containers.bucket_exists(self._at(container))

    def create_container(self, container: str, *, acl: str | None = None) -> Receipt:
        """Make a bucket, in the region of the client."""
        return containers.create_bucket(self._at(container), acl)

    def remove_container(self, container: str) -> Receipt:
        """Remove an empty bucket."""
        return containers.remove_bucket(self._at(container))

    def _at(self, container: str) -> Bucket:
        return Bucket(self._bucket.connection, container)

    # ------------------------------------------------------------------ versions
    def list_versions(self, key: str) -> list[ObjectVersion]:
        """The versions of an object; the one that there is, where the bucket keeps none."""
        from cottoncandy.backends.s3 import versions

        return versions.list_versions(self._bucket, key)

    def at_version(self, version_id: str) -> S3Backend:
        """The same bucket by the same client, read at one version."""
        return S3Version(self.container, self._bucket.connection, version_id)

    def restore_version(self, key: str, version_id: str) -> Receipt:
        """Copy a version onto its own name."""
        return self._copy(None, key, key, WriteOptions(), version_id).make()

    # ------------------------------------------------------------------ what S3 has beside
    def presigned_url(self, key: str, method: str, seconds: int) -> str:
        """A URL that carries its own signature."""
        from cottoncandy.backends.s3 import presigned

        return presigned.presigned_url(self._bucket, key, method, seconds)

    def owner(self, key: str) -> str:
        """The name of an object's owner, or the id where the server tells no name."""
        return containers.owner_of(self._bucket, key)

    def native_object(self, key: str) -> Any:
        """boto3's ``Object``."""
        return self._bucket.connection.resource.Object(self._bucket.name, key)

    def native_container(self) -> Any:
        """boto3's ``Bucket``."""
        return self._bucket.connection.resource.Bucket(self._bucket.name)

    def diagnose(self) -> Iterator[Finding]:
        """Look at the endpoint, the clock, the credentials and the bucket."""
        from cottoncandy.backends.s3 import diagnosis

        return diagnosis.diagnose(self._bucket)

    def probe(self, prefix: str) -> Iterator[Finding]:
        """Try ACLs, checksums, conditional writes and uploads in parts."""
        from cottoncandy.backends.s3 import probes

        return probes.probe(self._bucket, prefix)

    def clear_probes(self, prefix: str) -> Finding | None:
        """Delete what was written to try the bucket, and the versions of it that the bucket keeps."""
        from cottoncandy.backends.s3 import probes

        return probes.clear(self._bucket, prefix)

    # ------------------------------------------------------------------ for all
    def close(self) -> None:
        """Close all connections, those of backends made by `at` too. The next call opens new ones."""
        self._bucket.connection.close()

    def describe(self, key: str | None = None) -> str:
        """How an error names the bucket, or an object in it."""
        return self._bucket.describe(key)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.container, self._bucket.connection)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.container!r} at {self._bucket.connection.shown_address}>"


class S3Version(S3Backend):
    """A bucket at one version of an object: it is read, and nothing else is done.

    A write or a delete would not be of that version, so none is taken for one.
    """

    def __init__(self, container: str | None, connection: Connection, version_id: str) -> None:
        super().__init__(container, connection)
        self._bucket = Bucket(connection, container, version_id)

    def at(self, container: str | None) -> S3Backend:
        """Another bucket, at the same version."""
        return type(self)(container, self._bucket.connection, str(self._bucket.version_id))

    def presigned_url(self, key: str, method: str, seconds: int) -> str:
        """A URL for reading that version."""
        if method != "get":
            raise self._only_reads(key)
        return super().presigned_url(key, method, seconds)

    def native_object(self, key: str) -> Any:
        """boto3's ``ObjectVersion``."""
        return super().native_object(key).Version(self._bucket.version_id)

    def _only_reads(self, key: str | None = None) -> NotSupported:
        return _only_reads(self.describe(key))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.container, self._bucket.connection, self._bucket.version_id)


def _only_reads(where: str) -> NotSupported:
    return NotSupported(f"{where}: at a version one object can be read, and nothing else done")


def _of_object(self: S3Version, key: str | None = None, *_: object, **__: object) -> Any:
    raise self._only_reads(key)


def _of_bucket(self: S3Version, *_: object, **__: object) -> Any:
    raise self._only_reads()


def _of_other_bucket(self: S3Version, container: str, **__: object) -> Any:
    raise _only_reads(self.at(container).describe())


#: What of the contract writes, deletes or lists, by what an error names: not all are given an object's name first.
_REFUSALS: dict[Callable[..., Any], tuple[str, ...]] = {
    _of_object: ("put", "begin_put", "start_upload", "copy", "begin_copy", "restore_version", "holds"),
    _of_bucket: (
        *("delete", "unfinished_uploads", "probe", "clear_probes"),
        *("list_objects", "list_level", "list_names", "level_names", "begin_names", "size"),
    ),
    _of_other_bucket: ("create_container", "remove_container"),
}
NOT_AT_A_VERSION = {name for names in _REFUSALS.values() for name in names}
for _refusal, _names in _REFUSALS.items():
    for _name in _names:
        setattr(S3Version, _name, _refusal)
