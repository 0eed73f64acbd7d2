"""Files and directories on disk."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cottoncandy import keys
from cottoncandy.backends.base import ObjectReader, Receipt
from cottoncandy.diskfiles import files_below, files_in, replacing
from cottoncandy.interfaces.basic.objects import Objects
from cottoncandy.pipelines import Begun
from cottoncandy.stream import ObjectSource, begin_file, file_body
from cottoncandy.waits import Waits


class Files(Objects):
    """Files on disk, up and down."""

    def upload_from_file(
        self,
        flname: str | os.PathLike[str],
        object_name: str | None = None,
        ExtraArgs: Mapping[str, Any] | None = None,  # noqa: N803 - boto3's name
        threads: int | None = None,
    ) -> Receipt:
        """Upload a file.

        Parameters
        ----------
        flname : str or path
            The file on disk.
        object_name : str, optional
            The file's full name by default.
        ExtraArgs : dict, optional
            boto3's: ``ACL``, ``Metadata``, ``ContentType``, ``StorageClass``... Of them
            ``{'IfNoneMatch': '*'}`` holds on every store: write only if there is no such object.
        threads : int, optional
            Connections, each of which takes the memory of a part of 5 MiB (more for files over 45 GB). By default the
            configured ``threads``, as far as 25 MiB have room for them.

        Returns
        -------
        dict
            The boto3 response, or one in its shape.

        Raises
        ------
        ConfigurationError
            For something in ``ExtraArgs`` that boto3 does not know.
        ObjectExists
            With ``IfNoneMatch``, if it is there already.
        ObjectChanged
            If somebody writes to the file meanwhile; the object is left as it was.
        """
        metadata, acl, extra = _split(ExtraArgs)
        name = _full_name(flname) if object_name is None else object_name
        with Path(flname).open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            return self._upload(name, file_body(file, self._settings), metadata, acl, threads, extra, size)

    def upload_from_directory(
        self,
        disk_path: str | os.PathLike[str],
        cloud_path: str | None = None,
        recursive: bool = False,
        ExtraArgs: Mapping[str, Any] | None = None,  # noqa: N803 - boto3's name
        threads: int | None = None,
    ) -> None:
        """Upload the files of a directory, several at a time.

        Parameters
        ----------
        disk_path : str or path
        cloud_path : str, optional
            The directory in the store; the directory's full name by default.
        recursive : bool
            Go down into its directories as well. Links to files are followed, others are left out.
        ExtraArgs : dict, optional
            boto3's, for each file.
        threads : int, optional
            Files at a time; by default as many as are of use, up to the configured ``most_threads``.

        Raises
        ------
        PermissionError
            If a directory may not be listed; nothing is uploaded then.
        """
        root = Path(disk_path)
        if not root.is_dir():
            raise NotADirectoryError(f"{root} is no directory")
        target, waits = _full_name(disk_path) if cloud_path is None else cloud_path, Waits()
        texts, options = self._what_goes_along(*_split(ExtraArgs), lambda: self.backend_interface.describe(target))

        def name_of(path: Path) -> str:
            return keys.join(target, *path.relative_to(root).parts)

        def send(path: Path) -> None:
            self.upload_from_file(path, name_of(path), ExtraArgs, threads=1)

        def begin(path: Path) -> Begun[Receipt] | None:
            return begin_file(
                self.backend_interface, keys.clean_object(name_of(path)), path, lambda _: texts, options, waits
            )

        self._for_each(send, list(_files(root, recursive)), threads, "upload", target, begin=begin)

    def download_to_file(
        self,
        object_name: str,
        file_name: str | os.PathLike[str],
        threads: int | None = None,
        *,
        through_link: bool = True,
    ) -> None:
        """Download an object to a file: the whole of it, or the file is left as it was.

        Parameters
        ----------
        object_name : str
        file_name : str or path
            Where to write; its directory must exist.
        threads : int, optional
            Connections, each of which takes the memory of up to two parts of 2 MiB. By default the configured
            ``threads``, as far as a thirty-second of the object has room for them.
        through_link : bool
            Where ``file_name`` is a link, replace the file that it leads to; else the link itself.

        Raises
        ------
        ObjectNotFound
        """
        self._download_key(keys.clean_object(object_name), Path(file_name), threads, through_link=through_link)

    def _download_key(
        self,
        key: str,
        target: Path,
        threads: int | None,
        *,
        through_link: bool = True,
        first: int | None = None,
        opened: ObjectReader | None = None,
    ) -> None:
        with (
            ObjectSource(self.backend_interface, key, self._settings, first, opened=opened) as source,
            self._settings.progress.transfer("download", key, source.head.size),
            replacing(target, source.where, through_link=through_link) as file,
        ):
            source.copy_to(file, threads)


def _split(extra: Mapping[str, Any] | None) -> tuple[Mapping[str, Any], str | None, dict[str, Any]]:
    """Metadata and ACL, which every backend knows, and what only boto3 does."""
    if not isinstance(extra, Mapping | None):
        raise TypeError(f"ExtraArgs is a dictionary, as {{'ACL': 'private'}}, not {extra!r}")
    others = dict(extra or {})
    metadata = others.pop("Metadata", {})
    if not isinstance(metadata, Mapping):
        raise TypeError(f"Metadata of ExtraArgs is a dictionary, as {{'subject': 'S01'}}, not {metadata!r}")
    return metadata, others.pop("ACL", None), others


def _full_name(path: str | os.PathLike[str]) -> str:
    """The name that a file has in the store where none is given: as it was typed, where that is a name."""
    plain = Path(os.path.normpath(path))
    return (Path(os.path.abspath(path)) if plain.parts[:1] in {(), ("..",)} else plain).as_posix()  # noqa: PTH100


def _files(root: Path, recursive: bool) -> Iterator[Path]:
    for entry in files_below(root) if recursive else files_in(root):
        path = Path(entry.path)
        if path.is_file():
            yield path
