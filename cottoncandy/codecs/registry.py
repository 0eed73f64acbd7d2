"""What a codec is, and where it is found by its name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module

from cottoncandy import bodies
from cottoncandy.bodies import Late
from cottoncandy.errors import ConfigurationError, UnknownCodec, UnsupportedArray

BytesLike = bodies.BytesLike
Encode = Callable[[memoryview, int], Iterator[BytesLike | Late]]
Decode = Callable[[Iterator[BytesLike], memoryview], None]
Pieces = Callable[[Iterator[BytesLike], int], Iterator[BytesLike]]

_CODECS: dict[str, Codec | _Later] = {}
_LAYOUTS: dict[str, Callable[[Codec], Codec]] = {}
#: What metadata says of a body that is not compressed: no codec's name.
_RESERVED = {"", "false", "none", "true"}


@dataclass(frozen=True, slots=True)
class InPlace:
    """How a body is unpacked in the memory in which its data will lie.

    Attributes
    ----------
    room : callable
        ``room(packed, nbytes)`` is how many bytes of memory it takes, for a body of ``packed`` bytes and its data.
        Raises `CorruptObject` where they cannot be of one array.
    unpack : callable
        ``unpack(memory, packed, nbytes)`` unpacks the body, which lies at the end of the memory, to its beginning.
        Raises `CorruptObject`.
    """

    room: Callable[[int, int], int]
    unpack: Callable[[memoryview, int, int], None]


@dataclass(frozen=True, slots=True)
class Codec:
    """How data is packed, under the name that stands in an object's metadata.

    Attributes
    ----------
    name : str
        ASCII, found again without regard to case.
    encode : callable
        ``encode(view, itemsize)`` yields the packed bytes of a contiguous memoryview of format ``B``, whose
        items have ``itemsize`` bytes. In bounded memory, where the format allows it; it may yield a `Late` first.
        With ``gathers``, the view may be a `cottoncandy.scattered.Scattered`, too.
    decode : callable
        ``decode(chunks, out)`` fills the memoryview ``out`` with what the packed ``chunks`` hold. Raises
        `CorruptObject` when they are broken, end too early, or hold more or less than ``out`` takes. A chunk is
        not used after the next one is asked for.
    fortran : bool
        Whether release 0.4.0 honours the order ``F`` under this name.
    largest : int or None
        The most bytes of data that it can pack; None is no limit.
    beyond : str or None
        The codec that takes its place for more than `largest`; None where there is none.
    expansion : int or None
        The most bytes of data that one packed byte can stand for: what claims more is a lie, and is refused
        before memory is taken. None where that is not known.
    pieces : callable or None
        ``pieces(chunks, nbytes)`` yields the ``nbytes`` of data of the packed ``chunks`` one piece after the other, of
        some MiB at most, for callers that look at them without keeping them. It may yield more or less: the
        caller counts. None where a body is unpacked as a whole only.
    in_place : InPlace or None
        For a body that is unpacked as a whole only, so that it takes no memory beside that of its data.
    gathers : bool
        Whether it gathers what it packs slice by slice, where that lies scattered; if not, an array that does not lie
        in its stored order is copied first.
    """

    name: str
    encode: Encode
    decode: Decode
    fortran: bool = False
    largest: int | None = None
    beyond: str | None = None
    expansion: int | None = None
    pieces: Pieces | None = None
    in_place: InPlace | None = None
    gathers: bool = False


@dataclass(frozen=True, slots=True)
class _Later:
    """A codec that is not loaded yet: its name, and the module and attribute where it is."""

    name: str
    where: str

    def load(self) -> Codec:
        module, _, attribute = self.where.rpartition(".")
        codec: Codec = getattr(import_module(module), attribute)
        return codec


def register(codec: Codec) -> None:
    """Add a codec, or replace the one of the same name.

    Raises
    ------
    ConfigurationError
        If metadata cannot hold the name, or means something else by it.
    """
    if codec.name.lower() in _RESERVED or not (codec.name.isascii() and codec.name.isalnum()):
        raise ConfigurationError(f"{codec.name!r} cannot be a codec's name: choose one of letters a-z and digits")
    _CODECS[codec.name.lower()] = codec


def register_later(name: str, where: str) -> None:
    """Add a codec whose module is imported when it is asked for: engines bring much, and few are used."""
    _CODECS[name.lower()] = _Later(name, where)


def register_layout(name: str, derive: Callable[[Codec], Codec]) -> None:
    """Add a layout: ``CODEC-name`` is the codec that ``derive`` makes of any other one."""
    _LAYOUTS[name] = derive


def codec_names() -> list[str]:
    """The names of all codecs, as they are written in metadata."""
    return sorted((codec.name for codec in _CODECS.values()), key=str.lower)


def is_known(name: str) -> bool:
    """Whether there is a codec of that name, in whatever case. None is loaded for it."""
    stem, dash, layout = name.lower().partition("-")  # no codec's own name has a dash
    return stem in _CODECS and (not dash or layout in _LAYOUTS)


def get_codec(name: str) -> Codec:
    """The codec of a name, in whatever case.

    Raises
    ------
    UnknownCodec

    Examples
    --------
    >>> get_codec('zstd').name, get_codec('lz4-blocks').name
    ('Zstd', 'LZ4-blocks')
    """
    if not is_known(name):
        layouts = ", ".join(f"-{known}" for known in sorted(_LAYOUTS))
        raise UnknownCodec(f"no codec {name!r:.100}; there are: {', '.join(codec_names())}, each also with {layouts}")
    stem, _, layout = name.lower().partition("-")
    codec = _CODECS[stem]
    if isinstance(codec, _Later):
        codec = _CODECS[stem] = codec.load()
    return _LAYOUTS[layout](codec) if layout else codec


def codec_for(name: str, nbytes: int) -> Codec:
    """The codec that packs ``nbytes`` of data when the user asks for ``name``.

    Parameters
    ----------
    name : str
        A codec's name, in whatever case.
    nbytes : int

    Raises
    ------
    UnknownCodec
    UnsupportedArray
        If there is too much data for that codec, and no other takes its place.

    Examples
    --------
    >>> codec_for('LZ4', 2**20).name, codec_for('LZ4', 2**32).name
    ('LZ4', 'LZ4Frame')
    """
    codec = get_codec(name)
    while codec.largest is not None and nbytes > codec.largest:
        if codec.beyond is None:
            raise UnsupportedArray(
                f"{codec.name} packs at most {codec.largest} bytes and the array has {nbytes}: use compression='Zstd'"
            )
        codec = get_codec(codec.beyond)
    return codec
