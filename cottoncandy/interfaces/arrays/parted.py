"""Arrays that are a folder of named parts each: sparse and masked ones."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping
from typing import Any

import numpy.typing as npt

from cottoncandy import keys
from cottoncandy.arrayparts import Form, staged_name
from cottoncandy.chunkedarrays import TABLE, VERSION, version_of
from cottoncandy.documents import load_document
from cottoncandy.errors import CorruptObject, ObjectChanged, ObjectNotFound
from cottoncandy.interfaces.arrays.folder import FolderArrays
from cottoncandy.rawarrays import load_array, refuse_names

# How often a reader starts again when an array is replaced under its hands.
_ATTEMPTS = 3
# Bytes: tables of parts have some hundred.
_LARGEST_TABLE = 2**20


class PartedArrays(FolderArrays):
    """What arrays of named parts share: a new one takes the place of an old one as a whole."""

    def _upload_parts(
        self,
        form: Form,
        object_name: str,
        description: dict[str, Any],
        parts: Mapping[str, Any],
        threads: int | None,
        *,
        compression: str | bool | None = True,
        acl: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        refuse_names(metadata or {}, {VERSION})
        directory = keys.clean_object(object_name).rstrip(keys.SEPARATOR)
        description[VERSION] = version = secrets.token_hex(8)
        old = self._old_parts(form, directory)
        names = {name: name if old is None else staged_name(name, version) for name in parts}
        staged: dict[str, Any] = {} if old is None else {"parts": names}
        paths = {keys.join(directory, names[name]): part for name, part in parts.items()}

        def send(path: str) -> None:
            self._store(path, paths[path], compression, acl, metadata={**(metadata or {}), VERSION: version})

        with self._all_or_none(paths):
            self._for_each(send, paths, threads, "upload", directory)
        self._publish(directory, json.dumps({**description, **staged}), paths, acl)
        if old is not None:
            self._settle(directory, names, threads, acl)
            self._write_table(keys.join(directory, TABLE), json.dumps(description).encode(), acl)
            self._remove_stale(form, directory, old.difference(parts))

    def _old_parts(self, form: Form, directory: str) -> set[str] | None:
        """The parts of the array that is there; None where nothing is to be replaced."""
        try:
            return set(form.part_names(self._table(directory)))
        except ObjectNotFound:
            return None
        except CorruptObject:
            return set()

    def _settle(self, directory: str, staged: Mapping[str, str], threads: int | None, acl: str | None) -> None:
        """Bring staged parts, which readers see already, to the names that 0.4.0 looks for."""

        def copy(name: str) -> None:
            source, target = keys.join(directory, staged[name]), keys.join(directory, name)
            self.backend_interface.copy(source, target, options=self._write_options(acl))

        self._for_each(copy, staged, threads, "copy", directory)

    def _remove_stale(self, form: Form, directory: str, old: set[str]) -> None:
        """Remove the parts that the new array has no use for, and what earlier uploads left staged."""
        prefix = keys.as_directory(directory)
        names = (info.key.removeprefix(prefix) for info in self.backend_interface.list_level(prefix))
        stale = [name for name in names if name in old or form.is_staged(name)]
        self.backend_interface.delete([prefix + name for name in stale])

    def _download_parts(self, form: Form, object_name: str, threads: int | None) -> Any:
        directory = keys.clean_object(object_name).rstrip(keys.SEPARATOR)
        for _ in range(_ATTEMPTS - 1):
            before = self._table(directory)
            try:
                return self._load_parts(form, directory, before, threads)
            except (ObjectNotFound, ObjectChanged):
                if self._table(directory) == before:
                    raise
        return self._load_parts(form, directory, self._table(directory), threads)

    def _table(self, directory: str) -> Any:
        """What ``metadata.json`` of an array in parts says."""
        key = keys.join(directory, TABLE)
        try:
            return json.loads(load_document(self.backend_interface, key, self._settings, _LARGEST_TABLE)[0])
        except CorruptObject:
            raise
        except (ValueError, RecursionError) as error:
            raise CorruptObject(f"{self.backend_interface.describe(key)} is no JSON: {error}") from error

    def _load_parts(self, form: Form, directory: str, description: Any, threads: int | None) -> Any:
        where = self.backend_interface.describe(directory)
        try:
            names = form.part_names(description)
            paths = [keys.join(directory, name) for name in names.values()]
            parts = self._gather(self._load_part(description), paths, threads, "download", directory)
            return form.put_together(description, dict(zip(names, parts, strict=True)))
        except CorruptObject as error:
            raise type(error)(f"{where}: {error}") from error

    def _load_part(self, description: Mapping[str, Any]) -> Callable[[str], npt.NDArray[Any]]:
        version = description.get(VERSION)

        def load(path: str) -> npt.NDArray[Any]:
            array, metadata = load_array(self.backend_interface, path, self._settings)
            if version_of(metadata) != version:
                raise ObjectChanged(f"{self.backend_interface.describe(path)} belongs to another upload: try again")
            return array

        return load
