"""The two kinds of trees: a directory on disk, and the objects below a name."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from cottoncandy import keys
from cottoncandy.backends.base import Backend, ObjectInfo
from cottoncandy.diskfiles import files_below
from cottoncandy.diskpaths import leads_out, path_below
from cottoncandy.errors import InvalidObjectName, ObjectNotFound


class Disk:
    """A directory on disk."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.real = root.resolve()
        self.skipped: list[str] = []

    def list(self) -> dict[str, os.stat_result]:
        """The files in it, by their names relative to it; what takes no part is added to ``skipped``."""
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


class Branch:
    """The objects below a name."""

    def __init__(self, backend: Backend, name: str) -> None:
        self.backend = backend
        self.prefix = keys.as_directory(name)

    def list(self) -> dict[str, ObjectInfo]:
        """The objects in it, by their names relative to it."""
        listed = self.backend.list_objects(self.prefix)
        return {info.key.removeprefix(self.prefix): info for info in listed if not info.key.endswith(keys.SEPARATOR)}

    def key(self, name: str) -> str:
        """The full name of an object."""
        return self.prefix + name

    def delete(self, names: Iterable[str]) -> None:
        """Delete objects."""
        self.backend.delete([self.key(name) for name in names])

    def require(self, found: Mapping[str, object]) -> None:
        """Raise ObjectNotFound if nothing was found."""
        if not found:
            where = self.backend.describe(self.prefix)
            raise ObjectNotFound(f"nothing is below {where} (a directory on disk is given as a pathlib.Path)")
