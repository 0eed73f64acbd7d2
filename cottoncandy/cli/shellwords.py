"""Words as a shell reads them: what a line that is being typed says so far, and how a text is written in it."""

from __future__ import annotations

import enum
import re
from typing import NamedTuple


class Quote(enum.Enum):
    """What a text stands in."""

    NONE = ""
    SINGLE = "'"
    DOUBLE = '"'
    ANSI = "$'"


class Word(NamedTuple):
    """What a word says, and the quote that is still open at its end."""

    text: str
    quote: Quote


# The pieces of a line. Where the line ends in a quote, or behind a backslash, the piece ends there.
_PIECE = re.compile(
    r"""  \$'(?P<ansi>    (?: \\. | [^'\\] )* ) (?P<ansi_end>   ' | \\?\Z )
        |   '(?P<single>  [^']*             ) (?P<single_end> ' | \Z )
        |   "(?P<double>  (?: \\. | [^"\\] )* ) (?P<double_end> " | \\?\Z )
        |  \\(?P<escaped> .? )
        |    (?P<blank>   [ \t\n]+ )
        |    (?P<plain>   [^ \t\n\\'"$]+ | \$ )""",
    re.VERBOSE | re.DOTALL,
)
_IN_DOUBLE = re.compile(r'\\(["$\\`\n])')  # before others a backslash is a backslash
_IN_ANSI = re.compile(rb"\\(?:([0-7]{1,3})|x([0-9a-fA-F]{1,2})|(.))", re.DOTALL)
_LETTERS = {b"n": b"\n", b"t": b"\t", b"r": b"\r", b"a": b"\a", b"b": b"\b", b"e": b"\x1b", b"f": b"\f", b"v": b"\v"}
# What no shell takes for anything but itself, wherever it stands in a word.
_PLAIN = re.compile(r"[A-Za-z0-9_@%+=:,./-]")


def split(line: str) -> list[str]:
    r"""The words of a line as they are written; the last one is ``''`` behind a blank.

    Examples
    --------
    >>> split(r"get 'my file' my\ o")
    ['get', "'my file'", 'my\\ o']
    """
    words = [""]
    for piece in _PIECE.finditer(line):
        if piece["blank"] is None:
            words[-1] += piece[0]
        elif words[-1]:
            words.append("")
    return words


def read(written: str) -> Word:
    """What a word says, which may end within a quote.

    Examples
    --------
    >>> read("'my 'fi"), read('"my fi')
    (Word(text='my fi', quote=<Quote.NONE: ''>), Word(text='my fi', quote=<Quote.DOUBLE: '"'>))
    """
    text, quote = "", Quote.NONE
    for piece in _PIECE.finditer(written):
        said, quote = _read(piece)
        text += said
    return Word(text, quote)


def _read(piece: re.Match[str]) -> tuple[str, Quote]:
    for kind, quote in (("ansi", Quote.ANSI), ("single", Quote.SINGLE), ("double", Quote.DOUBLE)):
        if piece[kind] is not None:
            is_open = piece[f"{kind}_end"] != quote.value[-1]
            return _unquoted(piece[kind], quote), quote if is_open else Quote.NONE
    return piece["plain"] or piece["escaped"] or "", Quote.NONE


def _unquoted(written: str, quote: Quote) -> str:
    if quote is Quote.DOUBLE:
        return _IN_DOUBLE.sub(lambda found: found[1].strip("\n"), written)
    if quote is Quote.ANSI:
        return _text(_IN_ANSI.sub(_meant, _bytes(written)))
    return written


def _meant(found: re.Match[bytes]) -> bytes:
    octal, hexadecimal, other = found.groups()
    if octal or hexadecimal:
        return bytes([int(octal or hexadecimal, 8 if octal else 16) & 0xFF])
    return _LETTERS.get(other, other if other in b"\\'\"?" else b"\\" + other)


def quoted(text: str, quote: Quote = Quote.NONE) -> str:
    r"""A text so that a shell reads it as it is: it runs, replaces and splits nothing.

    Parameters
    ----------
    quote : Quote
        What the text goes on in; it is still open behind it.

    Examples
    --------
    >>> print(quoted("my $(file)"), quoted("it's", Quote.SINGLE))
    my\ \$\(file\) it'\''s
    """
    return "".join(_quoted(character, quote) for character in text)


def _quoted(character: str, quote: Quote) -> str:
    if not character.isprintable():  # a line break would end what is typed, and a tab complete it
        escaped = "".join(f"\\{byte:03o}" for byte in _bytes(character))
        return escaped if quote is Quote.ANSI else f"{quote.value}$'{escaped}'{quote.value}"
    if quote is Quote.NONE:
        return character if _PLAIN.match(character) or not character.isascii() else f"\\{character}"
    if quote is Quote.SINGLE:
        return r"'\''" if character == "'" else character
    if quote is Quote.DOUBLE and character == "!":  # of a history, which has no backslash there
        return r'"\!"'
    return f"\\{character}" if character in _SPECIAL[quote] else character


_SPECIAL = {Quote.DOUBLE: '"$\\`', Quote.ANSI: "'\\"}


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")
