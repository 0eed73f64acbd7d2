"""The codecs: every stream there and back, read by others, broken in every way, in bounded memory."""

from __future__ import annotations

import bz2
import dataclasses
import functools
import gzip
import itertools
import os
import random
import subprocess
import sys
import textwrap
import time
import types
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lz4.frame
import numcodecs
import numpy as np
import pytest
import wire
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

import cottoncandy
from cottoncandy import codecs, configfiles
from cottoncandy.bodies import Late, in_order
from cottoncandy.codecs import BytesLike, Codec, registry, standard, zstd
from cottoncandy.codecs.pieces import SLICE
from cottoncandy.errors import ConfigurationError, CorruptObject, TransientError, UnknownCodec, UnsupportedArray
from cottoncandy.rawarrays import CompressionDefaults

NAMES = ["gzip", "Zlib", "BZ2", "Zstd", "LZ4", "LZ4Frame", "Blosc", "BloscChunks"]
#: Those whose stream has a checksum of the data.
CHECKED = ["gzip", "Zlib", "BZ2", "Zstd", "LZ4Frame"]

_random = random.Random(5)
DATA = {
    "empty": b"",
    "one byte": b"x",
    "text": b"sugar for object storage, " * 100,
    "noise": _random.randbytes(3000),
    "a slice": bytes(SLICE),
    "a slice and a byte": bytes(SLICE) + b"!",
    "floats": np.cumsum(np.random.default_rng(1).integers(-3, 4, 300_000)).astype("<f4").tobytes(),
    "many slices": bytes(9 * SLICE) + _random.randbytes(SLICE // 10) + b"end",
}


@functools.cache
def encode(name: str, data: bytes, itemsize: int = 1) -> bytes:
    return b"".join(in_order(functools.partial(codecs.get_codec(name).encode, memoryview(data), itemsize)))


def decode(name: str, packed: bytes, nbytes: int, size: int | None = None) -> bytes:
    """Decode from chunks of a size, each in the same memory as the one before: as a receiver may do it."""
    out = memoryview(bytearray(nbytes))
    codecs.get_codec(name).decode(_chunks(packed, size or max(1, len(packed))), out)
    return bytes(out)


def _chunks(packed: bytes, size: int) -> Iterator[BytesLike]:
    memory = bytearray(size)
    for start in range(0, len(packed), size):
        piece = packed[start : start + size]
        memory[:] = b"\xa5" * size
        memory[: len(piece)] = piece
        yield memoryview(memory)[: len(piece)]


# ---------------------------------------------------------------------- the registry
def test_all_codecs_are_registered() -> None:
    assert set(NAMES) <= set(codecs.codec_names())


@pytest.mark.parametrize("typed", ["zstd", "ZSTD", "Zstd"])
def test_names_are_found_in_any_case(typed: str) -> None:
    assert codecs.get_codec(typed).name == "Zstd"


def test_an_unknown_codec_is_told_from_what_there_is() -> None:
    with pytest.raises(UnknownCodec, match=r"no codec 'lzma'.*BZ2.*gzip.*LZ4.*Zstd"):
        codecs.get_codec("lzma")


@pytest.mark.parametrize(
    ("name", "nbytes", "chosen"),
    [
        ("lz4", 0x7E000000, "LZ4"),
        ("lz4", 0x7E000001, "LZ4Frame"),
        ("blosc", 2**31 - 2**24, "Blosc"),
        ("blosc", 2**31 - 2**24 + 1, "BloscChunks"),
        ("gzip", 2**50, "gzip"),
        ("zstd", 2**50, "Zstd"),
        ("lz4frame", 1, "LZ4Frame"),
    ],
)
def test_what_a_format_cannot_hold_goes_to_another_under_its_own_name(name: str, nbytes: int, chosen: str) -> None:
    assert codecs.codec_for(name, nbytes).name == chosen


@pytest.fixture
def own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_CODECS", dict(registry._CODECS))


def _reverse(view: memoryview, _itemsize: int) -> Iterator[BytesLike]:
    yield bytes(view)[::-1]


def _unreverse(chunks: Iterator[BytesLike], out: memoryview) -> None:
    codecs.fill(iter([b"".join(chunks)[::-1]]), out)


@pytest.mark.usefixtures("own_registry")
def test_users_can_register_their_own() -> None:
    codecs.register(Codec("Reverse", _reverse, _unreverse, largest=4))
    assert encode("reverse", b"abc") == b"cba"
    assert decode("REVERSE", b"cba", 3) == b"abc"
    with pytest.raises(UnsupportedArray, match=r"at most 4 bytes .* 5: use compression='Zstd'"):
        codecs.codec_for("Reverse", 5)


@pytest.mark.parametrize("name", ["", "False", "none", "True", "ä", "a b", "a\n", "a-b"])
@pytest.mark.usefixtures("own_registry")
def test_names_that_metadata_cannot_hold_are_refused(name: str) -> None:
    with pytest.raises(ConfigurationError):
        codecs.register(Codec(name, _reverse, _unreverse))


# ---------------------------------------------------------------------- there and back
@pytest.mark.parametrize("data", DATA.values(), ids=DATA.keys())
@pytest.mark.parametrize("name", NAMES)
def test_round_trip(name: str, data: bytes) -> None:
    packed = encode(name, data)
    assert decode(name, packed, len(data)) == data
    assert decode(name, packed, len(data), 777) == data


@pytest.mark.parametrize("name", NAMES)
def test_chunks_of_one_byte(name: str) -> None:
    data = DATA["text"] + DATA["noise"]
    assert decode(name, encode(name, data), len(data), 1) == data


@given(
    name=st.sampled_from(NAMES),
    pieces=st.lists(st.tuples(st.binary(max_size=50), st.integers(1, 300)), max_size=10),
    size=st.integers(1, 200),
)
def test_any_data_in_any_chunks(name: str, pieces: list[tuple[bytes, int]], size: int) -> None:
    data = b"".join(piece * count for piece, count in pieces)
    assert decode(name, encode(name, data), len(data), size) == data


@pytest.mark.parametrize("data", DATA.values(), ids=DATA.keys())
@pytest.mark.parametrize("name", NAMES)
def test_the_independent_reader_reads_it(name: str, data: bytes) -> None:
    assert wire.UNPACK[name.lower()](encode(name, data), len(data)) == data


@pytest.mark.parametrize("itemsize", [1, 2, 3, 4, 8, 16, 20, 255, 256, 300])
@pytest.mark.parametrize("name", ["Blosc", "BloscChunks"])
def test_blosc_shuffles_items_of_any_size(name: str, itemsize: int) -> None:
    data = bytes(range(200)) * 7 * itemsize * 12
    packed = encode(name, data, itemsize)
    assert packed[3] == (itemsize if itemsize < 256 else 1)
    assert wire.UNPACK[name.lower()](packed, len(data)) == data
    assert decode(name, packed, len(data)) == data


@pytest.mark.parametrize("data", [data for data in DATA.values() if data], ids=[name for name in DATA if DATA[name]])
@pytest.mark.parametrize("name", ["Zlib", "BZ2", "Zstd", "LZ4", "Blosc"])
def test_numcodecs_reads_it_and_is_read(name: str, data: bytes) -> None:
    # what release 0.4.0 packs with
    theirs = getattr(numcodecs, name)()
    assert bytes(theirs.decode(encode(name, data))) == data
    assert decode(name, bytes(theirs.encode(data)), len(data), 5000) == data


@pytest.mark.parametrize("level", [-5, 1, 9, 22])
def test_zstd_of_any_level_is_read(level: int) -> None:
    data = DATA["floats"][:300_000]
    assert decode("Zstd", zstandard.ZstdCompressor(level=level).compress(data), len(data), 5000) == data


def test_zstd_without_a_content_size_is_read() -> None:
    engine = zstandard.ZstdCompressor().compressobj()
    packed = engine.compress(DATA["floats"]) + engine.flush()
    assert decode("Zstd", packed, len(DATA["floats"])) == DATA["floats"]


@pytest.mark.parametrize("data", DATA.values(), ids=DATA.keys())
def test_zstd_is_one_frame_with_its_size_and_a_checksum(data: bytes) -> None:
    packed = encode("Zstd", data)
    frame = zstandard.get_frame_parameters(packed)
    assert (frame.content_size, frame.has_checksum) == (len(data), True)


def test_zstd_does_not_depend_on_the_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    data = DATA["many slices"] + DATA["floats"]
    assert len(data) > zstd.THREADED
    packed = []
    for threads in (1, 2, 3):
        monkeypatch.setattr(zstd, "THREADS", threads)
        packed.append(encode.__wrapped__("Zstd", data))
    assert packed[0] == packed[1] == packed[2]


# not Blosc below 4 MiB: its own threads write their blocks as they finish
@pytest.mark.parametrize("name", ["gzip", "Zlib", "BZ2", "Zstd", "LZ4", "LZ4Frame"])
def test_the_same_data_makes_the_same_bytes(name: str) -> None:
    assert encode(name, DATA["floats"]) == encode.__wrapped__(name, DATA["floats"])


def test_gzip_has_no_time_in_its_header() -> None:
    assert encode("gzip", b"x")[4:8] == bytes(4)


@pytest.mark.parametrize(
    ("name", "mib"),
    [("gzip", 16), ("Zlib", 16), ("BZ2", 4), ("Zstd", 64), ("LZ4Frame", 16), ("Blosc", 24), ("BloscChunks", 24)],
)
def test_encoding_streams(name: str, mib: int) -> None:
    # noise does not shrink: if the pieces are small, the first came before all data was taken
    data = memoryview(random.Random(1).randbytes(mib * SLICE))
    encoded = codecs.get_codec(name).encode(data, 1)
    pieces = [piece.size if isinstance(piece, Late) else len(piece) for piece in encoded]
    assert sum(pieces) >= len(data)
    assert max(pieces) < 0.4 * len(data)


@pytest.mark.parametrize("size", [7 * SLICE, 8 * SLICE, 5 * SLICE + 1])
def test_the_same_data_makes_the_same_frame(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """However fast it comes: a job that is full may be begun before the end is told, or not."""
    data = memoryview(random.Random(2).randbytes(size))
    frames = set()
    for threads, piece, seconds in itertools.product((1, 2, 3), (size, SLICE, 100_000), (0, 0.01)):
        monkeypatch.setattr(zstd, "THREADS", threads)
        packer, packed = zstd._packer(size), b""
        for start in range(0, size, piece):
            packed += packer.compress(data[start : start + piece])
            time.sleep(seconds)
        frames.add(packed + packer.flush())
    assert len(frames) == 1


# ---------------------------------------------------------------------- several streams in one body
@pytest.mark.parametrize("size", [1, 7, 100, 10**6])
@pytest.mark.parametrize(("name", "compress"), [("gzip", gzip.compress), ("BZ2", bz2.compress)])
def test_streams_behind_each_other(name: str, compress: Any, size: int) -> None:
    parts = [DATA["text"], b"", DATA["noise"], b"z"]
    packed = b"".join(map(compress, parts))
    data = b"".join(parts)
    assert decode(name, packed, len(data), size) == data


# ---------------------------------------------------------------------- broken streams
def _corrupt(name: str, packed: bytes, nbytes: int, size: int | None = None) -> str:
    with pytest.raises(CorruptObject) as caught:
        decode(name, packed, nbytes, size)
    return str(caught.value)


@pytest.mark.parametrize("data", [b"", b"x", DATA["text"], DATA["noise"]], ids=["empty", "x", "text", "noise"])
@pytest.mark.parametrize("name", NAMES)
def test_a_stream_that_ends_too_early(name: str, data: bytes) -> None:
    packed = encode(name, data)
    # BloscChunks of no data is no buffer at all
    for stop in {0, 1, 3, 4, 5, 8, 12, 17, len(packed) // 2, len(packed) - 4, len(packed) - 1} & set(
        range(len(packed))
    ):
        if name in {"Blosc", "BloscChunks"} and not data and not stop:
            continue
        _corrupt(name, packed[:stop], len(data), 7)


@pytest.mark.parametrize("garbage", [b"\0", b"x", b"garbage behind the end of it"])
@pytest.mark.parametrize("size", [None, 5])
@pytest.mark.parametrize("name", NAMES)
def test_a_stream_that_goes_on_behind_its_end(name: str, size: int | None, garbage: bytes) -> None:
    for data in (b"", DATA["text"]):
        _corrupt(name, encode(name, data) + garbage, len(data), size)


@pytest.mark.parametrize("name", NAMES)
def test_more_or_less_data_than_the_array_has(name: str) -> None:
    data = DATA["floats"]
    packed = encode(name, data)
    for nbytes in (0, 1, len(data) - 1, len(data) + 1, 2 * len(data)):
        assert "bytes" in _corrupt(name, packed, nbytes)


def test_an_lz4_block_with_less_than_its_length_tells() -> None:
    # five literals, and a length of ten
    _corrupt("LZ4", b"\x0a\0\0\0" + b"\x50hello", 10)


@pytest.mark.parametrize("name", NAMES)
def test_a_second_stream_behind_the_first(name: str) -> None:
    packed = encode(name, DATA["text"])
    _corrupt(name, packed + packed, len(DATA["text"]))


@pytest.mark.parametrize("name", NAMES)
def test_what_is_no_stream_at_all(name: str) -> None:
    for body in (b"\0" * 100, b"\xff" * 100, b"no stream at all" * 10, DATA["noise"]):
        _corrupt(name, body, 5000)


@pytest.mark.parametrize("name", CHECKED)
def test_flipped_bits_are_found(name: str) -> None:
    data = DATA["text"] + DATA["noise"]
    packed = encode(name, data)
    flips = random.Random(3)
    for _ in range(60):
        broken = bytearray(packed)
        # the first ten bytes of gzip's header hold a time and a system, which say nothing of the data
        broken[flips.randrange(10, len(packed))] ^= 1 << flips.randrange(8)
        try:
            assert decode(name, bytes(broken), len(data)) == data
        except CorruptObject:
            continue


@settings(max_examples=200)
@given(
    name=st.sampled_from(NAMES),
    place=st.floats(0, 1),
    junk=st.binary(min_size=1, max_size=8),
    size=st.integers(1, 5000),
)
def test_junk_inside_a_stream_raises_nothing_else(name: str, place: float, junk: bytes, size: int) -> None:
    packed = bytearray(encode(name, DATA["text"], 4))
    start = int(place * len(packed))
    packed[start : start + len(junk)] = junk
    try:
        decode(name, bytes(packed), len(DATA["text"]), size)
    except CorruptObject as error:
        assert str(error)  # noqa: PT017 - an undetected change is no error: LZ4 and Blosc have no checksum


@pytest.mark.parametrize("name", NAMES)
def test_an_error_of_the_connection_stays_what_it_is(name: str) -> None:
    def breaking() -> Iterator[BytesLike]:
        yield encode(name, DATA["noise"])[:20]
        raise TransientError("the connection broke")

    with pytest.raises(TransientError, match="the connection broke"):
        codecs.get_codec(name).decode(breaking(), memoryview(bytearray(len(DATA["noise"]))))


def test_zstd_with_a_window_that_takes_too_much_memory_is_refused() -> None:
    # a header that asks for a window of 2 GiB, with a raw block of one byte
    _corrupt("Zstd", bytes.fromhex("28b52ffd00a8") + b"\x09\x00\x00x", 1)


# ---------------------------------------------------------------------- without the libraries that may be missing
@pytest.mark.parametrize("name", ["gzip", "Zlib"])
def test_the_standard_library_serves_without_isal(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    by_isal = encode(name, DATA["floats"])
    monkeypatch.setattr(standard, "deflate", zlib)
    by_zlib = encode.__wrapped__(name, DATA["floats"])
    assert by_zlib != by_isal
    for packed in (by_isal, by_zlib):
        assert decode(name, packed, len(DATA["floats"]), 999) == DATA["floats"]
        _corrupt(name, packed[:-1], len(DATA["floats"]))
        _corrupt(name, packed[:1000] + b"junk" + packed[1004:], len(DATA["floats"]))
    assert decode(name, encode.__wrapped__(name, DATA["many slices"]), len(DATA["many slices"])) == DATA["many slices"]


def test_isal_may_be_missing() -> None:
    # in a new process, because the choice is made once, when the module is imported
    program = (
        "import sys; sys.modules['isal'] = None; import zlib; from cottoncandy.codecs import standard, get_codec\n"
        "assert standard.deflate is zlib; print(len(b''.join(get_codec('gzip').encode(memoryview(b'abc'), 1))))"
    )
    assert int(_run(program)) == 23


def test_without_numcodecs_blosc_tells_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    packed = encode("Blosc", DATA["text"])
    monkeypatch.setitem(sys.modules, "numcodecs", None)
    for action in (lambda: encode.__wrapped__("Blosc", b"abc"), lambda: decode("Blosc", packed, len(DATA["text"]))):
        with pytest.raises(UnknownCodec, match="pip install numcodecs"):
            action()


def test_importing_takes_nothing_that_is_not_needed() -> None:
    assert _run("import sys, cottoncandy.codecs; print('numcodecs' in sys.modules)").strip() == "False"


def test_a_library_that_another_thread_is_loading_hides_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("zstandard", "cramjam"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    with pytest.raises(CorruptObject, match="gzip"):
        decode("gzip", b"\x1f\x8b" + bytes(30), 10)


# ---------------------------------------------------------------------- memory
def _run(program: str, *arguments: object) -> str:
    command = [sys.executable, "-W", "error", "-c", program, *map(str, arguments)]
    # glibc gives freed blocks back instead of keeping them for each thread: what is in use counts, at any speed
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": str(2**17)}
    root = Path(__file__).parent.parent
    return subprocess.run(command, check=True, capture_output=True, text=True, cwd=root, env=environment).stdout


# how much more memory than its array a process needs at its peak, in MiB
_PEAKS = """
import sys
import numpy as np
from pathlib import Path
from cottoncandy.bodies import Late
from cottoncandy.codecs import get_codec

def peak(action):
    Path("/proc/self/clear_refs").write_text("5")  # VmHWM starts anew: https://man7.org/linux/man-pages/man5/proc.5.html
    before = hwm()
    action()
    return hwm() - before

def hwm():
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) >> 10

def encode():
    late = None
    with open(file, "wb") as packed:
        for piece in codec.encode(data.data, 8):
            if isinstance(piece, Late): late = piece
            packed.write(bytes(piece.size) if piece is late else piece)
        if late is not None:
            packed.seek(0)
            packed.write(late.value)

def decode():
    with open(file, "rb") as packed: codec.decode(iter(lambda: packed.read(1 << 20), b""), data.data)

codec, file, mib, kind = get_codec(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4]
piece = np.frombuffer(np.random.default_rng(0).bytes(1 << 20), np.uint8)  # of which no codec here sees the repeats
data = np.zeros(mib << 20, np.uint8)
data.reshape(-1, 1 << 20)[...] = 7
if kind != "constant": data.reshape(-1, 1 << 20)[:: 2 if kind == "half" else 1] = piece
list(codec.encode(data[: 5 << 20].data, 8))  # what a first call loads is not counted
first = int(data[:: 1 << 16].sum())
encoding = peak(encode)
data[:] = 0
print(encoding, peak(decode), Path(file).stat().st_size >> 20)
assert int(data[:: 1 << 16].sum()) == first
"""


def _peaks(tmp_path: Path, name: str, kind: str, mib: int = 96) -> tuple[int, int, int]:
    encoding, decoding, packed = map(int, _run(_PEAKS, name, tmp_path / "packed", mib, kind).split())
    return encoding, decoding, packed


linux = pytest.mark.skipif(sys.platform != "linux", reason="the peak of a process's memory is read from Linux's /proc")


@linux
@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("gzip", "noise"),
        ("Zlib", "half"),
        ("BZ2", "constant"),
        ("Zstd", "half"),
        ("LZ4Frame", "noise"),
        ("Blosc", "noise"),
        ("Blosc", "half"),
        ("BloscChunks", "noise"),
    ],
)
def test_memory_is_bounded(name: str, kind: str, tmp_path: Path) -> None:
    encoding, decoding, _ = _peaks(tmp_path, name, kind)
    # of 96; three processors are the most that the codecs use
    assert encoding < 64
    assert decoding < 24


@linux
@pytest.mark.parametrize("kind", ["half", "noise", "constant"])
def test_a_format_of_one_block_is_made_of_slices(kind: str, tmp_path: Path) -> None:
    encoding, decoding, packed = _peaks(tmp_path, "LZ4", kind)
    assert encoding < 48
    # for memory of the data alone; see `InPlace` for what takes none beside it
    assert decoding < packed + 10


@pytest.mark.parametrize("name", ["gzip", "Zlib", "BZ2", "Zstd", "LZ4Frame"])
def test_a_bomb_is_left_when_the_array_is_full(name: str) -> None:
    # what is asked of the stream is little: the rest of it is never unpacked
    packed = encode(name, bytes(64 * SLICE))
    asked = []

    def chunks() -> Iterator[BytesLike]:
        for start in range(0, len(packed), 1000):
            asked.append(start)
            yield packed[start : start + 1000]

    with pytest.raises(CorruptObject):
        codecs.get_codec(name).decode(chunks(), memoryview(bytearray(100)))
    assert len(asked) <= 2 or name == "LZ4Frame"


# ---------------------------------------------------------------------- over 2 GiB
def _over_2_gib() -> list[tuple[str, int]]:
    """All codecs, over 2 and 4 GiB, with COTTONCANDY_TEST_LARGE=1; else what takes seconds."""
    if not os.environ.get("COTTONCANDY_TEST_LARGE"):
        return [(name, 2**31 + 100) for name in ["gzip", "Zstd", "LZ4"]]
    names = ["gzip", "Zlib", "BZ2", "Zstd", "LZ4", "Blosc"]
    return [(name, size) for size in [2**31 + 100, 2**32 + 100] for name in names]


@pytest.mark.large
@pytest.mark.parametrize(("name", "size"), _over_2_gib())
def test_round_trip_over_2_gib(name: str, size: int) -> None:
    data = np.zeros(size, np.uint8)  # pages that are only read take no memory
    marks = [0, 2**31 - 1, 2**31, size - 1]
    data[marks] = [1, 2, 3, 4]
    codec = codecs.codec_for(name, size)
    out = np.full(size, 9, np.uint8)
    codec.decode(iter([bytes(piece) for piece in codec.encode(data.data, 1)]), out.data)
    assert out[marks].tolist() == [1, 2, 3, 4]
    out[marks] = 0
    assert not any(out[start : start + 2**26].any() for start in range(0, size, 2**26))


def test_a_frame_of_lz4_has_blocks_that_take_little_memory() -> None:
    frame = b"".join(codecs.get_codec("LZ4Frame").encode(memoryview(bytes(5 * SLICE)), 1))
    found = lz4.frame.get_frame_info(frame)
    assert (found["block_size"], found["content_size"], found["content_checksum"]) == (SLICE, 5 * SLICE, True)
    assert lz4.frame.decompress(frame) == bytes(5 * SLICE)


# ---------------------------------------------------------------------- what compression=True takes
@pytest.mark.parametrize(
    ("small", "most"),
    [("Blosc", 2**31 - 2**24), ("LZ4", 0x7E000000), ("gzip", 2**31 - 1), ("Zstd-blocks", 2**31 - 1), (None, 2**31 - 1)],
)
def test_the_default_ends_where_another_format_would_begin(small: str | None, most: int) -> None:
    defaults = CompressionDefaults(small, "BZ2")
    taken = [defaults.choose(True, nbytes, str) for nbytes in (0, most, most + 1, 2**31)]
    assert taken == [small, small, "BZ2", "BZ2"]


def test_the_default_is_looked_for_only_where_it_is_asked_for() -> None:
    defaults = CompressionDefaults("lzma", "None")
    assert defaults.choose(False, 8, str) is None
    assert defaults.choose(True, 2**31, str) is None
    with pytest.raises(UnknownCodec, match="sub01/bold: no codec 'lzma'"):
        defaults.choose(True, 8, lambda: "sub01/bold")


# ------------------------------------------------------------------ codecs that the configuration names
def test_a_configured_codec_that_is_none_is_told_of_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """By a warning, as it may be registered yet; and by the error of an upload, which names the option."""
    configfiles._warned.clear()
    monkeypatch.setenv("COTTONCANDY_COMPRESSION_SMALL_ARRAY", "blosc2")
    cci = cottoncandy.get_interface(str(tmp_path), backend="local", verbose=False)
    option = "[compression] small_array = 'blosc2' (from COTTONCANDY_COMPRESSION_SMALL_ARRAY)"
    assert f"{option}: no such codec is known" in caplog.messages
    with pytest.raises(UnknownCodec) as caught:
        cci.upload_raw_array("x", np.arange(10))
    assert str(caught.value).startswith(f"object 'x' in local container '{tmp_path}': {option}: no codec 'blosc2'; ")
    with pytest.raises(UnknownCodec) as caught:
        cci.upload_raw_array("x", np.arange(10), compression="blosc3")
    assert "[compression]" not in str(caught.value)
    assert not any(tmp_path.iterdir())


def test_a_configured_codec_may_be_registered_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COTTONCANDY_COMPRESSION_SMALL_ARRAY", "Mine")
    cci = cottoncandy.get_interface(str(tmp_path), backend="local", verbose=False)
    monkeypatch.setattr("cottoncandy.codecs.registry._CODECS", {**registry._CODECS})
    codecs.register(dataclasses.replace(codecs.get_codec("Zstd"), name="Mine"))
    cci.upload_raw_array("x", np.arange(10_000))
    assert '"compression": "Mine"' in (tmp_path / "x.meta.json").read_text()
    assert (cci.download_raw_array("x") == np.arange(10_000)).all()


def test_to_look_for_configured_codecs_loads_none(tmp_path: Path) -> None:
    code = """
    import sys, cottoncandy
    cottoncandy.get_interface(".", backend="local", verbose=False)
    print(sorted(name for name in sys.modules if name.startswith(("cottoncandy.codecs.", "numcodecs", "lz4"))))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    assert done.stdout == "['cottoncandy.codecs.registry']\n"
