"""Sparse arrays: a folder of parts each."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping
from typing import Any

import numpy.typing as npt

from cottoncandy import keys, sparsearrays
from cottoncandy.chunkedarrays import TABLE, VERSION, version_of
from cottoncandy.errors import CorruptObject, ObjectChanged, ObjectNotFound
from cottoncandy.interfaces.arrays.folder import FolderArrays
from cottoncandy.rawarrays import load_array

# How often a reader starts again when an array is replaced under its hands.
_ATTEMPTS = 3


class SparseArrays(FolderArrays):
    """scipy.sparse arrays."""

    def upload_sparse_array(self, object_name: str, arr: Any, threads: int | None = None) -> None:
        """Upload a scipy.sparse array as a folder of its parts.

        An array that is there already is replaced as a whole: until the new one stands, readers get the old one.

        Parameters
        ----------
        object_name : str
        arr : scipy.sparse.sparray or scipy.sparse.spmatrix
            CSR, CSC, COO, BSR or DIA; DOK and LIL are stored as CSR.
        threads : int, optional
            Parts at a time; by default as many as are of use, up to the configured ``most_threads``.
        """
        directory = keys.clean_object(object_name).rstrip(keys.SEPARATOR)
        description, parts = sparsearrays.take_apart(arr)
        description[VERSION] = version = secrets.token_hex(8)
        old = self._old_parts(directory)
        names = {name: name if old is None else sparsearrays.staged_name(name, version) for name in parts}
        staged: dict[str, Any] = {} if old is None else {"parts": names}
        paths = {keys.join(directory, names[name]): part for name, part in parts.items()}

        def send(path: str) -> None:
            self._store(path, paths[path], metadata={VERSION: version})

        with self._all_or_none(paths):
            self._for_each(send, paths, threads, "upload", directory)
        self._publish(directory, json.dumps({**description, **staged}), paths)
        if old is not None:
            self._settle(directory, names, threads)
            self._upload(keys.join(directory, TABLE), json.dumps(description).encode(), {})
            self._remove_stale(directory, old.difference(parts))

    def _old_parts(self, directory: str) -> set[str] | None:
        """The parts of the array that is there; None where nothing is to be replaced."""
        try:
            return set(sparsearrays.part_names(self._table(directory)))
        except ObjectNotFound:
            return None
        except CorruptObject:
            return set()

    def _settle(self, directory: str, staged: Mapping[str, str], threads: int | None) -> None:
        """Bring staged parts, which readers see already, to the names that 0.4.0 looks for."""

        def copy(name: str) -> None:
            source, target = keys.join(directory, staged[name]), keys.join(directory, name)
            self.backend_interface.copy(source, target, options=self._write_options(None))

        self._for_each(copy, staged, threads, "copy", directory)

    def _remove_stale(self, directory: str, old: set[str]) -> None:
        """Remove the parts that the new array has no use for, and what earlier uploads left staged."""
        prefix = keys.as_directory(directory)
        names = (info.key.removeprefix(prefix) for info in self.backend_interface.list_level(prefix))
        stale = [name for name in names if name in old or sparsearrays.is_staged(name)]
        self.backend_interface.delete([prefix + name for name in stale])

    def download_sparse_array(self, object_name: str, threads: int | None = None) -> Any:
        """Download a scipy.sparse array.

        Parameters
        ----------
        object_name : str
        threads : int, optional
            Parts at a time; by default as many as are of use, up to the configured ``most_threads``.

        Returns
        -------
        scipy.sparse.sparray or scipy.sparse.spmatrix
            What was uploaded; a matrix where 0.4.0 wrote it.

        Raises
        ------
        ObjectNotFound
            If it, or a part of it, is missing.
        ObjectChanged
            If it is replaced again and again while it is read.
        """
        directory = keys.clean_object(object_name).rstrip(keys.SEPARATOR)
        for _ in range(_ATTEMPTS - 1):
            before = self._table(directory)
            try:
                return self._load_sparse(directory, before, threads)
            except (ObjectNotFound, ObjectChanged):
                if self._table(directory) == before:
                    raise
        return self._load_sparse(directory, self._table(directory), threads)

    def _table(self, directory: str) -> Any:
        """What ``metadata.json`` of a sparse array says."""
        key = keys.join(directory, TABLE)
        try:
            return json.loads(self.download_object(key, 1))
        except ValueError as error:
            raise CorruptObject(f"{self.backend_interface.describe(key)} is no JSON: {error}") from error

    def _load_sparse(self, directory: str, description: Any, threads: int | None) -> Any:
        where = self.backend_interface.describe(directory)
        try:
            names = sparsearrays.part_names(description)
            paths = [keys.join(directory, name) for name in names.values()]
            parts = self._gather(self._load_part(description), paths, threads, "download", directory)
            return sparsearrays.put_together(description, dict(zip(names, parts, strict=True)))
        except CorruptObject as error:
            raise CorruptObject(f"{where}: {error}") from error

    def _load_part(self, description: Mapping[str, Any]) -> Callable[[str], npt.NDArray[Any]]:
        version = description.get(VERSION)

        def load(path: str) -> npt.NDArray[Any]:
            array, metadata = load_array(self.backend_interface, path, self._settings, 1)
            if version_of(metadata) != version:
                raise ObjectChanged(f"{self.backend_interface.describe(path)} belongs to another upload: try again")
            return array

        return load
