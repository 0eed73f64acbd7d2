"""What reads a stranger's bytes, held to its word: it gives a sound result, or raises the errors that it documents.

``python tests/fuzz.py`` runs each target for a minute under atheris (``pip install atheris``), which finds its way by
the branches that an input takes; ``python tests/fuzz.py --seconds 600 codecs page`` these for ten. A crash, a hang or
another error ends it with the input. `test_fuzz` runs the same targets for a moment with hypothesis.
"""

from __future__ import annotations

import argparse
import importlib.util
import io
import json
import socket
import struct
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from botocore.exceptions import BotoCoreError

from cottoncandy import arrayformat, codecs, diskpaths, keys, npyfiles
from cottoncandy.arrayformat import ArrayDescription
from cottoncandy.backends.gdrive import properties
from cottoncandy.backends.s3.lean import answers, bodies, documents, failures, listing
from cottoncandy.backends.s3.lean.connections import Address, BadAnswer, Connection
from cottoncandy.chunkedarrays.table import ChunkTable
from cottoncandy.codecs.blocks import BlockIndex
from cottoncandy.errors import CorruptObject, CottonCandyError, InvalidObjectName, UnsupportedArray
from cottoncandy.partedarrays import sparse
from cottoncandy.redaction import redact

Target = Callable[[bytes], None]
_SEPARATOR = b"\0"
_CODECS = sorted([*codecs.codec_names(), *(f"{name}-blocks" for name in ("Zstd", "LZ4", "Blosc"))])
_ROOT = Path(tempfile.gettempdir()) / "cottoncandy-fuzz" / "not-there"
_SECONDS = 60


