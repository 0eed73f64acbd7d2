"""The Google Drive backend: the contract, in terms of a tree of files and folders."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from cottoncandy import keys
from cottoncandy.backends.base import (
    Backend,
    BytesLike,
    MultipartUpload,
    ObjectHead,
    ObjectInfo,
    ObjectPrefix,
    ObjectReader,
    Receipt,
    TransferLimits,
    WriteOptions,
)
from cottoncandy.backends.gdrive import auth, folders, properties, uploads, writing
from cottoncandy.backends.gdrive.api import Api
from cottoncandy.backends.gdrive.downloads import BytesReader, DriveReader
from cottoncandy.backends.gdrive.files import DriveFile
from cottoncandy.backends.gdrive.removal import Removal
from cottoncandy.backends.gdrive.settings import FIRST_WAIT, DriveSettings, checked_endpoint
from cottoncandy.backends.gdrive.tree import Level, Tree, is_nameable
from cottoncandy.backends.gdrive.walk import entries, walk
from cottoncandy.backends.gdrive.wire import Wire
from cottoncandy.config import Options
from cottoncandy.errors import (
    ChecksumMismatch,
    ConfigurationError,
    InvalidObjectName,
    NotSupported,
    ObjectChanged,
    ObjectExists,
    ObjectNotFound,
    TransientError,
)
from cottoncandy.progress import done_counter
from cottoncandy.retry import RetryPolicy

log = logging.getLogger(__name__)

# How often a read begins anew where the file is replaced just then.
_TRIES = 4
# What the caller gave: the two files, the endpoint, and all else.
_Origin = tuple[str | None, str | None, str | None, Mapping[str, Any]]


class GoogleDriveBackend(Backend):
    """Objects on Google Drive: a key is a path below a folder, and metadata are the file's properties.

    Its further arguments are those of `DriveSettings`.

    Attributes
    ----------
    container : None
        Drive has no buckets.
    root : str
        The path of the folder that all keys are below; ``''`` is the top of the drive.
    """

    name = "gdrive"
    limits = TransferLimits(
        largest_put=uploads.LARGEST_REQUEST,
        smallest_part=uploads.CHUNK,
        most_parts=2**31,
        part_multiple=uploads.CHUNK,
        parallel_parts=False,
    )
    container = None

    def __init__(self, tree: Tree, root: str, threads: int, origin: _Origin) -> None:
        self._tree = tree
        self._api = tree.api
        self.root = root
        self.retry = tree.settings.retry
        self._threads = threads
        self._origin = origin

    # ------------------------------------------------------------------ making one
    @classmethod
    def connect(
        cls,
        container: str | None,
        access_key: str | None,
        secret_key: str | None,
        endpoint_url: str | None,
        options: Options,
        **kwargs: Any,
    ) -> GoogleDriveBackend:
        """Open Google Drive. Signs in by the browser where there are no saved credentials.

        Parameters
        ----------
        container : str or None
            The path of a folder below the root, which takes the place of a bucket; made by the first write.
        access_key : str or None
            The client-secrets file; the configured one by default.
        secret_key : str or None
            The file of saved credentials; the configured one by default.
        endpoint_url : str or None
            Another server that speaks Drive v3.
        options : Options
        **kwargs
            See `DriveSettings`.

        Raises
        ------
        CredentialsNotFound
            If nobody is signed in, and nobody does; with what to do.
        """
        # here they are names of files, which errors show
        access_key, secret_key = (name and str(name) for name in (access_key, secret_key))
        return cls._opened(container, (access_key, secret_key, endpoint_url, kwargs), options, interactive=True)

    @classmethod
    def _opened(
        cls, container: str | None, origin: _Origin, options: Options, *, interactive: bool
    ) -> GoogleDriveBackend:
        access_key, secret_key, endpoint_url, arguments = origin
        settings = _settings(arguments, options)
        endpoint = checked_endpoint(endpoint_url)
        secrets_file = _file(access_key or options.text("gdrive", "secrets"), options)
        credentials_file = _file(secret_key or options.text("gdrive", "credentials"), options)
        login = auth.sign_in(secrets_file, credentials_file, settings, interactive=interactive)
        tree = Tree(Api(Wire(login, endpoint, settings)))
        threads = options.integer("basic", "threads")
        return cls(tree, _as_folder(container), threads, origin)

    def at(self, container: str | None) -> GoogleDriveBackend:
        """The same drive and connections, at another folder below the root; None is the folder of this one."""
        root = self.root if container is None else _as_folder(container)
        return GoogleDriveBackend(self._tree, root, self._threads, self._origin)

    @property
    def location(self) -> str:
        """The folder's path below the root."""
        return self.root

    # What the caller gave goes along in a pickle. What was found in files is found again on the other side.
    def __reduce__(self) -> tuple[Any, ...]:
        return _reopen, (type(self), self.root, *self._origin)

    # ------------------------------------------------------------------ names
    def _path(self, key: str) -> str:
        """The path of an object on the drive.

        Raises
        ------
        InvalidObjectName
            If a file cannot be reached by it.
        """
        if not _can_be(key):
            raise InvalidObjectName(
                f"object name {key!r}: on Google Drive each part between two '/' is a name: none is empty, '.' or '..'"
            )
        return self._tree.path(self.root, key)

    def _find(self, key: str) -> DriveFile:
        file = self._tree.find(self._path(key)) if _can_be(key) else None
        if file is None:
            raise self._not_found(key)
        return file

    def _not_found(self, key: str) -> ObjectNotFound:
        return ObjectNotFound(f"{self.describe(key)} does not exist")

    def describe(self, key: str | None = None) -> str:
        """How an error names the folder, or an object in it."""
        settings = self._tree.settings
        drive = "Google Drive" if settings.drive is None else f"shared drive {settings.drive!r}"
        root = keys.join(settings.root or "", self.root)
        place = f"{drive}, folder {root!r}" if root else drive
        return place if key is None else f"object {key!r} in {place}"

    def _has_no_containers(self, what: str) -> NotSupported:
        return NotSupported(
            f"Google Drive has no buckets: the gdrive backend cannot {what}. All objects are below one folder, which "
            "root=... or the bucket's name in get_interface() chooses"
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.describe()}>"

    # ------------------------------------------------------------------ reading
    def stat(self, key: str) -> ObjectHead:
        """What is known of an object."""
        return self._find(key).head(key, self.describe(key))

    def open(self, key: str, start: int = 0, stop: int | None = None, *, e_tag: str | None = None) -> ObjectReader:
        """Begin to read an object.

        A few bytes are read and verified here, before the first one is given out.
        """
        if not _can_be(key):
            raise self._not_found(key)
        path = self._path(key)
        file, fresh = self._version(key, path, e_tag)
        for _ in range(_TRIES):
            try:
                return self._reader(file, fresh, key, start, stop)
            except (ObjectChanged, ObjectNotFound, ChecksumMismatch) as error:
                # what a listing said may be old, and the file may have been replaced just now
                before = file.e_tag
                file, fresh = self._version(key, path, None)
                if e_tag is not None and file.e_tag != e_tag:
                    raise self._changed(key) from None
                if isinstance(error, ChecksumMismatch) and fresh and file.e_tag == before:
                    raise
        raise TransientError(f"{self.describe(key)} is replaced again and again while it is read")

    def _version(self, key: str, path: str, e_tag: str | None) -> tuple[DriveFile, bool]:
        """The file as it is, and whether it was asked for just now; as it was seen where that is the version wanted."""
        known = self._tree.known(path)
        if e_tag is not None and known is not None and known.e_tag == e_tag:
            return known, True  # reading it shows whether it still is
        current = self._tree.current(path)
        file = current or next(iter(self._tree.listed(path)), None)
        if file is None:
            raise self._not_found(key)
        if e_tag is not None and file.e_tag != e_tag:
            raise self._changed(key)
        return file, current is not None

    def _changed(self, key: str) -> ObjectChanged:
        return ObjectChanged(f"{self.describe(key)} was replaced while it was read: read it again")

    def _reader(self, file: DriveFile, fresh: bool, key: str, start: int, stop: int | None) -> ObjectReader:
        where = self.describe(key)
        end = file.size if stop is None else min(stop, file.size)
        begin = min(start, end)
        small = end - begin <= uploads.LARGEST_REQUEST
        if not (fresh or small):
            return self._reader(self._api.get(file.id, where), True, key, start, stop)
        head = file.head(key, where)
        if begin == end:
            return BytesReader(head, begin, bytearray())
        reader = DriveReader(self._api, file, head, begin, end, where)
        if not small:
            return reader
        with reader:
            data = bytearray(end - begin)
            reader.readexactly(memoryview(data))
        return BytesReader(head, begin, data)

    # ------------------------------------------------------------------ writing
    def put(
        self, key: str, body: BytesLike, metadata: Mapping[str, str], options: WriteOptions = WriteOptions()
    ) -> Receipt:
        """Write a whole object, of any size."""
        view = memoryview(body).cast("B")
        return writing.receipt(writing.put(self._tree, self._path(key), self.describe(key), view, metadata, options))

    def start_upload(
        self, key: str, metadata: Mapping[str, str], options: WriteOptions = WriteOptions()
    ) -> MultipartUpload:
        """Begin an upload in parts, which are sent in their order."""
        return writing.DriveUpload(self._tree, self._path(key), self.describe(key), metadata, options)

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
        """Copy an object inside the drive. What it replaces goes to the trash."""
        place = self.at(source_container)
        source = place._find(source_key)  # noqa: SLF001 - of the same class
        if e_tag not in {None, source.e_tag}:
            raise self._changed(source_key)
        path, where = self._path(key), self.describe(key)
        wanted = dict(source.properties) if metadata is None else properties.encode(metadata, where)

        def write() -> Receipt:
            with writing.Destination(self._tree, path, where, options) as destination:
                if destination.existing is not None and destination.existing.id == source.id:
                    file = self._described(source, wanted, where)
                    self._tree.remember(path, file)
                    return writing.receipt(file)
                body = destination.place() | {"properties": wanted}
                file = self._described(self._copied(source, body, where), wanted, where)
                return writing.receipt(destination.made(file))

        return folders.persistently(self._tree, path, write)

    def _described(self, file: DriveFile, wanted: Mapping[str, str], where: str) -> DriveFile:
        """The file with these properties and no others: a copy has those of its source as well."""
        if dict(file.properties) == wanted:
            return file
        return self._api.change(file.id, {"properties": dict.fromkeys(file.properties) | dict(wanted)}, where)

    def _copied(self, source: DriveFile, body: Mapping[str, Any], where: str) -> DriveFile:
        try:
            return self._api.copy(source.id, body, where)
        except ObjectExists:
            return self._api.get(body["id"], where)  # made by a request whose answer was lost

    # ------------------------------------------------------------------ deleting
    def delete(self, keys: Iterable[str], *, trash: bool = False) -> int:
        """Delete objects for ever, or put them into the trash; folders that hold nothing any more go with them."""
        done, names = done_counter(keys), list(keys)
        paths = [self._tree.path(self.root, name) for name in names if _can_be(name)]
        Removal(self._tree, self._threads, done, for_ever=not trash).run(paths, self._tree.path(self.root))
        return len(names)

    # ------------------------------------------------------------------ listing
    # Drive does not list in the order of bytes: a folder is always read whole, by the largest pages there are.
    def list_objects(self, prefix: str = "", *, page_size: int | None = None) -> Iterator[ObjectInfo]:
        """All objects whose key starts with the prefix, in the order of their UTF-8 bytes."""
        folder, beginning = _split(prefix)
        found = walk(self._level, folder, beginning, self._threads)
        return (entry.object.info(entry.key) for entry in found if entry.object is not None)

    def list_level(self, prefix: str = "", *, page_size: int | None = None) -> Iterator[ObjectInfo | ObjectPrefix]:
        """The objects and folders of one level. An empty folder that was made elsewhere shows as well."""
        folder, beginning = _split(prefix)
        for entry in entries(self._level(folder), folder, beginning):
            yield ObjectPrefix(entry.key) if entry.object is None else entry.object.info(entry.key)

    def _level(self, folder: str) -> Level:
        name = folder.removesuffix("/")
        if folder and not _can_be(name):
            return Level({}, {})
        return self._tree.level(self._tree.path(self.root, name))

    # ------------------------------------------------------------------ what Drive has beside
    def owner(self, key: str) -> str:
        """Who owns a file; on a shared drive, which owns its files itself, that drive."""
        where = self.describe(key)
        answer = self._api.resource(self._find(key).id, where, "driveId,owners(displayName,emailAddress)")
        if "driveId" in answer:
            return self._api.drive_name(answer["driveId"], where)
        owner: dict[str, str] = next(iter(answer.get("owners", ())), {})
        return str(owner.get("displayName") or owner.get("emailAddress") or "")

    def close(self) -> None:
        """Close connections that are kept open. The backend may be used again: it opens new ones."""
        self._api.wire.close()


