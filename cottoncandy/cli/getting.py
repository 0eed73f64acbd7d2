"""get: from the store to disk."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import click

from cottoncandy import keys
from cottoncandy.cli.completing import complete_names_then_files
from cottoncandy.cli.options import command, dry_run_option, names_argument, quiet_option, recursive_option
from cottoncandy.cli.places import (
    Access,
    Place,
    directory_of,
    is_pattern,
    matching,
    objects_of,
    one_store,
    open_store,
    place,
    refuse_doubles,
    require_names,
    shows_progress,
)
from cottoncandy.cli.several import ask_of_each, do_each
from cottoncandy.cli.streams import output_bytes, tell
from cottoncandy.diskpaths import disk_paths, leads_out
from cottoncandy.errors import InvalidObjectName, ObjectNotFound

if TYPE_CHECKING:
    from cottoncandy.cli.contents import Contents
    from cottoncandy.interfaces import DefaultInterface

_STDOUT = "-"
# What an array is written to the output as.
_OF_OUTPUT = ".npy"


@command()
@names_argument(nargs=-1, required=True, metavar="NAME... [DESTINATION]", shell_complete=complete_names_then_files)
@recursive_option
@click.option("--as", "kind", type=click.Choice(["array", "file"]), help="Instead of what the object is.")
@click.option("--no-clobber", is_flag=True, help="Leave files alone that are there.")
@dry_run_option
@quiet_option
def get(
    names: tuple[str, ...],
    *,
    recursive: bool,
    kind: str | None,
    no_clobber: bool,
    dry_run: bool,
    quiet: bool,
    access: Access,
) -> None:
    """Download objects, arrays and trees to disk.

    The last name of several is where to: a file, a directory, or - for the output. A plain object comes down byte for
    byte. A raw array, or one in chunks, is written as the extension of the destination says: .npy, .npz, .csv, .mat,
    .h5, .nii or .nii.gz. To a name with none of these, .npy is appended; the output is .npy, too. A tree of arrays or a
    masked array goes into one .npz, .mat or .h5, a sparse array into an .npz. With -r, objects become files.
    """
    require_names(names)
    *sources, destination = names if len(names) > 1 else (*names, ".")
    places = [place(text, access) for text in sources]
    first = one_store(places)
    cci = open_store(first, access, quiet=quiet)
    found = {one.name: _found(cci, one, recursive=recursive) for one in places}
    several = len(places) > 1 or found[first.name] is not None
    if several and destination == _STDOUT:
        raise click.UsageError("- is for one object, by its name: get several into a directory")
    jobs = [
        job for name, below in found.items() for job in _jobs(cci, name, below, destination, several=several, kind=kind)
    ]
    # an array `a` is written to a.npy, as a file of that name is
    refuse_doubles("get", ((job.name, str(job.path)) for job in jobs if job.path))
    jobs = [job for job in jobs if not (no_clobber and job.path and job.path.exists())]
    if dry_run:
        for job in jobs:
            tell(f"would get {first.at(job.name)} to {job.path or _STDOUT}")
    else:
        _run(cci, jobs, destination, quiet=quiet)
    _refuse_unnameable(cci, [name for below in found.values() for name in below or () if _reads_as_another(name)])


def _run(cci: DefaultInterface, jobs: list[_Job], destination: str, *, quiet: bool) -> None:
    do_each(lambda job: job.run(cci), jobs, "get", destination, shows_progress(quiet=quiet))
    if not quiet and destination != _STDOUT:
        tell(f"got {len(jobs)} to {destination}" if len(jobs) != 1 else f"got {jobs[0].path}")


@dataclass(frozen=True)
class _Job:
    """One file to make.

    Attributes
    ----------
    path : Path or None
        None for the output.
    contents : Contents or None
        What is written to the file in a way of its own; None for an object byte for byte.
    through_link : bool
        Where the path is a link, replace the file that it leads to; else the link itself.
    """

    name: str
    path: Path | None
    contents: Contents | None
    through_link: bool = True

    def run(self, cci: DefaultInterface) -> None:
        if self.path is None:
            self._to_stdout(cci)
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.contents is None:
            cci.download_to_file(self.name, self.path, through_link=self.through_link)
            return
        from cottoncandy.cli.formats import extension

        self.contents.save(cci, self.name, self.path, extension(self.path), through_link=self.through_link)

    def _to_stdout(self, cci: DefaultInterface) -> None:
        if self.contents is not None:
            self._npy_to_stdout(cci)
            return
        output = output_bytes()
        with cci.download_stream(self.name) as stream:
            for part in stream.parts():
                output.write(part)

    def _npy_to_stdout(self, cci: DefaultInterface) -> None:
        with TemporaryDirectory() as folder:
            path = Path(folder, f"array{_OF_OUTPUT}")
            replace(self, path=path).run(cci)
            with path.open("rb") as file:
                shutil.copyfileobj(file, output_bytes())


def _found(cci: DefaultInterface, one: Place, *, recursive: bool) -> dict[str, str] | None:
    """The objects that a pattern matches, or, with -r, those of a name and below it; None where the name is of one.

    Each with its name below the destination: without the directory that was named, or is above the pattern.
    """
    pattern = is_pattern(cci, one.name)
    if pattern:
        found = [key for name in matching(cci, one, recursive=recursive) for key in objects_of(cci, name)]
    elif recursive:
        found = _branch(cci, one.name)
    else:
        return None
    if not found:
        raise ObjectNotFound(f"{cci.backend_interface.describe(one.name)}: nothing has this name, or matches it")
    directory = directory_of(one.name, pattern=pattern)
    return {key: key.removeprefix(directory) if key.startswith(directory) else keys.basename(key) for key in found}


def _branch(cci: DefaultInterface, name: str) -> list[str]:
    """The objects of a name, and below it: on S3 it may be of both."""
    itself = name and not name.endswith(keys.SEPARATOR) and cci.exists_object(name)
    return [*([name] if itself else []), *objects_of(cci, keys.as_directory(name) or keys.SEPARATOR)]


def _jobs(
    cci: DefaultInterface,
    name: str,
    found: dict[str, str] | None,
    destination: str,
    *,
    several: bool,
    kind: str | None,
) -> Iterator[_Job]:
    """What one of the names asks for."""
    target = Path(destination)
    if found is None:
        into_directory = several or destination.endswith("/") or target.is_dir()
        path = target / keys.basename(name) if into_directory else target
        yield _job(cci, name, path if destination != _STDOUT else None, kind, exact=not into_directory)
        return
    # a marker keeps a directory on S3, and is nothing on disk
    wanted = {
        key: rest for key, rest in found.items() if not key.endswith(keys.SEPARATOR) and not _reads_as_another(key)
    }
    paths = disk_paths(target, wanted.values())
    for job in ask_of_each(lambda key: _job(cci, key, paths[wanted[key]], kind, exact=False), list(wanted)):
        if job.path and leads_out(target.resolve(), job.path):  # by the extension, that it had not before
            raise InvalidObjectName(f"{job.path} is a link that leads out of {target}: remove it")
        # of a directory, each object is a file of its own: two must not end in one
        yield replace(job, through_link=False)


def _reads_as_another(name: str) -> bool:
    """Whether an object of somebody else has a name that no call can tell: ``a//b`` is read as ``a/b``."""
    return name.startswith(keys.SEPARATOR) or 2 * keys.SEPARATOR in name


