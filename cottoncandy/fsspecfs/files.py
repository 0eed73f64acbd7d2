"""Objects of a container as files: opened, read and written, one by one."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fsspec.callbacks import DEFAULT_CALLBACK
from fsspec.compression import compr
from fsspec.core import get_compression

from cottoncandy import keys
from cottoncandy.backends.base import MIB, BytesLike, WriteOptions
from cottoncandy.diskfiles import replacing
from cottoncandy.errors import NotSupported, ObjectExists, ObjectNotFound
from cottoncandy.fsspecfs.bulk import branches
from cottoncandy.fsspecfs.names import Names
from cottoncandy.fsspecfs.writer import Compressor, ObjectWriter, TextWriter, Transaction
from cottoncandy.parallel import for_each, gather
from cottoncandy.stream import CloudStream, file_pieces, read_range, unchanged, upload

_TEXT_OPTIONS = ("encoding", "errors", "newline")


class Files(Names):
    """What is in objects. See `ObjectFileSystem`."""

    transaction_type = Transaction

    # ------------------------------------------------------------------ opening
    def open(
        self,
        path: str,
        mode: str = "rb",
        block_size: int | None = None,
        cache_options: Mapping[str, Any] | None = None,
        compression: str | None = None,
        **kwargs: Any,
    ) -> Any:
        """Open an object as a file.

        Parameters
        ----------
        path : str
        mode : str
            ``'r'`` reads, ``'w'`` writes anew, ``'x'`` only where nothing is; with ``'b'`` bytes, else text. Objects
            cannot be appended to or changed.
        compression : str, optional
            ``'infer'`` or a name that fsspec knows.
        encoding, errors, newline : str, optional
            Of text.

        Returns
        -------
        file
            What is written is seen when the file is closed; a ``with`` block that is left by an error stores nothing.
        """
        if "w" not in mode and "x" not in mode:
            return _with_mode(super().open(path, mode, compression=compression, **kwargs), mode)
        text = {name: kwargs.pop(name) for name in _TEXT_OPTIONS if name in kwargs}
        file: Any = super().open(path, mode.replace("t", "").replace("b", "") + "b", **kwargs)
        if packer := get_compression(self._strip_protocol(path), compression):
            file = Compressor(compr[packer](file, mode="w"), file)
        return file if "b" in mode else _with_mode(TextWriter(file, **text), mode)

    def _open(
        self,
        path: str,
        mode: str = "rb",
        block_size: int | None = None,
        autocommit: bool = True,
        cache_options: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> CloudStream | ObjectWriter:
        key = keys.clean_object(path)
        if mode == "rb":
            return CloudStream(self._backend, key, self._settings)
        if mode not in {"wb", "xb"}:
            where = self._backend.describe(key)
            raise NotSupported(f"{where}: objects cannot be appended to or changed (mode {mode!r}): write it anew")
        new = mode == "xb"
        if new and self._backend.exists(key):
            raise ObjectExists(f"{self._backend.describe(key)} exists")
        return ObjectWriter(self._backend, key, self._settings, WriteOptions(if_absent=new), autocommit=autocommit)

    def _whole(self, key: str) -> CloudStream:
        """An object that will be read from end to end."""
        return CloudStream(self._backend, key, self._settings, first=self._settings.opening)

    # ------------------------------------------------------------------ bytes
    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **kwargs: Any) -> bytes:
        """Read an object, or bytes ``start <= i < end``; negative numbers count from the end, at one request more."""
        key, e_tag = keys.clean_object(self._strip_protocol(path)), None
        if (start or 0) < 0 or (end or 0) < 0:
            head = self._backend.stat(key)
            (start, end, _), e_tag = slice(start, end).indices(head.size), head.e_tag
        start = start or 0
        if not start and end is None:
            with self._whole(key) as stream:  # its memory becomes the bytes, without a second copy
                return stream.read()
        end = end if end is None else max(start, end)
        return bytes(read_range(self._backend, key, self._settings, start, end, e_tag))

    def cat_ranges(
        self,
        paths: list[str],
        starts: Any,
        ends: Any,
        max_gap: int | None = None,
        on_error: str = "return",
        **kwargs: Any,
    ) -> list[Any]:
        """Read ranges of many objects, several at a time.

        Parameters
        ----------
        paths : list of str
        starts, ends : int or list of int
            One for all, or one for each.
        on_error : str
            ``'return'`` gives errors in the place of bytes, ``'raise'`` raises the first.
        """
        wanted = [value if isinstance(value, list) else [value] * len(paths) for value in (starts, ends)]

        def read(job: tuple[str, int | None, int | None]) -> bytes | Exception:
            try:
                return self.cat_file(*job)
            except Exception as error:
                if on_error != "return":
                    raise
                return error

        return self._gather(read, list(zip(paths, *wanted, strict=True)))

    def cat(self, path: Any, recursive: bool = False, on_error: str = "raise", **kwargs: Any) -> Any:
        """Read one object, or several at a time: a dictionary of paths and bytes.

        Parameters
        ----------
        path : str or list of str
            Names or patterns.
        recursive : bool
            All objects below them.
        on_error : str
            ``'raise'``, ``'omit'`` or ``'return'``.
        """
        paths = self.expand_path(path, recursive=recursive)
        if recursive:
            folders = branches(paths)
            paths = [each for each in paths if each not in folders]
        if len(paths) == 1 and not isinstance(path, list) and paths[0] == self._strip_protocol(path):
            return self.cat_file(paths[0], **kwargs)
        read = self.cat_ranges(paths, kwargs.get("start"), kwargs.get("end"), on_error=_or_raise(on_error))
        found = dict(zip(paths, read, strict=True))
        return {name: data for name, data in found.items() if on_error == "return" or isinstance(data, bytes)}

    def pipe_file(self, path: str, value: BytesLike, mode: str = "overwrite", **kwargs: Any) -> None:
        """Write an object; with ``mode='create'`` only where nothing is."""
        if self._intrans:
            with self.open(path, "xb" if mode == "create" else "wb") as file:
                file.write(value)
            return
        key = keys.clean_object(self._strip_protocol(path))
        upload(self._backend, key, value, {}, WriteOptions(if_absent=mode == "create"), self._settings)

    def pipe(self, path: str | Mapping[str, BytesLike], value: BytesLike | None = None, **kwargs: Any) -> None:
        """Write an object, or a dictionary of them, several at a time."""
        values = {path: value} if isinstance(path, str) else path
        self._for_each(lambda item: self.pipe_file(*item, **kwargs), [*values.items()])

    # ------------------------------------------------------------------ files on disk
    def get_file(
        self,
        rpath: str,
        lpath: Any,
        callback: Any = DEFAULT_CALLBACK,
        outfile: Any = None,
        through_link: bool = True,
        **_: Any,
    ) -> None:
        """Download an object to a file, whole or not at all, or into an open file; of a directory, make the folder.

        Where ``lpath`` is a link, the file that it leads to is replaced, or not ``through_link`` the link itself.
        """
        key = self._strip_protocol(rpath)
        try:
            stream = self._whole(key)
        except ObjectNotFound:
            if not self.isdir(key):
                raise
            Path(lpath).mkdir(parents=True, exist_ok=True)
            return
        with stream:
            callback.set_size(stream.size)
            if outfile is not None or hasattr(lpath, "write"):
                _copy(stream, outfile or lpath, callback)
                return
            Path(lpath).parent.mkdir(parents=True, exist_ok=True)
            with replacing(Path(lpath), self._backend.describe(key), through_link=through_link) as file:
                _copy(stream, file, callback)

    def put_file(
        self, lpath: str, rpath: str, callback: Any = DEFAULT_CALLBACK, mode: str = "overwrite", **_: Any
    ) -> None:
        """Upload a file, as a whole or not at all; a folder needs nothing."""
        if Path(lpath).is_dir():
            return
        key = keys.clean_object(self._strip_protocol(rpath))
        options = WriteOptions(if_absent=mode == "create")
        with Path(lpath).open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            callback.set_size(size)
            if self._intrans:
                with self.open(rpath, "xb" if mode == "create" else "wb") as target, unchanged(file):
                    shutil.copyfileobj(file, target, MIB)
            else:
                upload(self._backend, key, file_pieces(file, self._settings), {}, options, self._settings, most=size)
        callback.absolute_update(callback.size or 0)

    # ------------------------------------------------------------------ many at a time
    def _for_each(self, function: Callable[[Any], object], items: Sequence[Any], threads: int | None = None) -> None:
        for_each(function, items, threads or self._settings.threads, most=threads or self._settings.most_threads)

    def _gather(self, function: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
        return gather(function, items, self._settings.threads, most=self._settings.most_threads)


def _with_mode(file: Any, mode: str) -> Any:
    if isinstance(file, io.TextIOWrapper):
        file.mode = mode  # type: ignore[misc] # as those of `open` have it
    return file


def _or_raise(on_error: str) -> str:
    return "raise" if on_error == "raise" else "return"


def _copy(stream: CloudStream, file: Any, callback: Any) -> None:
    for part in stream.parts():
        file.write(part)
        callback.relative_update(len(part))
