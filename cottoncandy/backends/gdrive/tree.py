"""Paths and ids: where on the Drive an object is.

Names in a folder are not unique, and what was just made or removed may not show in listings for a while; a file is
always found by its id. So ids are remembered, whatever is remembered is asked for again before it is believed, and
where several items have one name a fixed rule picks the object (`newest_first`), or all of them are read
(`oldest_first`: the folders of one name count as one folder).
"""

from __future__ import annotations

import logging
import math
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, TypeVar

from cottoncandy import keys
from cottoncandy.backends.gdrive import newfolders
from cottoncandy.backends.gdrive.api import Api, quoted, within
from cottoncandy.backends.gdrive.files import DriveFile, newest_first, oldest_first
from cottoncandy.errors import ObjectNotFound
from cottoncandy.forks import ForkSafeLock

log = logging.getLogger(__name__)

_NOT_TRASHED = "trashed = false"
# How many of a folder's last changed items are looked through where the search by name may lag behind.
_RECENT = 100
# Seconds: somebody may rename or move a folder in the browser, which only a new search shows.
_FOLDERS_LAST = 60.0
# Seconds for which listings are not believed that there is what went to the trash from here: it may be taken out again.
_TRASH_LASTS = 10.0
# Remembered ids only save requests: when there are too many, all are forgotten.
_MOST_REMEMBERED = 20_000
_LITTLE_PATIENCE = 1.0  # seconds
_LIKE_AN_ID = re.compile(r"[\w-]{8,}")

Kind = Callable[[DriveFile], bool]
Result = TypeVar("Result")


def is_folder(item: DriveFile) -> bool:
    """Choose folders."""
    return item.is_folder


def is_object(item: DriveFile) -> bool:
    """Choose what has bytes."""
    return item.is_object


def is_nameable(name: str) -> bool:
    """Whether a part of a key can be this name; a file in Drive may be named ``a/b``, and then has no key."""
    return name not in {"", ".", ".."} and "/" not in name and "\0" not in name


class Level(NamedTuple):
    """What lies in a folder: the object of each name, and the folders' ids of each name."""

    objects: dict[str, DriveFile]
    folders: dict[str, tuple[str, ...]]


class _Place(NamedTuple):
    base: str
    prefix: str


