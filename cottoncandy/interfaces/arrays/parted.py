"""Arrays that are a folder of named parts each: sparse and masked ones."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from cottoncandy import keys
from cottoncandy.allornothing import Parts
from cottoncandy.arrayformat import RESERVED_KEYS
from cottoncandy.backends.base import ObjectInfo
from cottoncandy.chunkedarrays.names import (
    LARGEST_TABLE,
    TABLE,
    VERSION,
    belongs_to,
    naming_array,
    new_version,
    version_of,
)
from cottoncandy.errors import CorruptObject, ObjectChanged, ObjectExists, ObjectNotFound, UnsupportedArray
from cottoncandy.interfaces.arrays.folder import FolderArrays
from cottoncandy.rawarrays import load_array, refuse_names

if TYPE_CHECKING:
    from cottoncandy.chunkedarrays.standing import Standing
    from cottoncandy.partedarrays.form import Form

# How often a reader starts again when an array is replaced under its hands.
_ATTEMPTS = 3
# Bytes: tables of parts have some hundred.
_LARGEST_TABLE = 2**20


@dataclass(frozen=True, slots=True)
class _Upload:
    """What is to be stored, where and how."""

    form: Form
    directory: str
    description: Mapping[str, Any]
    parts: Mapping[str, Any]
    threads: int | None
    compression: str | bool | None
    acl: str | None
    metadata: Mapping[str, Any]

    def table(self, version: str, **more: Any) -> str:
        """The text of ``metadata.json``."""
        return json.dumps({**self.description, VERSION: version, **more})


class PartedArrays(FolderArrays):
    """What arrays of named parts share: a new one takes the place of an old one as a whole."""

    def _upload_parts(
        self,
        form: Form,
        object_name: str,
        array: Any,
        threads: int | None,
        *,
        compression: str | bool | None = True,
        acl: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        directory = keys.clean_object(object_name).rstrip(keys.SEPARATOR)
        where = self.backend_interface.describe(directory)
        refuse_names(metadata or {}, {VERSION, *RESERVED_KEYS}, lambda: where)
        self._compression.choose(compression, 0, lambda: where)  # refuses what is none
        try:
            description, parts = form.take_apart(array)
        except UnsupportedArray as error:
            raise UnsupportedArray(f"{where}: {error}") from None
        upload = _Upload(form, directory, description, parts, threads, compression, acl, metadata or {})
        retries = self.backend_interface.retry.start(where)
        with naming_array(self.backend_interface, directory):
            while not self._is_stored(upload):
                retries.wait(ObjectChanged(f"{where}: others write it at the same time: try again"))

    def _is_stored(self, upload: _Upload) -> bool:
        """Send an array; False where other writers, at the same time, have mixed their parts with these."""
        old, version = self._standing(upload.directory), new_version()
        return self._create(upload, version) if old is None else self._replace(upload, version, old)

    def _create(self, upload: _Upload, version: str) -> bool:
        """Send an array where there is none; False where there is one by then.

        What lies under the names of its parts is another's: it stays until the new array stands.
        """
        names = {name: name for name in upload.parts}
        parts = self._parts(upload, names, version)
        try:
            with parts:
                self._send_parts(upload, names, version, if_absent=True)
                self._publish(upload.directory, upload.table(version), parts, upload.acl, if_absent=True)
        except ObjectExists:
            return False if parts.may_be_named else self._replace(upload, version, None)
        return True

    def _replace(self, upload: _Upload, version: str, old: Standing | None) -> bool:
        """Send an array in the place of another; False where it is a mixture in the end."""
        from cottoncandy.partedarrays.form import staged_name

        directory, acl = upload.directory, upload.acl
        names = {name: staged_name(name, version) for name in upload.parts}
        with self._parts(upload, names, version) as parts:
            self._send_parts(upload, names, version)
            self._publish(directory, upload.table(version, parts=names), parts, acl)
        self._settle(directory, names, upload.threads, acl)
        self._write_table(keys.join(directory, TABLE), upload.table(version).encode(), acl)
        # After the last table no parts of another writer come. So it is enough that each writer looks at its own parts.
        is_last = self._version_there(directory) == version
        self._remove_stale(upload, names.values(), old, is_last=is_last)
        if is_last and old and old.parts.difference(upload.parts) and self._version_there(directory) != version:
            return False  # parts of a writer that came meanwhile may be gone with the old ones
        return not is_last or self._is_whole(upload, version)

    def _send_parts(self, upload: _Upload, names: Mapping[str, str], version: str, *, if_absent: bool = False) -> None:
        """Send the parts under these names."""
        directory, metadata = upload.directory, {**upload.metadata, VERSION: version}
        parts = {keys.join(directory, names[name]): (name, array) for name, array in upload.parts.items()}

        def send(path: str) -> None:
            name, array = parts[path]
            with self._in_stead_of(keys.join(directory, name), path):
                self._store(path, array, upload.compression, upload.acl, metadata=metadata, if_absent=if_absent)

        self._for_each(send, parts, upload.threads, "upload", directory)

    def _parts(self, upload: _Upload, names: Mapping[str, str], version: str) -> Parts:
        """What `_send_parts` sends."""
        paths = {keys.join(upload.directory, names[name]) for name in upload.parts}
        return self._all_or_none(self._of_upload(version, upload.directory, paths))

    def _version_there(self, directory: str) -> str | None:
        """The upload that the table is of; None where there is none."""
        try:
            version: str | None = self._table(directory).get(VERSION)
        except ObjectNotFound:
            return None
        return version

    def _is_whole(self, upload: _Upload, version: str) -> bool:
        """Whether the parts are all of one upload."""

        def of_it(name: str) -> bool:
            return self._version_at(keys.join(upload.directory, name)) == version

        return all(self._gather(of_it, list(upload.parts), upload.threads, "look at", upload.directory))

    def _standing(self, directory: str) -> Standing | None:
        """The array that is there, of whatever kind; None where nothing is to be replaced."""
        from cottoncandy.chunkedarrays.standing import Standing

        try:
            return Standing.from_json(self._table_text(directory, LARGEST_TABLE))
        except ObjectNotFound:
            return None
        except CorruptObject:
            return Standing()

    def _settle(self, directory: str, staged: Mapping[str, str], threads: int | None, acl: str | None) -> None:
        """Bring staged parts, which readers see already, to the names that 0.4.0 looks for."""

        def copy(name: str) -> None:
            source, target = keys.join(directory, staged[name]), keys.join(directory, name)
            self.backend_interface.copy(source, target, options=self._write_options(acl))

        self._for_each(copy, staged, threads, "copy", directory)

    def _remove_stale(self, upload: _Upload, staged: Collection[str], old: Standing | None, *, is_last: bool) -> None:
        """Remove staged parts and, where the table is this upload's, what the new array has no use for."""
        from cottoncandy.chunkedarrays.leftovers import objects_in

        there = objects_in(self.backend_interface, upload.directory)
        stale = {*staged, *(self._outdated(upload, there, staged, old) if is_last else ())}
        self.backend_interface.delete([info.key for name, info in there.items() if name in stale])

    def _outdated(
        self, upload: _Upload, there: Mapping[str, ObjectInfo], staged: Collection[str], old: Standing | None
    ) -> set[str]:
        """The names of the parts and chunks of the old array, and of what was left long ago.

        Other staged parts may be those of an upload that is under way, which then takes the names of old ones: these
        stay, as a deletion has no condition.
        """
        from cottoncandy.chunkedarrays.leftovers import forgotten, others_are_at_work
        from cottoncandy.chunkedarrays.standing import Standing, is_part

        backend, old = self.backend_interface, old or Standing()
        left = forgotten(backend, there, {*upload.parts, *staged, *old.names}, self._settings.threads)
        if others_are_at_work(there, staged):
            return {*old.chunks, *(name for name in left if not is_part(name))}
        parts = there.keys() & old.parts.difference(upload.parts)
        return {*old.chunks, *left, *(name for name in parts if belongs_to(backend, there[name].key, old.version))}

    def _download_parts(self, form: Form, object_name: str, threads: int | None) -> Any:
        directory = keys.clean_object(object_name).rstrip(keys.SEPARATOR)
        with naming_array(self.backend_interface, directory, reads=True):
            return self._load_whole(form, directory, threads)

    def _load_whole(self, form: Form, directory: str, threads: int | None) -> Any:
        """The parts of one array, though others replace it meanwhile."""
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
        text = self._table_text(directory, _LARGEST_TABLE)
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            raise CorruptObject(f"{self.backend_interface.describe(key)} is no JSON: {error}") from error

    def _table_text(self, directory: str, most: int) -> bytes:
        from cottoncandy.documents import load_document

        return load_document(self.backend_interface, keys.join(directory, TABLE), self._settings, most)[0]

    def _load_parts(self, form: Form, directory: str, description: Any, threads: int | None) -> Any:
        from cottoncandy.chunkedarrays.standing import refuse_other_kind

        refuse_other_kind(description, form.reader)
        names = form.part_names(description)
        paths = [keys.join(directory, name) for name in names.values()]
        parts = self._gather(self._load_part(description), paths, threads, "download", directory)
        return form.put_together(description, dict(zip(names, parts, strict=True)))

    def _load_part(self, description: Mapping[str, Any]) -> Callable[[str], npt.NDArray[Any]]:
        version = description.get(VERSION)

        def load(path: str) -> npt.NDArray[Any]:
            array, metadata = load_array(self.backend_interface, path, self._settings)
            if version_of(metadata) != version:
                raise ObjectChanged(f"{self.backend_interface.describe(path)} belongs to another upload: try again")
            return array

        return load
