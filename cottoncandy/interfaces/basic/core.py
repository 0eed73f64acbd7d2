"""What all calls of an interface share."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from cottoncandy import keys
from cottoncandy.backends.base import MIB, Backend, ObjectInfo, Receipt, WriteOptions
from cottoncandy.backends.encrypted.mark import refuse_mark
from cottoncandy.config import Options
from cottoncandy.parallel import Pace, for_each, gather, number_of_threads
from cottoncandy.pipelines import Begin
from cottoncandy.progress import MakeBar, Progress
from cottoncandy.stream import TransferSettings, upload

if TYPE_CHECKING:
    from cottoncandy.browser import S3FSLike

Item = TypeVar("Item")
Result = TypeVar("Result")

_USUAL = WriteOptions(is_upload=True)
# Bytes of what is small enough to be in memory as often as there may be threads.
_SMALL = MIB


class InterfaceObject:
    """The root of all interfaces."""


class InterfaceCore(InterfaceObject):
    """What all calls share: options, the backend, names. See `BasicInterface`."""

    #: The store and its current bucket.
    backend_interface: Backend

    @property
    def bucket_name(self) -> str | None:
        """The current bucket; None where none was chosen, and on a store that has none."""
        return self.backend_interface.container

    def _load_options(self) -> None:
        self._options = Options.load()
        self._settings = TransferSettings.from_options(self._options)
        self._pace = Pace()

    def _show_progress(self, show: bool | str | MakeBar | None) -> None:
        """Show progress, or not, whatever the configuration says; None leaves it to that."""
        if show is not None:
            self._settings = replace(self._settings, progress=Progress(show))

    # Options hold what was found in files and in the environment: they are looked up again on the other side. Of what
    # was said of progress only "none" travels.
    def __getstate__(self) -> dict[str, Any]:
        state = {k: v for k, v in self.__dict__.items() if k not in {"_options", "_settings", "_pace"}}
        return {**state, "_quiet": self._settings.progress.show is False}

    def __setstate__(self, state: dict[str, Any]) -> None:
        quiet = state.pop("_quiet", False)
        self.__dict__.update(state)
        self._load_options()
        self._show_progress(False if quiet else None)

    def __repr__(self) -> str:
        if "backend_interface" not in vars(self):  # a traceback that shows variables, of one that could not be opened
            return f"<cottoncandy.{type(self).__name__}>"
        return f"<cottoncandy-interface <{self.backend_interface.name}:{self.bucket_name}>>"

    def _repr_html_(self) -> str | None:
        return None if self.bucket_name is None else self._browse()._repr_html_()

    # ------------------------------------------------------------------ names
    def pathjoin(self, a: str, *p: str) -> str:
        """Join parts of an object name with ``/``.

        Examples
        --------
        >>> cci.pathjoin('sub01', 'run1', 'bold')
        'sub01/run1/bold'
        """
        return keys.join(a, *p)

    def _write_options(self, acl: str | None, extra: Mapping[str, Any] | None = None) -> WriteOptions:
        if acl is None and not extra:
            return _USUAL
        others = dict(extra or {})
        # boto3's word for what every store can look at: not all that speak S3 heed it in an upload in parts
        absent = others.get("IfNoneMatch") == "*"
        if absent:
            del others["IfNoneMatch"]
        return replace(_USUAL, acl=acl, extra=others, if_absent=absent)

    def _upload(
        self,
        object_name: str,
        body: Any,
        metadata: Mapping[str, Any],
        acl: str | None = None,
        threads: int | None = None,
        extra: Mapping[str, Any] | None = None,
        size: int | None = None,
    ) -> Receipt:
        """Send an object; all uploads pass through here."""
        key, backend = keys.clean_object(object_name), self._bound_backend()
        texts, options = self._what_goes_along(metadata, acl, extra, lambda: backend.describe(key))
        return upload(backend, key, body, texts, options, self._settings, threads, size=size)

    def _what_goes_along(
        self, metadata: Mapping[str, Any], acl: str | None, extra: Mapping[str, Any] | None, where: Callable[[], str]
    ) -> tuple[dict[str, str], WriteOptions]:
        """The metadata of an upload, as text, and its options.

        Raises
        ------
        ValueError
            Naming ``where``, if the metadata have a name by which encrypted objects are told.
        ConfigurationError
            If something of ``extra`` is of no store.
        """
        if extra:
            self.backend_interface.refuse_unknown(extra)
        texts = {name: str(value) for name, value in metadata.items()}
        options = self._write_options(acl, extra)
        refuse_mark([*texts, *(options.extra.get("Metadata") or ())], where)
        return texts, options

    def _for_each(
        self,
        function: Callable[[Item], object],
        items: Collection[Item],
        threads: int | None,
        doing: str = "work on",
        name: str = "objects",
        *,
        largest: float = math.inf,
        begin: Begin[Item, Any] | None = None,
    ) -> None:
        """Call a function on many small things: with the caller's number of threads, or with as many as are of use.

        Where the ``largest`` is known to have few bytes, so many of them may be in memory from the beginning.
        Where the store ``answers_later``, `begin` may send a request for an item whose answer is read later.
        """
        with self._settings.progress.many(doing, name, len(items)) as count:
            begin = count.wrap_begin(begin) if begin and self._answers_later() else None
            for_each(count.wrap(function), items, **self._crew(threads, largest), begin=begin)

    def _gather(
        self,
        function: Callable[[Item], Result],
        items: Sequence[Item],
        threads: int | None,
        doing: str = "work on",
        name: str = "objects",
        *,
        largest: float = math.inf,
        begin: Begin[Item, Result] | None = None,
    ) -> list[Result]:
        """Call a function on many small things, as `_for_each` does, and give the results in order."""
        with self._settings.progress.many(doing, name, len(items)) as count:
            begin = count.wrap_begin(begin) if begin and self._answers_later() else None
            return gather(count.wrap(function), items, **self._crew(threads, largest), begin=begin)

    def _crew(self, threads: int | None, largest: float) -> dict[str, Any]:
        """How many work at a time, as `for_each` is told."""
        settings, pace = self._settings, self._pace if largest < _SMALL else None
        few, most = (number_of_threads(threads, number) for number in (settings.threads, settings.most_threads))
        return {"threads": few, "most": most, "pace": pace}

    def _answers_later(self) -> bool:
        return self.backend_interface.answers_later(self._pace.of_use)

    def _listed(self, prefix: str = "", page_size: int | None = None) -> Iterator[ObjectInfo]:
        """All objects whose name begins so; all long listings pass through here."""
        listed = self.backend_interface.list_objects(prefix, page_size=page_size)
        return self._settings.progress.through("list", prefix or "all", listed)

    def _listed_names(self, prefix: str, page_size: int | None = None) -> Iterator[str]:
        """Their names alone."""
        listed = self.backend_interface.list_names(prefix, page_size=page_size)
        return self._settings.progress.through("list", prefix or "all", listed)

    def _deleted(self, name: str, names: Sequence[str], *, trash: bool = False) -> int:
        """Delete many objects; how many names there were."""
        with self._settings.progress.many("delete", name, len(names)) as count:
            return self.backend_interface.delete(count.through(names), trash=trash)

    def _bound_backend(self, bucket_name: str | None = None) -> Backend:
        """The backend, bound to another bucket where one is named."""
        if bucket_name is None or bucket_name == self.bucket_name:
            return self.backend_interface
        return self.backend_interface.at(bucket_name)

    def _browse(self, name: str = "", *, as_group: bool = False) -> S3FSLike:
        from cottoncandy.browser import Extensions, browse

        group, dataset = (self._options.text("extensions", key) for key in ("ccgroup", "ccdataset"))
        return browse(self, name, Extensions.from_texts(group, dataset), as_group=as_group)  # type: ignore[arg-type] # mixins make up the protocol
