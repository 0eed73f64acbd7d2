"""Sparse arrays: what is in the store, what comes back, and that nobody ever reads a mixture."""

from __future__ import annotations

import json
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import scipy.sparse
from recorder import Request, Response
from s3_wire import error
from samples import assert_equal
from stores import Recorded, Store

from cottoncandy.errors import AccessDenied, CorruptObject, ObjectNotFound, UnsupportedArray

PARTS = {
    "bsr": {"data", "indices", "indptr"},
    "coo": {"row", "col", "data"},
    "csc": {"data", "indices", "indptr"},
    "csr": {"data", "indices", "indptr"},
    "dia": {"data", "offsets"},
}
FORMATS = [*PARTS, "dok", "lil"]
DENSE = np.where(np.random.default_rng(5).random((18, 12)) < 0.2, np.random.default_rng(6).standard_normal((18, 12)), 0)


def _make(form: str, kind: str = "matrix", dense: Any = DENSE) -> Any:
    return getattr(scipy.sparse, f"{form}_{kind}")(dense)


def _assert_same(found: Any, expected: Any) -> None:
    assert type(found) is type(expected)
    assert found.shape == expected.shape
    assert found.dtype == expected.dtype
    for name in PARTS[expected.format]:
        assert_equal(getattr(found, name), getattr(expected, name))


def test_there_and_back(store: Store) -> None:
    cci = store.interface()
    for form in FORMATS:
        array = _make(form, kind="array" if form in {"csr", "dok"} else "matrix")
        cci.upload_sparse_array(f"dir/{form}", array)
        kept = array.tocsr() if form in {"dok", "lil"} else array
        description = json.loads(store.raw.get(f"dir/{form}/metadata.json")[0])
        assert description["type"] == kept.format
        assert set(description["attrs"]) == PARTS[kept.format]
        assert description["shape"] == [18, 12]
        names = [*PARTS[kept.format], "metadata.json"]
        assert set(store.raw.keys(f"dir/{form}/")) == {f"dir/{form}/{name}" for name in names}
        _assert_same(cci.download_sparse_array(f"/dir//{form}/"), kept)
        assert_equal(cci.download_raw_array(f"dir/{form}/data"), kept.data)


@pytest.mark.stores("local")
@pytest.mark.parametrize("kind", ["matrix", "array"])
@pytest.mark.parametrize("form", FORMATS)
def test_matrices_and_arrays(store: Store, form: str, kind: str) -> None:
    cci = store.interface()
    array = _make(form, kind)
    cci.upload_sparse_array("s", array)
    _assert_same(cci.download_sparse_array("s"), array.tocsr() if form in {"dok", "lil"} else array)


@pytest.mark.stores("local")
@pytest.mark.parametrize("dtype", ["<f4", "<c16", "?", "<i8", "u1"])
@pytest.mark.parametrize("form", list(PARTS))
def test_dtypes(store: Store, form: str, dtype: str) -> None:
    cci = store.interface()
    array = _make(form, dense=DENSE.astype(dtype))
    cci.upload_sparse_array("s", array)
    _assert_same(cci.download_sparse_array("s"), array)


@pytest.mark.stores("local")
@pytest.mark.parametrize("form", list(PARTS))
def test_parts_of_another_byte_order(store: Store, form: str) -> None:
    """As a machine writes them whose own order it is; what makes arrays of them takes none but its own."""
    cci = store.interface()
    array = _make(form)
    cci.upload_sparse_array("s", array)
    for name in PARTS[form]:
        part = getattr(array, name)
        swapped = part.astype(part.dtype.newbyteorder(">"))
        kept = {**store.raw.get(f"s/{name}")[1], "dtype": swapped.dtype.str, "compression": "False"}
        del kept["xxh3-list"], kept["xxh3-description"]
        store.raw.put(f"s/{name}", swapped.tobytes(order="A"), kept)
    found = cci.download_sparse_array("s")
    _assert_same(found, array)
    assert_equal(found @ DENSE.T, array @ DENSE.T)


