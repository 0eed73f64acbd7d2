"""Making the folders on the way to an object, and removing those that hold none any more."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import TypeVar

from cottoncandy import keys
from cottoncandy.backends.gdrive import newfolders
from cottoncandy.backends.gdrive.api import within
from cottoncandy.backends.gdrive.files import DriveFile, oldest_first
from cottoncandy.backends.gdrive.tree import Tree, is_folder
from cottoncandy.errors import ObjectExists, ObjectNotFound, TransientError
from cottoncandy.forks import ForkSafeLock
from cottoncandy.pools import map_threads

log = logging.getLogger(__name__)

Result = TypeVar("Result")
_TRIES = 3
# Two interfaces of one process that make the same folder must wait for each other, so these belong to the process.
# A fixed number of them: a lock per folder would never be thrown away.
_locks = tuple(ForkSafeLock() for _ in range(64))


def _lock(tree: Tree, parent: str, path: str) -> ForkSafeLock:
    """The lock for making or removing the folder at a path in a parent. Hold only one at a time."""
    return _locks[hash((tree.api.endpoint, parent, keys.basename(path))) % len(_locks)]


def persistently(tree: Tree, path: str, action: Callable[[], Result]) -> Result:
    """Do something that needs the folders of a path, again where another program removes them meanwhile."""
    for _ in range(_TRIES):
        try:
            return action()
        except ObjectNotFound:
            tree.forget_folders(path)
    raise TransientError(f"{path}: its folder is removed again and again while it is written")


# ---------------------------------------------------------------------- making
def make_folder(tree: Tree, path: str) -> str:
    """The id of the folder at a path, made if it is not there.

    Threads of this process wait for each other. Programs that make the same folder at the same moment find both when
    listings show them: the one made first stays.
    """
    known = tree.known_folder(path) if path else (tree.base,)
    if known:
        return known[0]
    parent = make_folder(tree, keys.parent(path))
    with _lock(tree, parent, path):
        # in a new folder is nothing but what was put there from here
        found = tree.known_folder(path) if tree.is_new(parent) else tree.folder(path)
        return found[0] if found else _make(tree, path, parent)


def _make(tree: Tree, path: str, parent: str) -> str:
    made = _create(tree, path, parent)
    if not tree.settings.settle:
        tree.remember_folder(path, (made.id,))
        return made.id
    first, *others = oldest_first(tree.settled(path, parent, made, is_folder))
    if others:
        newfolders.forget(made.id)  # what lies in the others counts as if it were in this one
    if first.id == made.id:
        tree.remember_folder(path, (first.id, *(item.id for item in others)))
    else:
        log.info("%s: another program made this folder first", path)
        _remove_empty(tree, made.id, path, for_ever=True)
        tree.remember_folder(path, (first.id,))
    return first.id


def _create(tree: Tree, path: str, parent: str) -> DriveFile:
    new_id = tree.api.new_id()
    tree.fill(parent)
    tree.note_new(new_id)  # before anybody can see it, and put something there
    try:
        return tree.api.make_folder(new_id, keys.basename(path), parent, path)
    except ObjectExists:
        return tree.api.get(new_id, path)  # made by a request whose answer was lost


# ---------------------------------------------------------------------- removing
def prune(tree: Tree, paths: Iterable[str], stays: Callable[[str], bool], threads: int) -> None:
    """Put those of the folders into the trash that hold nothing any more, and then their parents.

    They are not deleted for ever: in them may be what this program may not see, or what listings do not show yet.

    Parameters
    ----------
    paths : iterable of str
    stays : callable
        Whether the folder at a path stays in any case.
    """
    left = {path for path in paths if not stays(path)}
    while left:
        depth = max(path.count("/") for path in left)
        deepest = sorted(path for path in left if path.count("/") == depth)
        were_empty = map_threads(lambda path: _prune_one(tree, path), deepest, threads)
        emptied = {keys.parent(path) for path, was_empty in zip(deepest, were_empty, strict=True) if was_empty}
        left = left.difference(deepest) | {path for path in emptied if not stays(path)}


def _prune_one(tree: Tree, path: str) -> bool:
    """Remove the folders of a path if all are empty; whether they were, or are gone already."""
    try:
        parents = tree.folder(keys.parent(path))
        ids = tree.folder(path)
        if not parents or not ids or any(True for _ in tree.items(ids, path)):
            return False
        with _lock(tree, parents[0], path):
            tree.forget_branch(path)
            removed = [_remove_empty(tree, folder, path) for folder in ids]
    except ObjectNotFound:  # somebody else removes them at the same time
        tree.forget_branch(path)
        return True
    return all(removed)


def _remove_empty(tree: Tree, folder: str, path: str, *, for_ever: bool = False) -> bool:
    """Remove a folder that looked empty a moment ago; False if something has been put into it meanwhile.

    It goes to the trash first, from where it can be taken back: a writer that was about to use it finds out, and what
    is in it by then is seen here. Deleting it at once would delete that, too; so only one that was just made from here
    is deleted behind that, ``for_ever``.
    """
    tree.api.trash(folder, path)
    inside = list(tree.believed(item for page in tree.api.find(within([folder]), path) for item in page))
    if any(not item.own_trash for item in inside):
        tree.api.change(folder, {"trashed": False}, path)
        return False
    if for_ever and not inside:
        tree.api.delete(folder, path)
    return True
