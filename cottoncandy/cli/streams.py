"""The input and the outputs of the process. A shell can close each (`>&-`): Python then has None in its place."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
from typing import BinaryIO, TextIO


def hold_closed() -> None:
    """Open what is closed on nothing, at the beginning of the process.

    The next file or socket to be opened would get its number otherwise, and what libraries write there. Errors have a
    stream that takes them; code that wants the input or the output is to find that there is none.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
    if _there(sys.stderr) is None:  # click and traceback would write to the output instead
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123 - it ends with the process


def take_any_text() -> None:
    """Have a character that an output's encoding does not know written as its escape.

    It would end the command, with some of the work done and the rest not: a name of bytes that are no UTF-8, or one in
    Greek where the terminal is Latin-1.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def tell(line: str, *, err: bool = False) -> None:
    """Print a line: as it is, and on a terminal with what would give it orders escaped, as names may hold anything."""
    stream = _there(sys.stderr if err else sys.stdout)
    if stream is None:
        return
    if stream.isatty() and not line.isprintable():
        from cottoncandy.interfaces.basic.listing import printable

        line = printable(line)
    stream.write(f"{line}\n")
    stream.flush()


def takes(stream: TextIO, text: str) -> bool:
    """Whether its encoding has all characters of a text."""
    found = _there(stream)
    try:
        text.encode(found.encoding if found is not None else "utf-8")
    except UnicodeEncodeError:
        return False
    return True


def is_terminal(stream: TextIO | None) -> bool:
    """Whether somebody sits at it."""
    return stream is not None and stream.isatty()


def input_bytes() -> BinaryIO:
    """What ``-`` reads. It waits for what is to come: node, asyncio and ssh leave pipes behind that do not.

    Raises
    ------
    OSError
        If it is closed.
    """
    file = _bytes(sys.stdin, "input")
    with contextlib.suppress(OSError):  # it is no file of the system's: whoever reads it is told that it gives nothing
        if not os.get_blocking(file.fileno()):
            os.set_blocking(file.fileno(), True)
    return file


def output_bytes() -> BinaryIO:
    """What ``-`` writes to.

    Raises
    ------
    OSError
        If it is closed.
    """
    return _bytes(sys.stdout, "output")


def flush(stream: TextIO) -> None:
    """Write what is held back, if there is such a stream."""
    found = _there(stream)
    if found is not None:
        found.flush()


def drop(stream: TextIO) -> None:
    """Let nothing more go where nobody reads: Python flushes once more at its end."""
    found = _there(stream)
    if found is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), found.fileno())


def _there(stream: TextIO) -> TextIO | None:
    """The stream, which by its type is always there."""
    return stream


def _bytes(stream: TextIO, what: str) -> BinaryIO:
    found = _there(stream)
    if found is None:
        raise OSError(errno.EBADF, f"the {what} is closed")
    return found.buffer