def _json(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


# ------------------------------------------------------------------ targets
def metadata(data: bytes) -> None:
    """Of an array: size, dtype, shape, codec, order, descr, parted by NULs."""
    texts = [piece.decode("latin-1") for piece in data.split(_SEPARATOR)]
    size = len(texts[0])
    known = dict(zip(("dtype", "shape", "compression", "order", "descr"), texts[1:], strict=False))
    try:
        description = ArrayDescription.from_metadata(known, size, "it")
    except CottonCandyError:
        return
    assert description.nbytes <= max(size, 1) * 2**21
    array, _ = arrayformat.allocate(description)
    assert array.nbytes == description.nbytes
    assert array.shape == description.shape


def table(data: bytes) -> None:
    """Of a chunked array."""
    try:
        found = ChunkTable.from_json(data, "it")
    except CorruptObject:
        return
    assert all(keys_of >= 0 for keys_of in found.shape)
    assert len(found.keys) == int(np.prod(found.grid, dtype=object))


def parts(data: bytes) -> None:
    """The table of a sparse array."""
    try:
        names = sparse.FORM.part_names(_json(data))
    except CorruptObject:
        return
    assert not any("/" in name or ".." in name for name in names.values())


def index(data: bytes) -> None:
    """Of an array in blocks."""
    nbytes, itemsize, size = struct.unpack_from("<IHI", data.ljust(10, b"\0"))
    length = BlockIndex.length(nbytes, itemsize + 1)
    try:
        found = BlockIndex.parse(data[10 : 10 + length].ljust(length, b"\0"), nbytes, itemsize + 1, size)
    except CorruptObject:
        return
    assert found.starts[0] == 0
    assert (np.diff(found.starts) > 0).all()
    assert found.starts[-1] <= size


def unpack(data: bytes) -> None:
    """Any codec: its number, the size of the array, and a body."""
    codec = codecs.get_codec(_CODECS[data[0] % len(_CODECS)] if data else "gzip")
    out = bytearray(int.from_bytes(data[1:3], "little"))
    body, cut = data[3:], len(data) // 2
    try:
        codec.decode(iter([body[:cut], body[cut:]]), memoryview(out))
    except CorruptObject:
        return


def head(data: bytes) -> None:
    """Of an answer of HTTP."""
    try:
        found = answers.parse_head(data)
    except BadAnswer:
        return
    assert 0 <= found.status <= 999


class _Asked:
    url = "http://here/"


def answer(data: bytes) -> None:
    """A whole answer of HTTP, from a socket."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2**20)
        theirs.sendall(data[: 2**16])
        theirs.shutdown(socket.SHUT_WR)
        connection = Connection(ours, Address("here", 80, False))
        try:
            found = answers.read_head(connection)
            with bodies.open_body(connection, "GET", found, _Asked(), lambda _: None) as body:
                content = body.read()
        except (BadAnswer, OSError, BotoCoreError):
            return
        assert len(content) <= len(data)


def page(data: bytes) -> None:
    """Of a listing."""
    try:
        found = listing.parse_page(data)
    except documents.NotXML:
        return
    assert all(isinstance(key, str) for key, *_ in found.objects)


def refusal(data: bytes) -> None:
    """The body of an error."""
    parsed = failures.parse_error(500, {}, data)
    assert isinstance(parsed["Error"]["Code"], str)


def name(data: bytes) -> None:
    """Of an object."""
    text = data.decode("utf-8", "surrogatepass") if _is_text(data) else data.decode("latin-1")
    try:
        found = keys.clean(text)
    except InvalidObjectName:
        return
    assert keys.clean(found) == found or found.startswith("/")
    assert not {".", ".."} & set(found.split("/"))
    found.encode()


def _is_text(data: bytes) -> bool:
    try:
        data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return False
    return True


def paths(data: bytes) -> None:
    """Names of a listing, parted by line feeds, as files."""
    names = [line.decode("utf-8", "replace") for line in data.split(b"\n")]
    try:
        found = diskpaths.disk_paths(_ROOT, names)
    except InvalidObjectName:
        return
    for path in found.values():
        inside = PurePosixPath(path).relative_to(_ROOT)
        assert inside.parts
        assert ".." not in inside.parts


def npy(data: bytes) -> None:
    """A file's header."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the parser's, of odd literals
        try:
            assert npyfiles.expected_size(io.BytesIO(data)) >= 0
        except (CorruptObject, UnsupportedArray):
            return


def drive(data: bytes) -> None:
    """Properties of a file of Google Drive."""
    try:
        properties.decode({"#0": data.decode("latin-1")}, "it")
    except CorruptObject:
        return


def secrets(data: bytes) -> None:
    """A line of a log: it takes no long time."""
    redact(data.decode("latin-1"))


# ------------------------------------------------------------------ what is honest
def _file(array: np.ndarray[Any, Any]) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def _bodies() -> list[bytes]:
    data = memoryview(np.arange(500, dtype="<i4").tobytes())
    from cottoncandy.bodies import in_order

    return [
        bytes([number])
        + len(data).to_bytes(2, "little")
        + b"".join(in_order(lambda c=codec: codecs.get_codec(c).encode(data, 4)))
        for number, codec in enumerate(_CODECS)
    ]


_TABLE = {"shape": [4, 3], "dtype": "<f8", "chunks": [[2, 2], [3]], "dask": [[[0, 0], "a/pt0"], [[1, 0], "a/pt1"]]}
_PAGE = (
    b"<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>a%20b</Key><LastModified>2026-01-02T03:04:05Z"
    b"</LastModified><ETag>&quot;e&quot;</ETag><Size>1</Size></Contents><CommonPrefixes><Prefix>c/</Prefix></CommonPrefixes>"
    b"<EncodingType>url</EncodingType></ListBucketResult>"
)
_HEAD = b'HTTP/1.1 200 OK\r\nContent-Length: 3\r\nETag: "e"\r\nx-amz-meta-a: b'
_CHUNKED = (
    b"HTTP/1.1 100 C\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n0\r\nb: c\r\n\r\n"
)
_FIELDS = json.dumps({"size": 12, "fields": [["a", 0, "<f8"], ["b", 8, ["<i2", [2]]]]}).encode()

#: Each target with inputs from which it begins.
TARGETS: dict[str, tuple[Target, list[bytes]]] = {
    "answer": (answer, [_HEAD + b"\r\n\r\nabc", _CHUNKED]),
    "drive": (drive, [b'{"a": "b"}', b"[" * 3000]),
    "head": (head, [_HEAD]),
    "index": (index, [struct.pack("<IHI", 100, 7, 500) + bytes(20)]),
    "metadata": (
        metadata,
        [
            _SEPARATOR.join((b"x" * 48, b"<f8", b"2,3", b"False", b"C")),
            _SEPARATOR.join((b"x" * 24, b"|V12", b"2", b"Zstd", b"F", _FIELDS)),
            _SEPARATOR.join((b"x" * 8, b"<M8[25us]", b"", b"gzip")),
        ],
    ),
    "name": (name, [b"/a//b c", "é/\u2028".encode(), b"a/../b"]),
    "npy": (npy, [_file(np.ones(3)), _file(np.ones((2, 3), [("a", "<f4")]))]),
    "page": (page, [_PAGE]),
    "parts": (
        parts,
        [json.dumps({"type": "csr", "shape": [3, 4], "parts": {"data": "data-0123456789abcdef"}}).encode()],
    ),
    "paths": (paths, [b"a/b\nc\nA/B\nd/", b"a\na/b"]),
    "refusal": (refusal, [b"<Error><Code>NoSuchKey</Code><Message>none</Message></Error>"]),
    "secrets": (secrets, [b"{'Authorization': b'AWS4', x-amz-security-token:abc\nSignature=1&a"]),
    "table": (table, [json.dumps(_TABLE).encode()]),
    "unpack": (unpack, _bodies()),
}


# ------------------------------------------------------------------ the command
# Instrumented is what is imported meanwhile: this file must not have been imported before.
_INSIDE = """
import sys, atheris
sys.path.insert(0, sys.argv[1])
with atheris.instrument_imports(include=["cottoncandy"]):
    import fuzz
fuzz.run(*sys.argv[2:])
"""


def run(target: str, seconds: str, folder: str) -> None:
    """Fuzz one target, in a process that does nothing else."""
    import atheris

    function, seeds = TARGETS[target]
    for number, seed in enumerate(seeds):
        Path(folder, f"seed-{number}").write_bytes(seed)
    options = [
        f"-max_total_time={seconds}",
        "-rss_limit_mb=2048",
        "-timeout=10",
        "-max_len=8192",
        "-print_final_stats=1",
    ]
    atheris.Setup([target, *options, f"-artifact_prefix={folder}/", folder], function)
    atheris.Fuzz()


def main() -> int:
    """Run targets, each in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*", default=list(TARGETS), help=f"of: {', '.join(TARGETS)}")
    parser.add_argument("--seconds", type=int, default=_SECONDS, help="for each target")
    wanted = parser.parse_args()
    if importlib.util.find_spec("atheris") is None:
        parser.error("atheris is not installed: python -m pip install atheris")
    failed = []
    for target in wanted.targets:
        folder = tempfile.mkdtemp(prefix=f"cottoncandy-fuzz-{target}-")
        sys.stdout.write(f"{target} for {wanted.seconds} s, in {folder}\n")
        place = str(Path(__file__).resolve().parent)
        command = [sys.executable, "-c", _INSIDE, place, target, str(wanted.seconds), folder]
        if subprocess.run(command, check=False).returncode:
            failed.append(f"{target}: see {folder}")
    sys.stdout.write("\n".join(["", *failed, f"{len(failed)} of {len(wanted.targets)} targets failed", ""]))
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
