"""Object names: clean them, join them, find what a pattern can match. Pure functions."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterator

from cottoncandy.errors import InvalidObjectName

SEPARATOR = "/"
#: Why no object with a body can have a name.
IS_DIRECTORYS = "a name that ends with '/' is a directory's"

_REPEATED_SEPARATOR = re.compile("/{2,}")
# What most people choose: nothing to clean, nothing to refuse.
_ORDINARY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(?:/[A-Za-z0-9_][A-Za-z0-9_.-]*)*/?", re.ASCII)
_MAGIC = re.compile(r"[*?[]")


def clean(name: str) -> str:
    """The object name that is meant by what a user typed.

    A leading ``/`` is dropped and ``//`` collapses to ``/``; nothing else is touched: ``a%20b``,
    ``a+b`` and ``a b`` are three names.

    Parameters
    ----------
    name : str
        An object name, a directory, or a pattern.

    Returns
    -------
    str

    Raises
    ------
    InvalidObjectName
        If a component is ``.`` or ``..`` (it could leave the container), or the name holds a NUL or
        a lone surrogate, which no store can keep.

    Examples
    --------
    >>> clean('/sub01//bold.arr')
    'sub01/bold.arr'
    """
    if not isinstance(name, str):
        raise InvalidObjectName(f"an object name is a str, not {type(name).__name__}: {name!r}")
    if _ORDINARY.fullmatch(name):
        return name
    name = _REPEATED_SEPARATOR.sub(SEPARATOR, name).removeprefix(SEPARATOR)
    if "\0" in name:
        raise InvalidObjectName(f"object name {name!r} holds a NUL byte: leave it out")
    if not {".", ".."}.isdisjoint(name.split(SEPARATOR)):
        raise InvalidObjectName(f"object name {name!r} has a component '.' or '..': write the name in full, without it")
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise InvalidObjectName(f"object name {name!r} is no valid Unicode text") from error
    return name


def clean_object(name: str) -> str:
    """Like `clean`, for a call that needs the name of one object: it may not be empty."""
    cleaned = clean(name)
    if not cleaned:
        raise InvalidObjectName(f"{name!r} names no object: give a name")
    return cleaned


def join(first: str, *others: str) -> str:
    """Join parts of a name with ``/``, as `posixpath.join` does, without doubled separators.

    Unlike there, a later part that starts with ``/`` does not throw the earlier ones away.

    Examples
    --------
    >>> join('sub01', '/run1/', 'bold')
    'sub01/run1/bold'
    """
    joined = first
    for part in others:
        left, right = joined.rstrip(SEPARATOR), part.lstrip(SEPARATOR)
        joined = f"{left}{SEPARATOR}{right}" if left or joined else right
    return joined


def as_directory(name: str) -> str:
    """The prefix that all objects below ``name`` share: `exp` gives `exp/`, the root gives ``''``.

    A bare string prefix is no directory: ``exp`` is also the beginning of ``exp2``.
    """
    stripped = clean(name).rstrip(SEPARATOR)
    return stripped + SEPARATOR if stripped else ""


def parent(name: str) -> str:
    """The directory that holds ``name``, without a trailing separator; ``''`` for the root."""
    return name.rstrip(SEPARATOR).rpartition(SEPARATOR)[0]


def parents(name: str) -> Iterator[str]:
    """The directories that ``name`` lies in, the innermost first; not the root.

    Examples
    --------
    >>> list(parents("exp/run1/bold"))
    ['exp/run1', 'exp']
    """
    while name := parent(name):
        yield name


def basename(name: str) -> str:
    """The last component of ``name``."""
    return name.rstrip(SEPARATOR).rpartition(SEPARATOR)[2]


def has_magic(pattern: str) -> bool:
    """Whether the name is a pattern: holds ``*``, ``?`` or ``[``."""
    return _MAGIC.search(pattern) is not None


def literal_prefix(pattern: str) -> str:
    """What every match of the pattern starts with: the part before the first ``*``, ``?`` or ``[``.

    Examples
    --------
    >>> literal_prefix('sub01/run*/bold')
    'sub01/run'
    """
    magic = _MAGIC.search(pattern)
    return pattern[: magic.start()] if magic else pattern


def without_trivial_magic(pattern: str) -> str:
    """A trailing ``/*`` alone is no pattern: it means all that is in the directory.

    Examples
    --------
    >>> without_trivial_magic('sub01/*'), without_trivial_magic('*'), without_trivial_magic('sub*/*')
    ('sub01/', '', 'sub*/*')
    """
    head = pattern.removesuffix("*")
    trivial = head != pattern and (not head or head.endswith(SEPARATOR)) and not has_magic(head)
    return head if trivial else pattern


def matcher(pattern: str) -> Callable[[str], bool]:
    """A test of whole names against a pattern, with `fnmatch`'s rules: case matters, ``*`` crosses ``/``."""
    match = re.compile(fnmatch.translate(pattern)).match
    return lambda name: match(name) is not None
