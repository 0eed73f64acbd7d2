"""get: from the store to disk."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import click

from cottoncandy import keys
from cottoncandy.backends.base import ObjectHead
from cottoncandy.cli.completing import complete_names_then_files
from cottoncandy.cli.options import command, dry_run_option, names_argument, quiet_option, recursive_option
from cottoncandy.cli.places import (
    Access,
    Place,
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
from cottoncandy.cli.streams import output_bytes
from cottoncandy.config import Options
from cottoncandy.diskfiles import replacing_path
from cottoncandy.diskpaths import disk_paths, leads_out
from cottoncandy.errors import InvalidObjectName, ObjectNotFound
from cottoncandy.parallel import for_each
from cottoncandy.progress import Progress

if TYPE_CHECKING:
    from cottoncandy.interfaces import DefaultInterface

_STDOUT = "-"


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
    byte. A raw array is written as the extension of the destination says: .npy (also where it says nothing, and to the
    output), .npz, .csv, .mat, .h5, .nii or .nii.gz. A tree of arrays goes into one .npz, .mat or .h5, or with -r into
    files.
    """
    require_names(names)
    *sources, destination = names if len(names) > 1 else (*names, ".")
    places = [place(text, access) for text in sources]
    first = one_store(places)
    cci = open_store(first, access, quiet=quiet)
    found = {one.name: _found(cci, one, recursive=recursive) for one in places}
    several = len(places) > 1 or found[first.name] is not None
    jobs = [
        job for name, below in found.items() for job in _jobs(cci, name, below, destination, several=several, kind=kind)
    ]
    # an array `a` is written to a.npy, as a file of that name is
    refuse_doubles("get", ((job.name, str(job.path)) for job in jobs if str(job.path) != _STDOUT))
    jobs = [job for job in jobs if not (no_clobber and job.path.exists())]
    if dry_run:
        for job in jobs:
            click.echo(f"would get {first.at(job.name)} to {job.path}")
        return
    with Progress(shows_progress(quiet=quiet)).many("get", destination, len(jobs)) as count:
        for_each(count.wrap(lambda job: job.run(cci)), jobs, Options.load().integer("basic", "threads"))
    if not quiet and destination != _STDOUT:
        click.echo(f"got {len(jobs)} to {destination}" if len(jobs) != 1 else f"got {jobs[0].path}")


@dataclass(frozen=True)
class _Job:
    """One file to make.

    Attributes
    ----------
    head : ObjectHead or None
        None for a tree of arrays.
    """

    name: str
    path: Path
    head: ObjectHead | None
    is_array: bool

    def run(self, cci: DefaultInterface) -> None:
        if str(self.path) == _STDOUT:
            self._to_stdout(cci)
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.is_array:
            self._save(cci)
        else:
            cci.download_to_file(self.name, self.path)

    def _to_stdout(self, cci: DefaultInterface) -> None:
        if self.is_array:
            self._npy_to_stdout(cci)
            return
        output = output_bytes()
        with cci.download_stream(self.name) as stream:
            for part in stream.parts():
                output.write(part)

    def _npy_to_stdout(self, cci: DefaultInterface) -> None:
        with TemporaryDirectory() as folder:
            path = Path(folder, "array.npy")
            replace(self, path=path).run(cci)
            with path.open("rb") as file:
                shutil.copyfileobj(file, output_bytes())

    def _save(self, cci: DefaultInterface) -> None:
        from cottoncandy.cli.formats import FORMATS, extension

        found = FORMATS[extension(self.path)]
        value: Any
        if self.head is None:
            value, metadata = self._tree(cci), {}
        else:
            value, metadata = cci.download_raw_array(self.name), dict(self.head.metadata)
            value = {self.path.name.split(".")[0]: value} if found.holds_tree else value
        with replacing_path(self.path, cci.backend_interface.describe(self.name)) as part:
            found.save(part, value, metadata, self.path)

    def _tree(self, cci: DefaultInterface) -> dict[str, Any]:
        found = cci.cloud2dict(self.name, verbose=False)
        if not found:
            where = cci.backend_interface.describe(self.name)
            raise ObjectNotFound(f"{where}: no arrays are below this name: get what is there with -r")
        return found


def _found(cci: DefaultInterface, one: Place, *, recursive: bool) -> list[str] | None:
    """The objects that a pattern matches, or, with -r, that are below a name; None where the name is of one file."""
    if is_pattern(cci, one.name):
        return [key for name in matching(cci, one, recursive=recursive) for key in objects_of(cci, name)]
    return [info.key for info in cci.find(one.name)] if recursive else None


def _jobs(
    cci: DefaultInterface, name: str, found: list[str] | None, destination: str, *, several: bool, kind: str | None
) -> Iterator[_Job]:
    """What one of the names asks for."""
    target = Path(destination)
    into_directory = several or destination.endswith("/") or target.is_dir()
    if found is None:
        path = target / keys.basename(name) if into_directory else target
        yield _job(cci, name, path, kind, exact=not into_directory)
        return
    prefix = _kept_after(name)
    if not found:
        raise ObjectNotFound(f"{cci.backend_interface.describe(name)}: nothing has this name, or matches it")
    for rest, path in disk_paths(target, [key.removeprefix(prefix) for key in found]).items():
        job = _job(cci, prefix + rest, path, kind, exact=False)
        if leads_out(target.resolve(), job.path):  # by the name with an extension, that it had not before
            raise InvalidObjectName(f"{job.path} is a link that leads out of {target}: remove it")
        yield job


def _kept_after(name: str) -> str:
    """What is left out of the names of the files: the directory that was named, or is above the pattern."""
    if keys.has_magic(name):
        return keys.as_directory(keys.parent(keys.literal_prefix(name) + "x"))
    return keys.as_directory(name)


def _job(cci: DefaultInterface, name: str, path: Path, kind: str | None, *, exact: bool) -> _Job:
    from cottoncandy import arrayformat
    from cottoncandy.cli.formats import FORMATS, extension

    try:
        head = cci.backend_interface.stat(keys.clean_object(name))
    except ObjectNotFound:
        if next(cci.find(keys.as_directory(name), limit=1), None) is None:
            raise
        if exact and extension(path) and FORMATS[extension(path)].holds_tree and kind != "file":
            return _Job(name, path, None, is_array=True)
        raise InvalidObjectName(
            f"{name!r} is a directory: get it with -r, or its arrays to a .npz, .mat or .h5"
        ) from None
    is_array = kind == "array" or (kind is None and arrayformat.is_array(head.metadata))
    if is_array and str(path) != _STDOUT and not extension(path):
        path = path.with_name(f"{path.name}.npy")
    return _Job(name, path, head, is_array=is_array)