class Tree:
    """Finds objects and folders by their path; for many threads.

    Parameters
    ----------
    api : Api
    """

    def __init__(self, api: Api) -> None:
        self.api, self.settings = api, api.settings
        self._root: _Place | None = None
        self._lock = ForkSafeLock()
        self._folders: dict[str, tuple[tuple[str, ...], float]] = {}
        self._objects: dict[str, DriveFile] = {}
        self._gone: dict[str, float] = {}
        self._maker = object()
        self._patience = self.settings.settle

    # ------------------------------------------------------------------ the root
    def path(self, *names: str) -> str:
        """The path of an object or folder from the top of the drive on."""
        return keys.join(self._place.prefix, *(name for name in names if name))

    @property
    def base(self) -> str:
        """The id of the folder in which all paths begin."""
        return self._place.base

    @property
    def _place(self) -> _Place:
        if self._root is None:
            with self._lock:
                self._root = self._root or self._find_root()
        return self._root

    def _find_root(self) -> _Place:
        path = self.settings.root_path
        if self.settings.root_id:
            return _Place(self.settings.root_id, "")
        if _LIKE_AN_ID.fullmatch(path) and self._is_folder_id(path):
            return _Place(path, "")
        return _Place("root" if self.settings.drive is None else self.api.drive_id(), path)

    def _is_folder_id(self, text: str) -> bool:
        try:
            return self.api.get(text, f"root folder {text!r}").is_folder
        except ObjectNotFound:
            return False

    # ------------------------------------------------------------------ folders
    def folder(self, path: str) -> tuple[str, ...]:
        """The ids of the folders at a path, the first one made first; none where there is none."""
        if not path:
            return (self.base,)
        known = self.known_folder(path)
        if known:
            return known
        parents = self.folder(keys.parent(path))
        found = self._items(parents, keys.basename(path), is_folder, path) if parents else []
        ids = tuple(item.id for item in oldest_first(found))
        if ids:
            self.remember_folder(path, ids)
        return ids

    def known_folder(self, path: str) -> tuple[str, ...]:
        """The ids of a path as far as they are remembered."""
        ids, until = self._folders.get(path, ((), 0.0))
        return ids if time.monotonic() < until else ()

    def remember_folder(self, path: str, ids: tuple[str, ...]) -> None:
        """Keep the ids of a path."""
        if len(self._folders) >= _MOST_REMEMBERED:
            self._maker = object()  # what lies in the folders made from here is forgotten with them
            self._folders.clear()
        self._folders[path] = ids, time.monotonic() + _FOLDERS_LAST

    def forget_folders(self, path: str) -> None:
        """Look for the folders on the way to a path, and for what is below them, anew."""
        self.forget_branch(path.split("/", maxsplit=1)[0])

    def forget_branch(self, path: str) -> None:
        """Look for a folder, and for what is below it, anew."""
        for cache in (self._folders, self._objects):
            for known in [known for known in list(cache) if known == path or known.startswith(f"{path}/")]:
                if cache is self._folders:
                    self._forget_new(known)
                cache.pop(known, None)

    def _forget_new(self, path: str) -> None:
        """What lies in a folder is about to be forgotten, so it is no new one any more."""
        ids, _ = self._folders.get(path, ((), 0.0))
        for folder in ids:
            newfolders.forget(folder)

    def is_new(self, folder: str) -> bool:
        """Whether a folder was made from here a moment ago, and holds nothing but what was put there from here."""
        return newfolders.is_new(folder, self._maker)

    def note_new(self, folder: str) -> None:
        """A folder is about to be made from here."""
        newfolders.note(folder, self._maker)

    def fill(self, folder: str) -> None:
        """Something new is about to be put into a folder."""
        newfolders.fill(folder, self._maker)

    # ------------------------------------------------------------------ objects
    def known(self, path: str) -> DriveFile | None:
        """An object as it was when it was last seen."""
        return self._objects.get(path)

    def remember(self, path: str, file: DriveFile) -> None:
        """Keep where an object is. A listing may lag behind, and not show a newer one that is known."""
        known = self._objects.get(path)
        if known is not None and not self._is_gone(known.id) and known.created > file.created:
            return
        if len(self._objects) >= _MOST_REMEMBERED:
            self._maker = object()
            self._objects.clear()
        self._objects[path] = file

    def forget(self, path: str, gone: str | None = None, *, for_ever: bool = True) -> None:
        """Look for an object anew; an id that is gone is not believed to listings, for a while or ``for_ever``."""
        self._objects.pop(path, None)
        if len(self._gone) >= _MOST_REMEMBERED:
            self._gone.clear()
        if gone is not None:
            self._gone[gone] = math.inf if for_ever else time.monotonic() + _TRASH_LASTS

    def _is_gone(self, file_id: str) -> bool:
        return time.monotonic() < self._gone.get(file_id, 0.0)

    def current(self, path: str) -> DriveFile | None:
        """An object as it is now, if it is still where it was seen last."""
        known = self._objects.get(path)
        if known is None:
            return None
        try:
            file = self.api.get(known.id, path)
        except ObjectNotFound:
            self.forget(path, known.id)
            return None
        is_same = (file.name, file.parents) == (known.name, known.parents)
        if file.trashed or not (is_same and self.is_in_place(path, file)):
            self.forget(path)
            return None
        self._objects[path] = file
        return file

    def is_in_place(self, path: str, file: DriveFile) -> bool:
        """Whether a file's folder is one that this path leads to: it may have been renamed, or moved."""
        parent = keys.parent(path)
        # of the top of the drive the service has another id than the name that it is asked by
        return not parent or any(folder in file.parents for folder in self.folder(parent))

    def listed(self, path: str) -> list[DriveFile]:
        """All objects of a name, the one that counts first, as listings show them."""
        return self._anew(path, lambda: self._listed(path)) or []

    def _listed(self, path: str) -> list[DriveFile]:
        parents = self.folder(keys.parent(path))
        found = newest_first(self._items(parents, keys.basename(path), is_object, path)) if parents else []
        if found:
            self.remember(path, found[0])
        return found

    def find(self, path: str) -> DriveFile | None:
        """An object."""
        return self.current(path) or next(iter(self.listed(path)), None)

    # ------------------------------------------------------------------ levels
    def level(self, path: str) -> Level:
        """What lies in a folder, each name once."""
        return self._anew(path, lambda: self._level(path)) or Level({}, {})

    def _level(self, path: str) -> Level:
        ids = self.folder(path)
        items = list(self.items(ids, path)) if ids else []
        if ids and not items:
            self._require(ids, path)
        items = [item for item in items if is_nameable(item.name)]
        objects = {item.name: item for item in reversed(newest_first(filter(is_object, items)))}
        folders: dict[str, tuple[str, ...]] = {}
        for item in oldest_first(filter(is_folder, items)):
            folders[item.name] = (*folders.get(item.name, ()), item.id)
        for name, file in objects.items():
            self.remember(keys.join(path, name), file)
        for name, found in folders.items():
            self.remember_folder(keys.join(path, name), found)
        return Level(objects, folders)

    def items(self, ids: Sequence[str], where: str) -> Iterator[DriveFile]:
        """All that lies in some folders, in no order, Google Docs and what has no key included."""
        for page in self.api.find(f"{within(ids)} and {_NOT_TRASHED}", where):
            yield from self.believed(page)

    def believed(self, items: Iterable[DriveFile]) -> Iterator[DriveFile]:
        """The items without those that are known to be gone: a listing may lag behind."""
        return (item for item in items if not self._is_gone(item.id))

    # ------------------------------------------------------------------ listings that lag
    def settled(self, path: str, parent: str, file: DriveFile, kind: Kind) -> list[DriveFile]:
        """All items of a new item's name in its folder, once listings show it.

        Raises
        ------
        ObjectNotFound
            If its folder was removed meanwhile.
        """
        deadline, delay = time.monotonic() + self._patience, 0.05
        while True:
            found = self._items((parent,), file.name, kind, path, sought=file.id)
            if any(item.id == file.id for item in found):
                self._patience = self.settings.settle
                return found
            if time.monotonic() + delay > deadline:
                log.warning("%s: listings do not show it after %g s", path, self._patience)
                # where listings are that slow, waiting so long for each object would be of no use
                self._patience = min(self._patience, _LITTLE_PATIENCE)
                return [*found, file]
            time.sleep(delay)
            delay = min(2 * delay, 1.0)

    def _items(
        self, parents: Sequence[str], name: str, kind: Kind, where: str, *, sought: str | None = None
    ) -> list[DriveFile]:
        """The items of a name and kind in some folders.

        The search by name lags behind most, so where it does not find any (or not the sought one), the folders' last
        changed items are looked through as well.

        Raises
        ------
        ObjectNotFound
            If the folders are not there any more.
        """

        def matching(items: Iterable[DriveFile]) -> dict[str, DriveFile]:
            # to the service, names that differ in case are equal
            return {item.id: item for item in self.believed(items) if item.name == name and kind(item)}

        condition = f"{within(parents)} and {_NOT_TRASHED}"
        named = self.api.find(f"{condition} and name = {quoted(name)}", where)
        found = matching(item for page in named for item in page)
        if found if sought is None else sought in found:
            return list(found.values())
        pages = self.api.find(condition, where, order="modifiedTime desc", page_size=_RECENT)
        recent = next(filter(None, pages), [])
        if not recent:
            self._require(parents, where)
        return list((found | matching(recent)).values())

    def _require(self, ids: Sequence[str], where: str) -> None:
        """Ask whether folders that look empty are there at all: what lies in the trash is not listed either."""
        if self.base not in ids and all(self.api.get(folder, where).trashed for folder in ids):
            raise ObjectNotFound(f"{where}: its folder is in the trash")

    def _anew(self, path: str, action: Callable[[], Result]) -> Result | None:
        """Do something; once more where a remembered folder turns out to be gone; None if it is gone still."""
        for _ in range(2):
            try:
                return action()
            except ObjectNotFound:
                self.forget_folders(path)
        return None
