"""Object names as attributes, and what a name tells of the object."""

from __future__ import annotations

import keyword
import re
import unicodedata
from dataclasses import dataclass

from cottoncandy import keys

# Names with such an extension hold arrays, as an HDF5 file does.
_HDF_EXTENSIONS = frozenset({"grp", "arr", "hdf", "h5", "hf5", "hdf5", "he5"})
_NO_IDENTIFIER = re.compile(r"\W")


def identifier(name: str) -> str:
    """The attribute for an object's name: ``sub01.grp`` → ``sub01_DOT_grp``, ``01sub`` → ``NUM_01sub``, ``-`` → ``_``.

    Examples
    --------
    >>> identifier('01-sub.grp')
    'NUM_01_sub_DOT_grp'
    """
    # Python itself brings attributes into this form when it reads them
    text = unicodedata.normalize("NFKC", name)
    text = _NO_IDENTIFIER.sub("_", text.replace(".", "_DOT_"))
    if not text.isidentifier():
        text = f"NUM_{text}"
    if text.startswith("_"):
        text = f"US{text}"
    return f"{text}_" if keyword.iskeyword(text) else text


def guess_name(attribute: str) -> str:
    """The name that an attribute stands for before all others: what is there under this name needs no listing.

    Examples
    --------
    >>> guess_name('NUM_01_DOT_grp'), guess_name('NUM_runs')  # `runs` would have the attribute `runs`
    ('01.grp', 'NUM_runs')
    """
    if "_DOT_" not in attribute and not attribute.startswith("NUM_"):
        return attribute
    dotted, undotted = attribute.replace("_DOT_", "."), attribute.removeprefix("NUM_")
    guesses = (dotted.removeprefix("NUM_"), dotted, undotted)
    return next((name for name in guesses if name and identifier(name) == attribute), attribute)


def identifiers(names: list[str], taken: frozenset[str] = frozenset()) -> dict[str, str]:
    """The names by their attributes. Where two names make the same attribute, each gets one of its own.

    The name that is guessed from the attribute keeps it, so that an attribute means the same before and after a
    listing; the others get a number in the order of their names.

    Examples
    --------
    >>> identifiers(['a-b', 'a_b'])
    {'a_b': 'a_b', 'a_b__2': 'a-b'}
    >>> identifiers(['NUM_01', '01'])
    {'NUM_01': '01', 'NUM_01__2': 'NUM_01'}
    """
    own = {name: identifier(name) for name in names}

    def precedence(name: str) -> tuple[bool, bool, str]:
        attribute = own[name]
        # `load` can only have a number: it must not take that of a name `load__2`, which is guessed
        return (attribute in taken or guess_name(attribute) != name, attribute != name, name)

    result: dict[str, str] = {}
    for name in sorted(names, key=precedence):
        attribute, number = own[name], 1
        while attribute in result or attribute in taken:
            number += 1
            attribute = f"{own[name]}__{number}"
        result[attribute] = name
    return result


@dataclass(frozen=True, slots=True)
class Extensions:
    """The configured extensions: of groups of arrays, and of arrays."""

    group: frozenset[str] = frozenset({"grp"})
    dataset: frozenset[str] = frozenset({"arr"})

    @classmethod
    def from_texts(cls, group: str | None, dataset: str | None) -> Extensions:
        """Read the configured texts: one extension, or several with commas between.

        Examples
        --------
        >>> Extensions.from_texts('.grp, ccg', None).is_group('sub01.ccg')
        True
        """
        return cls(_extensions(group) or cls().group, _extensions(dataset) or cls().dataset)

    def holds_arrays(self, name: str) -> bool:
        """Whether a component of the name has an extension under which arrays are kept."""
        known = _HDF_EXTENSIONS | self.group | self.dataset
        return any(_extension(part) in known for part in name.split(keys.SEPARATOR))

    def is_group(self, name: str) -> bool:
        """Whether the name is that of a group."""
        return _extension(keys.basename(name)) in self.group


def _extensions(text: str | None) -> frozenset[str]:
    found = (extension.strip().lstrip(".").lower() for extension in (text or "").split(","))
    return frozenset(filter(None, found))


def _extension(component: str) -> str:
    return component.rpartition(".")[2].lower() if "." in component else ""
