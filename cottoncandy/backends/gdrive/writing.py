"""Writing an object: what it replaces, and that it is the only one of its name afterwards."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cottoncandy import keys
from cottoncandy.backends.base import BytesLike, MultipartUpload, Receipt, WriteOptions
from cottoncandy.backends.gdrive import folders, properties, uploads
from cottoncandy.backends.gdrive.api import Target
from cottoncandy.backends.gdrive.files import DEFAULT_TYPE, DriveFile
from cottoncandy.backends.gdrive.tree import Tree, is_object
from cottoncandy.backends.gdrive.wire import Body
from cottoncandy.errors import (
    ChecksumMismatch,
    CottonCandyError,
    ObjectExists,
    ObjectNotFound,
    ServiceError,
    TransientError,
)

if TYPE_CHECKING:
    from typing_extensions import Self

log = logging.getLogger(__name__)

_GOOGLE_TYPE = "application/vnd.google-apps"


def receipt(file: DriveFile) -> Receipt:
    """What a write answers, in the shape of a boto3 response, with the file's id."""
    return {
        "ETag": file.e_tag,
        "FileId": file.id,
        "ResponseMetadata": {"HTTPStatusCode": 200, "HTTPHeaders": {}, "RetryAttempts": 0},
    }


class Destination:
    """A path that is about to be written; as a context, it takes back the folders that it made when that fails.

    Parameters
    ----------
    tree : Tree
    path : str
        Its folder is made if it is not there.
    where : str
        How an error names the object.
    options : WriteOptions

    Raises
    ------
    ObjectExists
        With ``options.if_absent``, if there is one.
    """

    def __init__(self, tree: Tree, path: str, where: str, options: WriteOptions) -> None:
        self._tree = tree
        self.path = path
        self.where = where
        self._options = options
        self._folder = folders.make_folder(tree, keys.parent(path))
        self.existing = self._find()
        if options.if_absent and self.existing is not None:
            raise self._exists()

    def _find(self) -> DriveFile | None:
        current = self._tree.current(self.path)
        if current is not None or self._tree.is_new(self._folder):
            return current
        return next(iter(self._tree.listed(self.path)), None)

    def _exists(self) -> ObjectExists:
        return ObjectExists(f"{self.where} exists: remove it first, or allow to overwrite it")

    def target(self, wanted: Mapping[str, str]) -> Target:
        """What an upload is to make, with the properties wanted: the file that is there, changed, or a new one."""
        kind = str(self._options.extra.get("ContentType", DEFAULT_TYPE))
        if kind.startswith(_GOOGLE_TYPE):  # it would be converted to a document, and have no bytes
            kind = DEFAULT_TYPE
        body: dict[str, Any] = {"mimeType": kind, "properties": dict(wanted)}
        if self.existing is None:
            body |= self.place()
            return Target(body["id"], True, body, self.where)
        # what is not named stays, so what is to go is named
        body["properties"] = dict.fromkeys(self.existing.properties) | dict(wanted)
        return Target(self.existing.id, False, body, self.where)

    def place(self) -> dict[str, Any]:
        """Id, name and folder of a new file."""
        self._tree.fill(self._folder)
        return {"id": self._tree.api.new_id(), "name": keys.basename(self.path), "parents": [self._folder]}

    # ------------------------------------------------------------------ afterwards
    def changed(self, file: DriveFile, target: Target) -> DriveFile:
        """End a change of a file that was there: properties that another writer added meanwhile go."""
        wanted = {name: value for name, value in target.metadata["properties"].items() if value is not None}
        strangers = dict.fromkeys(file.properties.keys() - wanted)
        if strangers:
            file = self._tree.api.change(file.id, {"properties": strangers}, self.where)
        if file.trashed or file.name != keys.basename(self.path) or not self._tree.is_in_place(self.path, file):
            file = self._taken_back(file)
        self._tree.remember(self.path, file)
        return file

    def _taken_back(self, file: DriveFile) -> DriveFile:
        """Bring a file that was removed or moved while it was changed back to its place; what has come there goes."""
        file = self._moved(file)
        for other in self._tree.listed(self.path):
            if other.id != file.id:
                self._replace(other)
        return file

    def made(self, file: DriveFile) -> DriveFile:
        """End the making of a file: wait until others can find it, and settle with writers that made one meanwhile.

        Raises
        ------
        ObjectExists
            With ``if_absent``, if another writer was faster; the new file is removed.
        """
        if file.trashed:  # its folder was removed, as empty, when the file was not there yet
            file = self._moved(file)
        if self._tree.settings.settle:
            file = self._settled(file)
        elif self.existing is not None:
            self._replace(self.existing)
        self._tree.remember(self.path, file)
        return file

    def _settled(self, file: DriveFile) -> DriveFile:
        try:
            found = self._tree.settled(self.path, self._folder, file, is_object)
        except ObjectNotFound:  # its folder was removed just now
            file = self._moved(file)
            found = self._tree.settled(self.path, self._folder, file, is_object)
        older = [other for other in found if (other.created, other.id) < (file.created, file.id)]
        if older and self._options.if_absent:
            is_for_ever = self._tree.api.delete(file.id, self.where)
            self._tree.forget(self.path, file.id, for_ever=is_for_ever)
            raise self._exists()
        for other in older:
            self._replace(other)
        return file

    def _replace(self, other: DriveFile) -> None:
        log.info("%s: another file of the same name goes to the trash: %s", self.where, other.id)
        self._tree.api.trash(other.id, self.where)
        self._tree.forget(self.path, other.id, for_ever=False)

    def _moved(self, file: DriveFile) -> DriveFile:
        self._tree.forget_folders(self.path)
        self._folder = folders.make_folder(self._tree, keys.parent(self.path))
        there = {"name": keys.basename(self.path), "trashed": False}
        if self._folder in file.parents:
            return self._tree.api.change(file.id, there, self.where)
        parents = {"addParents": self._folder, "removeParents": ",".join(file.parents)}
        return self._tree.api.change(file.id, there, self.where, **parents)

    def finished(self, file: DriveFile, target: Target) -> DriveFile:
        """End a write."""
        return self.made(file) if target.is_new else self.changed(file, target)

    def undo(self) -> None:
        """Remove the folders that were made for an object that does not come."""
        new, path = set(), keys.parent(self.path)
        while any(map(self._tree.is_new, self._tree.known_folder(path))):
            new.add(path)
            path = keys.parent(path)
        with contextlib.suppress(CottonCandyError):
            folders.prune(self._tree, new, lambda path: path not in new, threads=1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        # a service that could not be reached is not asked for more
        if isinstance(error, CottonCandyError) and not isinstance(error, TransientError):
            self.undo()


def put(
    tree: Tree, path: str, where: str, view: memoryview, metadata: Mapping[str, str], options: WriteOptions
) -> DriveFile:
    """Write a whole object."""
    wanted = properties.encode(metadata, where)

    def write() -> DriveFile:
        with Destination(tree, path, where, options) as destination:
            target = destination.target(wanted)
            return destination.finished(uploads.send_whole(tree.api, target, view), target)

    return folders.persistently(tree, path, write)


class DriveUpload(MultipartUpload):
    """An object on its way up in parts, which go one after the other through one session.

    A part's last bytes wait here for the next one: the session ends with its last chunk, and which part is the last
    is known only when the upload is completed.
    """

    def __init__(self, tree: Tree, path: str, where: str, metadata: Mapping[str, str], options: WriteOptions) -> None:
        self._api = tree.api
        wanted = properties.encode(metadata, where)
        self._destination = folders.persistently(tree, path, lambda: Destination(tree, path, where, options))
        self._target = self._destination.target(wanted)
        self._session: uploads.Session | None = None
        self._next = 1
        self._held = b""
        self._digest = uploads.new_md5()

    def send_part(self, number: int, body: BytesLike, start: int | None = None) -> None:
        """Send the next part, from the memory where it lies."""
        if number != self._next:
            raise ServiceError(f"{self._target.where}: part {number} came where part {self._next} was due")
        view = memoryview(body).cast("B")
        data = Body.of(self._held, view)
        # at least one byte is left for the end
        cut = max(0, len(data) - 1) // uploads.CHUNK * uploads.CHUNK
        if cut:
            self._opened().send(data.part(0, cut))
        self._held = b"".join(data.part(cut, len(data)))
        self._digest.update(view)
        self._next += 1

    def _opened(self) -> uploads.Session:
        if self._session is None:
            self._session = uploads.Session(self._api, self._target)
        return self._session

    def complete(self) -> Receipt:
        """Send what is left; only now the object can be seen."""
        if self._session is None:
            file = uploads.send_whole(self._api, self._target, memoryview(self._held))
        else:
            file = self._session.finish(Body.of(self._held))
        if file.md5 not in {None, self._digest.hexdigest()}:
            raise ChecksumMismatch(f"{self._target.where}: Google Drive got other bytes than were sent: send it again")
        return receipt(self._destination.finished(file, self._target))

    def abort(self) -> None:
        """Throw away what was sent."""
        if self._session is None or self._session.cancel():
            self._destination.undo()