def _refuse_unnameable(cci: DefaultInterface, names: list[str]) -> None:
    if names:
        more = f", and {len(names) - 1} more," if len(names) > 1 else ""
        raise InvalidObjectName(
            f"{cci.backend_interface.describe(names[0])}{more} is left out: with an empty part (//) its name "
            "reads as another. download_directory in Python gets it"
        )


def _job(cci: DefaultInterface, name: str, path: Path | None, kind: str | None, *, exact: bool) -> _Job:
    from cottoncandy import arrayformat
    from cottoncandy.cli.contents import below, raw_array

    try:
        head = cci.backend_interface.stat(keys.clean_object(name))
    except ObjectNotFound:
        contents = below(cci, name)
        if contents is None:
            raise
        return _job_of_several(name, path, contents, kind, exact=exact)
    if kind == "array" or (kind is None and arrayformat.is_array(head.metadata)):
        return _writing(name, path, raw_array(head))
    return _Job(name, path, None)


def _job_of_several(name: str, path: Path | None, contents: Contents, kind: str | None, *, exact: bool) -> _Job:
    """What is to be done where no object has the name, but some lie below it."""
    from cottoncandy.cli.formats import extension

    if kind != "file":
        if contents.usual:
            return _writing(name, path, contents)
        if exact and path and extension(path) in contents.formats:
            return _Job(name, path, contents)
    raise InvalidObjectName(f"{name!r} is a directory: get it with -r, or its arrays to a .npz, .mat or .h5")


def _writing(name: str, path: Path | None, contents: Contents) -> _Job:
    """Write an array to the kind of file that the path tells; it gets an extension where it has none that is known."""
    from cottoncandy.cli.formats import extension

    if path and not extension(path):
        path = path.with_name(f"{path.name}{contents.usual}")
    contents.require(name, extension(path) if path else _OF_OUTPUT)
    return _Job(name, path, contents)
