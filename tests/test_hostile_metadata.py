"""Metadata that lies: each lie is refused with an error that names the object, before memory is taken for it."""

from __future__ import annotations

import bz2
import io
import json
import os
import pickle
import struct
import subprocess
import sys
import tracemalloc
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cramjam
import lz4.frame
import numpy as np
import pytest
import zstandard

import cottoncandy as cc
from cottoncandy.errors import CorruptObject, CottonCandyError, PickleForbidden

GIB = 2**30
RAW = {"dtype": "<f8", "shape": "4", "compression": "False", "order": "C"}
_EXECUTED = "COTTONCANDY_TEST_UNPICKLED"


def _blosc(size: int, block: int, packed: int, *, flags: int = 1, body: bytes = b"") -> bytes:
    return bytes((2, 1, flags, 8)) + struct.pack("<III", size, block, packed) + body


def _npy(shape: str, descr: str = "'<f8'", version: int = 1) -> bytes:
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    length = struct.pack("<H" if version == 1 else "<I", len(header))
    return b"\x93NUMPY" + bytes((version, 0)) + length + header + bytes(64)


def _packed(codec: str, body: bytes, nbytes: int = GIB) -> tuple[Mapping[str, str], bytes]:
    return {**RAW, "dtype": "|u1", "shape": str(nbytes), "compression": codec}, body


def _blocks(*blocks: tuple[int, int, bytes], nbytes: int, lengths: list[int]) -> bytes:
    body = b"".join(struct.pack("<III", size, packed, zlib.crc32(data)) + data for size, packed, data in blocks)
    table = struct.pack(f"<{len(lengths)}I", *lengths) + struct.pack("<Q", nbytes)
    return body + table + struct.pack("<I4s", zlib.crc32(table), b"CCBI")


class _Bomb:
    def __reduce__(self) -> Any:
        return os.putenv, (_EXECUTED, "1")


