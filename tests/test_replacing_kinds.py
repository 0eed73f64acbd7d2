"""An array takes the place of one of another kind: nothing of that one is left, and nothing of others is touched."""

from __future__ import annotations

import base64
import itertools
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
import scipy.sparse
from recorder import Fault, Request, Response
from stores import Recorded, Store, table_of

from cottoncandy import documents
from cottoncandy.chunkedarrays import names
from cottoncandy.chunkedarrays.standing import Standing
from cottoncandy.chunkedarrays.upload import ChunkUpload
from cottoncandy.errors import TransientError

DENSE = np.arange(20.0)
UPLOADS: dict[str, Callable[[Any], object]] = {
    "chunks": lambda cci: cci.upload_dask_array("k", DENSE, axis=0, buffersize=40),
    "csr": lambda cci: cci.upload_sparse_array("k", scipy.sparse.eye_array(4, format="csr")),
    "dia": lambda cci: cci.upload_sparse_array("k", scipy.sparse.eye_array(4, format="dia")),
    "masked": lambda cci: cci.upload_masked_array("k", np.ma.masked_array([1, 2], mask=[True, False])),
}
READS: dict[str, Callable[[Any], object]] = {
    "chunks": lambda cci: np.array_equal(cci.download_dask_array("k").compute(), DENSE),
    "csr": lambda cci: (cci.download_sparse_array("k") != scipy.sparse.eye_array(4)).nnz == 0,
    "dia": lambda cci: (cci.download_sparse_array("k").tocsr() != scipy.sparse.eye_array(4)).nnz == 0,
    "masked": lambda cci: cci.download_masked_array("k").tolist() == [None, 2],
}
PARTS: dict[str, set[str]] = {
    "chunks": set(),
    "csr": {"data", "indices", "indptr"},
    "dia": {"data", "offsets"},
    "masked": {"data", "mask", "fill_value"},
}
CHUNKS = 4


def _names(store: Store) -> set[str]:
    return {key.removeprefix("k/") for key in store.raw.keys("k/")} - {"metadata.json"}


def _make_old(store: Store, parts: set[str]) -> None:
    """Take what 0.4.0 does not write from an array's parts and its table."""
    for name in parts:
        body, metadata = store.raw.get(f"k/{name}")
        store.raw.put(f"k/{name}", body, {key: text for key, text in metadata.items() if key != "version"})
    table = table_of(store, "k")
    del table["version"]
    store.raw.delete("k/metadata.json")  # with the checksum of its bytes
    store.raw.put("k/metadata.json", json.dumps(table).encode(), {})


def _is_all(kind: str, found: set[str]) -> bool:
    if kind == "chunks":
        return len(found) == CHUNKS and all(name.startswith("pt") for name in found)
    return found == PARTS[kind]


@pytest.mark.parametrize(("old", "new"), [*itertools.permutations(UPLOADS, 2)])
@pytest.mark.stores("local", "moto", "seaweedfs")
def test_nothing_of_the_old_one_is_left(old: str, new: str, store: Store) -> None:
    cci = store.interface()
    UPLOADS[old](cci)
    UPLOADS[new](cci)
    assert _is_all(new, _names(store))
    assert READS[new](cci)


def test_one_after_the_other_on_every_store(store: Store) -> None:
    cci = store.interface()
    for kind in ("chunks", "csr", "masked", "chunks", "dia", "masked", "csr", "chunks"):
        UPLOADS[kind](cci)
        assert _is_all(kind, _names(store)), kind
    assert READS["chunks"](cci)


@pytest.mark.stores("local", "moto")
def test_what_is_encrypted(store: Store) -> None:
    cci = store.interface(encryption_key=base64.b64encode(bytes(range(32))).decode())
    for kind in ("masked", "chunks", "csr", "masked"):
        UPLOADS[kind](cci)
        assert _is_all(kind, _names(store)), kind
    assert READS["masked"](cci)


@pytest.mark.stores("local", "moto")
@pytest.mark.parametrize("old", ["csr", "masked"])
def test_parts_of_the_old_release(old: str, store: Store) -> None:
    """They have no version, and neither has their table."""
    cci = store.interface()
    UPLOADS[old](cci)
    _make_old(store, PARTS[old])
    UPLOADS["chunks"](cci)
    assert _is_all("chunks", _names(store))


