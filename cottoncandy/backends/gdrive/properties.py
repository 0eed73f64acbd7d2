"""User metadata as the properties of a Drive file, and back.

A property takes at most 124 bytes, key and value together, and a file has at most 30 public ones
(https://developers.google.com/workspace/drive/api/guides/properties). They are public because private ones cannot be
seen through another OAuth client, as another lab member may have.

An entry that fits is a property as it is. All others are one JSON object, cut into the properties ``#0``, ``#1``...
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping

from cottoncandy.errors import CorruptObject, NotSupported

MOST_PROPERTIES = 30
LARGEST_PROPERTY = 124  # bytes of UTF-8, key and value together
_PIECE = re.compile(r"#\d+")
_LONGEST_PIECE_NAME = len(f"#{MOST_PROPERTIES - 1}")


def encode(metadata: Mapping[str, str], where: str) -> dict[str, str]:
    """The properties that hold the metadata.

    Raises
    ------
    NotSupported
        If they take more than a file can have.
    """
    plain = {name: value for name, value in metadata.items() if _fits(name, value)}
    packed = _pack({name: value for name, value in metadata.items() if name not in plain})
    if len(plain) + len(packed) > MOST_PROPERTIES:
        plain, packed = {}, _pack(metadata)
    if len(packed) > MOST_PROPERTIES:
        raise NotSupported(
            f"{where}: its metadata take {_size(metadata)} bytes, and a file of Google Drive has at most "
            f"{MOST_PROPERTIES} properties of {LARGEST_PROPERTY} bytes: shorten them, or put them into an object"
        )
    return plain | packed


def decode(properties: Mapping[str, str], where: str) -> dict[str, str]:
    """The metadata that the properties hold.

    Raises
    ------
    CorruptObject
        If a piece of a long entry is missing.
    """
    plain = {name: value for name, value in properties.items() if not _PIECE.fullmatch(name)}
    return plain | _unpack({name: properties[name] for name in properties.keys() - plain.keys()}, where)


def _fits(name: str, value: str) -> bool:
    return bool(name) and not name.startswith("#") and len(name.encode()) + len(value.encode()) <= LARGEST_PROPERTY


def _size(metadata: Mapping[str, str]) -> int:
    return sum(len(name.encode()) + len(value.encode()) for name, value in metadata.items())


def _pack(entries: Mapping[str, str]) -> dict[str, str]:
    if not entries:
        return {}
    text = json.dumps(dict(entries), ensure_ascii=False, separators=(",", ":"))
    pieces = _cut(text, LARGEST_PROPERTY - _LONGEST_PIECE_NAME)
    return {f"#{index}": piece for index, piece in enumerate(pieces)}


def _cut(text: str, most: int) -> Iterator[str]:
    """Pieces of at most so many bytes of UTF-8; no character is cut in two."""
    rest = text.encode()
    while rest:
        piece = rest[:most].decode(errors="ignore")
        yield piece
        rest = rest[len(piece.encode()) :]


def _unpack(pieces: Mapping[str, str], where: str) -> dict[str, str]:
    if not pieces:
        return {}
    text = "".join(pieces.get(f"#{index}", "") for index in range(len(pieces)))
    try:
        # what stands behind the first object is left over from longer metadata of a writer at the same time
        entries, _ = json.JSONDecoder().raw_decode(text)
        return {str(name): str(value) for name, value in entries.items()}
    except (ValueError, AttributeError, RecursionError):
        raise CorruptObject(
            f"{where}: a piece of its metadata is missing or damaged (the properties #0, #1...)"
        ) from None
