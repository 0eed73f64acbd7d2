"""The encrypting backend: the contract over another backend."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from cottoncandy.backends.base import (
    Backend,
    BytesLike,
    MultipartUpload,
    ObjectHead,
    ObjectReader,
    Receipt,
    TransferLimits,
    WriteOptions,
)
from cottoncandy.backends.encrypted.envelope import Envelope, new_envelope
from cottoncandy.backends.encrypted.keys import EncryptionKeys
from cottoncandy.backends.encrypted.mark import MARK, find_mark
from cottoncandy.backends.encrypted.reader import EncryptedReader, Sealed, SealedTag, Shortened
from cottoncandy.backends.encrypted.segments import OVERHEAD, Layout, Segments
from cottoncandy.backends.encrypted.upload import EncryptedUpload
from cottoncandy.config import Options
from cottoncandy.errors import ConfigurationError, DecryptionError, ObjectChanged
from cottoncandy.pipelines import Begun

# Bytes of a segment: what a small read brings at least, and what is verified at once. Of smaller ones more time goes
# into calls than into encryption.
_SEGMENT = 64 * 1024
# Of so many objects that lie otherwise than what is written here it is remembered, to ask for the right bytes.
_MOST_REMEMBERED = 10_000


class _PassedOn:
    """What of the contract is the other backend's affair."""

    def __set_name__(self, owner: type[EncryptedBackend], name: str) -> None:
        self._name = name

    def __get__(self, backend: EncryptedBackend | None, owner: type[EncryptedBackend]) -> Any:
        return self if backend is None else getattr(backend.inner, self._name)


def _passed_on() -> Any:
    return _PassedOn()


