"""Sparse arrays: a folder of parts each."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping
from typing import Any

import numpy.typing as npt

from cottoncandy import keys, sparsearrays
from cottoncandy.backends.base import ObjectInfo
from cottoncandy.chunkedarrays import TABLE, VERSION
from cottoncandy.errors import CorruptObject, ObjectChanged, ObjectNotFound
from cottoncandy.interfaces.arrays.raw import RawArrays
from cottoncandy.parallel import for_each, map_threads
from cottoncandy.rawarrays import load_array

# How often a reader starts again when an array is replaced under its hands.
_ATTEMPTS = 3


class SparseArrays(RawArrays):
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
            Parts at a time; the configured ``threads`` by default.
        """
        directory = keys.clean_object(object_name).rstrip(keys.SEPARATOR)
        description, parts = sparsearrays.take_apart(arr)
        description[VERSION] = version = secrets.token_hex(8)
        threads = threads or self._settings.threads
        replaces = self.backend_interface.exists(keys.join(directory, TABLE))
        staged = {name: f"{name}-{version}" if replaces else name for name in parts}

        def send(name: str) -> None:
            self._store(keys.join(directory, staged[name]), parts[name], metadata={VERSION: version})

        for_each(send, parts, threads)
        if replaces:
            self._commit_staged(directory, description, staged, threads)
        self._upload(keys.join(directory, TABLE), json.dumps(description).encode(), {})
        self._remove_stale(directory, {*parts, TABLE})

    def _commit_staged(
        self, directory: str, description: dict[str, Any], staged: Mapping[str, str], threads: int
    ) -> None:
        """Let readers see the staged parts, then bring them to the names that 0.4.0 looks for."""
        table = json.dumps({**description, "parts": staged}).encode()
        self._upload(keys.join(directory, TABLE), table, {})

        def settle(name: str) -> None:
            source, target = keys.join(directory, staged[name]), keys.join(directory, name)
            self.backend_interface.copy(source, target, options=self._write_options(None))

        for_each(settle, staged, threads)

    def _remove_stale(self, directory: str, kept: set[str]) -> None:
        """Remove the parts of an earlier upload: objects right in the directory that look like parts."""
        prefix = keys.as_directory(directory)
        names = {part for parts in sparsearrays.PARTS.values() for part in parts}
        stale = [
            info.key
            for info in self.backend_interface.list_level(prefix)
            if isinstance(info, ObjectInfo)
            and (name := info.key.removeprefix(prefix)) not in kept
            and name.partition("-")[0] in names
        ]
        self.backend_interface.delete(stale)

    def download_sparse_array(self, object_name: str, threads: int | None = None) -> Any:
        """Download a scipy.sparse array.

        Parameters
        ----------
        object_name : str
        threads : int, optional
            Parts at a time; the configured ``threads`` by default.

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
            staged = description.get("parts", {})
            paths = [keys.join(directory, staged.get(name, name)) for name in names]
            parts = list(map_threads(self._load_part(description), paths, threads or self._settings.threads))
            return sparsearrays.put_together(description, dict(zip(names, parts, strict=True)))
        except CorruptObject as error:
            raise CorruptObject(f"{where}: {error}") from error

    def _load_part(self, description: Mapping[str, Any]) -> Callable[[str], npt.NDArray[Any]]:
        version = description.get(VERSION)

        def load(path: str) -> npt.NDArray[Any]:
            array, metadata = load_array(self.backend_interface, path, self._settings, 1)
            if version is not None and metadata.get(VERSION) != version:
                raise ObjectChanged(f"{self.backend_interface.describe(path)} belongs to another upload: try again")
            return array

        return load
