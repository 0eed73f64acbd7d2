"""The two kinds of trees: a directory on disk, and the objects below a name."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Container, Iterator, Mapping
from pathlib import Path

from cottoncandy import keys
from cottoncandy.backends.base import Backend, ObjectInfo
from cottoncandy.diskfiles import files_below
from cottoncandy.diskpaths import disk_paths, leads_out
from cottoncandy.errors import InvalidObjectName, ObjectNotFound
from cottoncandy.progress import Progress

# Linux follows 40 links on one path, https://man7.org/linux/man-pages/man7/path_resolution.7.html; others fewer.
_MOST_LINKS = 40


class Disk:
    """A directory on disk.

    Attributes
    ----------
    links : set of str
        Of the files that were listed.
    parts : list of Path
        What downloads have left, or have yet to finish.
    skipped : list of str
        What takes no part.
    gone : list of str
        What vanished while it was listed.
    unlisted : dict of str to OSError
        What could not be listed; a directory ends with ``/``.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.real = root.resolve()
        self.links: set[str] = set()
        self.parts: list[Path] = []
        self.skipped: list[str] = []
        self.gone: list[str] = []
        self.unlisted: dict[str, OSError] = {}

    def list(self) -> dict[str, os.stat_result]:
        """The files in it, by their names relative to it; what else there is, is added to the attributes."""
        return dict(self._walk()) if self.root.exists() else {}

    def _walk(self) -> Iterator[tuple[str, os.stat_result]]:
        for entry in files_below(self.root, self._cannot_list, self.parts.append):
            name = self._name(Path(entry.path))
            try:
                if not self._takes_part(entry):
                    self.skipped.append(name)
                    continue
                facts = entry.stat()
                if entry.is_symlink():
                    self.links.add(name)
                yield name, facts
            except OSError as error:
                self._miss(name, error)

    def _takes_part(self, entry: os.DirEntry[str]) -> bool:
        if not entry.is_symlink():
            return entry.is_file()
        # unlike Path's, it is False as well where a link leads in a circle, or where we may not look
        return os.path.isfile(entry.path) and not leads_out(self.real, Path(entry.path))  # noqa: PTH113

    def _cannot_list(self, directory: Path, error: OSError) -> None:
        if directory == self.root:
            raise error
        self._miss(f"{self._name(directory)}{keys.SEPARATOR}", error)

    def _miss(self, name: str, error: OSError) -> None:
        if isinstance(error, (FileNotFoundError, NotADirectoryError)):
            self.gone.append(name.rstrip(keys.SEPARATOR))
        else:
            self.unlisted[name] = error

    def _name(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()

    def describe(self, name: str) -> str:
        """How an error names a file."""
        return str(self.root / name)

    def lacks(self, name: str) -> bool:
        """Whether a file has vanished; not where the whole directory has."""
        return self.root.is_dir() and not (self.root / name).exists()

    def hangs_on(self, name: str, others: Container[str]) -> bool:
        """Whether a file that was listed is a link that leads to one of others, or by way of one."""
        return name in self.links and any(place in others for place in self._way(self.root / name))

    def _way(self, path: Path) -> Iterator[str]:
        for _ in range(_MOST_LINKS):
            if not path.is_symlink():
                return
            path = path.parent.resolve() / path.readlink()
            path = path.parent.resolve() / path.name
            yield Path(os.path.relpath(path, self.real)).as_posix()

    def path(self, name: str) -> Path:
        """Where an object goes; refused are names that would leave the directory or come back as another.

        Raises
        ------
        InvalidObjectName
        NotADirectoryError, IsADirectoryError
            If something is in the way.
        """
        path = disk_paths(self.root, [name])[name]
        if path.relative_to(self.root).as_posix() != name:
            raise InvalidObjectName(f"object {name!r} would have another name on disk: leave it out with exclude")
        return path

    def has_only(self, name: str, extra: Container[str]) -> bool:
        """Whether there is nothing at a name but files of these, and directories that hold one."""
        found = [self.root / name]
        for path in found:  # grows as it goes
            if path.is_dir() and not path.is_symlink():
                below = list(path.iterdir())
                found += below
                is_to_go = bool(below)
            else:
                is_to_go = not os.path.lexists(path) or self._name(path) in extra
            if not is_to_go:
                return False
        return True

    def delete(self, names: Collection[str], progress: Progress) -> None:
        """Delete files, and the directories that this empties."""
        with progress.many("delete", str(self.root), len(names), "files") as count:
            for path in count.through([self.root / name for name in names]):
                path.unlink(missing_ok=True)
                with contextlib.suppress(OSError):  # it is not empty
                    for parent in path.relative_to(self.root).parents[:-1]:
                        (self.root / parent).rmdir()


class Branch:
    """The objects below a name.

    Attributes
    ----------
    skipped : list of str
        What takes no part: objects with a body whose names end with ``/``, which no file's does.
    """

    def __init__(self, backend: Backend, name: str) -> None:
        self.backend = backend
        self.prefix = keys.as_directory(name)
        self.skipped: list[str] = []

    def list(self) -> dict[str, ObjectInfo]:
        """The objects in it, by their names relative to it. Empty ones that end with ``/`` stand for directories."""
        found = {info.key.removeprefix(self.prefix): info for info in self.backend.list_objects(self.prefix)}
        folders = [name for name, info in found.items() if info.key.endswith(keys.SEPARATOR)]
        sizes = {name: found.pop(name).size for name in folders}
        self.skipped += (name or keys.SEPARATOR for name, size in sizes.items() if size)
        return found

    def key(self, name: str) -> str:
        """The full name of an object."""
        return self.prefix + name

    def describe(self, name: str) -> str:
        """How an error names an object."""
        return self.backend.describe(self.key(name))

    def lacks(self, name: str) -> bool:
        """Whether an object has vanished."""
        return not self.backend.exists(self.key(name))

    def has_only(self, name: str, extra: Container[str]) -> bool:
        """Whether these objects alone keep another from having a name."""
        return self.backend.gives_way(self.key(name), lambda key: key.removeprefix(self.prefix) in extra)

    def delete(self, names: Collection[str], progress: Progress) -> None:
        """Delete objects."""
        with progress.many("delete", self.prefix, len(names)) as count:
            self.backend.delete(count.through([self.key(name) for name in names]))

    def require(self, found: Mapping[str, object]) -> None:
        """Raise ObjectNotFound if nothing was found, and nothing skipped."""
        if not (found or self.skipped):
            where = self.backend.describe(self.prefix)
            raise ObjectNotFound(f"nothing is below {where} (a directory on disk is given as a pathlib.Path)")
