"""Options: argument > environment > the user's file > ``defaults.cfg``. The one place that looks up keys.

Nothing is read when this module is imported, and nothing is frozen: an interface reads its options when it
is made.
"""

from __future__ import annotations

import enum
import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from cottoncandy.configfiles import (
    SECRETS,
    UNSET,
    Sections,
    Unshown,
    create_user_file,
    defaults_path,
    expanded,
    holds_secrets,
    read_sections,
    user_file_path,
    value_of,
    warn_if_public,
    warn_once,
)
from cottoncandy.errors import ConfigurationError, CottonCandyError, CredentialsNotFound
from cottoncandy.misspelt import Unread, unread_in_environment, unread_in_file, variable_of
from cottoncandy.redaction import Secret

Value = TypeVar("Value")

MIB = 2**20
_TRUE = {"1", "yes", "true", "on"}
_FALSE = {"0", "no", "false", "off"}
_NO_FLAG = {"", "none"}
#: Switches whose default does not tell that they are one: `False` may be a text that is not set, too.
_SWITCHES = {
    *(("login", "verbose_boto"), ("basic", "force_bucket_creation"), ("basic", "requester_pays")),
    *(("encryption", "require"), ("local", "fsync"), ("progress", "show")),
}


#: Options that errors do not quote.
_UNQUOTED = SECRETS | {("login", "endpoint_url")}  # which may hold a password


class Source(enum.Enum):
    """Where an option's value was found."""

    ENVIRONMENT = "environment"
    USER_FILE = "user file"
    DEFAULTS = "defaults"


def _truth(text: str, *words: str) -> bool:
    if text.lower() not in _TRUE | _FALSE:
        raise ConfigurationError(f"give {' or '.join(['True', 'False', *words])}")
    return text.lower() in _TRUE


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 < number < float("inf"):
        raise ConfigurationError("give a number above 0")
    return number


