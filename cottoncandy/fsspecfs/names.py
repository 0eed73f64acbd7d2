"""What there is in a container, in fsspec's words."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from glob import has_magic
from typing import TYPE_CHECKING, Any

from fsspec.spec import AbstractFileSystem

from cottoncandy import keys
from cottoncandy.backends.base import Backend, ObjectInfo, ObjectPrefix
from cottoncandy.errors import InvalidObjectName, NotSupported, ObjectNotFound
from cottoncandy.fsspecfs.bulk import branches
from cottoncandy.namesakes import distinct
from cottoncandy.stream import TransferSettings
from cottoncandy.trees import shown

if TYPE_CHECKING:
    from datetime import datetime

    from typing_extensions import Self

Facts = dict[str, Any]


class Names(AbstractFileSystem):  # type: ignore[misc] # fsspec has no type hints
    """Paths, and what is there: the part of `ObjectFileSystem` that only looks. Its parameters are those."""

    protocol = "cottoncandy"
    cachable = False
    root_marker = ""
    # Whether what uploads have beside their trees is listed as well.
    _has_stages = False

    def __init__(
        self, backend: Backend, settings: TransferSettings | None = None, *, bucket: str | None = None, **options: Any
    ) -> None:
        super().__init__(**options)
        self._backend = backend
        self._settings = settings or TransferSettings()
        self._bucket = backend.location if bucket is None else bucket
        # the class cannot know the bucket: without this, a URL of another one would be read from ours
        self._strip_protocol = self._name_in_own_bucket  # type: ignore[method-assign]

    def __repr__(self) -> str:
        backend = vars(self).get("_backend")  # none in one that could not be made
        return f"<cottoncandy.{type(self).__name__} {backend.describe() if backend else 'of nothing'}>"

    def is_of(self, backend: Backend, settings: TransferSettings) -> bool:
        """Whether it was made for these."""
        return self._backend is backend and self._settings is settings

    def to_dict(self, *, include_password: bool = True) -> dict[str, Any]:
        """Refused: an open backend, and the keys that it found, are no options to be made again by.

        Raises
        ------
        NotSupported
        """
        advice = f"open one that does, fsspec.filesystem({self.protocol!r}, bucket=..., backend={self._backend.name!r})"
        where = self._backend.describe()
        raise NotSupported(f"{where}: the file system of an open interface makes no JSON, only a pickle: {advice}")

    @property
    def fsid(self) -> str:
        """What tells this file system from others; it holds no secret."""
        return self._backend.address

    # ------------------------------------------------------------------ paths
    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        """The object's name in a path or URL: in a URL the bucket comes first."""
        if isinstance(path, list):
            return [cls._strip_protocol(each) for each in path]
        text = os.fspath(path)
        if text.startswith(f"{cls.protocol}://"):
            text = text.removeprefix(f"{cls.protocol}://").partition(keys.SEPARATOR)[2]
        return keys.clean(text).rstrip(keys.SEPARATOR)

    @staticmethod
    def _get_kwargs_from_urls(path: str) -> dict[str, str]:
        bucket = path.partition("://")[2].partition(keys.SEPARATOR)[0]
        return {"bucket": bucket} if bucket else {}

    def _name_in_own_bucket(self, path: Any) -> Any:
        for each in path if isinstance(path, list) else [path]:
            bucket = self._get_kwargs_from_urls(os.fspath(each)).get("bucket")
            if bucket and bucket != self._bucket:
                raise InvalidObjectName(
                    f"{each!r} is in another bucket: this file system is {self._backend.describe()}"
                )
        return type(self)._strip_protocol(path)  # noqa: SLF001 - fsspec's own name for it

    def unstrip_protocol(self, name: str) -> str:
        """Give the URL of an object; the bucket stands in it where its name can."""
        bucket = self._bucket or ""
        bucket = "" if {"/", "\\"} & set(bucket) else bucket
        return f"{self.protocol}://{bucket}/{self._strip_protocol(name)}"

    # ------------------------------------------------------------------ looking
    def info(self, path: str, **kwargs: Any) -> Facts:
        """Tell what is known of an object or directory; of an encrypted object, its own size.

        Returns
        -------
        dict
            ``name``, ``size``, ``type``; of an object also ``LastModified`` and ``ETag``.

        Raises
        ------
        ObjectNotFound
        """
        return self._facts_of(path, self._backend.stat)

    def _entry(self, path: str) -> Facts:
        """What a listing tells of an object or directory: of an encrypted object, without its key."""
        return self._facts_of(path, self._backend.entry)

    def _facts_of(self, path: str, look: Callable[[str], ObjectInfo]) -> Facts:
        name = self._strip_protocol(path)
        if not name:
            return _facts(ObjectPrefix(""))
        try:
            return _facts(look(name))
        except ObjectNotFound:
            if next(self._backend.list_objects(keys.as_directory(name), page_size=1), None) is None:
                raise
        return _facts(ObjectPrefix(name))

    def _entry_or_none(self, path: str) -> Facts | None:
        # fsspec's own calls take any error for "not there": refused credentials, a broken connection
        try:
            return self._entry(path)
        except FileNotFoundError:
            return None

    def _type(self, path: str) -> str | None:
        facts = self._entry_or_none(path)
        return None if facts is None else str(facts["type"])

    def exists(self, path: str, **kwargs: Any) -> bool:
        """Whether there is an object or directory of that name."""
        return self._type(path) is not None

    def isfile(self, path: str) -> bool:
        """Whether there is an object of that name."""
        return self._type(path) == "file"

    def isdir(self, path: str) -> bool:
        """Whether there is an object below that name, and none of it."""
        return self._type(path) == "directory"

    def is_literal(self, path: str) -> bool:
        """Whether a path stands for itself: it holds no ``*``, ``?`` or ``[``, or there is such an object or directory.

        The latter is asked with one listing.
        """
        name = self._strip_protocol(path)
        return not has_magic(name) or self._backend.holds(name)

    def expand_path(
        self,
        path: Any,
        recursive: bool = False,
        maxdepth: int | None = None,
        assume_literal: bool | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """Find the names that paths and patterns stand for; what is there under a path as it is written is no pattern.

        Parameters
        ----------
        path : str or list of str
        recursive : bool
            With all that is below them.
        maxdepth : int, optional
            How many levels.
        assume_literal : bool, optional
            Whether what looks like a pattern is none; by default the store is asked what is there.

        Raises
        ------
        FileNotFoundError
            If nothing is found.
        """
        names = [self._strip_protocol(each) for each in ([path] if isinstance(path, (str, os.PathLike)) else path)]
        magic = {name for name in names if has_magic(name)}
        literal = {name for name in magic if (self.is_literal(name) if assume_literal is None else assume_literal)}
        found = set(literal)
        for name in literal if recursive else ():
            found.update(self.find(name, maxdepth=maxdepth, withdirs=True))
        others = [name for name in names if name not in literal]
        try:
            found.update(super().expand_path(others, recursive, maxdepth, **kwargs) if others or not found else ())
        except FileNotFoundError:
            if not found:
                raise
        return sorted(found)

    def ls(self, path: str, detail: bool = True, **kwargs: Any) -> list[Any]:
        """List one level of a directory.

        Raises
        ------
        ObjectNotFound
        """
        name = self._strip_protocol(path)
        prefix = keys.as_directory(name)
        level = self._backend.list_level(prefix)
        listed = distinct(level if self._has_stages else shown(level, prefix), self._backend.describe)
        found = [_facts(entry) for entry in listed if entry.key != prefix]
        if name and not found:  # an object, a directory that only a marker keeps, or nothing
            facts = self._entry(name)
            found = [facts] if facts["type"] == "file" else []
        return found if detail else [facts["name"] for facts in found]

    def find(
        self, path: str, maxdepth: int | None = None, withdirs: bool = False, detail: bool = False, **kwargs: Any
    ) -> Any:
        """List all objects below a name: with one listing, or level by level where the depth is bounded."""
        if maxdepth is not None:
            return super().find(path, maxdepth=maxdepth, withdirs=withdirs, detail=detail, **kwargs)
        name = self._strip_protocol(path)
        listed = [info for info in self._below(name) if not info.key.endswith(keys.SEPARATOR)]
        found = {info.key: _facts(info) for info in listed}
        if not found and name and (facts := self._entry_or_none(name)) and facts["type"] == "file":
            found = {name: facts}
        elif withdirs:
            found = {folder: _facts(ObjectPrefix(folder)) for folder in branches(found, name)} | found
        return {key: found[key] for key in sorted(found)} if detail else sorted(found)

    def _below(self, name: str) -> Iterable[ObjectInfo]:
        listed = self._backend.list_objects(keys.as_directory(name))
        return listed if self._has_stages else shown(listed, name)

    def _with_stages(self) -> Self:
        """A twin that lists all there is: of what goes as a whole nothing may be left behind."""
        twin: Self = object.__new__(type(self))
        twin.__dict__.update(self.__dict__, _has_stages=True)
        return twin

    def du(
        self, path: str, total: bool = True, maxdepth: int | None = None, withdirs: bool = False, **kwargs: Any
    ) -> Any:
        """Sum up the bytes of all objects below a name, from their listing.

        With what uploads have beside their trees: no other listing shows that, but it is stored, and paid for.
        """
        found = self._with_stages().find(path, maxdepth=maxdepth, withdirs=withdirs, detail=True)
        sizes = {name: facts["size"] for name, facts in found.items()}
        return sum(sizes.values()) if total else sizes

    def modified(self, path: str) -> datetime:
        """Tell when an object was written."""
        when: datetime | None = self._entry(path).get("LastModified")
        if when is None:
            raise NotSupported(f"{self._backend.describe(self._strip_protocol(path))}: the store tells no date")
        return when

    def ukey(self, path: str) -> str:
        """Give a mark that changes when the object does: its etag, where the store has one."""
        return self._entry(path).get("ETag") or str(super().ukey(path))


def _facts(entry: ObjectInfo | ObjectPrefix) -> Facts:
    """An entry of a listing in fsspec's words."""
    if isinstance(entry, ObjectPrefix):
        return {"name": entry.key.rstrip(keys.SEPARATOR), "size": 0, "type": "directory"}
    facts = {"name": entry.key, "size": entry.size, "type": "file"}
    return facts | {"LastModified": entry.last_modified, "ETag": entry.e_tag}