@pytest.mark.stores("local")
@pytest.mark.parametrize("shape", [(0, 0), (0, 5), (5, 0), (1, 1), (3, 2)])
@pytest.mark.parametrize("form", ["coo", "csc", "csr"])
def test_nothing_in_it(store: Store, form: str, shape: tuple[int, int]) -> None:
    cci = store.interface()
    array = getattr(scipy.sparse, f"{form}_matrix")(shape)
    cci.upload_sparse_array("s", array)
    _assert_same(cci.download_sparse_array("s"), array)


@pytest.mark.stores("local")
def test_what_is_stored_stays_as_it_is(store: Store) -> None:
    """Duplicates, explicit zeros, the order of indices and blocks are the caller's."""
    cci = store.interface()
    twice = scipy.sparse.coo_matrix(([1.0, 2.0, 0.0], ([1, 1, 0], [2, 2, 0])), shape=(3, 4))
    unsorted = scipy.sparse.csr_matrix(([1.0, 2.0], [3, 1], [0, 2, 2, 2]), shape=(3, 4))
    blocks = scipy.sparse.bsr_matrix(np.kron(np.eye(3), np.ones((2, 3))), blocksize=(2, 3))
    for array in (twice, unsorted, blocks):
        cci.upload_sparse_array("s", array)
        found = cci.download_sparse_array("s")
        _assert_same(found, array)
        assert found.nnz == array.nnz
    assert cci.download_sparse_array("s").blocksize == (2, 3)


@pytest.mark.stores("local")
def test_what_comes_back_can_be_worked_with(store: Store) -> None:
    cci = store.interface()
    for form in PARTS:
        cci.upload_sparse_array("s", _make(form))
        found = cci.download_sparse_array("s")
        found.data[...] *= 2
        assert np.array_equal(found.toarray(), DENSE * 2)
        assert np.allclose(found @ np.ones(12), DENSE.sum(axis=1) * 2)


@pytest.mark.stores("local")
@pytest.mark.parametrize("value", [np.eye(3), [[1, 0]], None, np.array([None])], ids=lambda value: type(value).__name__)
def test_what_is_not_sparse_is_refused(store: Store, value: Any) -> None:
    with pytest.raises(UnsupportedArray, match="upload_raw_array"):
        store.interface().upload_sparse_array("s", value)
    assert store.raw.keys() == []


@pytest.mark.stores("local")
def test_one_dimension_is_refused(store: Store) -> None:
    try:
        one = scipy.sparse.coo_array(np.array([1.0, 0.0, 2.0]))
    except ValueError:
        pytest.skip("this scipy has no sparse arrays of one dimension")
    if one.ndim == 2:
        pytest.skip("this scipy has no sparse arrays of one dimension")
    with pytest.raises(UnsupportedArray, match="1 dimension"):
        store.interface().upload_sparse_array("s", one)
    assert store.raw.keys() == []


# ---------------------------------------------------------------------- replaced
def test_an_array_is_replaced_whole(store: Store) -> None:
    cci = store.interface()
    cci.upload_sparse_array("s", _make("csr"))
    for number, form in enumerate(["csr", "coo", "dia", "bsr"]):
        array = _make(form, dense=DENSE[: 5 + number, :7] * (2 + number))
        cci.upload_sparse_array("s", array)
        _assert_same(cci.download_sparse_array("s"), array)
        # at the names that older readers look for, and nothing else is left
        assert set(store.raw.keys()) == {f"s/{name}" for name in [*PARTS[form], "metadata.json"]}
        assert_equal(cci.download_raw_array("s/data"), array.data)
        assert set(json.loads(store.raw.get("s/metadata.json")[0])["attrs"]) == PARTS[form]


def test_other_objects_beside_the_parts_stay(store: Store) -> None:
    cci = store.interface()
    others = ["s/data-notes", "s/notes.txt", "s/database", "s/sub/data", "s2/data", "s/row-1.png"]
    for name in others:
        store.raw.put(name, b"mine")
    cci.upload_sparse_array("s", _make("csr"))
    cci.upload_sparse_array("s", _make("dia"))
    assert [store.raw.get(name)[0] for name in others] == [b"mine"] * len(others)


