"""Removing objects: all files of a name, and the folders that hold nothing any more."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice
from typing import NamedTuple

from cottoncandy import keys
from cottoncandy.backends.gdrive import folders
from cottoncandy.backends.gdrive.files import DriveFile
from cottoncandy.backends.gdrive.tree import Tree
from cottoncandy.errors import CottonCandyError
from cottoncandy.pools import map_threads

# Names that are looked for together.
_BATCH = 1000
# From so many names in one folder on, the folder is listed whole to find them, and not each name by itself.
_MANY = 8


class _Found(NamedTuple):
    path: str
    file: DriveFile


class Removal:
    """One call of `Backend.delete`.

    Parameters
    ----------
    tree : Tree
    threads : int
    done : callable
        Is told how many files are gone.
    for_ever : bool
        Else they go to the trash, as folders do in any case.
    """

    def __init__(self, tree: Tree, threads: int, done: Callable[[int], object], *, for_ever: bool) -> None:
        self._tree = tree
        self._threads = threads
        self._done = done
        self._remove: Callable[[str, str], bool] = tree.api.delete if for_ever else tree.api.trash

    def run(self, paths: Iterable[str], root: str) -> None:
        """Remove the objects at the paths, as many as can be; the first failure is raised at the end."""
        errors: list[CottonCandyError] = []
        touched: set[str] = set()
        rest = iter(paths)
        while batch := list(islice(rest, _BATCH)):
            touched.update(map(keys.parent, batch))
            found = (item for group in self._searches(batch) for item in group)
            for error in map_threads(self._try, found, self._threads):
                self._done(1)
                errors += [error] if error is not None else []
        folders.prune(self._tree, touched, lambda path: path == root, self._threads)
        if errors:
            raise errors[0]

    def _searches(self, paths: list[str]) -> Iterator[list[_Found]]:
        """Find the files of the names, several searches at a time."""
        groups: dict[str, list[str]] = {}
        for path in dict.fromkeys(paths):
            groups.setdefault(keys.parent(path), []).append(path)
        jobs: list[Callable[[], list[_Found]]] = []
        for folder, names in groups.items():
            if len(names) >= _MANY:
                jobs.append(partial(self._find_among, folder, names))
            else:
                jobs += [partial(self._find_one, path) for path in names]
        yield from map_threads(lambda job: job(), jobs, self._threads)

    def _find_one(self, path: str) -> list[_Found]:
        known = self._tree.known(path)
        listed = self._tree.listed(path)
        if known is not None and known.id not in {file.id for file in listed}:
            # too new for listings, or moved away
            current = self._tree.current(path)
            listed += [] if current is None or current.id != known.id else [current]
        return [_Found(path, file) for file in listed]

    def _find_among(self, folder: str, paths: list[str]) -> list[_Found]:
        wanted = set(paths)
        ids = self._tree.folder(folder)
        items = self._tree.items(ids, folder) if ids else ()
        found = [_Found(keys.join(folder, file.name), file) for file in items if file.is_object]
        found = [item for item in found if item.path in wanted]
        missing = wanted.difference(item.path for item in found)
        known = (path for path in missing if self._tree.known(path) is not None)
        return found + [item for path in known for item in self._find_one(path)]

    def _try(self, found: _Found) -> CottonCandyError | None:
        try:
            is_for_ever = self._remove(found.file.id, found.path)
        except CottonCandyError as error:
            return error
        self._tree.forget(found.path, found.file.id, for_ever=is_for_ever)
        return None