@pytest.mark.stores("local", "moto")
@pytest.mark.parametrize("new", ["chunks", "csr"])
def test_what_others_wrote_under_those_names_stays(new: str, store: Store) -> None:
    cci = store.interface()
    UPLOADS["masked"](cci)
    cci.upload_raw_array("k/mask", DENSE)  # of no upload, or of a later one
    cci.upload_object("k/fill_value", b"a note")
    cci.upload_object("k/pt-notes", b"another")
    UPLOADS[new](cci)
    assert {"mask", "fill_value", "pt-notes"} <= _names(store)
    assert np.array_equal(cci.download_raw_array("k/mask"), DENSE)


@pytest.mark.stores("local", "moto")
@pytest.mark.parametrize("new", ["chunks", "masked"])
def test_parts_that_have_not_their_names_yet(new: str, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """An upload was killed when its table stood."""
    cci = store.interface()
    UPLOADS["csr"](cci)
    with monkeypatch.context() as patch:
        patch.setattr(cci.backend_interface, "copy", interrupted)
        with pytest.raises(KeyboardInterrupt):
            UPLOADS["csr"](cci)
    assert READS["csr"](cci)
    assert sum("-" in name for name in _names(store)) == 3
    UPLOADS[new](cci)  # he may be at work
    assert PARTS["csr"] <= _names(store) | PARTS[new]
    assert READS[new](cci)
    UPLOADS["csr"](cci)
    with monkeypatch.context() as patch:
        patch.setattr(names, "FORGOTTEN", timedelta(seconds=-9))
        UPLOADS[new](cci)
    assert [name for name in _names(store) if "-" in name and new == "masked"] == []
    assert PARTS["csr"] & _names(store) <= PARTS[new]
    assert READS[new](cci)


@pytest.mark.stores("local", "moto")
@pytest.mark.parametrize("new", ["chunks", "csr", "masked"])
def test_what_only_has_such_a_name_stays(new: str, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Patients are called so, and what was written long ago is not for that reason an upload's."""
    cci = store.interface()
    cci.dict2cloud("k", {"pt0001": DENSE, "row": DENSE}, verbose=False)  # leaves have a version, too
    cci.upload_raw_array("k/pt0002", DENSE)
    cci.upload_raw_array("k/pt0003", DENSE, version="2")
    cci.upload_json("k/pt0004", {"patient": 4})
    cci.upload_object("k/pt-0123456789abcdef", b"notes")
    cci.upload_raw_array("k/row-0123456789abcdef", DENSE)
    theirs = {name: store.raw.get(f"k/{name}") for name in _names(store)}
    monkeypatch.setattr(names, "FORGOTTEN", timedelta(seconds=-9))
    for _ in range(2):
        UPLOADS[new](cci)
        assert {name: store.raw.get(f"k/{name}") for name in theirs} == theirs
        assert _is_all(new, _names(store).difference(theirs))


@pytest.mark.stores("local", "moto")
@pytest.mark.parametrize("moment", ["before its table", "after its table"])
@pytest.mark.parametrize(("old", "new"), [*itertools.permutations(["chunks", "csr", "masked"], 2)])
def test_nothing_is_left_for_ever_of_one_that_was_killed(
    old: str, new: str, moment: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    cci = store.interface()
    UPLOADS[old](cci)
    with monkeypatch.context() as patch:
        for name in ("delete", "copy"):
            patch.setattr(cci.backend_interface, name, interrupted)
        if moment == "before its table":
            patch.setattr(documents, "upload", interrupted)
        with pytest.raises(KeyboardInterrupt):
            UPLOADS[new](cci)
    left = _names(store)
    assert READS[old if moment == "before its table" else new](cci)
    monkeypatch.setattr(names, "FORGOTTEN", timedelta(seconds=-9))
    for kind in (old, new):
        UPLOADS[kind](cci)
        assert _is_all(kind, _names(store)), left


@pytest.mark.stores("local", "moto")
def test_the_chunks_of_the_old_release_that_its_table_names(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """They have no version. Others of that name may be anybody's."""
    cci = store.interface()
    UPLOADS["chunks"](cci)
    _make_old(store, _names(store))
    cci.upload_raw_array("k/pt0099", DENSE)
    monkeypatch.setattr(names, "FORGOTTEN", timedelta(seconds=-9))
    UPLOADS["chunks"](cci)
    assert "pt0099" in _names(store)
    assert _is_all("chunks", _names(store) - {"pt0099"})


TREE = {"a": DENSE, "b": DENSE * 2}


@pytest.mark.parametrize("answer", [500, None])
@pytest.mark.parametrize("kind", [*UPLOADS, "tree"])
def test_what_a_table_may_name_stays_for_a_day(
    kind: str, answer: int | None, recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the page about stores says of uploads that were broken off."""
    monkeypatch.setenv("COTTONCANDY_RETRY_ATTEMPTS", "1")
    store, proxy = recorded
    cci = store.interface()

    def upload() -> set[str]:
        UPLOADS[kind](cci) if kind in UPLOADS else cci.dict2cloud("k", TREE, verbose=False)
        return _names(store)

    def fail(request: Request) -> Response | Fault | None:
        is_table = request.path.endswith("/metadata.json") or "/complete-" in request.path
        if request.method != "PUT" or not is_table:
            return None
        return Fault("lose") if answer is None else Response(answer)

    clean = len(upload())
    proxy.hook = fail
    with pytest.raises(TransientError):
        upload()
    proxy.hook = None
    assert READS[kind](cci) if kind in READS else len(cci.cloud2dict("k", verbose=False)) == len(TREE)
    assert len(_names(store)) > clean
    is_ended = kind == "tree" and answer is None  # its mark stands: the next one ends it
    assert (len(upload()) == clean) == is_ended
    monkeypatch.setattr(names, "FORGOTTEN", timedelta(seconds=-9))
    assert len(upload()) == clean


def interrupted(*_: Any, **__: Any) -> None:
    raise KeyboardInterrupt


@pytest.mark.stores("local", "moto")
@pytest.mark.parametrize("kind", ["csr", "masked"])
def test_another_comes_while_parts_take_their_names(kind: str, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = store.interface(), store.interface()
    UPLOADS[kind](one)
    copy, came = one.backend_interface.copy, []

    def with_another(*arguments: Any, **named: Any) -> Any:
        if not came:
            came.append(True)
            UPLOADS["chunks"](other)
        return copy(*arguments, **named)

    monkeypatch.setattr(one.backend_interface, "copy", with_another)
    UPLOADS[kind](one)
    assert came
    assert PARTS[kind] <= _names(store)
    assert READS[kind](one)


@pytest.mark.stores("local", "moto")
@pytest.mark.parametrize("kind", ["csr", "masked"])
def test_the_parts_of_one_who_writes_at_the_same_time_stay(
    kind: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """He has replaced the same array, and his table is the last."""
    one, other = store.interface(), store.interface()
    UPLOADS[kind](one)
    write = ChunkUpload._write_table

    def before_another(upload: ChunkUpload, table: Any) -> Any:
        receipt = write(upload, table)
        UPLOADS[kind](other)
        return receipt

    monkeypatch.setattr(ChunkUpload, "_write_table", before_another)
    UPLOADS["chunks"](one)
    assert READS[kind](one)
    assert PARTS[kind] <= _names(store)


@pytest.mark.stores("local", "moto")
@pytest.mark.parametrize("kind", ["csr", "masked"])
def test_who_writes_his_table_once_more_keeps_his_parts(
    kind: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """He does so when his parts have their names: the table that was there before stands again, and is no old one."""
    one = store.interface()
    UPLOADS[kind](one)
    text, metadata = store.raw.get("k/metadata.json")
    write = ChunkUpload._write_table

    def before_the_old_one(upload: ChunkUpload, table: Any) -> Any:
        receipt = write(upload, table)
        one.backend_interface.put("k/metadata.json", text, metadata)
        return receipt

    monkeypatch.setattr(ChunkUpload, "_write_table", before_the_old_one)
    UPLOADS["chunks"](one)
    assert READS[kind](one)


def test_the_same_kind_again_costs_no_request_more(recorded: Recorded) -> None:
    store, proxy = recorded
    cci, counts = store.interface(), []
    for kind in ("csr", "csr", "csr", "masked", "csr"):
        proxy.clear()
        UPLOADS[kind](cci)
        counts.append(len([request for request in proxy.requests if request.method == "HEAD"]))
    assert counts[1] == counts[2] < counts[4]


@pytest.mark.parametrize(
    "table",
    [
        b"",
        b"[" * 100_000,
        b"[]",
        b"7",
        b'{"dask": 7, "version": 7}',
        b'{"dask": [7, [1], [[0], 7], [[0], "k/secret"], [[0], "pt"], [[0], "../pt-1"], [[0], ""]]}',
        b'{"type": "csr", "shape": [-1, 2]}',
        b'{"type": ["csr"], "shape": [1, 2]}',
        b'{"type": "masked", "shape": [2], "parts": {"data": "secret"}}',
        b'{"type": "csr", "shape": [2, 2], "parts": 3}',
        '{"type": "csr"}'.encode("utf-16"),
    ],
)
def test_a_table_is_not_trusted(table: bytes) -> None:
    assert Standing.from_json(table) == Standing()