@pytest.mark.stores("local", "moto")
def test_who_reads_while_it_is_replaced(store: Store) -> None:
    cci = store.interface()
    arrays = [scipy.sparse.csr_matrix(np.diag(np.full(value + 2, float(value + 1)))) for value in range(6)]
    cci.upload_sparse_array("s", arrays[0])
    done = threading.Event()
    seen: list[Any] = []

    def read() -> None:
        mine = store.interface()
        while not done.is_set():
            try:
                seen.append(mine.download_sparse_array("s"))
            except Exception as error:  # noqa: BLE001 - looked at below
                seen.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for array in arrays[1:]:
            cci.upload_sparse_array("s", array)
    finally:
        done.set()
        reader.join()
    assert seen
    for found in seen:
        if isinstance(found, Exception):
            assert isinstance(found, OSError)
        else:
            assert any(found.shape == array.shape and (found != array).nnz == 0 for array in arrays)
    _assert_same(cci.download_sparse_array("s"), arrays[-1])


@pytest.mark.stores("local", "moto")
@pytest.mark.parametrize("there", [True, False])
def test_who_writes_last_has_written_all_of_it(store: Store, there: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    # two who find each other's parts again and again are kept apart by their waiting: some time, as by default
    monkeypatch.setenv("COTTONCANDY_RETRY_LONGEST_WAIT", "2")
    arrays = [_make("csr"), _make("coo", dense=DENSE * 2)]
    interfaces, start = [store.interface(), store.interface()], threading.Barrier(2)

    def write(number: int) -> None:
        start.wait()
        interfaces[number].upload_sparse_array("s", arrays[number])

    with ThreadPoolExecutor(2) as pool:
        for _ in range(8):
            interfaces[0].rm("s", recursive=True)
            if there:
                interfaces[0].upload_sparse_array("s", _make("dia"))
            list(pool.map(write, (0, 1)))
            found = interfaces[0].download_sparse_array("s")
            _assert_same(found, arrays[found.format == "coo"])
            assert not any("-" in name for name in list(store.raw.keys()))  # nothing waits for its place


def _refuse(*endings: str) -> Any:
    def hook(request: Request) -> Response | None:
        name = request.path.rpartition("/")[2]
        refused = request.method == "PUT" and name.startswith(endings)
        return error("AccessDenied", 403) if refused else None

    return hook


@pytest.mark.parametrize("what", ["indptr", "metadata"])
def test_an_upload_that_fails_leaves_the_old_array(recorded: Recorded, what: str) -> None:
    store, proxy = recorded
    cci = store.interface()
    cci.upload_sparse_array("s", _make("csr"))
    before = store.raw.keys()
    proxy.hook = _refuse(what)
    with pytest.raises(AccessDenied):
        cci.upload_sparse_array("s", _make("csr", dense=-DENSE[:3]))
    proxy.hook = None
    assert store.raw.keys() == before
    _assert_same(cci.download_sparse_array("s"), _make("csr"))


@pytest.mark.parametrize("what", ["indptr", "metadata"])
def test_a_first_upload_that_fails_leaves_nothing(recorded: Recorded, what: str) -> None:
    store, proxy = recorded
    proxy.hook = _refuse(what)
    with pytest.raises(AccessDenied):
        store.interface().upload_sparse_array("s", _make("csr"))
    proxy.hook = None
    assert store.raw.keys() == []


# ---------------------------------------------------------------------- broken
@pytest.mark.stores("local", "moto")
@pytest.mark.parametrize("comes", ["data", "indptr", "metadata.json"])
@pytest.mark.parametrize("what", ["indptr", "metadata.json"])
def test_a_first_upload_that_fails_leaves_what_others_stored(
    store: Store, what: str, comes: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another's array comes when this upload has found none, and has sent some of its parts."""
    cci, other = store.interface(), store.interface()
    mine, theirs = (scipy.sparse.random(30, 40, 0.1, format="csr", random_state=seed) for seed in (1, 2))
    backend = cci.backend_interface
    put, writes = backend.put, [lambda: other.upload_sparse_array("s", theirs)]

    def put_late(key: str, *arguments: Any, **named: Any) -> Any:
        if comes in key and writes:
            writes.pop()()
        if what in key:
            raise AccessDenied("no room")
        return put(key, *arguments, **named)

    monkeypatch.setattr(backend, "put", put_late)
    with pytest.raises(AccessDenied, match="no room"):
        cci.upload_sparse_array("s", mine, threads=1)
    while writes:  # it had failed before
        writes.pop()()
    _assert_same(other.download_sparse_array("s"), theirs)


@pytest.mark.stores("local", "moto")
def test_an_object_under_the_name_of_a_part_stays_until_the_array_stands(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    cci = store.interface()
    cci.upload_raw_array("s/data", np.arange(5))
    array, backend = scipy.sparse.random(30, 40, 0.1, format="csr", random_state=1), cci.backend_interface
    put = backend.put

    def refusing(key: str, *arguments: Any, **named: Any) -> Any:
        if key.endswith("metadata.json"):
            raise AccessDenied("no room")
        return put(key, *arguments, **named)

    with monkeypatch.context() as patch:
        patch.setattr(backend, "put", refusing)
        with pytest.raises(AccessDenied, match="no room"):
            cci.upload_sparse_array("s", array)
    assert cci.download_raw_array("s/data").tolist() == [0, 1, 2, 3, 4]
    assert store.raw.keys() == ["s/data"]
    cci.upload_sparse_array("s", array)
    _assert_same(cci.download_sparse_array("s"), array)


def test_a_missing_part_is_an_error(store: Store) -> None:
    cci = store.interface()
    cci.upload_sparse_array("s", _make("csr"))
    store.raw.delete("s/indices")
    with pytest.raises(ObjectNotFound, match="s/indices"):
        cci.download_sparse_array("s")


@pytest.mark.stores("local")
def test_a_part_of_another_array_is_noticed(store: Store) -> None:
    cci = store.interface()
    cci.upload_sparse_array("s", _make("csr"))
    cci.upload_sparse_array("t", _make("csr", dense=DENSE[::-1]))
    store.raw.put("s/indptr", *store.raw.get("t/indptr"))
    with pytest.raises(OSError, match="s/indptr"):
        cci.download_sparse_array("s")


@pytest.mark.stores("local")
@pytest.mark.parametrize(
    "text", [b"", b"{}", b"[]", b"null", b"\xff", b'{"type": "csr"}', b'{"type": "../x", "shape": [1, 1]}']
)
def test_a_description_that_is_none(store: Store, text: bytes) -> None:
    cci = store.interface()
    cci.upload_sparse_array("dir/s", _make("csr"))
    store.raw.put("dir/s/metadata.json", text)
    with pytest.raises(CorruptObject, match="dir/s"):
        cci.download_sparse_array("dir/s")


@pytest.mark.stores("local")
def test_parts_that_do_not_fit_each_other(store: Store) -> None:
    cci = store.interface()
    cci.upload_sparse_array("dir/s", _make("csr"))
    description = json.loads(store.raw.get("dir/s/metadata.json")[0])
    store.raw.put("dir/s/metadata.json", json.dumps({**description, "shape": [2, 2]}).encode())
    with warnings.catch_warnings(), pytest.raises(CorruptObject, match="dir/s"):
        cci.download_sparse_array("dir/s")


# ---------------------------------------------------------------------- moved, and requests
@pytest.mark.parametrize("call", ["cp", "mv"])
def test_a_branch_that_was_moved_still_reads(store: Store, call: str) -> None:
    cci = store.interface()
    cci.upload_sparse_array("old/s", _make("coo"))
    getattr(cci, call)("old", "new")
    _assert_same(cci.download_sparse_array("new/s"), _make("coo"))


def test_a_request_for_each_part(recorded: Recorded) -> None:
    store, proxy = recorded
    cci = store.interface()
    cci.upload_sparse_array("s", _make("csr"))
    proxy.clear()
    cci.download_sparse_array("s")
    assert [request.method for request in proxy.requests] == ["GET"] * 4
