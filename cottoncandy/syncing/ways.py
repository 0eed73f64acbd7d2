"""The three ways of what differs: up, down, and from branch to branch."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from abc import abstractmethod
from collections.abc import Callable, Container, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import BinaryIO

from cottoncandy import arrayformat, keys
from cottoncandy.backends.base import ObjectInfo, ObjectReader, Receipt, WriteOptions
from cottoncandy.diskfiles import make_directory, remove_abandoned, replacing
from cottoncandy.diskpaths import distinct_paths
from cottoncandy.errors import CottonCandyError, InvalidObjectName
from cottoncandy.pipelines import Begun
from cottoncandy.stream import (
    CloudStream,
    ObjectSource,
    TransferSettings,
    begin_fetch,
    begin_file,
    file_body,
    upload,
)
from cottoncandy.syncing.likeness import (
    MTIME,
    differ_by_md5,
    fits_e_tag,
    may_hide_a_change,
    nanoseconds,
    recorded_time,
    same_time,
    time_of_download,
    time_text,
)
from cottoncandy.syncing.pair import Pair
from cottoncandy.syncing.trees import Branch, Disk
from cottoncandy.trees import stages
from cottoncandy.waits import Waits

log = logging.getLogger(__name__)


def pair_of(source: Disk | Branch, destination: Disk | Branch, settings: TransferSettings, *, checksum: bool) -> Pair:
    """How the destination becomes like the source.

    Raises
    ------
    TypeError
        If both are directories on disk.
    """
    if isinstance(source, Branch) and isinstance(destination, Branch):
        return _Copy(source, destination, settings, checksum=checksum)
    if isinstance(source, Disk) and isinstance(destination, Disk):
        raise TypeError("both are directories on disk: a name in the store is a str")
    way = _Upload if isinstance(source, Disk) else _Download
    return way(source, destination, settings, checksum=checksum)


class _WithDisk(Pair):
    """A directory and a branch."""

    def __init__(
        self, origin: Disk | Branch, goal: Disk | Branch, settings: TransferSettings, *, checksum: bool
    ) -> None:
        super().__init__(origin, goal, settings, checksum=checksum)
        (self.disk,) = (end for end in (origin, goal) if isinstance(end, Disk))
        (self.branch,) = (end for end in (origin, goal) if isinstance(end, Branch))
        self.gone, self.unlisted = self.disk.gone, self.disk.unlisted
        self._waits = Waits()
        self.files: dict[str, os.stat_result] = {}
        self.objects: dict[str, ObjectInfo] = {}
        self._arrays: dict[str, bool] = {}

    @property
    def skipped(self) -> list[str]:
        return [*self.disk.skipped, *self.branch.skipped]

    def require_apart(self, takes: Callable[[str], bool], names: Iterable[str]) -> None:
        inner = self._inner()
        if inner is None:
            return
        # what takes part there already, or will when it has been transferred
        if inner and not (takes(inner) or any(name.startswith(inner) or takes(inner + name) for name in names)):
            return
        advice = f"leave it out with exclude={inner + '*'!r}, or take another place" if inner else "take another place"
        where = self.branch.describe("")
        raise InvalidObjectName(f"directory {str(self.disk.root)!r} and {where}: one is inside of the other: {advice}")

    def _inner(self) -> str | None:
        """The name of what lies in the other one, the store or the directory; None where they lie apart."""
        disk, backend = self.disk.real, self.branch.backend
        store, branch = backend.on_disk(), backend.on_disk(self.branch.prefix)
        if store is None or branch is None:
            return None
        for outer, inner in ((disk, store), (disk, branch), (branch, disk)):
            if inner.is_relative_to(outer):
                return "".join(part + keys.SEPARATOR for part in inner.relative_to(outer).parts)
        return None

    @abstractmethod
    def is_stale(self, file: int, stored: int | None) -> bool:
        """Whether the destination is older than the source."""

    def _same(self, name: str) -> bool:
        file, info = self.files[name], self.objects[name]
        if info.size not in self.branch.backend.listed_sizes(file.st_size):
            return False
        if self.checksum:
            by_sum = self._fits(name)
            if by_sum is False and not self.branch.backend.has_md5(self.branch.key(name)):
                by_sum = None
            return self._has_the_bytes(name) if by_sum is None else by_sum
        return self._same_by_time(name, file.st_mtime_ns, nanoseconds(info.last_modified))

    def _same_by_time(self, name: str, file: int, stored: int | None) -> bool:
        if same_time(file, stored):
            return True
        recorded = recorded_time(self._metadata(name))
        if same_time(file, recorded):
            return True
        by_sum = self._fits(name)
        if by_sum is not None:
            return by_sum
        return recorded is None and not self.is_stale(file, stored)

    def _metadata(self, name: str) -> Mapping[str, str]:
        metadata = self.branch.backend.stat(self.branch.key(name)).metadata
        self._arrays[name] = arrayformat.is_array(metadata)
        return metadata

    def is_array(self, name: str) -> bool:
        """Whether an object is a raw array; one that was not looked at by then costs a request."""
        if name not in self._arrays:
            self._metadata(name)
        return self._arrays[name]

    def _fits(self, name: str) -> bool | None:
        if self.files[name].st_size != self.objects[name].size:
            return None  # the store has other bytes, encrypted ones: what it tells is of those
        return fits_e_tag(self.disk.root / name, self.objects[name].e_tag, self.branch.backend, self.settings)

    def _open(self, name: str, opened: ObjectReader | None = None) -> ObjectSource:
        first = self.settings.opening_of(self.objects[name].size)
        return ObjectSource(self.branch.backend, self.branch.key(name), self.settings, first, opened=opened)

    def _has_the_bytes(self, name: str) -> bool:
        with (self.disk.root / name).open("rb") as file, self._open(name) as source:
            return _reads_as(source, file)


class _Upload(_WithDisk):
    def source(self) -> dict[str, int]:
        if not self.disk.root.is_dir():
            raise NotADirectoryError(f"{self.disk.root} is no directory")
        self.files = self.disk.list()
        return {name: facts.st_size for name, facts in self.files.items()}

    def target(self) -> Iterable[str]:
        self.objects = self.branch.list()
        return self.objects

    def check(self, names: Iterable[str]) -> dict[str, Exception]:
        return _refused(self._require_own_name, names, InvalidObjectName)

    def _require_own_name(self, name: str) -> None:
        if keys.clean_object(self.branch.key(name)) != self.branch.key(name):
            raise InvalidObjectName(f"file {name!r} would have another name in the store")

    def is_stale(self, file: int, stored: int | None) -> bool:
        return stored is None or stored < file

    def _tell_of_array(self, name: str) -> None:
        with contextlib.suppress(CottonCandyError):  # keys that may write need not be allowed to look
            if self.is_array(name):
                log.warning(
                    "%s is a raw array: the bare bytes of %s take its place, without dtype and shape",
                    self.branch.describe(name),
                    self.disk.describe(name),
                )

    def transfer(self, name: str) -> None:
        if name in self.objects:
            self._tell_of_array(name)
        backend, key = self.branch.backend, self.branch.key(name)
        with (self.disk.root / name).open("rb") as file:
            facts = os.fstat(file.fileno())  # it may be another file than was listed
            body, options = file_body(file, self.settings), WriteOptions()
            upload(backend, key, body, _recorded(facts), options, self.settings, self.threads, most=facts.st_size)

    def begin(self, name: str) -> Begun[Receipt] | None:
        if name in self.objects:
            return None  # it is to be looked at
        key, path = self.branch.key(name), self.disk.root / name
        return begin_file(self.branch.backend, key, path, _recorded, WriteOptions(), self._waits)


class _Download(_WithDisk):
    def source(self) -> dict[str, int]:
        self.objects = self.branch.list()
        self.branch.require(self.objects)
        return {name: info.size for name, info in self.objects.items()}

    def target(self) -> Iterable[str]:
        self.files = self.disk.list()
        return self.files

    def check(self, names: Iterable[str]) -> dict[str, Exception]:
        distinct_paths(self.disk.root, names)
        return _refused(self.disk.path, names, OSError)

    def is_stale(self, file: int, stored: int | None) -> bool:
        return stored is None or file < stored

    def hangs_on(self, name: str, others: Container[str]) -> bool:
        return self.disk.hangs_on(name, others)

    def transfer(self, name: str) -> None:
        self._receive(name)

    def begin(self, name: str) -> Begun[None] | None:
        size, write = self.objects[name].size, partial(self._receive, name)
        return begin_fetch(self.branch.backend, self.branch.key(name), size, write, self._waits)

    def _receive(self, name: str, opened: ObjectReader | None = None) -> None:
        with self._open(name, opened) as source:
            path = self.disk.path(name)  # what cannot be read fails before one knows of a place
            make_directory(path.parent)
            self._write(source, path)

    def _write(self, source: ObjectSource, path: Path) -> None:
        with replacing(path, source.where, through_link=False) as file:
            source.copy_to(file, self.threads)
            file.flush()
            moment = time_of_download(source.head.metadata, nanoseconds(source.head.last_modified), time.time_ns())
            if moment is not None:
                _set_time(file.name, moment)

    def clean_up(self) -> None:
        remove_abandoned(self.disk.parts)


class _Copy(Pair):
    """Two branches of one store."""

    def __init__(self, source: Branch, target: Branch, settings: TransferSettings, *, checksum: bool) -> None:
        super().__init__(source, target, settings, checksum=checksum)
        self.source_branch, self.target_branch = source, target
        self._from: dict[str, ObjectInfo] = {}
        self._to: dict[str, ObjectInfo] = {}

    @property
    def skipped(self) -> list[str]:
        return [*dict.fromkeys([*self.source_branch.skipped, *self.target_branch.skipped])]

    def source(self) -> dict[str, int]:
        one, other = (branch.backend.place(branch.prefix) for branch in (self.source_branch, self.target_branch))
        if one.startswith(other) or other.startswith(one):
            raise InvalidObjectName(f"{one!r} and {other!r}: one is inside of the other")
        self._from = self.source_branch.list()
        self.source_branch.require(self._from)
        return {name: info.size for name, info in self._from.items()}

    def target(self) -> Iterable[str]:
        self._to = self.target_branch.list()
        return self._to

    def tell_of_uploads(self, deleted: Container[str]) -> None:
        # those that only the destination has are not removed without being asked: they may be of somebody who is at
        # work there, or a tree that he stored
        left = [name for name in self._to if name not in self._from and name not in deleted]
        for stage in stages(dict.fromkeys(left))[1]:
            log.warning(
                "%s: an upload of a tree was broken off or is under way there, of which the source has nothing. "
                "cloud2dict may read that, whatever is transferred beside it. If nobody is at work there, sync with "
                "delete=True ends it, or rm(%r, recursive=True)",
                self.target_branch.describe(stage.root),
                self.target_branch.key(stage.name("")),
            )
        for stage in stages(dict.fromkeys(self._from))[1]:
            log.warning(
                "%s: an upload of a tree was broken off or is under way there, and what it has beside its places is "
                "transferred as well. When the next dict2cloud to that name has ended it, sync with delete=True ends "
                "it in the destination",
                self.source_branch.describe(stage.root),
            )

    def check(self, names: Iterable[str]) -> dict[str, Exception]:  # noqa: ARG002 - all are names in the store
        return {}

    def _same(self, name: str) -> bool:
        one, other = self._from[name], self._to[name]
        if one.size != other.size:
            return False
        if self.checksum:
            return self._have_the_same_bytes(name) and self._have_the_same_metadata(name)
        return not self._differ_by_md5(name) and self._same_by_time(name)

    def _same_by_time(self, name: str) -> bool:
        one, other = self._from[name], self._to[name]
        old, new = nanoseconds(one.last_modified), nanoseconds(other.last_modified)
        if old is not None and new is not None and not (old == new and may_hide_a_change(old)):
            return old <= new
        return one.e_tag == other.e_tag and self._have_the_same_metadata(name)

    def _differ_by_md5(self, name: str) -> bool:
        ends = (self.source_branch, self._from), (self.target_branch, self._to)
        return differ_by_md5(*(listed[name].e_tag for _, listed in ends)) and all(
            branch.backend.has_md5(branch.key(name)) for branch, _ in ends
        )

    def _have_the_same_bytes(self, name: str) -> bool:
        if self._from[name].e_tag is not None and self._from[name].e_tag == self._to[name].e_tag:
            return True
        if self._differ_by_md5(name):
            return False
        source, target = (
            (branch.backend, branch.key(name), self.settings) for branch in (self.source_branch, self.target_branch)
        )
        with ObjectSource(*source, self.settings.opening) as one, CloudStream(*target, threads=1) as other:
            return _reads_as(one, other)

    def _have_the_same_metadata(self, name: str) -> bool:
        one, other = (branch.backend.stat(branch.key(name)) for branch in (self.source_branch, self.target_branch))
        return dict(one.metadata) == dict(other.metadata)

    def transfer(self, name: str) -> None:
        source, target = self.source_branch, self.target_branch
        location, size = source.backend.location, self._from[name].size
        target.backend.copy(source.key(name), target.key(name), source_container=location, size=size)

    def begin(self, name: str) -> Begun[Receipt] | None:
        source, target = self.source_branch, self.target_branch
        location, size = source.backend.location, self._from[name].size
        return target.backend.begin_copy(source.key(name), target.key(name), size, source_container=location)


def _set_time(path: str, nanoseconds: int) -> None:
    # an object may tell of a time that this file system, or this machine, does not know
    with contextlib.suppress(OSError, OverflowError):
        os.utime(path, ns=(nanoseconds, nanoseconds))


def _recorded(facts: os.stat_result) -> dict[str, str]:
    """What an object keeps of a file beside its bytes."""
    return {MTIME: time_text(facts.st_mtime_ns)}


def _reads_as(source: ObjectSource, file: BinaryIO) -> bool:
    """Whether an object's bytes are those of a file."""
    with contextlib.closing(source.parts(1)) as parts:
        return all(file.read(len(part)) == part for part in parts) and not file.read(1)


def _refused(require: Callable[[str], object], names: Iterable[str], kind: type[Exception]) -> dict[str, Exception]:
    """The names for which a function raises this kind of error."""
    refused: dict[str, Exception] = {}
    for name in names:
        try:
            require(name)
        except kind as error:
            refused[name] = error
    return refused
