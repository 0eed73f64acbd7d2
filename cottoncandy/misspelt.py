"""Options that somebody named and nothing reads, as they are misspelt: which ones, and what was meant."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from cottoncandy.configfiles import CONFIG_FILE_VARIABLE, FOR_ALL, Sections
from cottoncandy.extras import foreign_backends

__all__ = ["Unread", "unread_in_environment", "unread_in_file", "variable_of"]

_PREFIX = "COTTONCANDY_"
#: The section in which a slip of the pen leaves data in plain.
_ENCRYPTION = "encryption"
# How near a name is to what was meant, as difflib counts: its own measure for a key beside others of its section, more
# where the names of all sections are compared.
_NEAR, _NEARER = 0.6, 0.7
# A line with nothing but a key on it may be taken for an option's name: keys have digits, and are long.
_NAME = re.compile(r"[A-Za-z_ .-]{1,40}|[\w .-]{1,15}")


@dataclass(frozen=True)
class Unread:
    """An option that nothing reads.

    Attributes
    ----------
    name : str
        As messages have it: ``[basic] threds``, or the environment variable.
    near : str or None
        What was meant, in the same way.
    of_encryption : bool
        Whether it was to say something of encryption.
    """

    name: str
    near: str | None
    of_encryption: bool

    def __str__(self) -> str:
        return f"{self.name} (near is {self.near})" if self.near else self.name


def variable_of(section: str, key: str) -> str:
    """The environment variable of an option."""
    return f"{_PREFIX}{section}_{key}".upper()


# ---------------------------------------------------------------------- in a file
def unread_in_file(known: Sections, user: Sections) -> list[Unread]:
    """What a user's file names and nothing reads; a section named as an installed backend of others is theirs."""
    unknown = list(_not_known(known, user))
    others = _others() if unknown else set()
    return [_of_file(known, section, key) for section, key in unknown if section.lower() not in others]


def _not_known(known: Sections, user: Sections) -> Iterator[tuple[str, str]]:
    for_all: Mapping[str, str] = user.get(FOR_ALL, {})
    for section, options in user.items():
        places = known.values() if section == FOR_ALL else (known.get(section, {}), for_all)
        yield from ((section, key) for key in options if not any(key in place for place in places))


def _of_file(known: Sections, section: str, key: str) -> Unread:
    near = _meant(known, section, key)
    said = near and (near[1] if near[0] == section else f"[{near[0]}] {near[1]}")
    return Unread(f"[{section}] {_shown(key)}", said, _is_encryption(section))


def _shown(name: str) -> str:
    return name if _NAME.fullmatch(name) else "(a name that may be a key)"


# ---------------------------------------------------------------------- in the environment
def unread_in_environment(known: Sections, environ: Mapping[str, str]) -> list[Unread]:
    """The variables that begin as ours, and nothing reads.

    Without a section of ours, only those that are near to one: others may use such names.
    """
    unknown = {name for name in environ if name.startswith(_PREFIX)} - {CONFIG_FILE_VARIABLE}
    if unknown:
        unknown -= {variable_of(section, key) for section in known for key in known[section]}
    others = _others() if unknown else set()
    found = (_of_environment(known, name) for name in sorted(unknown) if _first_word(name) not in others)
    return [one for one in found if one]


def _of_environment(known: Sections, name: str) -> Unread | None:
    told = name.removeprefix(_PREFIX).lower()
    section = next((one for one in known if told.startswith(f"{one}_")), None)
    if section is not None:
        near = _meant(known, section, told.removeprefix(f"{section}_"))
    elif (near := _meant(known, "", told)) is None:
        is_near = _nearest(name, [CONFIG_FILE_VARIABLE], 0.9)
        return Unread(name, CONFIG_FILE_VARIABLE, of_encryption=False) if is_near else None
    return Unread(name, near and variable_of(*near), _is_encryption(_first_word(name)))


def _first_word(name: str) -> str:
    return name.removeprefix(_PREFIX).lower().partition("_")[0]


# ---------------------------------------------------------------------- what was meant
def _meant(known: Sections, section: str, key: str) -> tuple[str, str] | None:
    """The option that is near in this section, or has just this name in another one, or is near as a whole."""
    if beside := _nearest(key, known.get(section, ()), _NEAR):
        return section, beside
    if elsewhere := next((one for one, options in known.items() if key in options), None):
        return elsewhere, key
    names = {f"{one}_{name}": (one, name) for one, options in known.items() for name in options}
    whole = _nearest(f"{section}_{key}".lower().lstrip("_"), names, _NEARER)
    return names[whole] if whole else None


def _is_encryption(section: str) -> bool:
    return _nearest(section.lower(), [_ENCRYPTION], _NEARER) is not None


def _nearest(name: str, names: Iterable[str], cutoff: float) -> str | None:
    from difflib import get_close_matches

    return next(iter(get_close_matches(name, names, 1, cutoff)), None)


def _others() -> Collection[str]:
    return {point.name.lower() for point in foreign_backends()}
