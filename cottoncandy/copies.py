"""Copies inside a store that belong together: of one object, or of a branch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from cottoncandy import keys
from cottoncandy.backends.base import Backend, Receipt, WriteOptions
from cottoncandy.errors import CorruptObject, ObjectExists, ObjectNotFound
from cottoncandy.pipelines import Begun

_OVERWRITE = "pass overwrite=True to replace it"


@dataclass(frozen=True, slots=True)
class Copies:
    """What is to be copied.

    Attributes
    ----------
    source, target : Backend
        Bound to the containers; of one store.
    name : str
        The new name of the object or branch.
    pairs : sequence of (str, str)
        The old and the new key of each object. Where they overlap, in the order in which nothing is lost.
    overwrite : bool
    sizes : Mapping of str to int
        The bytes of those objects that were looked at, or listed, by their old keys: of all but damaged ones.
    """

    source: Backend
    target: Backend
    name: str
    pairs: Sequence[tuple[str, str]]
    overwrite: bool
    sizes: Mapping[str, int] = field(default_factory=dict)

    @property
    def _is_branch(self) -> bool:
        return len(self.pairs) > 1

    def require_absent(self) -> None:
        """Nothing of a branch is copied when something is in the way.

        Raises
        ------
        ObjectExists
        """
        if self._is_branch and not self.overwrite:
            wanted = {new for _, new in self.pairs}
            there = self.target.list_objects(keys.as_directory(self.name))
            taken = next((info.key for info in there if info.key in wanted), None)
            if taken is None and self.name in wanted and self.target.exists(self.name):
                taken = self.name
            if taken is not None:
                raise ObjectExists(f"{self.target.describe(taken)} exists: {_OVERWRITE}")

    def overlap(self) -> bool:
        """Whether one copy writes what another reads: then they go one by one, in the order of the pairs."""
        return not self._written().isdisjoint(old for old, _ in self.pairs)

    def _written(self) -> set[str]:
        """What is written, by the names that the source has for it."""
        source, target = self.source.place(""), self.target.place("")
        places = (target + new for _, new in self.pairs)
        return {place.removeprefix(source) for place in places if place.startswith(source)}

    def copy(self, pair: tuple[str, str]) -> None:
        """Copy one object; of a branch, `require_absent` has seen that its place is free."""
        old, new = pair
        options = WriteOptions(if_absent=not self.overwrite, seen_absent=self._is_branch)
        try:
            container, size = self.source.location, self.sizes.get(old)
            self.target.copy(old, new, source_container=container, options=options, size=size)
        except ObjectExists as error:
            raise ObjectExists(f"{error}: {_OVERWRITE}") from error

    def begin(self, pair: tuple[str, str]) -> Begun[Receipt] | None:
        """Copy one object with a request whose answer is read later, where that is all it takes."""
        old, new = pair
        if not self.overwrite or old not in self.sizes:
            return None
        return self.target.begin_copy(old, new, self.sizes[old], source_container=self.source.location)

    def delete_sources(self, through: Callable[[Iterable[str]], Iterable[str]] = iter) -> None:
        """Delete the old objects, but for those that were copied onto themselves or onto each other.

        Their names go ``through`` what counts them.
        """
        written = self._written()
        self.source.delete(through(old for old, _ in self.pairs if old not in written))


def plan_copies(
    source: Backend, target: Backend, old: str, new: str, overwrite: bool, *, recursive: bool = False
) -> Copies:
    """Find out what is to be copied: the object of that name, or all objects below it.

    Parameters
    ----------
    source, target : Backend
    old : str
        A clean name.
    new : str
        A clean name; one that is empty or ends with ``/`` is a directory to copy into.
    overwrite : bool
    recursive : bool
        Where there are both, which S3 allows, both; else the object alone.

    Raises
    ------
    ObjectNotFound
        If there is neither an object of that name nor one below it.
    """
    if not new or new.endswith(keys.SEPARATOR):
        new = keys.join(new, keys.basename(old))
    itself, sizes = _itself(source, old, new)
    if itself and not recursive:
        return Copies(source, target, new, itself, overwrite, sizes)
    prefix, new_prefix = keys.as_directory(old), keys.as_directory(new)
    below = {info.key: info.size for info in source.list_objects(prefix)}
    pairs = [*itself, *((key, new_prefix + key.removeprefix(prefix)) for key in below)]
    # down a branch the deepest goes first, up it goes last: no copy replaces what another has yet to read
    goes_down = len(target.place(new_prefix)) > len(source.place(prefix))
    pairs.sort(key=lambda pair: len(pair[0]), reverse=goes_down)
    if not pairs:
        raise ObjectNotFound(f"{source.describe(old)} does not exist, and nothing is below that name")
    return Copies(source, target, new, pairs, overwrite, sizes | below)


def _itself(source: Backend, old: str, new: str) -> tuple[list[tuple[str, str]], dict[str, int]]:
    """The object of that name as a pair, and its bytes; nothing where there is none."""
    if old.endswith(keys.SEPARATOR):
        return [], {}
    try:
        entry = source.entry(old)  # which needs no key
    except ObjectNotFound:
        return [], {}
    except CorruptObject:  # it can be copied as it is
        return [(old, new)], {}
    return [(old, new)], {old: entry.size}
