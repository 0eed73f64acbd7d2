"""The local backend against a dictionary."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule
from local_files import directories, files, keys, read

from cottoncandy.backends.base import WriteOptions
from cottoncandy.backends.local import LocalBackend
from cottoncandy.errors import (
    InvalidObjectName,
    ObjectExists,
    ObjectNotFound,
)

# ------------------------------------------------------------------ against a dictionary
# names that collide as file and directory, or as an object and the ending of another
STEMS = st.sampled_from(["a", "a.b", "a0", "b", "a/b", "a/c", "a/b/c", "exp/1", "exp2/1", "\u00e9", "a b", "~"])


class AgainstADictionary(RuleBasedStateMachine):
    """Any sequence of calls leaves what the same calls leave in a dictionary."""

    seen_keys = Bundle("seen_keys")

    @initialize()
    def begin(self) -> None:
        import tempfile

        self.folder = tempfile.TemporaryDirectory()
        self.backend = LocalBackend.connect(f"{self.folder.name}/store")
        self.model: dict[str, tuple[bytes, dict[str, str]]] = {}

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            self.folder.cleanup()

    def _fits(self, key: str) -> bool:
        return not any(other.startswith(key + "/") or key.startswith(other + "/") for other in self.model)

    def _write(
        self, key: str, value: tuple[bytes, dict[str, str]], *, if_absent: bool, act: Callable[[], object]
    ) -> None:
        if not self._fits(key):
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
        metadata=st.dictionaries(st.text(max_size=5), st.text(max_size=9), max_size=3),
        if_absent=st.booleans(),
    )
    def put(self, key: str, body: bytes, metadata: dict[str, str], if_absent: bool) -> None:
        options = WriteOptions(if_absent=if_absent)
        self._write(
            key, (body, metadata), if_absent=if_absent, act=lambda: self.backend.put(key, body, metadata, options)
        )

    @rule(key=STEMS, parts=st.lists(st.binary(max_size=20), max_size=4), finish=st.booleans())
    def upload(self, key: str, parts: list[bytes], finish: bool) -> None:
        def act() -> None:
            upload = self.backend.start_upload(key, {"k": "v"})
            for number, part in enumerate(parts, 1):
                upload.send_part(number, part)
            if finish:
                upload.complete()
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
        assert keys(self.backend, prefix) == matching
        ends = (key.find("/", len(prefix)) for key in matching)
        level = [key[: end + 1] if end >= 0 else key for key, end in zip(matching, ends, strict=True)]
        assert [entry.key for entry in self.backend.list_level(prefix)] == list(dict.fromkeys(level))

    @invariant()
    def the_disk_holds_the_model_and_nothing_else(self) -> None:
        if not hasattr(self, "model"):
            return
        root = Path(self.backend.path)
        assert set(files(root)) == {name for key in self.model for name in (key, f"{key}.meta.json")}
        assert all(any(key.startswith(f"{name}/") for key in self.model) for name in directories(root))
        assert {key: read(self.backend, key) for key in self.model} == self.model


AgainstADictionary.TestCase.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
TestAgainstADictionary = AgainstADictionary.TestCase