def _reopen(kind: type[GoogleDriveBackend], root: str, *origin: Any) -> GoogleDriveBackend:
    """Open Drive from a pickle. There may be nobody in front of a browser."""
    return kind._opened(root, origin, Options.load(create=False), interactive=False)  # noqa: SLF001 - the class's own


def _settings(arguments: Mapping[str, Any], options: Options) -> DriveSettings:
    known = {field.name for field in fields(DriveSettings)}
    if unknown := arguments.keys() - known:
        raise ConfigurationError(
            f"the gdrive backend does not know {', '.join(sorted(unknown))}; it knows {', '.join(sorted(known))}"
        )
    return DriveSettings(**{"retry": RetryPolicy.from_options(options, base=FIRST_WAIT), **arguments})


def _file(name: str | None, options: Options) -> Path:
    """A file that the caller or the configuration names: where it is, else in the configuration's folder."""
    path = Path(name or "").expanduser()
    return path.absolute() if name and path.is_file() else options.resolve(name or "none")


def _as_folder(container: str | None) -> str:
    return keys.clean(container or "").rstrip(keys.SEPARATOR)


def _can_be(key: str) -> bool:
    """Whether a file can be reached by this key."""
    return all(map(is_nameable, key.split(keys.SEPARATOR)))


def _split(prefix: str) -> tuple[str, str]:
    """The folder that a prefix leads to, with its ``/``, and the beginning of the names in it."""
    folder, separator, beginning = prefix.rpartition(keys.SEPARATOR)
    return folder + separator, beginning