#: Objects: their metadata and bytes. All of them are refused as raw arrays.
ARRAYS: dict[str, tuple[Mapping[str, str], bytes]] = {
    "huge shape": ({**RAW, "shape": "100000000000"}, bytes(32)),
    "overflowing shape": ({**RAW, "shape": ",".join(["4294967296"] * 4)}, bytes(32)),
    "negative shape": ({**RAW, "shape": "-4"}, bytes(32)),
    "negative pair": ({**RAW, "shape": "-2,-2"}, bytes(32)),
    "many axes": ({**RAW, "shape": ",".join(["1"] * 20_000)}, bytes(8)),
    "digits": ({**RAW, "shape": "9" * 10_000}, bytes(32)),
    "superscript": ({**RAW, "shape": "²"}, bytes(32)),
    "empty and huge": ({**RAW, "shape": "0,9000000000000000000,9000000000000000000"}, b""),
    "too short": (RAW, bytes(31)),
    "too long": (RAW, bytes(33)),
    "unknown dtype": ({**RAW, "dtype": "<q8"}, bytes(32)),
    "object dtype": ({**RAW, "dtype": "|O"}, bytes(32)),
    "code for dtype": ({**RAW, "dtype": "__import__('os').abort()"}, bytes(32)),
    "dtype bomb": ({**RAW, "dtype": "|V99999999999"}, bytes(32)),
    "unit of nothing": ({**RAW, "dtype": "<M8[0ns]"}, bytes(32)),
    "unknown codec": ({**RAW, "compression": "rot13" * 1000}, bytes(32)),
    "order": ({**RAW, "order": "K"}, bytes(32)),
    "descr bomb": ({**RAW, "dtype": "|V32", "descr": "x" * (2**20 + 1)}, bytes(32)),
    "descr packed bomb": (
        {**RAW, "dtype": "|V32", "descr": __import__("base64").b64encode(zlib.compress(bytes(2**26), 9)).decode()},
        bytes(32),
    ),
    "descr deep": ({**RAW, "dtype": "|V32", "descr": "[" * 5000}, bytes(32)),
    "descr nested": ({**RAW, "dtype": "|V32", "descr": "[" * 500 + '"<f8"' + ",[1]]" * 500}, bytes(32)),
    "descr overflow": ({**RAW, "dtype": "|V32", "descr": '[["<f8",[2147483647,2147483647]],[2147483647]]'}, bytes(32)),
    "descr of others": ({**RAW, "dtype": "|V32", "descr": '{"size":32,"fields":[["a",30,"<f8"]]}'}, bytes(32)),
    "gzip lies": _packed("gzip", zlib.compress(b"")),
    "gzip bomb": _packed("gzip", __import__("gzip").compress(bytes(2**22)), 2**20),
    "zlib bomb": _packed("Zlib", zlib.compress(bytes(2**22)), 2**20),
    "bz2 bomb": _packed("BZ2", bz2.compress(bytes(2**24)), 2**20),
    "zstd bomb": _packed("Zstd", zstandard.ZstdCompressor(write_content_size=False).compress(bytes(2**26)), 2**10),
    "zstd size lies": _packed("Zstd", zstandard.compress(bytes(2**26)), 2**20),
    "zstd window": _packed("Zstd", b"\x28\xb5\x2f\xfd\x00\xf8" + bytes(30), 2**20),
    "lz4 size lies": _packed("LZ4", struct.pack("<I", 2**31 - 1) + bytes(100), 2**12),
    "lz4 body lies": _packed("LZ4", struct.pack("<I", 2**12) + b"\xff" * 100, 2**12),
    "lz4 bomb": _packed("LZ4", bytes(cramjam.lz4.compress_block(bytes(2**22), store_size=True)), 2**20),
    "lz4 frame bomb": _packed("LZ4Frame", lz4.frame.compress(bytes(2**26)), 2**20),
    "blosc size": _packed("Blosc", _blosc(2**31 - 1, 2**20, 48, body=bytes(32)), 2**20),
    "blosc block": _packed("Blosc", _blosc(2**20, 0, 48, body=bytes(32)), 2**20),
    "blosc many blocks": _packed("Blosc", _blosc(2**20, 1, 2**23, body=bytes(64)), 2**20),
    "blosc table": _packed("Blosc", _blosc(2**20, 2**19, 48, body=struct.pack("<II", 2**31, 24) + bytes(24)), 2**20),
    "blosc copied": _packed("Blosc", _blosc(2**20, 2**20, 48, flags=2, body=bytes(32)), 2**20),
    "blosc packed": _packed("Blosc", _blosc(2**12, 2**12, 2**31 - 1, body=struct.pack("<I", 20) + b"\xff" * 64), 2**12),
    "block sizes": _packed("Zstd-blocks", _blocks((2**31, 4, b"abcd"), nbytes=2**20, lengths=[4]), 2**20),
    "block lengths": _packed("Zstd-blocks", _blocks((2**20, 2**31, b"abcd"), nbytes=2**20, lengths=[2**31]), 2**20),
    "block index": _packed("Zstd-blocks", _blocks((2**20, 4, b"abcd"), nbytes=2**20, lengths=[2**32 - 1]), 2**20),
}
NPY: dict[str, bytes] = {
    "huge": _npy("(100000000000,)"),
    "overflow": _npy("(4294967296, 4294967296, 4294967296)"),
    "negative": _npy("(-4,)"),
    "two negative": _npy("(-4, -4)"),
    "not whole": _npy("(4.5,)"),
    "deep": _npy("(" * 4000 + ")" * 4000),
    "code": _npy("(__import__('os').abort(),)"),
    "object": b"".join((_npy("(1,)", "'|O'")[:-64], pickle.dumps(_Bomb()))),
    "a pickle": pickle.dumps(_Bomb()),
    "a later version": _npy("(100000000000,)", version=3),
    "no version": _npy("(4,)", version=9),
    "a long header": b"\x93NUMPY\x03\x00" + struct.pack("<I", 2**31) + b" " * 100,
    "a zip": b"PK\x03\x04" + bytes(100),
    "nothing": b"",
}
CHUNKED: dict[str, Any] = {
    "negative": {"shape": [-4], "chunks": [[-4]], "dask": [[[0], "x/pt0000"]]},
    "overflow": {"shape": [2**62, 2**62], "chunks": [[2**62], [2**62]], "dask": [[[0, 0], "x/pt0000"]]},
    "huge": {"shape": [2**64], "chunks": [[2**64]], "dask": [[[0], "x/pt0000"]]},
    "millions": {"shape": [10**5] * 3, "chunks": [[1] * 10**5] * 3, "dask": [[[0, 0, 0], "x/pt0000"]]},
    "unnamed": {"shape": [4], "chunks": [[2, 2]], "dask": [[[0], "x/pt0000"]]},
    "another shape": {"shape": [5], "chunks": [[2, 2]], "dask": [[[0], "a"], [[1], "b"]]},
    "no list": {"shape": [4], "chunks": 7, "dask": {}},
    "objects": {"shape": [4], "chunks": [[4]], "dask": [[[0], "x/pt0000"]], "dtype": "|O"},
    "above": {"shape": [4], "chunks": [[4]], "dask": [[[0], "x/../../chunked above"]]},
}
_CSR = {"type": "csr", "shape": [3, 4], "container": "array"}
_ROWS = np.array([0, 1, 2, 3], np.int32)
SPARSE: dict[str, tuple[Any, dict[str, Any]]] = {
    "columns behind the end": (_CSR, {"data": np.ones(3), "indices": np.array([0, 1, 10**6], "i4"), "indptr": _ROWS}),
    "negative columns": (_CSR, {"data": np.ones(3), "indices": np.array([0, 1, -9], "i4"), "indptr": _ROWS}),
    "rows that jump": (
        _CSR,
        {"data": np.ones(3), "indices": np.zeros(3, "i4"), "indptr": np.array([0, 10**8, -5, 3], "i4")},
    ),
    "rows too few": (_CSR, {"data": np.ones(3), "indices": np.zeros(3, "i4"), "indptr": _ROWS[:3]}),
    "parts of two lengths": (_CSR, {"data": np.ones(2), "indices": np.zeros(3, "i4"), "indptr": _ROWS}),
    "places that are no numbers": (_CSR, {"data": np.ones(3), "indices": np.array(["a", "b", "c"]), "indptr": _ROWS}),
    "bsr": (
        {**_CSR, "type": "bsr", "shape": [6, 8]},
        {"data": np.ones((3, 2, 2)), "indices": np.array([0, 1, 10**6], "i4"), "indptr": _ROWS},
    ),
    "csc": (
        {**_CSR, "type": "csc", "shape": [4, 3]},
        {"data": np.ones(3), "indices": np.array([0, 1, 10**6], "i4"), "indptr": _ROWS},
    ),
    "coo": (
        {**_CSR, "type": "coo"},
        {"data": np.ones(2), "row": np.array([0, 10**6], "i4"), "col": np.array([0, 1], "i4")},
    ),
    "dia": ({**_CSR, "type": "dia"}, {"data": np.ones((2, 4)), "offsets": np.array([0, 0], "i4")}),
    "negative shape": ({**_CSR, "shape": [-3, 4]}, {}),
    "huge shape": ({**_CSR, "shape": [10**30, 4]}, {}),
    "shape of words": ({**_CSR, "shape": ["3", None]}, {}),
    "another format": ({**_CSR, "type": "__class__"}, {}),
    "a part elsewhere": ({**_CSR, "parts": {"data": "../../precious"}}, {}),
    "another object": ({**_CSR, "parts": {"data": "indices-0123456789abcdef"}}, {}),
}


