"""Two trees made alike: a directory and a branch of the store, or two branches."""

from __future__ import annotations

import contextlib
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from cottoncandy import keys
from cottoncandy.backends.base import Backend, ObjectInfo, WriteOptions
from cottoncandy.diskfiles import files_below, replacing
from cottoncandy.diskpaths import disk_paths, leads_out, path_below
from cottoncandy.errors import InvalidObjectName, ObjectNotFound
from cottoncandy.interfaces.basic import BasicInterface
from cottoncandy.stream import ObjectSource, TransferSettings, upload
from cottoncandy.syncing import (
    MTIME,
    SyncReport,
    fits_e_tag,
    nanoseconds,
    recorded_time,
    same_time,
    selection,
    time_text,
)


class Synchronizing(BasicInterface):
    """Trees that are made alike. See `BasicInterface`."""

    def sync(
        self,
        source: str | Path,
        destination: str | Path,
        *,
        delete: bool = False,
        dry_run: bool = False,
        include: str | Iterable[str] = (),
        exclude: str | Iterable[str] = (),
        checksum: bool = False,
        threads: int | None = None,
        source_bucket: str | None = None,
        dest_bucket: str | None = None,
    ) -> SyncReport:
        """Make a directory on disk and a branch of the store alike, or two branches; only what differs moves.

        A `pathlib.Path` is a directory on disk, a str a name in the store. Whatever stops it, running it again goes
        on: files and objects take their place when they are whole, and what is alike is left alone.

        Alike are a file and an object of the same size and time. An upload keeps the file's time in the object's
        metadata (``mtime``), a download gives it to the file. Where the times differ, the object's MD5 decides if its
        ETag tells it; and for an object without a time of its own, whether the destination is the newer one. Of two
        branches, objects of the same size are alike if they have the same ETag or the destination is the newer one.

        Parameters
        ----------
        source, destination : str or pathlib.Path
        delete : bool
            Delete what only the destination has, after all has been transferred. Refused where the source is empty.
        dry_run : bool
            Change nothing, and tell what would be done.
        include, exclude : str or iterable of str
            Patterns of names, relative to the tree, as `glob` takes them; one without ``/`` may fit the last component
            alone. What does not take part is neither transferred nor deleted.
        checksum : bool
            Compare contents and not times: by the ETag where it is an MD5, else by reading the object.
        threads : int, optional
            Files at a time; by default as many as are of use, up to the configured ``most_threads``.
        source_bucket, dest_bucket : str, optional
            The bucket of a name in the store; the current one by default.

        Returns
        -------
        SyncReport
            What was done.

        Raises
        ------
        ObjectNotFound
            If nothing is below the source.
        InvalidObjectName
            If a name would leave the directory, or is none in the store; nothing is changed then.

        Notes
        -----
        An upload follows links to files inside of the directory and skips all others, and what the store has under
        their names is left alone. Nothing is written through a link that leads out. Of raw arrays only the bytes go
        to disk.

        Examples
        --------
        >>> from pathlib import Path
        >>> response = cci.upload_object('exp/notes.txt', 'slept well')
        >>> print(cci.sync('exp', Path('exp_on_disk')))
        1 transferred (0.0 MB), 0 deleted, 0 unchanged
        >>> print(cci.sync(Path('exp_on_disk'), 'exp', delete=True))
        0 transferred (0.0 MB), 0 deleted, 1 unchanged
        """
        ends = self._end(source, source_bucket), self._end(destination, dest_bucket)
        pair = _pair(*ends, self._settings, checksum=checksum)
        takes = selection(include, exclude)
        sizes = {name: size for name, size in pair.source().items() if takes(name)}
        if not sizes and delete:
            raise ObjectNotFound(f"{source} has nothing that takes part: nothing is deleted")
        targets = {name for name in pair.target() if takes(name) and not _is_below(name, pair.skipped)}
        pair.check(sizes)
        common = sorted(sizes.keys() & targets)
        verdicts = self._gather(pair.same, common, threads, "compare", str(source))
        alike = {name for name, same in zip(common, verdicts, strict=True) if same}
        moved = sorted(sizes.keys() - alike)
        extra = sorted(targets - sizes.keys()) if delete else []
        if not dry_run:
            pair.threads = max(1, (threads or self._settings.threads) // max(1, len(moved)))
            self._for_each(pair.transfer, moved, threads, "transfer", str(source))
            pair.delete(extra)
        nbytes = sum(sizes[name] for name in moved)
        return SyncReport(tuple(moved), tuple(extra), tuple(pair.skipped), len(alike), nbytes, dry_run)

    def _end(self, place: str | Path, bucket: str | None) -> _Disk | _Branch:
        return _Disk(place) if isinstance(place, Path) else _Branch(self._bound_backend(bucket), place)


def _is_below(name: str, places: Iterable[str]) -> bool:
    """Whether a name is one of these, or in one of them."""
    return any(name == place or name.startswith(f"{place}{keys.SEPARATOR}") for place in places)


# ---------------------------------------------------------------------- the two kinds of trees
class _Disk:
    """A directory on disk."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.real = root.resolve()
        self.skipped: list[str] = []

    def list(self) -> dict[str, os.stat_result]:
        return dict(self._walk()) if self.root.exists() else {}

    def _walk(self) -> Iterator[tuple[str, os.stat_result]]:
        for entry in files_below(self.root):
            name = Path(entry.path).relative_to(self.root).as_posix()
            if not entry.is_file() or (entry.is_symlink() and leads_out(self.real, Path(entry.path))):
                self.skipped.append(name)
            else:
                yield name, entry.stat()

    def path(self, name: str) -> Path:
        """Where an object goes; refused are names that would leave the directory or come back as another."""
        path = path_below(self.root, name)
        if path.relative_to(self.root).as_posix() != name:
            raise InvalidObjectName(f"object {name!r} would have another name on disk: leave it out with exclude")
        if leads_out(self.real, path):
            raise InvalidObjectName(f"object {name!r} would be written through a link that leads out of {self.root}")
        return path

    def delete(self, names: Iterable[str]) -> None:
        """Delete files, and the directories that this empties."""
        for path in [self.root / name for name in names]:
            path.unlink()
            with contextlib.suppress(OSError):  # it is not empty
                for parent in path.relative_to(self.root).parents[:-1]:
                    (self.root / parent).rmdir()


class _Branch:
    """The objects below a name."""

    def __init__(self, backend: Backend, name: str) -> None:
        self.backend = backend
        self.prefix = keys.as_directory(name)

    def list(self) -> dict[str, ObjectInfo]:
        listed = self.backend.list_objects(self.prefix)
        return {info.key.removeprefix(self.prefix): info for info in listed if not info.key.endswith(keys.SEPARATOR)}

    def key(self, name: str) -> str:
        return self.prefix + name

    def delete(self, names: Iterable[str]) -> None:
        self.backend.delete([self.key(name) for name in names])

    def require(self, found: Mapping[str, object]) -> None:
        if not found:
            where = self.backend.describe(self.prefix)
            raise ObjectNotFound(f"nothing is below {where} (a directory on disk is given as a pathlib.Path)")


# ---------------------------------------------------------------------- the three ways
def _pair(
    source: _Disk | _Branch, destination: _Disk | _Branch, settings: TransferSettings, *, checksum: bool
) -> _Pair:
    if isinstance(destination, _Branch):
        if isinstance(source, _Branch):
            return _Copy(source, destination, checksum=checksum)
        return _Upload(source, destination, settings, checksum=checksum)
    if isinstance(source, _Branch):
        return _Download(destination, source, settings, checksum=checksum)
    raise TypeError("both are directories on disk: a name in the store is a str")


class _Pair(ABC):
    """A source and a destination.

    Attributes
    ----------
    skipped : list of str
        What the directory has and takes no part.
    threads : int
        For each file.
    """

    skipped: list[str]
    threads: int = 1

    @abstractmethod
    def source(self) -> dict[str, int]:
        """The names in the source, and their sizes."""

    @abstractmethod
    def target(self) -> Iterable[str]:
        """The names in the destination."""

    @abstractmethod
    def check(self, names: Iterable[str]) -> None:
        """Raise if one of the names cannot be in the destination."""

    @abstractmethod
    def same(self, name: str) -> bool:
        """Whether what both have is alike."""

    @abstractmethod
    def transfer(self, name: str) -> None:
        """Put what the source has into the destination."""

    @abstractmethod
    def delete(self, names: list[str]) -> None:
        """Delete from the destination."""


class _WithDisk(_Pair):
    """A directory and a branch."""

    def __init__(self, disk: _Disk, branch: _Branch, settings: TransferSettings, *, checksum: bool) -> None:
        self.disk, self.branch = disk, branch
        self.settings, self.checksum = settings, checksum
        self.skipped = disk.skipped
        self.files: dict[str, os.stat_result] = {}
        self.objects: dict[str, ObjectInfo] = {}

    @abstractmethod
    def is_stale(self, file: int, stored: int | None) -> bool:
        """Whether the destination is older than the source."""

    def same(self, name: str) -> bool:
        file, info = self.files[name], self.objects[name]
        if file.st_size != info.size:
            return False
        if self.checksum:
            by_sum = self._fits(name)
            return self._has_the_bytes(name) if by_sum is None else by_sum
        return self._same_by_time(name, file.st_mtime_ns, nanoseconds(info.last_modified))

    def _same_by_time(self, name: str, file: int, stored: int | None) -> bool:
        if same_time(file, stored):
            return True
        recorded = recorded_time(self.branch.backend.stat(self.branch.key(name)).metadata)
        if same_time(file, recorded):
            return True
        by_sum = self._fits(name)
        if by_sum is not None:
            return by_sum
        return recorded is None and not self.is_stale(file, stored)

    def _fits(self, name: str) -> bool | None:
        return fits_e_tag(self.disk.root / name, self.objects[name].e_tag, self.branch.backend, self.settings)

    def _open(self, name: str) -> ObjectSource:
        return ObjectSource(self.branch.backend, self.branch.key(name), self.settings, self.settings.opening)

    def _has_the_bytes(self, name: str) -> bool:
        with (
            (self.disk.root / name).open("rb") as file,
            self._open(name) as source,
            contextlib.closing(source.parts(1)) as parts,
        ):
            return all(file.read(len(part)) == part for part in parts) and not file.read(1)


class _Upload(_WithDisk):
    def source(self) -> dict[str, int]:
        if not self.disk.root.is_dir():
            raise NotADirectoryError(f"{self.disk.root} is no directory")
        self.files = self.disk.list()
        return {name: facts.st_size for name, facts in self.files.items()}

    def target(self) -> Iterable[str]:
        self.objects = self.branch.list()
        return self.objects

    def check(self, names: Iterable[str]) -> None:
        for name in names:
            if keys.clean_object(self.branch.key(name)) != self.branch.key(name):
                raise InvalidObjectName(f"file {name!r} would have another name in the store")

    def is_stale(self, file: int, stored: int | None) -> bool:
        return stored is None or stored < file

    def transfer(self, name: str) -> None:
        key, metadata = self.branch.key(name), {MTIME: time_text(self.files[name].st_mtime_ns)}
        with (self.disk.root / name).open("rb") as file:
            small = self.files[name].st_size <= self.settings.upload_threshold
            blocks = iter(lambda: file.read(self.settings.upload_part), b"")
            body = file.read() if small else blocks
            upload(self.branch.backend, key, body, metadata, WriteOptions(), self.settings, self.threads)

    def delete(self, names: list[str]) -> None:
        self.branch.delete(names)


class _Download(_WithDisk):
    def source(self) -> dict[str, int]:
        self.objects = self.branch.list()
        self.branch.require(self.objects)
        return {name: info.size for name, info in self.objects.items()}

    def target(self) -> Iterable[str]:
        self.files = self.disk.list()
        return self.files

    def check(self, names: Iterable[str]) -> None:
        for name in disk_paths(self.disk.root, names):
            self.disk.path(name)

    def is_stale(self, file: int, stored: int | None) -> bool:
        return stored is None or file < stored

    def transfer(self, name: str) -> None:
        path = self.disk.path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        with (
            self._open(name) as source,
            replacing(path) as file,
            contextlib.closing(source.parts(self.threads)) as parts,
        ):
            for part in parts:
                file.write(part)
            file.flush()
            time = recorded_time(source.head.metadata) or nanoseconds(source.head.last_modified)
            if time is not None:
                os.utime(file.name, ns=(time, time))

    def delete(self, names: list[str]) -> None:
        self.disk.delete(names)


@dataclass
class _Copy(_Pair):
    """Two branches of one store."""

    source_branch: _Branch
    target_branch: _Branch
    checksum: bool

    def __post_init__(self) -> None:
        self.skipped = []
        self._from: dict[str, ObjectInfo] = {}
        self._to: dict[str, ObjectInfo] = {}

    def source(self) -> dict[str, int]:
        one, other = self.source_branch.prefix, self.target_branch.prefix
        same = self.source_branch.backend.address == self.target_branch.backend.address
        if same and (one.startswith(other) or other.startswith(one)):
            raise InvalidObjectName(f"{one!r} and {other!r}: one is inside of the other")
        self._from = self.source_branch.list()
        self.source_branch.require(self._from)
        return {name: info.size for name, info in self._from.items()}

    def target(self) -> Iterable[str]:
        self._to = self.target_branch.list()
        return self._to

    def check(self, names: Iterable[str]) -> None:
        """All names are names in the store."""

    def same(self, name: str) -> bool:
        one, other = self._from[name], self._to[name]
        if one.size != other.size or self.checksum:
            return one.size == other.size and one.e_tag == other.e_tag
        old, new = nanoseconds(one.last_modified), nanoseconds(other.last_modified)
        return one.e_tag == other.e_tag or (old is not None and new is not None and old <= new)

    def transfer(self, name: str) -> None:
        source, target = self.source_branch, self.target_branch
        target.backend.copy(source.key(name), target.key(name), source_container=source.backend.location)

    def delete(self, names: list[str]) -> None:
        self.target_branch.delete(names)
