"""Backends against a dictionary: a state machine that takes any of them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from cottoncandy.backends.base import Backend, WriteOptions
from cottoncandy.errors import InvalidObjectName, ObjectExists, ObjectNotFound

# names that collide as file and directory, or as an object and the ending of another
STEMS = st.sampled_from(["a", "a.b", "a0", "b", "a/b", "a/c", "a/b/c", "exp/1", "exp2/1", "\u00e9", "a b", "~"])
#: What each store can hold of metadata.
NAMES = st.sampled_from(["k", "long-name", "x1"])
VALUES = st.text("abc =%", min_size=1, max_size=9).map(str.strip).filter(bool)


def read(backend: Backend, key: str) -> tuple[bytes, dict[str, str]]:
    """All of an object."""
    with backend.open(key) as reader:
        data = bytearray(reader.stop - reader.start)
        assert reader.readexactly(memoryview(data)) == len(data)
        return bytes(data), dict(reader.head.metadata)


class AgainstADictionary(RuleBasedStateMachine):
    """Any sequence of calls leaves what the same calls leave in a dictionary."""

    small_parts = False

    @abstractmethod
    def open(self) -> Backend:
        """A backend on an empty container of its own."""

    def end(self) -> None:
        """Close what `open` made."""

    @initialize()
    def begin(self) -> None:
        self.backend = self.open()
        self.model: dict[str, tuple[bytes, dict[str, str]]] = {}

    def teardown(self) -> None:
        if hasattr(self, "model"):
            assert [info.key for info in self.backend.list_objects()] == sorted(self.model, key=str.encode)
            assert {key: read(self.backend, key) for key in self.model} == self.model
            self.end()

    def fits(self, key: str) -> bool:
        """Whether there may be an object of that name beside the others."""
        return True

    def _write(
        self, key: str, value: tuple[bytes, dict[str, str]], *, if_absent: bool, act: Callable[[], object]
    ) -> None:
        if not self.fits(key):
            with pytest.raises(InvalidObjectName):
                act()
        elif if_absent and key in self.model:
            with pytest.raises(ObjectExists):
                act()
        else:
            act()
            self.model[key] = value

    @rule(
        key=STEMS,
        body=st.binary(max_size=50),
        metadata=st.dictionaries(NAMES, VALUES, max_size=3),
        if_absent=st.booleans(),
    )
    def put(self, key: str, body: bytes, metadata: dict[str, str], if_absent: bool) -> None:
        options = WriteOptions(if_absent=if_absent)
        self._write(
            key, (body, metadata), if_absent=if_absent, act=lambda: self.backend.put(key, body, metadata, options)
        )

    @rule(key=STEMS, drawn=st.lists(st.binary(max_size=20), max_size=4), finish=st.booleans())
    def upload(self, key: str, drawn: list[bytes], finish: bool) -> None:
        # all but the last part of an upload have a least size, which is 5 MB on S3
        parts = drawn if self.small_parts else [b"".join(drawn)]

        def act() -> None:
            upload = self.backend.start_upload(key, {"k": "v"})
            for number, part in enumerate(parts, 1):
                upload.send_part(number, part)
            if finish:
                upload.complete()
            else:
                upload.abort()

        before = dict(self.model)
        self._write(key, (b"".join(parts), {"k": "v"}), if_absent=False, act=act)
        if not finish:
            self.model = before

    @rule(source=STEMS, key=STEMS, if_absent=st.booleans())
    def copy(self, source: str, key: str, if_absent: bool) -> None:
        options = WriteOptions(if_absent=if_absent)
        if source not in self.model:
            with pytest.raises(ObjectNotFound):
                self.backend.copy(source, key, options=options)
            return
        self._write(
            key,
            self.model[source],
            if_absent=if_absent,
            act=lambda: self.backend.copy(source, key, options=options),
        )

    @rule(gone=st.lists(STEMS, max_size=5))
    def delete(self, gone: list[str]) -> None:
        assert self.backend.delete(gone) == len(gone)
        for key in gone:
            self.model.pop(key, None)

    @rule(key=STEMS, start=st.integers(0, 60), length=st.integers(0, 60))
    def read_a_range(self, key: str, start: int, length: int) -> None:
        buffer = bytearray(length)
        if key not in self.model:
            with pytest.raises(ObjectNotFound):
                self.backend.read_range(key, start, memoryview(buffer))
            return
        count = self.backend.read_range(key, start, memoryview(buffer))
        assert buffer[:count] == self.model[key][0][start : start + length]

    @rule(prefix=st.sampled_from(["", "a", "a/", "a/b", "a.", "exp", "exp/", "z", "\u00e9"]))
    def list_both_ways(self, prefix: str) -> None:
        matching = sorted((key for key in self.model if key.startswith(prefix)), key=str.encode)
        assert [info.key for info in self.backend.list_objects(prefix)] == matching
        assert list(self.backend.list_names(prefix)) == matching
        ends = (key.find("/", len(prefix)) for key in matching)
        level = [key[: end + 1] if end >= 0 else key for key, end in zip(matching, ends, strict=True)]
        level = list(dict.fromkeys(level))
        assert [entry.key for entry in self.backend.list_level(prefix)] == level
        assert list(self.backend.level_names(prefix)) == level