def _fill(root: Path) -> None:
    """Write all of it, as a foreign server would give it."""
    root.mkdir()
    for name, (metadata, body) in ARRAYS.items():
        (root / name).write_bytes(body)
        (root / f"{name}.meta.json").write_text(json.dumps(metadata))
    for name, body in NPY.items():
        (root / f"npy {name}").write_bytes(body)
    for name, table in CHUNKED.items():
        (root / f"chunked {name}").mkdir()
        (root / f"chunked {name}" / "metadata.json").write_text(json.dumps({"dtype": "<f8", **table}))
    cci = cc.get_interface(str(root), backend="local", verbose=False)
    for name, (table, parts) in SPARSE.items():
        (root / f"sparse {name}").mkdir()
        for part, array in parts.items():
            cci.upload_raw_array(f"sparse {name}/{part}", array)
        (root / f"sparse {name}" / "metadata.json").write_text(json.dumps(table))
    for name in ("chunked deep", "sparse deep"):
        (root / name).mkdir()
        (root / name / "metadata.json").write_text("[" * 100_000)
    with (root / "sparse deep" / "metadata.json").open("a") as file:
        file.write(" " * 2**21)
    for name, length in (("chunked long", 2**28 + 1), ("sparse long", 2**20 + 1)):
        (root / name).mkdir()
        with (root / name / "metadata.json").open("wb") as file:
            file.truncate(length)
    (root / "sidecar").write_bytes(b"")
    with (root / "sidecar.meta.json").open("wb") as file:
        file.truncate(2**40)


def _calls(cci: Any) -> dict[str, Any]:
    """What reads each of these objects."""
    calls: dict[str, Any] = {name: lambda name=name: cci.download_raw_array(name) for name in [*ARRAYS, "sidecar"]}
    for name in ARRAYS:
        calls[f"open {name}"] = lambda name=name: cci.open_array(name)[...]
    for name in NPY:
        calls[f"npy {name}"] = lambda name=name: cci.download_npy_array(f"npy {name}")
    for name in (*CHUNKED, "deep", "long"):
        calls[f"chunked {name}"] = lambda name=name: cci.download_dask_array(f"chunked {name}").compute(
            scheduler="sync"
        )
    for name in (*SPARSE, "deep", "long"):
        calls[f"sparse {name}"] = lambda name=name: cci.download_sparse_array(f"sparse {name}")
    return calls


