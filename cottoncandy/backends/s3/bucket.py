"""One bucket through one connection: what every operation needs, and what it knows of an object's head."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from cottoncandy.backends.base import ObjectHead
from cottoncandy.backends.s3.errors import Door, Kind, Place, let_out
from cottoncandy.backends.s3.refusals import is_of_another_region, status_of
from cottoncandy.backends.s3.session import Client, Connection, Facts
from cottoncandy.errors import (
    ConfigurationError,
    ContainerNotFound,
    ObjectChanged,
    ObjectNotFound,
    ServiceError,
)

#: A boto3 response.
Response = dict[str, Any]
_NONE: Mapping[str, str] = {}
_WEAK = "W/"


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket, or None of them, at an endpoint.

    Attributes
    ----------
    connection : Connection
    container : str or None
    version_id : str or None
        The version of an object that is read; None is the newest.
    """

    connection: Connection
    container: str | None
    version_id: str | None = None

    @property
    def name(self) -> str:
        """The bucket's name, for a request that needs one."""
        if not self.container:
            raise ConfigurationError("no bucket was chosen: name one, or set default_bucket in the configuration")
        return self.container

    @property
    def client(self) -> Client:
        """Of the connection."""
        return self.connection.client

    @property
    def data(self) -> Client:
        """Of the connection."""
        return self.connection.data

    @property
    def facts(self) -> Facts:
        """Of the connection."""
        return self.connection.facts

    @property
    def reading(self) -> Mapping[str, str]:
        """What requests that read an object say beside its name: who pays, and which version."""
        payer = self.connection.payer
        return payer if self.version_id is None else {**payer, "VersionId": self.version_id}

    def source(self, key: str) -> dict[str, str]:
        """An object of this bucket, or a version of it, as what is to be copied or read."""
        version = {} if self.version_id is None else {"VersionId": self.version_id}
        return {"Bucket": self.name, "Key": key, **version}

    def describe(self, key: str | None = None) -> str:
        """How an error names the bucket, or an object in it; the service, where none was chosen."""
        place = f"bucket {self.container!r}" if self.container else f"S3 at {self.connection.shown_address}"
        version = "" if self.version_id is None else f"version {self.version_id!r} of "
        return place if key is None else f"{version}object {key!r} in {place}"

    def door(
        self, key: str | None = None, precondition: Kind = ObjectChanged, metadata: Mapping[str, str] = _NONE
    ) -> Door:
        """Let foreign errors out as ours, about the bucket or an object in it, and the metadata that it gets."""
        return Door(lambda: self.place(key, precondition, metadata))

    def let_out(
        self, error: Exception, key: str, precondition: Kind = ObjectChanged, metadata: Mapping[str, str] = _NONE
    ) -> None:
        """The door of the calls that many small objects pass, behind an `except`, which costs nothing before."""
        let_out(error, lambda: self.place(key, precondition, metadata))

    def place(
        self, key: str | None = None, precondition: Kind = ObjectChanged, metadata: Mapping[str, str] = _NONE
    ) -> Place:
        """What an error is about."""
        missing = ContainerNotFound if key is None else ObjectNotFound
        size = sum(len(name) + len(value) for name, value in metadata.items())
        return Place(self.describe(key), self.connection.address, missing, precondition, key, size)

    def head(self, key: str, e_tag: str | None = None) -> Response:
        """The answer of HeadObject.

        Raises
        ------
        ObjectNotFound, ContainerNotFound, ObjectChanged
        """
        try:
            with self.door(key):
                response: Response = self.data.head_object(Bucket=self.name, Key=key, **held(e_tag), **self.reading)
                self.refuse_directory(key, response)
        except ObjectNotFound:
            self.require()  # an answer to HEAD has no body: 404 may as well mean the bucket
            raise
        if response.get("ContentLength", -1) < 0:
            raise ServiceError(f"{self.describe(key)}: S3 does not tell its size")
        if e_tag:
            self.require_version(key, response, e_tag)
        return response

    def require_version(self, key: str, response: Response, e_tag: str) -> None:
        """Raise ObjectChanged for an answer of another version: not every server knows If-Match."""
        if opaque(response.get("ETag")) != opaque(e_tag):
            raise ObjectChanged(f"{self.describe(key)}: it was replaced in the meantime")

    def refuse_directory(self, key: str, response: Response) -> None:
        """Raise ObjectNotFound for what is no object: SeaweedFS answers for the directory above one too.

        It gives itself away by its ETag, which tells of an upload of no parts.
        """
        if key.endswith("/") and str(response.get("ETag", "")).strip('"').endswith("-0"):
            raise ObjectNotFound(f"{self.describe(key)}: it does not exist")

    def require(self) -> None:
        """Raise ContainerNotFound if there is no such bucket. One that was seen before is not asked for again."""
        if self.name not in self.facts.buckets_seen and not self.exists():
            raise ContainerNotFound(f"{self.describe()}: there is no such bucket")

    def exists(self) -> bool:
        """Whether there is such a bucket. One that may not be looked at, or is in another region, does exist."""
        with self.door():
            try:
                self.data.head_bucket(Bucket=self.name)
            except ClientError as error:
                if status_of(error) not in {400, 403, 404} and not is_of_another_region(error):
                    raise
                if status_of(error) == 404:
                    return False
        # as when an interface is opened: threads that find no object later need not ask, each of them, for the bucket
        self.facts.buckets_seen.add(self.name)
        return True


def object_head(key: str, response: Response, size: int) -> ObjectHead:
    """What an answer to GET or HEAD tells of the object."""
    metadata: Mapping[str, str] = response.get("Metadata", {})
    return ObjectHead(key, size, response.get("LastModified"), quoted(response.get("ETag")), metadata)


def has_md5(response: Response) -> bool:
    """Whether the ETag of an object that came with one request is an MD5.

    https://docs.aws.amazon.com/AmazonS3/latest/API/API_Object.html
    """
    return not (response.get("SSECustomerAlgorithm") or response.get("ServerSideEncryption", "").startswith("aws:"))


def quoted(e_tag: str | None) -> str | None:
    """An ETag as boto3 shows it, in quotes: some servers leave them away in some answers."""
    if not e_tag or e_tag.startswith(('"', _WEAK)):
        return e_tag or None
    return f'"{e_tag.strip(chr(34))}"'


def opaque(e_tag: str | None) -> str | None:
    """What of an ETag names the version, in quotes.

    A proxy that may compress makes a weak one (``W/"..."``) of the store's, at times in some answers alone. It is
    never what a condition asks for: https://www.rfc-editor.org/rfc/rfc9110#section-8.8.3
    """
    return quoted(e_tag.removeprefix(_WEAK)) if e_tag else None


def held(e_tag: str | None, condition: str = "IfMatch") -> dict[str, str]:
    """What holds a request to a version, where a server can: a weak ETag fits none. Answers are looked at besides."""
    return {condition: e_tag} if e_tag and not e_tag.startswith(_WEAK) else {}


def receipt(response: Response, e_tag: str | None) -> Response:
    """What a write answers, with the ETag at its place."""
    return {**response, "ETag": quoted(e_tag)}