@dataclass(frozen=True)
class Options:
    """All options at one moment.

    Attributes
    ----------
    file : pathlib.Path or None
        The user's file; None where options were given in another way.
    """

    file: Path | None
    _defaults: Sections = field(repr=False)
    _user: Sections = field(repr=False)
    _environ: Mapping[str, str] = field(repr=False)

    def __reduce__(self) -> tuple[Callable[[], Options], tuple[()]]:
        # keys that were found here do not travel: options are read anew where they arrive
        return Options.load, ()

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None, *, create: bool = True, check: bool = True) -> Options:
        """Read the defaults, the user's file and the environment.

        Parameters
        ----------
        environ : Mapping, optional
            Where options and keys are looked for instead of ``os.environ``.
        create : bool
            Make the user's file if there is none. A home that cannot be written is no error.
        check : bool
            Warn of options that nothing reads, once in a process.

        Raises
        ------
        ConfigurationError
            If the file is none, or, with ``check``, something of encryption is misspelt: data would lie in plain.
        """
        environ = Unshown(os.environ if environ is None else environ)
        path = user_file_path()
        if create:
            create_user_file(path)
        user = read_sections(path)
        if holds_secrets(user):
            warn_if_public(path)
        options = cls(path, read_sections(defaults_path()), user, environ)
        if check:
            options._check_names()
        return options

    @classmethod
    def of_one(cls, section: str, key: str, value: str) -> Options:
        """The defaults, and one option that is still to be set: what it would mean."""
        return cls(None, read_sections(defaults_path()), Unshown({section: Unshown({key.lower(): value})}), {})

    def _check_names(self) -> None:
        for place, unread in self.unread().items():
            if wrong := [str(one) for one in unread if one.of_encryption]:
                raise ConfigurationError(
                    f"{place}: there is no option {', '.join(wrong)}: correct it, or take it out, as what was to be "
                    "encrypted would be stored in plain"
                )
            if unread:
                warn_once(
                    f"{place}: nothing reads {', '.join(map(str, unread))}; `cottoncandy config` shows all options"
                )

    @property
    def folder(self) -> Path:
        """The folder of the user's file; relative file names in options are resolved in it."""
        return (self.file or user_file_path()).parent

    @property
    def names(self) -> list[tuple[str, str]]:
        """All options there are: sections and keys, the latter in lower case."""
        return [(section, key) for section, options in self._defaults.items() for key in options]

    def default(self, section: str, key: str) -> str:
        """What ``defaults.cfg`` says of an option."""
        value = value_of(self._defaults, section, key)
        if value is None:
            raise ConfigurationError(f"there is no option {key!r} in [{section}]")
        return value

    def is_number(self, section: str, key: str) -> bool:
        """Whether an option is a number."""
        return self.default(section, key).isdecimal()

    def is_switch(self, section: str, key: str) -> bool:
        """Whether an option is on or off."""
        return (section, key) in _SWITCHES or self.default(section, key) == "True"

    def find(self, section: str, key: str) -> tuple[str | None, Source]:
        """An option and where it was found; None where it is a text that is not set (``False`` or ``None``).

        Where nothing stands behind the ``=``, or in the variable, or what is no number or switch, as ``None``, the next
        place is asked; the defaults have the last word.
        """
        is_number, is_switch = self.is_number(section, key), self.is_switch(section, key)
        passed_over = UNSET if is_number else _NO_FLAG if is_switch else {""}
        value, source = self._first(section, key, passed_over)
        is_set = is_number or is_switch or value.lower() not in UNSET
        return (value if is_set else None), source

    def _first(self, section: str, key: str, passed_over: Collection[str]) -> tuple[str, Source]:
        told = (
            (self._environ.get(variable_of(section, key)), Source.ENVIRONMENT),
            (value_of(self._user, section, key), Source.USER_FILE),
        )
        for value, source in told:
            if value is not None and value.strip().lower() not in passed_over:
                return value.strip(), source
        return self.default(section, key).strip(), Source.DEFAULTS

    def text(self, section: str, key: str) -> str | None:
        """An option as text, None where it is not set."""
        value = self.find(section, key)[0]
        return Secret(value) if value and (section, key) in SECRETS else value

    def read(self, section: str, key: str, meaning: Callable[[str], Value]) -> Value:
        """What a function makes of an option, of ``''`` where it is not set.

        Raises
        ------
        CottonCandyError
            As the function raises it, with the option, its value, and where that was found.
        """
        try:
            return meaning(self.find(section, key)[0] or "")
        except CottonCandyError as error:
            raise type(error)(f"{self.describe(section, key)}: {error}") from None

    def describe(self, section: str, key: str) -> str:
        """An option as errors name it: with its value, if that may be shown, and where it stands."""
        value, source = self.find(section, key)
        places = {Source.ENVIRONMENT: variable_of(section, key), Source.USER_FILE: self.file}
        place = places.get(source, defaults_path())
        shown = "" if (section, key) in _UNQUOTED else f" = {value!r}"
        return f"[{section}] {key}{shown}" + (f" (from {place})" if place else "")

    def flag(self, section: str, key: str) -> bool:
        """An option as a truth value; the default where it is not set."""
        return self.read(section, key, _truth)

    def choice(self, section: str, key: str) -> bool | str:
        """An option that is a truth value or the word that is its default; that where it is not set."""
        word = self.default(section, key)
        return self.read(section, key, lambda text: word if text.lower() == word else _truth(text, word))

    def number(self, section: str, key: str) -> float:
        """An option as a positive number; the default where it is not set."""
        return self.read(section, key, _number)

    def integer(self, section: str, key: str) -> int:
        """An option as a whole number, at least 1."""
        return max(1, int(self.number(section, key)))

    def megabytes(self, section: str, key: str) -> int:
        """An option that is given in MB, as bytes."""
        return int(self.number(section, key) * MIB)

    def unread(self) -> dict[str, list[Unread]]:
        """What nothing reads, by the places that name it: typing errors, and options of the past."""
        in_file = unread_in_file(self._defaults, self._user)
        return {str(self.file): in_file, "the environment": unread_in_environment(self._defaults, self._environ)}

    @property
    def holds_keys(self) -> bool:
        """Whether the user's own file has keys in it."""
        return holds_secrets(self._user)

    def credentials(self, bucket: str | None = None) -> Credentials | None:
        """S3 keys from our own places; None leaves it to boto3's standard chain.

        They are looked for in the configuration, then in ``~/.passwd-s3fs``, then in ``AWS_ACCESS_KEY`` and
        ``AWS_SECRET_KEY``.

        Parameters
        ----------
        bucket : str, optional
            ``~/.passwd-s3fs`` may have a line for one bucket: it is preferred.
        """
        return (
            _pair(self.text("login", "access_key"), self.text("login", "secret_key"), "[login]")
            or _s3fs_credentials(expanded("~/.passwd-s3fs"), bucket)
            or _pair(
                self._environ.get("AWS_ACCESS_KEY"),
                self._environ.get("AWS_SECRET_KEY"),
                "AWS_ACCESS_KEY and AWS_SECRET_KEY",
            )
        )

    def resolve(self, file_name: str) -> Path:
        """A file named in an option: absolute, or in the configuration's folder."""
        return self.folder / expanded(file_name)


@dataclass(frozen=True)
class Credentials:
    """A pair of S3 keys. The repr shows neither."""

    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)

    def __post_init__(self) -> None:
        # `vars` and tracebacks that show variables go past the repr
        for name in ("access_key", "secret_key"):
            object.__setattr__(self, name, Secret(getattr(self, name)))


def _pair(access_key: str | None, secret_key: str | None, place: str) -> Credentials | None:
    if access_key and secret_key:
        return Credentials(access_key, secret_key)
    if access_key or secret_key:
        missing = "secret" if access_key else "access"
        raise CredentialsNotFound(f"{place} has one key only: the {missing} key is missing")
    return None


def _s3fs_credentials(path: Path, bucket: str | None) -> Credentials | None:
    """The keys of s3fs-fuse: ``ACCESS:SECRET`` lines, or ``BUCKET:ACCESS:SECRET`` for one bucket.

    Source: https://github.com/s3fs-fuse/s3fs-fuse/wiki/Fuse-Over-Amazon
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return None
    warn_if_public(path)
    found: dict[str | None, Credentials] = {}
    for line in lines:
        fields = line.strip().split(":")
        if line.lstrip().startswith("#") or not all(fields):
            continue
        if len(fields) == 2:
            found.setdefault(None, Credentials(fields[0], fields[1]))
        elif len(fields) == 3:
            found.setdefault(fields[0], Credentials(fields[1], fields[2]))
    return found.get(bucket) or found.get(None)
