"""The local backend: the contract, in terms of files below a directory."""

from __future__ import annotations

import io
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from cottoncandy import heldfiles
from cottoncandy.backends import ending
from cottoncandy.backends.base import (
    Backend,
    BytesLike,
    ObjectHead,
    ObjectInfo,
    ObjectPrefix,
    Receipt,
    TransferLimits,
    UnfinishedUpload,
    WriteOptions,
)
from cottoncandy.backends.local import names, pair, tree
from cottoncandy.backends.local.door import translated
from cottoncandy.backends.local.facts import facts_of, info_of
from cottoncandy.backends.local.spelling import Listed, Spelling
from cottoncandy.backends.local.transfers import LocalReader, LocalUpload, receipt
from cottoncandy.errors import (
    ConfigurationError,
    ContainerExists,
    ContainerNotEmpty,
    ContainerNotFound,
    CottonCandyError,
    InvalidObjectName,
    ObjectChanged,
    ObjectNotFound,
)
from cottoncandy.keys import SEPARATOR

if TYPE_CHECKING:
    from cottoncandy.config import Options

log = logging.getLogger(__name__)

# Arguments of the other built-in backends. The list is here as siblings import nothing from each other.
_OF_OTHERS = {
    *("region_name", "api_version", "use_ssl", "verify", "aws_session_token", "config", "profile_name"),
    *("signature_version", "requester_pays"),
    *("root", "drive", "credentials", "service_account", "subject", "scopes", "open_browser", "port"),
    *("sign_in_timeout", "timeout", "settle", "retry"),
}
# A file is as large as its file system lets it be.
_LARGEST_FILE = 2**63 - 1


