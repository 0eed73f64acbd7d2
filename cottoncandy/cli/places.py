"""Where things are: what a user writes for a place in a store, and the way to it."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import click

from cottoncandy import keys
from cottoncandy.cli.streams import is_terminal, tell
from cottoncandy.errors import ContainerNotFound, InvalidObjectName, ObjectNotFound

if TYPE_CHECKING:
    from cottoncandy.backends.base import ObjectInfo, ObjectPrefix
    from cottoncandy.interfaces import DefaultInterface

_URL = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<rest>.*)", re.DOTALL)
#: The scheme that leaves the backend to ``--backend``, as in fsspec's URLs.
OURS = "cottoncandy"

#: Advice where two places are in different stores. A directory between them would keep no dtype and no shape.
BETWEEN_STORES = (
    "from one to another, arrays keep dtype and shape with download_stream and upload_object in Python "
    "(docs/howto/backup.md, 'Between two stores')"
)


#: How options are called in `cottoncandy.get_interface`.
_ARGUMENTS = {
    "endpoint_url": "endpoint_url",
    "profile": "profile_name",
    "region": "region_name",
    "ca_bundle": "verify",
    "request_payer": "requester_pays",
}


@dataclass(frozen=True)
class Access:
    """The way to a store: what the options say.

    Attributes
    ----------
    backend, bucket : str or None
        For places that name none.
    settings : dict
        Further arguments of `cottoncandy.get_interface`.
    """

    backend: str | None
    bucket: str | None
    settings: dict[str, Any]

    #: The names of all options that tell of it.
    OPTIONS: ClassVar[frozenset[str]] = frozenset({"backend", "bucket", "no_sign_request", *_ARGUMENTS})

    @classmethod
    def from_options(cls, values: Mapping[str, Any]) -> Access:
        """What the options of a command say, among its other parameters; those that are not given may be missing."""
        settings = {argument: values[name] for name, argument in _ARGUMENTS.items() if values.get(name)}
        if values.get("no_sign_request"):
            settings["signature_version"] = "unsigned"
        return cls(values.get("backend"), values.get("bucket"), settings)


@dataclass(frozen=True)
class Place:
    """A name in a store.

    Attributes
    ----------
    backend : str
    container : str or None
        None is the default one.
    name : str
        A name, pattern or prefix; ``''`` is all of the container.
    """

    backend: str
    container: str | None
    name: str

    def at(self, name: str) -> str:
        """How another name at this place is written."""
        if self.container is None:
            return f"{self.backend}:///{name}"
        between = "//" if "/" in self.container else "/"
        return f"{self.backend}://{self.container}{between}{name}"

    def nothing(self, reason: str = "nothing has this name, or matches it") -> ObjectNotFound:
        """What is raised where nothing has the name, or matches it."""
        return ObjectNotFound(f"{self.at(self.name)}: {reason}")


def is_url(text: str) -> bool:
    """Whether a text names a place in a store, and not a file on disk."""
    return _URL.match(text) is not None


def place(text: str, access: Access) -> Place:
    """What a user wrote: ``SCHEME://CONTAINER/NAME``, or a name in the default container.

    The scheme is a backend's name. A container that has a ``/`` itself, as a directory's path, ends with ``//``. An
    empty one is the default.

    Examples
    --------
    >>> access = Access(None, "lab", {})
    >>> place("s3://bucket/sub01/bold", access)
    Place(backend='s3', container='bucket', name='sub01/bold')
    >>> place("local:///data/store//sub01/bold", access)
    Place(backend='local', container='/data/store', name='sub01/bold')
    >>> place("sub01/bold", access) == place("s3:///sub01/bold", access)
    True
    """
    match = _URL.fullmatch(text)
    default = access.backend or "s3"
    if match is None:
        return Place(default, access.bucket, keys.clean(text))
    scheme, rest = match["scheme"], match["rest"]
    container, _, name = rest.partition("//" if "//" in rest else "/")
    backend = default if scheme == OURS else scheme
    return Place(backend, container or access.bucket, keys.clean(name))


def shows_progress(*, quiet: bool = False) -> bool:
    """Whether to show bars: on a terminal, unless the configuration says otherwise."""
    from cottoncandy.config import Options

    chosen = Options.load().choice("progress", "show")
    return not quiet and (is_terminal(sys.stderr) if chosen == "auto" else bool(chosen))


def open_store(where: Place, access: Access, *, create: bool = False, quiet: bool = False) -> DefaultInterface:
    """An interface to the container of a place.

    Parameters
    ----------
    create : bool
        Whether a directory may be made. A bucket never is.
    quiet : bool
        Show no bars.
    """
    from cottoncandy import get_interface
    from cottoncandy.backends import backend_class

    kind = backend_class(where.backend)
    arguments = {**kind.look_only, **access.settings} if not create else access.settings
    progress = shows_progress(quiet=quiet)
    try:
        return get_interface(where.container, backend=where.backend, verbose=False, progress=progress, **arguments)
    except ContainerNotFound as error:
        if keys.SEPARATOR not in (where.container or ""):
            raise
        raise ContainerNotFound(f"{error}; it is what stands before //: write a / in a name once") from error


def is_made(where: Place) -> bool:
    """Whether a container is made where it is not there: a directory is, and no bucket."""
    from cottoncandy.backends import backend_class

    return bool(backend_class(where.backend).look_only)


def is_pattern(cci: DefaultInterface, name: str) -> bool:
    """Whether a name is a pattern; not where an object or a directory has just this name, as ``scan[1].txt``."""
    return keys.has_magic(name) and not cci.backend_interface.holds(name)


def is_directory(cci: DefaultInterface, name: str) -> bool:
    """Whether anything is below a name, if only a tree that waits in its stage. One listing."""
    return next(cci.find(keys.as_directory(name), limit=1, literal=True, stages=True), None) is not None


def tell_hidden(one: Place, cci: DefaultInterface, listed: Iterable[ObjectInfo | ObjectPrefix], **reason: str) -> None:
    """Where a listing shows nothing, tell of what uploads of trees have there: a tree may be read from it.

    Parameters
    ----------
    one : Place
    cci : DefaultInterface
    listed : iterable of ObjectInfo or ObjectPrefix
        The same listing, with stages.
    **reason
        What `Place.nothing` says.

    Raises
    ------
    ObjectNotFound
        If nothing is there at all.
    """
    from cottoncandy import trees

    below = [name for stage in trees.stages_of(entry.key for entry in listed) for name in objects_of(cci, stage)]
    told = trees.told_of(trees.stages(dict.fromkeys(below))[1])
    if told is None:
        raise one.nothing(**reason)
    tell(f"{one.at(one.name)}: {told}", err=True)


def directory_of(name: str, *, pattern: bool) -> str:
    """The directory that a name is, or that all matches of a pattern lie in. It ends with ``/``; ``''`` is the root."""
    return keys.as_directory(keys.parent(keys.literal_prefix(name) + "x") if pattern else name)


def matching(cci: DefaultInterface, one: Place, *, recursive: bool) -> list[str]:
    """What a pattern matches: ``*`` does not cross ``/``. Unlike `ls`, with what uploads have beside their trees.

    Parameters
    ----------
    recursive : bool
        Whether directories are wanted as well; their names end with ``/``.

    Raises
    ------
    ObjectNotFound
        If nothing matches, or directories only, which are not wanted.
    """
    found = [entry.key for entry in cci.scandir(one.name, stages=True)]
    names = [name for name in found if recursive or not name.endswith(keys.SEPARATOR)]
    if not names:
        raise ObjectNotFound(f"{one.at(one.name)}: {'only directories match it: use -r' if found else 'no match'}")
    return names


def objects_of(cci: DefaultInterface, name: str) -> Iterator[str]:
    """An object's own name, or of a directory, which ends with ``/``, those of all that is below it."""
    if not name.endswith(keys.SEPARATOR):
        yield name
        return
    for info in cci.find(name, literal=True, stages=True):
        yield info.key


def one_store(places: list[Place]) -> Place:
    """The first of some places that are all in one container.

    Raises
    ------
    click.UsageError
    """
    first = places[0]
    if any((other.backend, other.container) != (first.backend, first.container) for other in places):
        raise click.UsageError("these are in several buckets: name those of one at a time")
    return first


def require_names(texts: Iterable[str]) -> None:
    """Refuse what is empty: in a script, most often a variable that is not set. It would be a root, or this directory.

    Raises
    ------
    click.UsageError
    """
    if not all(texts):
        raise click.UsageError(
            "a name is empty, as where a variable is not set: the root of a bucket is /, and this directory ."
        )


def refuse_doubles(action: str, ways: Iterable[tuple[str, str]]) -> None:
    """Raise if two sources would become one: of several in one directory, all but the last would be lost.

    Parameters
    ----------
    action : str
        What the command is called.
    ways : iterable of (str, str)
        From where to where.

    Raises
    ------
    InvalidObjectName
    """
    sources: dict[str, str] = {}
    for source, target in ways:
        other = sources.setdefault(target, source)
        if other != source:
            raise InvalidObjectName(
                f"{other!r} and {source!r} would both be written to {target}: {action} one at a time"
            )