class EncryptedBackend(Backend):
    """Another backend, whose objects are encrypted before they leave and decrypted when they have arrived.

    Plain objects are read as they are. Listings tell the sizes in the store. Copies inside the store stay as they are.

    Parameters
    ----------
    inner : Backend
    keys : EncryptionKeys
    require : bool
        Refuse to read plain objects.

    Attributes
    ----------
    inner : Backend
        What has the encrypted bytes.
    """

    def __init__(self, inner: Backend, keys: EncryptionKeys, *, require: bool = False) -> None:
        self.inner, self.name, self.retry = inner, inner.name, inner.retry
        self._keys, self._require = keys, require
        # a whole number of segments is a whole number of what the parts of the store must be a multiple of
        multiple = inner.limits.part_multiple
        self._layout = Layout(-(-(_SEGMENT + OVERHEAD) // multiple) * multiple - OVERHEAD)
        self.limits = _limits(inner.limits, self._layout)
        self._other_layouts: dict[str, Layout | None] = {}

    @classmethod
    def connect(
        cls,
        container: str | None,
        access_key: str | None,
        secret_key: str | None,
        endpoint_url: str | None,
        options: Options,
        **kwargs: Any,
    ) -> Backend:
        """Refused: it is made around a backend, by `encrypted`."""
        raise ConfigurationError("encryption is no store of its own: pass encryption_key beside backend")

    def at(self, container: str | None) -> EncryptedBackend:
        return type(self)(self.inner.at(container), self._keys, require=self._require)

    # ------------------------------------------------------------------ the other's affair
    container = _passed_on()
    location = _passed_on()
    address = _passed_on()
    on_disk = _passed_on()
    describe = _passed_on()
    answers_later = _passed_on()
    begin_copy = _passed_on()
    delete = _passed_on()
    refuse_unknown = _passed_on()
    unfinished_uploads = _passed_on()

    list_objects = _passed_on()
    list_level = _passed_on()
    list_names = _passed_on()
    level_names = _passed_on()
    begin_names = _passed_on()
    holds = _passed_on()
    entry = _passed_on()
    exists = _passed_on()
    size = _passed_on()
    has_md5 = _passed_on()
    gives_way = _passed_on()
    owner = _passed_on()

    list_containers = _passed_on()
    container_exists = _passed_on()
    create_container = _passed_on()
    remove_container = _passed_on()
    native_container = _passed_on()

    list_versions = _passed_on()
    restore_version = _passed_on()

    diagnose = _passed_on()
    probe = _passed_on()
    clear_probes = _passed_on()
    close = _passed_on()

    # ------------------------------------------------------------------ reading
    def stat(self, key: str) -> ObjectHead:
        head = self.inner.stat(key)
        sealed = self._sealed(head)
        return sealed.head if sealed else head

    def open(self, key: str, start: int = 0, stop: int | None = None, *, e_tag: str | None = None) -> ObjectReader:
        asked = self._asked(key, start, stop)
        return self._opened(key, start, stop, e_tag, self.inner.open(key, *asked, e_tag=_stored(e_tag)))

    def begin_open(self, key: str, stop: int, *, e_tag: str | None = None) -> Begun[ObjectReader] | None:
        _, end = self._asked(key, 0, stop)
        begun = None if end is None else self.inner.begin_open(key, end, e_tag=_stored(e_tag))
        return None if begun is None else begun.then(partial(self._opened, key, 0, stop, e_tag))

    def _asked(self, key: str, start: int, stop: int | None) -> tuple[int, int | None]:
        """The bytes of the store that hold these, if the object is laid out as is thought."""
        layout = self._other_layouts.get(key, self._layout)
        return layout.asked(start, stop) if layout else (start, stop)

    def _opened(self, key: str, start: int, stop: int | None, e_tag: str | None, reader: ObjectReader) -> ObjectReader:
        """The answer to a request for encrypted bytes, decrypted."""
        try:
            sealed = self._sealed(reader.head)
            self._require_seal(key, sealed, e_tag)
            self._remember(key, sealed)
            head = sealed.head if sealed else reader.head
            start, stop = min(start, head.size), head.size if stop is None else min(max(start, stop), head.size)
            needed = sealed.segments.layout.needed(start, stop, head.size) if sealed else (start, stop)
            if needed[0] < needed[1] and not (reader.start == needed[0] and reader.stop >= needed[1]):
                # it is laid out otherwise than was thought
                reader.close()
                reader = self.inner.open(key, *needed, e_tag=reader.head.e_tag)
            if sealed:
                return EncryptedReader(reader, sealed, start, stop)
            return reader if (reader.start, reader.stop) == (start, stop) else Shortened(reader, start, stop)
        except BaseException:
            reader.close()
            raise

    def _sealed(self, head: ObjectHead) -> Sealed | None:
        """What is known of an encrypted object; None for a plain one.

        Raises
        ------
        WrongKey
        DecryptionError
        """
        mark, where = find_mark(head.metadata), self.describe(head.key)
        if mark is None:
            if self._require:
                raise DecryptionError(f"{where} is not encrypted, and [encryption] require = True")
            return None
        envelope = Envelope.parse(mark, where)
        segments, metadata = envelope.open(self._keys, where)
        size = segments.layout.plain_size(head.size)
        if size is None:
            raise DecryptionError(f"{where}: its end is cut off")
        head = replace(head, size=size, metadata=metadata, e_tag=SealedTag(head.e_tag, envelope.seal))
        return Sealed(head, segments, envelope.seal, where)

    def _require_seal(self, key: str, sealed: Sealed | None, e_tag: str | None) -> None:
        """Hold an answer to the object that was seen before: an e_tag is the store's word alone."""
        if isinstance(e_tag, SealedTag) and (sealed is None or sealed.seal != e_tag.seal):
            raise ObjectChanged(f"{self.describe(key)} is no longer the one that was first looked at: read it again")

    def _remember(self, key: str, sealed: Sealed | None) -> None:
        layout = sealed.segments.layout if sealed else None
        if layout == self._layout:
            self._other_layouts.pop(key, None)
        else:
            if len(self._other_layouts) >= _MOST_REMEMBERED:
                self._other_layouts.clear()
            self._other_layouts[key] = layout

    # ------------------------------------------------------------------ writing
    def put(
        self, key: str, body: BytesLike, metadata: Mapping[str, str], options: WriteOptions = WriteOptions()
    ) -> Receipt:
        return self.inner.put(key, *self._seal(body, metadata, options))

    def begin_put(
        self, key: str, body: BytesLike, metadata: Mapping[str, str], options: WriteOptions = WriteOptions()
    ) -> Begun[Receipt] | None:
        return self.inner.begin_put(key, *self._seal(body, metadata, options))

    def _seal(
        self, body: BytesLike, metadata: Mapping[str, str], options: WriteOptions
    ) -> tuple[memoryview, Mapping[str, str], WriteOptions]:
        """A whole object, encrypted."""
        segments, metadata, options = self._new(metadata, options)
        view = memoryview(body)
        sealed = np.empty(segments.sealed_size(len(view), final=True), np.uint8).data
        segments.seal(view, 0, sealed, final=True)
        return sealed, metadata, options

    def start_upload(
        self, key: str, metadata: Mapping[str, str], options: WriteOptions = WriteOptions()
    ) -> MultipartUpload:
        segments, metadata, options = self._new(metadata, options)
        upload = self.inner.start_upload(key, metadata, options)
        return EncryptedUpload(upload, segments, self.limits.smallest_part, self.describe(key))

    def _new(
        self, metadata: Mapping[str, str], options: WriteOptions
    ) -> tuple[Segments, Mapping[str, str], WriteOptions]:
        """A key for a new object, and what of its metadata the store may see."""
        own = options.extra.get("Metadata") or {}
        segments, envelope = new_envelope(self._keys, self._layout.size, {**own, **metadata})
        extra = {name: value for name, value in options.extra.items() if name != "Metadata"}
        return segments, {MARK: str(envelope)}, replace(options, extra=extra)

    def copy(
        self,
        source_key: str,
        key: str,
        *,
        source_container: str | None = None,
        options: WriteOptions = WriteOptions(),
        metadata: Mapping[str, str] | None = None,
        e_tag: str | None = None,
        size: int | None = None,
    ) -> Receipt:
        """Copy the encrypted bytes as they are, under the same key."""
        if metadata is not None:
            raise self._cannot("give a copy other metadata: they are sealed with its bytes")
        return self.inner.copy(
            source_key, key, source_container=source_container, options=options, e_tag=_stored(e_tag), size=size
        )

    def rotate_key(self, key: str) -> bool:
        where, head = self.describe(key), self.inner.stat(key)
        mark = find_mark(head.metadata)
        envelope = None if mark is None else Envelope.parse(mark, where)
        if envelope is None or envelope.key_id == self._keys.current.id:
            return False
        others = {name: value for name, value in head.metadata.items() if name.lower() != MARK}
        metadata = others | {MARK: str(envelope.rewrapped(self._keys, where))}
        self.inner.copy(key, key, metadata=metadata, e_tag=head.e_tag)
        return True

    # ------------------------------------------------------------------ the rest
    def listed_sizes(self, size: int) -> tuple[int, ...]:
        """Encrypted as it is here, or plain where that is not refused."""
        stored = self._layout.stored_size(size)
        return (stored,) if self._require else (stored, size)

    def at_version(self, version_id: str) -> EncryptedBackend:
        return type(self)(self.inner.at_version(version_id), self._keys, require=self._require)

    def presigned_url(self, key: str, method: str, seconds: int) -> str:
        """Refused: a reader of the URL has no key."""
        raise self._cannot(
            "make URLs for others while it encrypts: open it with encryption_key=False to share a plain object"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return _remade, (type(self), self.inner, self._keys, self._require)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.inner!r}>"


def _remade(kind: type[EncryptedBackend], inner: Backend, keys: EncryptionKeys, require: bool) -> EncryptedBackend:
    return kind(inner, keys, require=require)


def _stored(e_tag: str | None) -> str | None:
    """An e_tag as the store knows it."""
    return e_tag.stored if isinstance(e_tag, SealedTag) else e_tag


def _limits(inner: TransferLimits, layout: Layout) -> TransferLimits:
    """What transfers of plain bytes must keep to, so that the encrypted ones keep to the store's own limits."""
    return replace(
        inner,
        largest_put=layout.most(inner.largest_put),
        # the last part may end with a segment more
        largest_part=(inner.largest_part - OVERHEAD) // layout.stored * layout.size,
        most_parts=inner.most_parts - 1,
        part_multiple=layout.size,
        copies_parts=True,
    )