class LocalBackend(Backend):
    """A directory of this machine.

    Objects are replaced whole: a reader sees the old bytes and metadata or the new ones, whatever happens to the
    writer, and two processes may write one key. Where the file system cannot lock a directory (Windows, NFS), that
    holds for the threads of one process.

    Parameters
    ----------
    container : str or os.PathLike
        The directory.
    fsync : bool
        Return from a write only when it would survive a power failure.

    Attributes
    ----------
    path : str
        The directory, absolute.
    """

    name = "local"
    # parts are appended, so they come one after the other
    limits = TransferLimits(
        largest_put=_LARGEST_FILE,
        smallest_part=1,
        largest_part=_LARGEST_FILE,
        most_parts=2**31 - 1,
        parallel_parts=False,
    )
    look_only: ClassVar[Mapping[str, Any]] = {"create": False}
    container: str

    def __init__(self, container: str | os.PathLike[str], *, fsync: bool = False) -> None:
        self.container = os.fspath(container)
        self.path = _absolute(self.container)
        self._fsync = fsync
        self._spelling = Spelling(self.path)
        # of all directories that this one was bound to: each copy from another one binds it anew
        self._spellings = {self.path: self._spelling}

    @classmethod
    def connect(
        cls,
        container: str | None,
        access_key: str | None = None,
        secret_key: str | None = None,
        endpoint_url: str | None = None,
        options: Options | None = None,
        *,
        fsync: bool | None = None,
        create: bool = True,
        **kwargs: Any,
    ) -> LocalBackend:
        """Make the backend of a directory, and the directory unless ``create`` is False.

        ``fsync`` is the configured one where it is None.
        What the other built-in backends take (keys, an endpoint, boto3's arguments) is passed over, so that a script
        needs no other call for each store.

        Raises
        ------
        ConfigurationError
            If no directory is named, or for an argument that no backend takes.
        ContainerExists
            If a file has the name.
        """
        if unknown := sorted(kwargs.keys() - _OF_OTHERS):
            raise ConfigurationError(
                f"the local backend takes no {', '.join(map(repr, unknown))}; it takes: fsync, create, and passes over "
                "what the others take"
            )
        if kwargs:
            log.debug("the local backend has no use for: %s", ", ".join(sorted(kwargs)))
        if fsync is None:
            fsync = options is not None and options.flag("local", "fsync")
        backend = cls(container or "", fsync=fsync)
        if create:
            backend.create_container(backend.path)
        return backend

    def at(self, container: str | None) -> LocalBackend:
        bound = LocalBackend(container or "", fsync=self._fsync)
        bound._spelling, bound._spellings = self._spellings.setdefault(bound.path, bound._spelling), self._spellings
        return bound

    @property
    def location(self) -> str:
        """The directory, however it was spelled: relative, through a link."""
        return os.path.realpath(self.path)

    def on_disk(self, prefix: str = "") -> Path:
        return Path(self.location, prefix)

    # ------------------------------------------------------------------ reading
    def stat(self, key: str) -> ObjectHead:
        file, head = self._open(key)
        file.close()
        return head

    def open(self, key: str, start: int = 0, stop: int | None = None, *, e_tag: str | None = None) -> LocalReader:
        file, head = self._open(key, e_tag)
        return LocalReader(file, head, start, stop, self.describe(key))

    def _open(self, key: str, e_tag: str | None = None) -> tuple[io.FileIO, ObjectHead]:
        path = self._file(key)
        if path is None:
            raise self._not_found(key)
        with self._finding(key):
            file, facts, metadata = pair.open_pair(self.path, path)
        head = ObjectHead(key, *facts_of(facts), metadata)
        if e_tag not in {None, head.e_tag}:
            file.close()
            raise ObjectChanged(f"{self.describe(key)} was replaced since it was first looked at: read it again")
        return file, head

    def _file(self, key: str, listed: Listed | None = None, *, writing: bool = False) -> str | None:
        """The file of an object; None where no object can have this name, or the disk has it for another's.

        Raises
        ------
        InvalidObjectName
            If the name could lead out of the directory.
        """
        path = self._path(key)
        return None if path is None or self._spelling.other(path, writing=writing, listed=listed) else path

    def _path(self, key: str) -> str | None:
        names.require_clean(key)
        path = os.path.join(self.path, key)
        return None if names.flaw(key) or names.is_behind_link(self.path, path) else path

    # ------------------------------------------------------------------ writing
    def put(
        self, key: str, body: BytesLike, metadata: Mapping[str, str], options: WriteOptions = WriteOptions()
    ) -> Receipt:
        with translated(self.describe(key)), self._draft(key, options) as draft:
            text = pair.encoded(metadata)
            draft.create().write(body)
            return receipt(draft.publish(text))

    def start_upload(
        self, key: str, metadata: Mapping[str, str], options: WriteOptions = WriteOptions()
    ) -> LocalUpload:
        where = self.describe(key)
        with translated(where):
            return ending.begin(lambda: LocalUpload(self._draft(key, options), metadata, where))

    def unfinished_uploads(self, prefix: str = "") -> Iterator[UnfinishedUpload]:
        """Writes whose process was killed; those that are under way are not among them.

        ``started`` is when it was last written to.
        """
        self._require_container()
        with self._finding():
            for draft in tree.drafts(self.path, prefix) if self._is_spelled_so(prefix) else ():
                with names.passing_over_absence():
                    if heldfiles.is_abandoned(draft.path):
                        changed = facts_of(os.lstat(draft.path))[1]
                        yield UnfinishedUpload(draft.key, changed, partial(self._remove_draft, draft))

    def _remove_draft(self, draft: tree.Entry) -> None:
        with translated(self.describe(draft.key)):
            pair.remove_draft(draft.path)
        tree.prune(draft.path, self.path)

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
        source = self if source_container is None else self.at(source_container)
        file, head = source._open(source_key, e_tag)  # noqa: SLF001 - of another instance of this class
        with file:
            if (source.path, source_key) == (self.path, key) and not options.if_absent and metadata is None:
                return receipt(head.e_tag)
            with translated(self.describe(key)), self._draft(key, options) as draft:
                text = pair.encoded(head.metadata if metadata is None else metadata)
                draft.create().append_file(file, head.size)
                return receipt(draft.publish(text))

    def _draft(self, key: str, options: WriteOptions) -> pair.Draft:
        path = self._path(key)
        if path is None:
            reason = names.flaw(key) or "one of its directories is a symbolic link, and those are not entered"
            raise InvalidObjectName(f"{self.describe(key)}: {reason}")
        require_spelling = partial(self._require_spelling, key, path)
        require_spelling()
        kept = {"if_absent": options.if_absent, "fsync": self._fsync}
        try:
            return pair.Draft(self.path, path, **kept, require_spelling=require_spelling)
        except NotADirectoryError as error:
            for place in names.parents(self.path, path):
                if os.path.isfile(place):
                    raise InvalidObjectName(f"{self.describe(key)}: {self._in_the_way(place)}") from error
            raise

    def _require_spelling(self, key: str, path: str) -> None:
        if other := self._spelling.other(path, writing=True):
            raise InvalidObjectName(
                f"{self.describe(key)}: there is {other!r}, and this disk takes the two spellings for one name: "
                "write it as it is there, or move that to another name first, and from there to this one"
            )
        if reason := self._spelling.flaw(key):
            raise InvalidObjectName(f"{self.describe(key)}: {reason}")

    def _in_the_way(self, place: str) -> str:
        above = os.path.relpath(place, self.path).replace(os.sep, SEPARATOR)
        return f"{above!r} is an object, and in a directory none lies below another: remove it, or take another name"

    def delete(self, keys: Iterable[str], *, trash: bool = False) -> int:
        count = 0
        failure: CottonCandyError | None = None
        touched: dict[str, str] = {}
        listed: Listed = {}
        for count, key in enumerate(keys, 1):  # noqa: B007 - the last one is the answer
            try:
                self._delete(key, touched, listed)
            except CottonCandyError as error:
                failure = failure or error
        for path in touched.values():
            tree.prune(path, self.path)
        if failure is not None:
            raise failure
        return count

    def _delete(self, key: str, touched: dict[str, str], listed: Listed) -> None:
        if path := self._file(key, listed, writing=True):
            touched[os.path.dirname(path)] = path
            with translated(self.describe(key)):
                pair.remove_pair(self.path, path)

    # ------------------------------------------------------------------ listing
    def list_objects(self, prefix: str = "", *, page_size: int | None = None) -> Iterator[ObjectInfo]:
        self._require_container()
        with self._finding():
            if self._is_spelled_so(prefix):
                yield from tree.walk(self.path, prefix, info_of)

    def list_level(self, prefix: str = "", *, page_size: int | None = None) -> Iterator[ObjectInfo | ObjectPrefix]:
        self._require_container()
        with self._finding():
            if self._is_spelled_so(prefix):
                yield from filter(None, map(self._info_or_prefix, tree.entries(self.path, prefix)))

    def _is_spelled_so(self, prefix: str) -> bool:
        """Whether the directory that a listing begins in is called so on disk, or nothing is there."""
        directory = prefix.rpartition(SEPARATOR)[0]
        return not directory or not self._spelling.other(os.path.join(self.path, directory))

    def _info_or_prefix(self, entry: tree.Entry) -> ObjectInfo | ObjectPrefix | None:
        if not entry.is_directory:
            return info_of(entry)
        return ObjectPrefix(entry.key) if self._holds_objects(entry) else None

    def _holds_objects(self, directory: tree.Entry) -> bool:
        try:
            return any(tree.walk(self.path, directory.key, info_of))
        except PermissionError:  # there may be some: a caller that goes down is told
            return True

    def gives_way(self, key: str, is_deleted: Callable[[str], bool]) -> bool:
        """Links, pipes and the like are not ours to remove, and keep their directory."""
        with translated(self.describe(key)):
            return tree.gives_way(self.path, key, is_deleted)

    # ------------------------------------------------------------------ containers
    def list_containers(self) -> list[str]:
        """The directory itself: which others are stores is not written anywhere."""
        return [self.path] if self.container_exists(self.path) else []

    def container_exists(self, container: str) -> bool:
        return bool(container) and os.path.isdir(_absolute(container))

    def create_container(self, container: str, *, acl: str | None = None) -> Receipt:
        with translated(f"directory {container!r}"):
            try:
                os.makedirs(_absolute(container), exist_ok=True)
            except (FileExistsError, NotADirectoryError) as error:
                raise ContainerExists(
                    f"no directory {container!r} can be made: {error.filename!r} is a file"
                ) from error
        return receipt()

    def remove_container(self, container: str) -> Receipt:
        other = self.at(container)
        if any(other.list_objects()):
            raise ContainerNotEmpty(f"directory {other.path!r} holds objects: remove them first")
        if not tree.remove_empty_tree(os.path.realpath(other.path)):
            raise ContainerNotEmpty(f"directory {other.path!r} holds files that are no objects: look at them first")
        return receipt()

    # ------------------------------------------------------------------ beside
    def owner(self, key: str) -> str:
        """The name of the user whom the file belongs to."""
        self.stat(key)
        path = Path(self.path, key)
        with self._finding(key):
            try:
                return path.owner()
            except KeyError:  # a user of another machine, whose disk this is
                return str(path.stat().st_uid)
            except NotImplementedError:
                raise self._cannot("tell an object's owner on this system") from None

    def native_container(self) -> Path:
        """The directory."""
        return Path(self.path)

    # ------------------------------------------------------------------ errors
    @contextmanager
    def _finding(self, key: str | None = None) -> Iterator[None]:
        with translated(self.describe(key)):
            try:
                yield
            except FileNotFoundError as error:
                raise self._not_found(key) from error

    def _not_found(self, key: str | None) -> ObjectNotFound:
        self._require_container()
        return ObjectNotFound(f"{self.describe(key)} does not exist")

    def _require_container(self) -> None:
        if not self.container_exists(self.path):
            raise ContainerNotFound(f"directory {self.path!r} does not exist: name another, or make it")


def _absolute(container: str | None) -> str:
    if not container:  # which would be where the process stands
        raise ConfigurationError("the local backend needs a directory: give its name as bucket_name")
    return os.path.abspath(os.path.expanduser(container))