def _read_all(root: str) -> None:
    """In a process of its own: read each with little memory; say what was not refused as it should be."""
    import resource

    import dask.array  # noqa: F401 - loaded before memory is looked at
    import scipy.sparse  # noqa: F401

    cci = cc.get_interface(root, backend="local", verbose=False)
    cci.upload_raw_array("warm", np.ones(3), compression="Blosc")
    cci.download_raw_array("warm")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    wrong = []
    for name, call in _calls(cci).items():
        try:
            call()
        except CottonCandyError as error:
            named = name.removeprefix("open ").split(" lies")[0] in str(error) or name.removeprefix("open ") in str(
                error
            )
            if not named or len(str(error)) > 4000:
                wrong.append(f"{name}: {str(error)[:300]}")
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is told
            wrong.append(f"{name}: {type(error).__name__}: {str(error)[:300]}")
        else:
            wrong.append(f"{name}: read")
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10
    sys.stdout.write(json.dumps({"wrong": wrong, "grown": grown, "unpickled": os.environ.get(_EXECUTED)}))


def test_each_lie_is_refused_in_little_memory(tmp_path: Path) -> None:
    _fill(tmp_path / "store")
    result = subprocess.run(
        [sys.executable, __file__, str(tmp_path / "store")], capture_output=True, text=True, timeout=200, check=False
    )
    assert result.returncode == 0, result.stderr[-2000:]
    told = json.loads(result.stdout.splitlines()[-1])
    assert told["wrong"] == []
    assert told["grown"] < 150, f"{told['grown']} MB"
    assert told["unpickled"] is None


def test_pickles_can_be_forbidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cci = cc.get_interface(str(tmp_path), backend="local", verbose=False)
    cci.upload_pickle("a", {"b": 1})
    assert cci.download_pickle("a") == {"b": 1}
    monkeypatch.setenv("COTTONCANDY_BASIC_ALLOW_PICKLE", "False")
    strict = cc.get_interface(str(tmp_path), backend="local", verbose=False)
    with pytest.raises(PickleForbidden, match=r"'a'.*allow_pickle"):
        strict.download_pickle("a")
    strict.upload_pickle("b", 1)  # only reading runs anything


@pytest.mark.parametrize("version", [2, 3])
def test_a_header_of_gigabytes_is_not_asked_for(tmp_path: Path, version: int) -> None:
    cci = cc.get_interface(str(tmp_path), backend="local", verbose=False)
    cci.upload_object("a", b"\x93NUMPY" + bytes((version, 0)) + struct.pack("<I", 2**31 - 1) + b" " * 100)
    with pytest.raises(CorruptObject, match="'a'"):
        cci.download_npy_array("a")
    tracemalloc.start()
    try:
        with pytest.raises(CorruptObject, match="'a'"):
            cci.download_npy_array("a")
        assert tracemalloc.get_traced_memory()[1] < 2**27
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("dtype", ["<f8", [("é", "<f8")], "<U3"])
def test_honest_npy_files_are_read(tmp_path: Path, dtype: Any) -> None:
    cci = cc.get_interface(str(tmp_path), backend="local", verbose=False)
    for array in (np.zeros(5, dtype), np.zeros((), dtype), np.zeros((0, 3), dtype), np.zeros((3, 4), dtype, order="F")):
        file = io.BytesIO()
        np.save(file, array)
        cci.upload_object("a", file.getvalue() + b"and more")
        np.testing.assert_array_equal(cci.download_npy_array("a"), array)


def test_a_size_that_is_a_lie_takes_no_memory() -> None:
    from hostile_s3 import interface
    from recorder import Response

    cut = Response(206, b"x" * 10, {"ETag": '"e"', "Content-Range": f"bytes 0-9/{2**42}"})
    answer = lambda request: cut if request.method == "GET" else Response(200)  # noqa: E731
    with interface(answer) as (cci, _), pytest.raises(CottonCandyError):
        cci.download_object("a")


def test_deep_json_is_told(tmp_path: Path) -> None:
    cci = cc.get_interface(str(tmp_path), backend="local", verbose=False)
    cci.upload_object("deep", "[" * 100_000)
    with pytest.raises(CorruptObject, match="deep"):
        cci.download_json("deep")


if __name__ == "__main__":
    _read_all(sys.argv[1])
